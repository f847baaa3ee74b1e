//! The component on plain wasmtime with blocking sockets: an echo that serves one client at a time.
//!
//! `cargo run --release --bin embed -- 127.0.0.1:8000`
#![allow(missing_docs, reason = "bindgen's code")]

use std::env;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::time::Instant;

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

wasmtime::component::bindgen!({ path: "../../wit", world: "library" });
use exports::hixie::legacy_websocket::legacy_websocket::{Disposition, Input, Opened, Received};
use hixie::legacy_websocket::types::{
    Binary, Command, Event, Messages, Outgoing, OutgoingBinary, Recipients,
};

/// The application: sends each message back.
fn answer(event: Event) -> Option<Command> {
    match event {
        Event::Messages(Messages { connection, text, ends }) => {
            Some(Command::Send(Outgoing { to: Recipients::One(connection), text, ends }))
        }
        Event::Binary(Binary { connection, bytes }) => {
            Some(Command::SendBinary(OutgoingBinary { to: Recipients::One(connection), bytes }))
        }
        _ => None,
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::default();
    let component = Component::new(&engine, legacy_websocket_artifacts::LIBRARY)?;
    let mut store = Store::new(&engine, ());
    // The linker is empty, because the component imports no functions.
    let library = Library::instantiate(&mut store, &component, &Linker::new(&engine))?;
    let interface = library.hixie_legacy_websocket_legacy_websocket();
    let options = interface.call_default_options(&mut store)?;
    let server = interface.server().call_create(&mut store, &options)??;

    let start = Instant::now();
    let listener = TcpListener::bind(env::args().nth(1).as_deref().unwrap_or("127.0.0.1:8000"))?;
    println!("listening on ws://{}/", listener.local_addr()?);
    for (connection, socket) in (1..).zip(listener.incoming()) {
        // Skip a peer that is gone before it is served.
        let Ok(mut socket) = socket else { continue };
        let Ok(peer) = socket.peer_addr().map(|peer| peer.to_string()) else { continue };
        let mut input = Input::Opened(Opened { connection, peer, secure: false });
        let mut buffer = [0; 65_536];
        loop {
            // A turn: input goes in, events come out, the application's commands go in. (A shell with more than one
            // socket also calls when `next_timeout` is due.)
            let now = start.elapsed().as_millis() as u64;
            let step = interface.server().call_turn(&mut store, server, now, &[input])?;
            let commands: Vec<_> = step.events.into_iter().filter_map(answer).collect();
            let more = interface.server().call_command(&mut store, server, &commands, true)?;

            let mut open = true;
            for transmission in step.transmissions.into_iter().chain(more.transmissions) {
                // `to` is ignored: there is only one connection. If a write fails, the next read reports the end.
                let _ = socket.write_all(&transmission.bytes);
                open &= !matches!(transmission.then, Disposition::Finish | Disposition::Abort);
            }
            if !open {
                let _ = socket.shutdown(Shutdown::Write);
                break;
            }
            input = match socket.read(&mut buffer) {
                Ok(read @ 1..) => Input::Received(Received { connection, bytes: buffer[..read].to_vec() }),
                _ => Input::Ended(connection),
            };
        }
    }
    Ok(())
}
