//! What a shell passes in, and what it gets back.

use alloc::string::String;
use alloc::vec::Vec;

use super::event::Event;
use crate::event::{Disposition, Loss, State};
use crate::options::Millis;
use crate::protocol::Protocol;

/// What a shell tells the engine. Unknown connections are ignored: they have just ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The shell accepted a connection.
    Opened(Opened),
    /// What one read returned.
    Received(Received),
    /// The peer ended its side of TCP.
    Ended(u64),
    /// The connection is gone.
    Lost(Lost),
    /// The server is to stop: [`crate::Server::shutdown`].
    Shutdown,
    /// The application is lost: the same, with close code 1011.
    ApplicationLost,
}

/// An accepted connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its number, never used before. A shell that uses one twice loses the second connection, not the first.
    pub connection: u64,
    /// The peer's address, for logs and applications.
    pub peer: String,
    /// The connection is encrypted: the location begins with `wss`.
    pub secure: bool,
}

/// What one read returned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Received {
    pub connection: u64,
    pub bytes: Vec<u8>,
}

/// One of several reads whose bytes are concatenated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Which connection was read from.
    pub connection: u64,
    /// Where its bytes end; they begin where the previous read's end.
    pub end: u32,
}

/// A connection that was lost outside the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Lost {
    pub connection: u64,
    pub why: Loss,
}

/// The result of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Events for the application, in order.
    pub events: Vec<Event>,
    /// Output for the sockets, in order.
    pub transmissions: Vec<Transmission>,
    /// When [`Server::turn`](super::Server::turn) is to be called next even if nothing arrives.
    pub next_timeout: Option<Millis>,
    /// Connections whose input waits in the engine because the budget was used up: read no more from them until a later
    /// step omits them.
    pub paused: Vec<u64>,
}

/// Bytes to write. For each connection they are written in the order of the transmissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmission {
    /// The recipients.
    pub to: Destination,
    /// Whole frames; empty if only `then` matters.
    pub bytes: Vec<u8>,
    /// What to do after writing them.
    pub then: Disposition,
}

/// Where a [`Transmission`] goes: [`crate::Destination`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "documented in crate::Destination")]
pub enum Destination {
    One(u64),
    Many(Vec<u64>),
    All,
    AllBut(u64),
}

/// An open connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its number.
    pub connection: u64,
    /// Its state.
    pub state: State,
    /// The protocol it speaks, once known.
    pub protocol: Option<Protocol>,
    /// The peer's address, as the shell or a trusted proxy tells it.
    pub peer: String,
}
