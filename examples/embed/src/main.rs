//! The component on plain wasmtime, with a thread for each connection and an echo.
//!
//! `cargo run --release -p embed -- 127.0.0.1:8000`
#![allow(missing_docs, reason = "bindgen's code")]

use std::collections::HashMap;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use std::{env, thread};

use wasmtime::component::{Component, Linker, ResourceAny};
use wasmtime::{Engine, Result, Store};

wasmtime::component::bindgen!({ path: "../../wit", world: "library" });
use exports::hixie::legacy_websocket::legacy_websocket::{
    Destination, Disposition, Input, Opened, Received, Step,
};
use hixie::legacy_websocket::types::{Command, Event, Outgoing, Recipients};

/// The instance, its one server, and the sockets to write to.
struct Shell {
    store: Store<()>,
    library: Library,
    server: ResourceAny,
    sockets: HashMap<u64, TcpStream>,
    start: Instant,
}

impl Shell {
    fn new() -> Result<Self, Box<dyn Error>> {
        let engine = Engine::default();
        let component = Component::new(&engine, legacy_websocket_artifacts::LIBRARY)?;
        let mut store = Store::new(&engine, ());
        // An empty linker: the component calls nothing.
        let library = Library::instantiate(&mut store, &component, &Linker::new(&engine))?;
        let interface = library.hixie_legacy_websocket_legacy_websocket();
        let options = interface.call_default_options(&mut store)?;
        let server = interface.server().call_create(&mut store, &options)??;
        Ok(Self { store, library, server, sockets: HashMap::new(), start: Instant::now() })
    }

    /// One turn: inputs in, bytes out; then the application's answer to the events.
    fn turn(&mut self, inputs: &[Input]) -> Result<()> {
        let server = self.library.hixie_legacy_websocket_legacy_websocket().server();
        let now = self.start.elapsed().as_millis() as u64;
        let step = server.call_turn(&mut self.store, self.server, now, inputs)?;
        let commands: Vec<_> = step.events.iter().filter_map(answer).collect();
        write(&mut self.sockets, step);
        let step = server.call_command(&mut self.store, self.server, &commands)?;
        write(&mut self.sockets, step);
        Ok(())
    }
}

/// The application: an echo. (A request over plain HTTP is left to its timeout.)
fn answer(event: &Event) -> Option<Command> {
    let Event::Messages(messages) = event else { return None };
    let to = Recipients::One(messages.connection);
    Some(Command::Send(Outgoing { to, text: messages.text.clone(), ends: messages.ends.clone() }))
}

fn write(sockets: &mut HashMap<u64, TcpStream>, step: Step) {
    for transmission in step.transmissions {
        let to = match transmission.to {
            Destination::One(connection) => vec![connection],
            Destination::Many(connections) => connections,
        };
        for mut socket in to.iter().filter_map(|connection| sockets.get(connection)) {
            // A write that fails shows as the end of reading, soon.
            let _ = socket.write_all(&transmission.bytes);
            if transmission.then != Disposition::Keep {
                let _ = socket.shutdown(Shutdown::Write);
            }
        }
    }
}

/// Reads until the peer ends its side. (Deadlines want a `turn` at `next_timeout`, too: see the host.)
fn serve(shell: &Mutex<Shell>, connection: u64, mut socket: TcpStream) -> Result<(), Box<dyn Error>> {
    let turn = |input| shell.lock().map_err(|_| "poisoned")?.turn(&[input]).map_err(Box::<dyn Error>::from);
    let peer = socket.peer_addr()?.to_string();
    shell.lock().map_err(|_| "poisoned")?.sockets.insert(connection, socket.try_clone()?);
    turn(Input::Opened(Opened { connection, peer, secure: false }))?;
    let mut buffer = [0; 65_536];
    loop {
        let read = socket.read(&mut buffer).unwrap_or(0);
        if read == 0 {
            turn(Input::Ended(connection))?;
            shell.lock().map_err(|_| "poisoned")?.sockets.remove(&connection);
            return Ok(());
        }
        turn(Input::Received(Received { connection, bytes: buffer[..read].to_vec() }))?;
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let shell = Arc::new(Mutex::new(Shell::new()?));
    let listener = TcpListener::bind(env::args().nth(1).as_deref().unwrap_or("127.0.0.1:8000"))?;
    println!("listening on ws://{}/", listener.local_addr()?);
    for (connection, socket) in (1..).zip(listener.incoming()) {
        let (shell, socket) = (Arc::clone(&shell), socket?);
        thread::spawn(move || serve(&shell, connection, socket).unwrap_or_else(|error| eprintln!("{error}")));
    }
    Ok(())
}
