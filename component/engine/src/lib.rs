//! The server side of every WebSocket protocol that browsers shipped, without I/O: draft-hixie-thewebsocketprotocol-75
//! ("draft 75": Chrome 4–5, Safari 5.0.0), draft-hixie-thewebsocketprotocol-76 ("draft 76", hybi-00: Chrome 6–13,
//! Safari 5, iOS 4.2–5, Firefox 4, Opera 11), hybi-07 to -12 (Chrome 14–15, Firefox 6–10), and RFC 6455.
//!
//! [`hybi`] has the last two also as pieces, for one connection without a server.
//!
//! The crate is fully deterministic. It opens no sockets, reads no clock and uses no randomness: its caller (the
//! *shell*) passes in bytes and the time, and gets events for the application and bytes to write.
//!
//! ```text
//!        sockets, clock                        Server                          application
//!  ┌────────────────────────┐  open     ┌───────────────────────┐  Handshake  ┌───────────────┐
//!  │ accept                 │ ────────→ │ Connection 1: Open    │ ──────────→ │ may it?       │
//!  │ read                   │  receive  │ Connection 2: Key3    │  Message    │ what to say?  │
//!  │ end, reset             │ ────────→ │ Connection 3: Head    │ ──────────→ │               │
//!  │ time                   │  advance  │  …                    │  Closed     │               │
//!  │                        │ ────────→ │ handshakes, frames,   │ ──────────→ │               │
//!  │ write                  │ ←──────── │ states, deadlines,    │ ←────────── │               │
//!  │ FIN, close             │ poll_     │ limits                │ send, close │               │
//!  └────────────────────────┘ transmit  └───────────────────────┘ accept, …   └───────────────┘
//! ```
//!
//! # The run loop
//!
//! **Every input and every command must be followed by a complete drain of the output.**
//!
//! 1. Wait for a socket, or for the time that [`Server::poll_timeout`] gives.
//! 2. Tell the time: [`Server::advance`].
//! 3. Tell what happened: [`Server::open`] with an id of your choice for each accepted connection,
//!    [`Server::receive`] for each read, [`Server::receive_eof`], [`Server::lost`].
//! 4. Let the application see the events ([`Server::receive`] gives those that borrow from its input,
//!    [`Server::poll_event`] the others) and carry out its commands: [`Server::send`], [`Server::broadcast`],
//!    [`Server::send_binary`], [`Server::close`], [`Server::accept`], [`Server::reject`], [`Server::respond`].
//! 5. Write each [`Transmission`] of [`Server::poll_transmit`] to its recipients, in order and in one write, and do
//!    as its [`Disposition`] says.
//! 6. Repeat.
//!
//! # Example
//!
//! A chat on blocking sockets, one connection after the other; a real shell waits for all of them at once.
//!
//! ```no_run
//! use std::io::{Read, Write};
//! use std::net::{Shutdown, TcpListener};
//! use std::time::Instant;
//!
//! use legacy_websocket::{ConnectionId, Disposition, Event, Loss, Options, Peer, Server};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let listener = TcpListener::bind("127.0.0.1:8000")?;
//!     let mut server = Server::new(Options::default())?;
//!     let start = Instant::now();
//!     for (number, stream) in listener.incoming().enumerate() {
//!         // A peer's failure costs its connection, never the server.
//!         let Ok(mut stream) = stream else { continue };
//!         let Ok(address) = stream.peer_addr() else { continue };
//!         let id = ConnectionId(number as u64);
//!         server.open(id, Peer { address: address.to_string(), secure: false })?;
//!         let mut buffer = [0; 65_536];
//!         while server.connection(id).is_some() {
//!             let read = stream.read(&mut buffer);
//!             // Before the input: what was due while we waited comes first.
//!             server.advance(start.elapsed().as_millis() as u64);
//!             match read {
//!                 Ok(0) => server.receive_eof(id),
//!                 Ok(_) => {}
//!                 Err(_) => server.lost(id, Loss::Reset),
//!             }
//!             // The messages borrow from the buffer, not from the server.
//!             let events: Vec<_> = server.receive(id, &buffer[..read.unwrap_or(0)]).collect();
//!             for event in events {
//!                 match event {
//!                     Event::Message { text, .. } => {
//!                         server.broadcast(&text, None);
//!                     }
//!                     Event::Request { connection, .. } => server.respond(connection, 404, &[], b"")?,
//!                     _ => {}
//!                 }
//!             }
//!             // After the commands: an end that waited for these answers is due.
//!             server.advance(start.elapsed().as_millis() as u64);
//!             while let Some(event) = server.poll_event() {
//!                 println!("{event:?}");
//!             }
//!             while let Some(transmission) = server.poll_transmit() {
//!                 // A write that fails is a read that fails, soon.
//!                 let _ = stream.write_all(&transmission.bytes);
//!                 let _ = match transmission.then {
//!                     // At once: nothing more is written, and what waits is dropped.
//!                     Disposition::Abort => stream.shutdown(Shutdown::Both),
//!                     Disposition::HalfClose | Disposition::Finish => stream.shutdown(Shutdown::Write),
//!                     _ => Ok(()),
//!                 };
//!             }
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! [`Server::advance`] is called twice. If a peer's last message and the end of its connection come in one read, the
//! end waits until the application has had its chance to answer: it is a deadline already passed, which the second call
//! carries out at once. (If step 1 waits no longer than [`Server::poll_timeout`] says, step 2 of the next turn does.)
//!
//! With [`Options::pass_through`], [`Event::Passed`] gives a connection back: from then on its socket is the shell's.
//!
//! On [`Disposition::Abort`] a shell drops pending output, closes the socket in both directions, and tells the engine
//! nothing more about the connection. On [`Disposition::Finish`] it ends its own side and keeps reading until the peer
//! ends or some seconds have passed, which this example omits.
//!
//! # What it promises
//!
//! - No input panics, whatever it is and however it is split; any chunking gives the same events and the same bytes.
//!   (Only a pong, which is sent at once, may come before the application's answer to an earlier message of the same
//!   read.)
//! - Only incomplete data is buffered: a text of the hixie drafts that is complete in a read is borrowed from it.
//! - Every limit ([`Limits`]) is checked before anything is buffered.
//! - Nothing is sent after our closing handshake, and nothing is reported for a connection after its [`Event::Closed`]
//!   or [`Event::Passed`].
//!
//! # Features
//!
//! None. The crate is `no_std` with `alloc`, and has no `unsafe`.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used
)]
#![warn(
    clippy::alloc_instead_of_core,
    clippy::arithmetic_side_effects,
    clippy::exhaustive_enums,
    clippy::exhaustive_structs
)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly"))]

