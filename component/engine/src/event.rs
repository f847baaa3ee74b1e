//! What the engine reports to the application and the sockets.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::error::{FrameError, Misuse};
use crate::head::Head;
use crate::hybi::close::CloseCode;
use crate::options::Millis;
use crate::protocol::Protocol;

/// Names one connection. The caller chooses it, and must not use it again for another connection of the
/// same [`Server`](crate::Server).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number with a name")]
pub struct ConnectionId(pub u64);

/// The state of a connection; `as u8` gives its number in node-websocket-server's README.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "the six states of the seed's README")]
pub enum State {
    /// The server does not know the connection (yet, or any more).
    Unknown = 0,
    /// The head is incomplete, or the application has not decided yet. Plain HTTP stays here.
    Opening = 1,
    /// Draft 76: the head is accepted and answered, key3 is still missing.
    Waiting = 2,
    /// The last bytes of our opening handshake are being written.
    Handshaking = 3,
    /// Messages flow; also while a closing handshake runs.
    Connected = 4,
    /// The connection has ended.
    Closed = 5,
}

/// The peer, as the shell knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by callers")]
pub struct Peer {
    /// For logs and applications; never interpreted. Replaced by what a proxy forwards if
    /// [`Options::trust_forwarded`](crate::Options::trust_forwarded) is set.
    pub address: String,
    /// The connection is encrypted: the location begins with `wss`.
    pub secure: bool,
}

/// How a connection was lost outside the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "mirrors the WIT enum, which cannot grow either")]
pub enum Loss {
    /// Reading or writing failed.
    Reset,
    /// The peer did not read, and the shell's limit for waiting output was reached.
    SlowReader,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCause {
    /// Closing handshake (draft 76 section 1.4, RFC 6455 section 7), started by the peer and answered by us; in draft
    /// 75, which has none, the FF 00 that some libraries send anyway.
    ByPeer,
    /// Closing handshake, started by us; the peer answered it, or ended TCP.
    ByUs,
    /// We ended it before the opening handshake was done. (Draft 75, without a closing handshake: `ByUs`.)
    ByUsAbruptly,
    /// The peer ended TCP without a closing handshake: the normal end in draft 75, and in WebKit's draft 76.
    EndOfStream,
    /// Lost: [`Loss::Reset`].
    Reset,
    /// Lost: [`Loss::SlowReader`].
    SlowReader,
    /// [`Limits::handshake_timeout`](crate::Limits::handshake_timeout) has passed.
    HandshakeTimeout,
    /// [`Limits::idle_timeout`](crate::Limits::idle_timeout) has passed.
    IdleTimeout,
    /// No answer to a ping: [`Limits::ping_interval`](crate::Limits::ping_interval) has passed twice.
    PingTimeout,
    /// [`Limits::message_timeout`](crate::Limits::message_timeout) has passed.
    MessageTimeout,
    /// [`Limits::close_timeout`](crate::Limits::close_timeout) has passed.
    CloseTimeout,
    /// Refused; [`Event::Rejected`] came before.
    Refused,
    /// Plain HTTP: the response was the last on its connection.
    Responded,
    /// A frame that is not allowed or over a limit.
    Frame(FrameError),
}

impl From<Loss> for CloseCause {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::Reset => Self::Reset,
            Loss::SlowReader => Self::SlowReader,
        }
    }
}

