//! A program of one's own sends and closes from outside of the application's calls.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use legacy_websocket_host::step::{Command, Event, Failure};
use legacy_websocket_host::{Application, EngineFactory, EngineOptions, Handle, Server, ShellOptions, bind};
use support::CLOSING;
use support::client::Client;
use support::hybi::{CLOSE, close, unmasked};
use tokio::sync::oneshot;

/// Tells the test what it is told.
#[derive(Debug)]
struct Tells(Sender<String>);

impl Application for Tells {
    fn handle<'a>(&'a mut self, events: &'a [Event]) -> Vec<Command<'a>> {
        for event in events {
            let line = match event {
                Event::Connected(connected) => format!("connected {}", connected.connection),
                Event::Messages(messages) => format!("message {}", messages.text),
                Event::Closed(closed) => format!("closed {}", closed.connection),
                _ => continue,
            };
            self.0.send(line).unwrap();
        }
        Vec::new()
    }
}

struct Program {
    address: std::net::SocketAddr,
    handle: Handle,
    told: Receiver<String>,
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Program {
    fn start(workers: usize) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = channel();
        let (started, start) = channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut options = ShellOptions::default();
                (options.workers, options.worker_fill) = (workers, 0);
                let application = move || -> Box<dyn Application> { Box::new(Tells(tell.clone())) };
                let server =
                    Server::new(EngineFactory::Native, EngineOptions::default(), options, application)
                        .unwrap();
                let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
                started.send((listener.local_addr().unwrap(), server.handle())).unwrap();
                let stop = async { drop(stopped.await) };
                server.run([listener], stop, std::future::pending()).await;
            });
        });
        let (address, handle) = start.recv().unwrap();
        Self { address, handle, told, stop, thread }
    }

    /// The id of the client that has just connected.
    fn connected(&self) -> u64 {
        self.told.recv().unwrap().strip_prefix("connected ").unwrap().parse().unwrap()
    }

    fn stop(self) {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn a_program_sends_broadcasts_and_closes_at_any_time() {
    let program = Program::start(2);
    let (address, handle) = (program.address, &program.handle);
    let mut old = Client::open76(address);
    let old_id = program.connected();
    let mut new = Client::open_hybi(address, 13);
    let new_id = program.connected();
    assert_eq!(wait(handle.send(old_id, "one")), Ok(()));
    old.expect(b"\0one\xff");
    handle.broadcast("all", None);
    handle.broadcast("the other", Some(new_id));
    old.expect(b"\0all\xff\0the other\xff");
    assert_eq!(wait(handle.send_binary(new_id, b"\xff")), Ok(()));
    assert_eq!(wait(handle.send_binary(old_id, b"\xff")), Err(Failure::NotText));
    assert_eq!(wait(handle.close(new_id, Some(4000), "bye")), Ok(()));
    new.expect(
        &[unmasked(0x81, b"all"), unmasked(0x82, b"\xff"), unmasked(CLOSE, &close(4000, "bye"))].concat(),
    );
    drop(new);
    assert_eq!(program.told.recv().unwrap(), format!("closed {new_id}"));
    for nobody in [0, new_id, 1000] {
        assert_eq!(wait(handle.send(nobody, "x")), Err(Failure::UnknownConnection));
    }
    assert_eq!(wait(handle.respond(old_id, 200, Vec::new(), Vec::new())), Err(Failure::WrongState));
    // Nobody has to wait for what becomes of it.
    drop(handle.close(old_id, None, ""));
    old.expect(CLOSING);
    drop(old);
    program.stop();
}

#[test]
fn a_paused_client_is_read_again_when_it_is_resumed() {
    let program = Program::start(1);
    let mut paused = Client::open76(program.address);
    let id = program.connected();
    let mut other = Client::open75(program.address);
    program.connected();
    program.handle.pause(id);
    // Behind the pause.
    assert_eq!(wait(program.handle.send(id, "x")), Ok(()));
    paused.send(b"\0held\xff");
    other.send(b"\0now\xff");
    assert_eq!(program.told.recv().unwrap(), "message now");
    program.handle.resume(id);
    assert_eq!(program.told.recv().unwrap(), "message held");
    program.stop();
}

#[test]
fn a_delivery_waits_for_a_client_that_does_not_read() {
    let program = Program::start(1);
    let mut client = Client::open76(program.address);
    let id = program.connected();
    let text = "x".repeat(1 << 20);
    let mut sent = 0;
    // Until more is pending than the kernel takes.
    let waiting = loop {
        let mut delivery = Box::pin(program.handle.send(id, &text));
        sent += 1;
        let done = wait(async {
            let now = program.handle.send(u64::MAX, "");
            // No such connection: answered at once, behind the other.
            let _ = now.await;
            futures_util::future::poll_immediate(&mut delivery).await
        });
        if done.is_none() {
            break delivery;
        }
    };
    let reader = thread::spawn(move || {
        for _ in 0..sent {
            client.read_until(b"\xff");
        }
        client
    });
    assert_eq!(wait(waiting), Ok(()));
    drop(reader.join().unwrap());
    program.stop();
}

#[test]
fn a_server_stops_while_a_program_broadcasts() {
    for _ in 0..20 {
        let program = Program::start(2);
        let mut client = Client::open76(program.address);
        let handle = program.handle.clone();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    handle.broadcast("", None);
                }
            });
            client.expect(b"\0\xff");
            drop(client);
            program.stop();
            is_over.store(true, Ordering::SeqCst);
        });
    }
}
