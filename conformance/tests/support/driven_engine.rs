//! A subject behind real sockets, with an application driven by the checker and a clock that only the checker moves.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use conformance::subject::{Command, Event, Input, Step, Subject, Then};

use super::control::{Controls, Job, Manner, Order};

/// An input of the server.
enum Happening {
    Opened(TcpStream),
    Read(u64, Vec<u8>),
    Ended(u64),
    Lost(u64),
    Ordered(Job),
}

/// The addresses for clients and for orders. The server runs as long as the process.
pub(crate) fn serve<S: Subject>(
    manner: Manner,
    make: impl Fn() -> S + Send + 'static,
) -> (SocketAddr, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (happens, happenings) = channel();
    let (controls, orders) = (Controls::default(), happens.clone());
    let control = controls.listen(manner, move |job| orders.send(Happening::Ordered(job)).expect("a server"));
    controls.set_serving(true);
    let accepted = happens.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            accepted.send(Happening::Opened(stream.expect("a connection"))).expect("a server");
        }
    });
    thread::spawn(move || {
        let subject = make();
        let mut server = Driven { make, subject, controls, links: BTreeMap::new(), now: 0, last: 0, happens };
        for happening in happenings {
            server.happened(happening);
        }
    });
    (address, control)
}

struct Driven<M, S> {
    make: M,
    subject: S,
    controls: Controls,
    links: BTreeMap<u64, Link>,
    now: u64,
    /// The last id assigned.
    last: u64,
    happens: Sender<Happening>,
}

struct Link {
    stream: TcpStream,
    client: String,
}

impl<S: Subject, M: Fn() -> S> Driven<M, S> {
    fn happened(&mut self, happening: Happening) {
        match happening {
            Happening::Opened(stream) => {
                self.last += 1;
                self.open(self.last, stream);
                self.input(Input::Open(self.last));
            }
            // Input read before a restart, or after a connection's end, is irrelevant.
            Happening::Read(id, bytes) if self.links.contains_key(&id) => {
                self.input(Input::Bytes(id, &bytes));
            }
            Happening::Ended(id) if self.links.contains_key(&id) => self.input(Input::Fin(id)),
            Happening::Lost(id) if self.links.remove(&id).is_some() => self.input(Input::Reset(id)),
            Happening::Read(..) | Happening::Ended(_) | Happening::Lost(_) => {}
            Happening::Ordered(job) => self.ordered(&job),
        }
    }

    /// Reads until the end, whatever the subject does: unread bytes would turn our end into a reset.
    fn open(&mut self, id: u64, stream: TcpStream) {
        stream.set_nodelay(true).expect("a socket");
        let client = stream.peer_addr().map(|address| address.to_string()).unwrap_or_default();
        let (mut reader, happens) = (stream.try_clone().expect("another handle"), self.happens.clone());
        self.links.insert(id, Link { stream, client });
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let happening = match reader.read(&mut buffer) {
                    Ok(0) => Happening::Ended(id),
                    Ok(count) => Happening::Read(id, buffer[..count].to_vec()),
                    Err(_) => Happening::Lost(id),
                };
                let is_last = !matches!(happening, Happening::Read(..));
                if happens.send(happening).is_err() || is_last {
                    return;
                }
            }
        });
    }

    fn ordered(&mut self, Job { client, order, reply }: &Job) {
        let id = self.links.iter().find(|(_, link)| link.client == *client).map(|(id, _)| *id);
        let id = id.unwrap_or_default();
        let command = match order {
            Order::Send(text) => Command::Send(id, text),
            Order::Broadcast(text) => Command::Broadcast(text),
            Order::SendBinary(bytes) => Command::SendBinary(id, bytes),
            Order::Close(with) => {
                Command::Close(id, with.as_ref().map(|(code, reason)| (*code, reason.as_str())))
            }
            Order::Accept(subprotocol) => Command::Accept(id, subprotocol.as_deref()),
            Order::Reject(status, reason) => Command::Reject(id, *status, reason),
            Order::Respond(status, body) => Command::Respond(id, *status, body),
            Order::Shutdown => Command::Shutdown,
            Order::Advance(ms) => {
                self.now += ms;
                self.input(Input::Time);
                return reply.ok();
            }
            Order::Restart => {
                self.links.clear();
                self.subject = (self.make)();
                return self.controls.set_serving(true);
            }
        };
        self.input(Input::Commands(&[command]));
        reply.ok();
    }

    /// Passes in one input, and handles its consequences.
    fn input(&mut self, input: Input<'_>) {
        let mut step = self.subject.input(self.now, input);
        loop {
            let is_due = step.next_timeout.is_some_and(|at| at <= self.now);
            let answers = self.carry_out(step);
            if answers.is_empty() && !is_due {
                return;
            }
            let commands: Vec<_> = answers.iter().map(|(id, event)| command_for(*id, event)).collect();
            let input = if commands.is_empty() { Input::Time } else { Input::Commands(&commands) };
            step = self.subject.input(self.now, input);
        }
    }

    /// Writes output and reports events. Returns those that the application answers.
    fn carry_out(&mut self, step: Step) -> Vec<(u64, Event)> {
        for write in step.writes {
            let Some(Link { stream, .. }) = self.links.get_mut(&write.id) else { continue };
            // A failed write shows up as an end when reading.
            let _ = stream.write_all(&write.bytes);
            match write.then {
                Then::Keep => {}
                Then::HalfClose | Then::Finish => drop(stream.shutdown(Shutdown::Write)),
                Then::Abort => drop(stream.shutdown(Shutdown::Both)),
            }
        }
        let mut answers = Vec::new();
        for (id, event) in step.events {
            match event {
                Event::Message(_) | Event::Binary(_) | Event::Request(_) => answers.push((id, event)),
                // There is nowhere to pass it on to.
                Event::Passed(_) => {}
                Event::Other(text) => {
                    let name = text.split(':').next().unwrap_or_default();
                    if let Some(link) = self.links.get(&id) {
                        self.controls.tell(name, &link.client);
                    }
                }
            }
        }
        answers
    }
}

/// The application echoes, and answers plain HTTP with 404.
pub(crate) fn command_for(id: u64, event: &Event) -> Command<'_> {
    match event {
        Event::Message(text) => Command::Send(id, text),
        Event::Binary(bytes) => Command::SendBinary(id, bytes),
        Event::Request(_) | Event::Passed(_) | Event::Other(_) => {
            Command::Respond(id, 404, "There is nothing here.\n")
        }
    }
}