/// An event for the application. The events of one connection come in the order `StateChanged` (at any time),
/// `Handshake` (if requested), `Connected`, any number of `Message` and `Binary`, `Closed`; or `Rejected`, `Closed`; or
/// any number of `Request`, `Closed`. Every connection ends with exactly one `Closed`, or with `Passed`. `Tick` belongs
/// to no connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'i> {
    /// The state has changed.
    StateChanged {
        /// The connection whose state changed.
        connection: ConnectionId,
        /// Its state before the change.
        old: State,
        /// Its state after the change.
        new: State,
    },
    /// An opening handshake waits for [`Server::accept`](crate::Server::accept),
    /// [`Server::reject`](crate::Server::reject) or [`Server::respond`](crate::Server::respond). Only with
    /// [`Options::authorise`](crate::Options::authorise); the handshake timeout runs.
    Handshake {
        /// The connection that sent the handshake.
        connection: ConnectionId,
        /// Which protocol it asks for.
        protocol: Protocol,
        /// The peer that sent it.
        peer: Arc<Peer>,
        /// The one opaque string asked for (draft 76 section 1.9). In later protocols, of the list asked for the first
        /// that the options accept; any other of the list may be chosen.
        subprotocol: Option<String>,
        /// The request.
        head: Arc<Head>,
    },
    /// The opening handshake is complete: messages may be sent to the connection.
    Connected {
        /// The connection that is now open.
        connection: ConnectionId,
        /// Which protocol it speaks.
        protocol: Protocol,
        /// The peer at the other end.
        peer: Arc<Peer>,
        /// The subprotocol named in our answer.
        subprotocol: Option<String>,
        /// The request.
        head: Arc<Head>,
    },
    /// A text message. In the hixie drafts it is borrowed from the input if complete in it; later ones mask it.
    Message {
        /// The connection that sent the message.
        connection: ConnectionId,
        /// The text.
        text: Cow<'i, str>,
    },
    /// A binary message, which only the protocols from hybi-07 on have.
    Binary {
        /// The connection that sent the message.
        connection: ConnectionId,
        /// The message.
        bytes: Vec<u8>,
    },
    /// The connection is over.
    Closed {
        /// The connection that ended.
        connection: ConnectionId,
        /// Why it ended.
        cause: CloseCause,
        /// The code of the peer's close frame, if it sent one with a code.
        code: Option<CloseCode>,
        /// The reason in it.
        reason: String,
    },
    /// An opening handshake or request was refused.
    Rejected {
        /// The connection that was refused.
        connection: ConnectionId,
        /// The peer that sent the request.
        peer: Arc<Peer>,
        /// The HTTP status sent; 0 if nothing could be sent any more.
        status: u16,
        /// One line; the same is sent to the peer, unless the application responded.
        reason: Cow<'static, str>,
    },
    /// Plain HTTP. Answer with [`Server::respond`](crate::Server::respond).
    Request {
        /// The connection that sent the request.
        connection: ConnectionId,
        /// The peer that sent it.
        peer: Arc<Peer>,
        /// The request.
        head: Arc<Head>,
        /// The complete body; chunks are joined.
        body: Vec<u8>,
    },
    /// The connection is the shell's from here on: its request is not for this server, which has forgotten it. What is
    /// to be written to it, the answers to health checks, goes first. Only with
    /// [`Options::pass_through`](crate::Options::pass_through).
    Passed {
        /// The connection that is given back.
        connection: ConnectionId,
        /// Everything received on it since the start of the request.
        bytes: Vec<u8>,
    },
    /// The time that [`Server::tick_after`](crate::Server::tick_after) asked for has come.
    Tick {
        /// The time on the server's clock.
        now: Millis,
    },
}

/// The recipients of a message. Only connected clients receive it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "mirrors the WIT variant, which cannot grow either")]
pub enum Recipients {
    /// One client.
    One(ConnectionId),
    /// Some clients.
    Many(Vec<ConnectionId>),
    /// Every connected client.
    All,
    /// Every connected client but this one.
    AllBut(ConnectionId),
}

/// A recipient that could not be sent the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a pair with names")]
pub struct Undelivered {
    /// The recipient that was not sent the message.
    pub connection: ConnectionId,
    /// Why it was not sent.
    pub why: Misuse,
}

/// What the shell does with a connection after writing the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "mirrors the WIT enum, which cannot grow either")]
pub enum Disposition {
    /// Go on.
    Keep,
    /// Go on; from here on [`Destination::All`] includes the connection.
    Join,
    /// Go on; [`Destination::All`] no longer includes the connection: our closing frame was the last one.
    Leave,
    /// End our side of TCP, but go on receiving.
    HalfClose,
    /// End our side of TCP, discard input until the peer ends its side or
    /// [`Limits::close_timeout`](crate::Limits::close_timeout) has passed, then close. Closing at once could make the
    /// kernel send a reset that destroys the last bytes written. [`Destination::All`] no longer includes the
    /// connection.
    Finish,
    /// Close at once; waiting output is dropped.
    Abort,
}

impl Disposition {
    /// Nothing is written to the connection after this.
    #[must_use]
    pub fn is_end(self) -> bool {
        matches!(self, Self::Finish | Self::Abort)
    }

    /// Whether [`Destination::All`] includes the connection from here on; `None`: as before.
    #[must_use]
    pub fn membership_change(self) -> Option<bool> {
        match self {
            Self::Join => Some(true),
            Self::Leave | Self::Finish | Self::Abort => Some(false),
            Self::Keep | Self::HalfClose => None,
        }
    }
}

/// Where a [`Transmission`] goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "mirrors the WIT variant, which cannot grow either")]
pub enum Destination {
    /// To one connection.
    One(ConnectionId),
    /// To at least two, each the same bytes.
    Many(Vec<ConnectionId>),
    /// To every connection that has joined ([`Disposition::Join`]) and not left, in transmission order. So a broadcast
    /// needs no list, however many clients there are.
    All,
    /// The same, except for one.
    AllBut(ConnectionId),
}

/// Bytes to write: whole frames, in one write if possible.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "taken apart by callers")]
pub struct Transmission {
    /// The recipients.
    pub to: Destination,
    /// The bytes; empty if only `then` matters.
    pub bytes: Vec<u8>,
    /// What to do after writing them.
    pub then: Disposition,
}
