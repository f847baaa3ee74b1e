//! The subject of a test: a build of the engine, as seen by the replay.

mod native;

use legacy_websocket_trace::{Action, Connection};

pub use self::native::{Native, name};

/// A build of the engine with its options.
pub trait Subject {
    /// Passes in one input at `now` (milliseconds), and carries out its consequences.
    fn input(&mut self, now: u64, input: Input<'_>) -> Step;
}

/// An input from a shell or an application. The replay chooses the connections' ids.
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
    /// Only time has passed.
    Time,
    /// Commands of the application, in order. Its answers to the events of one step come together.
    Commands(&'a [Command<'a>]),
}

/// A command of the application.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the replay knows them all")]
pub enum Command<'a> {
    /// Sends a message to one client.
    Send(u64, &'a str),
    /// Sends a binary message to one client.
    SendBinary(u64, &'a [u8]),
    /// Sends a message to all.
    Broadcast(&'a str),
    /// Closes, with a code and a reason if they are not the usual ones.
    Close(u64, Option<(u16, &'a str)>),
    /// Accepts an opening handshake.
    Accept(u64, Option<&'a str>),
    /// Refuses one.
    Reject(u64, u16, &'a str),
    /// Answers a request, or an opening handshake with a response instead of the 101.
    Respond(u64, u16, &'a str),
    /// Stops.
    Shutdown,
}

/// The result of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by subjects")]
pub struct Step {
    /// Events for the application, with the connection's id.
    pub events: Vec<(u64, Event)>,
    /// Output for the sockets.
    pub writes: Vec<Write>,
    /// When the engine wants to be called again.
    pub next_timeout: Option<u64>,
}

/// An event for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the replay knows them all")]
pub enum Event {
    /// A message.
    Message(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A plain HTTP request; holds the target.
    Request(String),
    /// The connection is given back to the shell with these bytes.
    Passed(Vec<u8>),
    /// Anything else, as written in snapshots.
    Other(String),
}

/// Bytes for a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by subjects")]
pub struct Write {
    /// The recipients.
    pub id: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What to do after writing them.
    pub then: Then,
}

/// What a shell does after a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "what a shell can do")]
pub enum Then {
    /// Continues.
    #[default]
    Keep,
    /// Ends its side of TCP, but keeps receiving.
    HalfClose,
    /// Ends TCP.
    Finish,
    /// Closes at once.
    Abort,
}

impl<'a> Command<'a> {
    /// Converts an action of a trace, given the connections' ids, and the bytes of its string, also as text.
    pub(crate) fn from_action(
        action: &Action,
        id: impl Fn(Connection) -> u64,
        bytes: &'a [u8],
        text: &'a str,
    ) -> Self {
        match action {
            Action::Send(to, _) => Self::Send(id(*to), text),
            Action::SendBinary(to, _) => Self::SendBinary(id(*to), bytes),
            Action::Broadcast(_) => Self::Broadcast(text),
            Action::Close(of, with) => Self::Close(id(*of), with.as_ref().map(|(code, _)| (*code, text))),
            Action::Accept(of, subprotocol) => Self::Accept(id(*of), subprotocol.as_ref().map(|_| text)),
            Action::Reject(of, status, _) => Self::Reject(id(*of), *status, text),
            Action::Respond(of, status, _) => Self::Respond(id(*of), *status, text),
            Action::Shutdown => Self::Shutdown,
        }
    }
}

impl<S: Subject + ?Sized> Subject for Box<S> {
    fn input(&mut self, now: u64, input: Input<'_>) -> Step {
        (**self).input(now, input)
    }
}