extern crate alloc;

mod ahead;
mod authority;
mod body;
mod challenge;
mod connection;
mod deferred;
mod error;
mod event;
mod forwarded;
mod frame;
mod framing;
mod handshake;
mod head;
mod http;
pub mod hybi;
mod later_protocol;
mod location;
mod options;
mod policy;
mod protocol;
mod rejected;
mod server;
mod shared;
pub mod step;
mod text;

pub use crate::connection::Connection;
pub use crate::deferred::Deferred;
pub use crate::error::{
    FrameError, InvalidOptions, MalformedBody, MalformedHead, MalformedKey, Misuse, Refusal,
};
pub use crate::event::{
    CloseCause, ConnectionId, Destination, Disposition, Event, Loss, Peer, Recipients, State, Transmission,
    Undelivered,
};
pub use crate::forwarded::Forwarded;
pub use crate::head::Head;
pub use crate::http::http_refusal;
pub use crate::later_protocol::LaterProtocol;
pub use crate::location::RequestOrigin;
pub use crate::options::{InvalidUtf8, Limits, Millis, Options};
pub use crate::policy::PlainRequest;
pub use crate::protocol::{Protocol, Protocols};
pub use crate::server::{Events, Server};
pub use crate::shared::{ConnectedCounts, Counts};

/// Its examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
