//! Our host with an application driven by the checker.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use conformance::settings;
use legacy_websocket::step::{
    Acceptance, Closing, Command, Event, Outgoing, OutgoingBinary, Recipients, Refusal, Response,
};
use legacy_websocket_host::{Application, Server, ShellOptions, bind};
use legacy_websocket_trace::Setting;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::component::factory;
use super::control::{Controls, Job, Manner, Order, Reply};

/// Orders that the application has not yet taken.
type Orders = Arc<Mutex<Vec<Job>>>;

/// The addresses for clients and for orders. The server runs as long as the process.
pub(crate) fn serve(settings: &[Setting], manner: Manner) -> (SocketAddr, SocketAddr) {
    let mut options = settings::options(settings).expect("known settings");
    // The application is asked about handshakes, whether the checker or the application itself decides.
    let decides = options.authorise;
    options.authorise = true;
    let (orders, controls) = (Orders::default(), Controls::default());
    // Stops a server, and ends the wait for its connections.
    let ends: Arc<Mutex<Vec<oneshot::Sender<()>>>> = Arc::default();
    let give = {
        let (orders, ends) = (Arc::clone(&orders), Arc::clone(&ends));
        move |job: Job| match job.order {
            Order::Shutdown | Order::Restart => {
                // Nobody is waiting any more if the server has ended.
                let _ = ends.lock().expect("nobody panics").pop().map(|end| end.send(()));
                if matches!(job.order, Order::Shutdown) {
                    job.reply.ok();
                }
            }
            _ => orders.lock().expect("nobody panics").push(job),
        }
    };
    let control = controls.listen(manner, give);
    let (told, address) = channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(Default::default());
        runtime.expect("a runtime").block_on(async {
            let listener = bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
            let listener = listener.into_std().expect("a socket");
            told.send(listener.local_addr().expect("an address")).expect("somebody waits");
            loop {
                let (orders, of_controls) = (Arc::clone(&orders), controls.clone());
                let application =
                    move || Box::new(Driven::new(decides, Arc::clone(&orders), of_controls.clone())) as _;
                let mut one = ShellOptions::default();
                one.workers = 1;
                let server = Server::new(factory(), options.clone(), one, application).expect("a server");
                let listener = listener.try_clone().expect("another handle");
                let listener = TcpListener::from_std(listener).expect("a listener");
                let (stop, stopped) = oneshot::channel();
                let (give_up, given_up) = oneshot::channel();
                *ends.lock().expect("nobody panics") = vec![give_up, stop];
                controls.set_serving(true);
                server.run(vec![listener], ended(stopped), ended(given_up)).await;
            }
        });
    });
    (address.recv().expect("the host starts"), control)
}

async fn ended(it: oneshot::Receiver<()>) {
    it.await.expect("kept until it is sent");
}

/// Echoes, answers plain HTTP with 404, and takes orders at each tick; it always has another tick pending.
#[derive(Debug)]
struct Driven {
    decides: bool,
    orders: Orders,
    controls: Controls,
    /// By the addresses of their clients.
    connections: HashMap<String, u64>,
    /// The orders carried out in this call, and the lengths of their texts.
    batch: Vec<(u64, Order, [u32; 1])>,
    /// Where the result of the last order goes.
    waiting: Vec<(u64, Reply)>,
}

impl Driven {
    fn new(decides: bool, orders: Orders, controls: Controls) -> Self {
        let (connections, batch, waiting) = Default::default();
        Self { decides, orders, controls, connections, batch, waiting }
    }

    /// Failures have been reported; everything else succeeded.
    fn take_orders(&mut self) {
        self.waiting.drain(..).for_each(|(_, reply)| reply.ok());
        for Job { client, order, reply } in self.orders.lock().expect("nobody panics").drain(..) {
            let connection = self.connections.get(&client).copied();
            match (&order, connection) {
                // The host uses the machine's clock.
                (Order::Advance(_), _) => reply.unsupported(),
                (Order::Broadcast(_), _) | (_, Some(_)) => {
                    let connection = connection.unwrap_or_default();
                    let length = match &order {
                        Order::Send(text) | Order::Broadcast(text) => text.len(),
                        _ => 0,
                    };
                    self.batch.push((connection, order, [u32::try_from(length).expect("a short text")]));
                    self.waiting.push((connection, reply));
                }
                _ => reply.failed("no such connection"),
            }
        }
    }
}

impl Application for Driven {
    fn handle<'a>(&'a mut self, events: &'a [Event]) -> Vec<Command<'a>> {
        self.batch.clear();
        let mut commands = vec![Command::Tick(1)];
        for event in events {
            match event {
                Event::Handshake(handshake) => {
                    self.connections.insert(handshake.peer.clone(), handshake.connection);
                    if self.decides {
                        self.controls.tell("handshake", &handshake.peer);
                    } else {
                        commands.push(Command::Accept(Acceptance {
                            connection: handshake.connection,
                            subprotocol: handshake.subprotocol.as_deref(),
                            fields: &[],
                        }));
                    }
                }
                Event::Connected(connected) => self.controls.tell("connected", &connected.peer),
                Event::Closed(closed) => self.connections.retain(|_, it| *it != closed.connection),
                Event::Failed(failed) => {
                    for (_, reply) in self.waiting.extract_if(.., |(it, _)| *it == failed.connection) {
                        reply.failed(&format!("{:?}", failed.why));
                    }
                }
                Event::Messages(it) => commands.push(Command::Send(Outgoing {
                    to: Recipients::One(it.connection),
                    text: &it.text,
                    ends: &it.ends,
                })),
                Event::Binary(it) => commands.push(Command::SendBinary(OutgoingBinary {
                    to: Recipients::One(it.connection),
                    bytes: &it.bytes,
                })),
                Event::Request(request) => commands.push(Command::Respond(Response {
                    connection: request.connection,
                    status: 404,
                    fields: &[],
                    body: b"There is nothing here.\n",
                })),
                Event::Tick(_) => self.take_orders(),
                _ => {}
            }
        }
        commands.extend(self.batch.iter().map(|(connection, order, ends)| command(*connection, order, ends)));
        commands
    }
}

fn command<'a>(connection: u64, order: &'a Order, ends: &'a [u32]) -> Command<'a> {
    match order {
        Order::Send(text) => Command::Send(Outgoing { to: Recipients::One(connection), text, ends }),
        Order::Broadcast(text) => Command::Send(Outgoing { to: Recipients::All, text, ends }),
        Order::SendBinary(bytes) => {
            Command::SendBinary(OutgoingBinary { to: Recipients::One(connection), bytes })
        }
        Order::Close(None) => Command::close(connection),
        Order::Close(Some((code, reason))) => {
            Command::Close(Closing { connection, code: Some(*code), reason })
        }
        Order::Accept(subprotocol) => {
            let subprotocol = subprotocol.as_deref();
            Command::Accept(Acceptance { connection, subprotocol, fields: &[] })
        }
        Order::Reject(status, reason) => Command::Reject(Refusal { connection, status: *status, reason }),
        Order::Respond(status, body) => {
            Command::Respond(Response { connection, status: *status, fields: &[], body: body.as_bytes() })
        }
        Order::Shutdown | Order::Advance(_) | Order::Restart => unreachable!("none of the application's"),
    }
}
