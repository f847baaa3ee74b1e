//! What is tested: a build of the engine, as the replay sees it.

mod native;

use std::collections::BTreeSet;

use legacy_websocket_trace::{Action, Connection};

pub use self::native::Native;

/// A build of the engine with its options.
pub trait Subject {
    /// Takes one input at `now` (milliseconds), and carries out what it brings about.
    fn input(&mut self, now: u64, input: Input<'_>) -> Step;
}

/// What a shell or an application tells the engine. Connections have ids of the replay's choice.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the replay knows them all")]
pub enum Input<'a> {
    /// A client has connected.
    Open(u64),
    /// A read.
    Bytes(u64, &'a [u8]),
    /// The client ended its side.
    Fin(u64),
    /// The client reset the connection.
    Reset(u64),
    /// Nothing but the time.
    Time,
    /// What the application wants, in order. Its answers to the events of one step come together.
    Commands(&'a [Command<'a>]),
}

/// What an application wants.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the replay knows them all")]
pub enum Command<'a> {
    /// Sends a message to one client.
    Send(u64, &'a str),
    /// Sends a message to all.
    Broadcast(&'a str),
    /// Closes.
    Close(u64),
    /// Accepts an opening handshake.
    Accept(u64, Option<&'a str>),
    /// Refuses one.
    Reject(u64, u16, &'a str),
    /// Answers a request.
    Respond(u64, u16, &'a str),
    /// Stops.
    Shutdown,
}

/// What came of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by subjects")]
pub struct Step {
    /// For the application, with the connection's id.
    pub events: Vec<(u64, Event)>,
    /// For the sockets.
    pub writes: Vec<Write>,
    /// The engine wants to be called again at this time.
    pub next_timeout: Option<u64>,
}

/// What the application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the replay knows them all")]
pub enum Event {
    /// A message.
    Message(String),
    /// Plain HTTP: what is asked for.
    Request(String),
    /// Anything else, as the snapshots have it.
    Other(String),
}

/// Bytes for a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by subjects")]
pub struct Write {
    /// Whose.
    pub id: u64,
    /// What.
    pub bytes: Vec<u8>,
    /// What comes after.
    pub then: Then,
}

/// What a shell does behind a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "what a shell can do")]
pub enum Then {
    /// Goes on.
    #[default]
    Keep,
    /// Ends its side of TCP, and goes on receiving.
    HalfClose,
    /// Ends TCP.
    Finish,
    /// Closes at once.
    Abort,
}

/// Whom a broadcast reaches.
#[derive(Debug, Default)]
pub struct Members(BTreeSet<u64>);

impl Members {
    /// From here on it is reached, or no longer.
    pub fn set(&mut self, id: u64, reached: bool) {
        if reached {
            self.0.insert(id);
        } else {
            self.0.remove(&id);
        }
    }

    /// All of them, but for one.
    #[must_use]
    pub fn but(&self, but: Option<u64>) -> Vec<u64> {
        self.0.iter().copied().filter(|id| Some(*id) != but).collect()
    }
}

impl<'a> Command<'a> {
    /// The action of a trace, with the connections' ids and the texts' bytes.
    pub(crate) fn from_action(action: &Action, id: impl Fn(Connection) -> u64, text: &'a str) -> Self {
        match action {
            Action::Send(to, _) => Self::Send(id(*to), text),
            Action::Broadcast(_) => Self::Broadcast(text),
            Action::Close(of) => Self::Close(id(*of)),
            Action::Accept(of, subprotocol) => Self::Accept(id(*of), subprotocol.as_ref().map(|_| text)),
            Action::Reject(of, status, _) => Self::Reject(id(*of), *status, text),
            Action::Shutdown => Self::Shutdown,
        }
    }
}

impl<S: Subject + ?Sized> Subject for Box<S> {
    fn input(&mut self, now: u64, input: Input<'_>) -> Step {
        (**self).input(now, input)
    }
}
