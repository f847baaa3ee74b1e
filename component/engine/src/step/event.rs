//! What an application is told.

use alloc::string::String;
use alloc::vec::Vec;

use crate::event::State;
use crate::options::Millis;
use crate::protocol::Protocol;

/// An event of one connection, or of the clock, with everything it refers to. The order of a connection's events is
/// that of [`crate::Event`], with consecutive messages in one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The state has changed.
    StateChanged(StateChange),
    /// An opening handshake waits for [`Command::Accept`](super::Command), [`Command::Reject`](super::Command) or
    /// [`Command::Respond`](super::Command).
    Handshake(Handshake),
    /// The opening handshake is complete: messages may be sent to the connection.
    Connected(Connected),
    /// One or more text messages.
    Messages(Messages),
    /// A binary message.
    Binary(Binary),
    /// The connection is over.
    Closed(Closed),
    /// An opening handshake or request was refused.
    Rejected(Rejection),
    /// Plain HTTP, to be answered with [`Command::Respond`](super::Command).
    Request(Request),
    /// The connection is the shell's from here on. Never for the application.
    Passed(Passed),
    /// A command had no effect.
    Failed(Failed),
    /// The time requested with [`Command::Tick`](super::Command) has come; holds the current time.
    Tick(Millis),
}

/// One or more messages of one connection, their texts in one string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Messages {
    /// Which connection sent them.
    pub connection: u64,
    /// The messages' texts, concatenated.
    pub text: String,
    /// Where each message ends, in bytes of `text`; the last ends at its length. Never empty.
    pub ends: Vec<u32>,
}

/// A binary message, which only the protocols from hybi-07 on have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Binary {
    pub connection: u64,
    pub bytes: Vec<u8>,
}

/// A connection's old and new state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct StateChange {
    pub connection: u64,
    pub old: State,
    pub new: State,
}

/// An opening handshake that waits for a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Which connection it arrived on.
    pub connection: u64,
    /// The protocol that it asks for.
    pub protocol: Protocol,
    /// The peer's address, as the shell or a trusted proxy tells it.
    pub peer: String,
    /// As in [`crate::Event::Handshake`].
    pub subprotocol: Option<String>,
    /// The request.
    pub head: RequestHead,
}

/// A connection whose opening handshake is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// The connection that is now open.
    pub connection: u64,
    /// The protocol that it speaks.
    pub protocol: Protocol,
    /// The peer's address, as the shell or a trusted proxy tells it.
    pub peer: String,
    /// The subprotocol that our answer named.
    pub subprotocol: Option<String>,
    /// The request.
    pub head: RequestHead,
}

/// A complete request that is not an opening handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which connection it arrived on.
    pub connection: u64,
    /// The peer's address, as the shell or a trusted proxy tells it.
    pub peer: String,
    /// The request.
    pub head: RequestHead,
    /// The complete body; chunks are joined.
    pub body: Vec<u8>,
}

/// A connection whose request is not for this server: [`crate::Event::Passed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The connection that is given back; the engine has forgotten it.
    pub connection: u64,
    /// Everything received on it since the start of the request.
    pub bytes: Vec<u8>,
}

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// `GET` in every opening handshake.
    pub method: String,
    /// The request target as received, with its query; not always UTF-8. Of the absolute form, path and query.
    pub target: Vec<u8>,
    /// In the order received. The authority of an absolute target takes the place of Host (RFC 9112 section 3.2.2).
    pub fields: Vec<Field>,
}

/// One field of a request's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// As received; names are case-insensitive.
    pub name: String,
    /// The bytes after the colon and one space.
    pub value: Vec<u8>,
}

/// An opening handshake or request that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which connection it arrived on.
    pub connection: u64,
    /// The peer's address, as the shell or a trusted proxy tells it.
    pub peer: String,
    /// The HTTP status sent; 0 if nothing could be sent any more.
    pub status: u16,
    /// One line; the same is sent to the peer, unless the application responded.
    pub reason: String,
}

/// The end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The connection that ended.
    pub connection: u64,
    /// Why it ended.
    pub cause: CloseCause,
    /// The code of the peer's close frame, if it sent one with a code.
    pub code: Option<u16>,
    /// The reason in it.
    pub reason: String,
}

/// Why a connection ended: [`crate::CloseCause`], and what only a shell knows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "documented in crate::CloseCause")]
pub enum CloseCause {
    ByPeer,
    ByUs,
    ByUsAbruptly,
    EndOfStream,
    Reset,
    HandshakeTimeout,
    IdleTimeout,
    PingTimeout,
    MessageTimeout,
    CloseTimeout,
    Refused,
    Responded,
    /// A frame that is not allowed; the text says why.
    BadFrame(String),
    /// Text that is not valid UTF-8: from hybi-07 on, or if the options say to close.
    BadText,
    /// A message exceeded the message limit.
    MessageLimit,
    /// The memory for incomplete messages exceeded its limit.
    BufferLimit,
    SlowReader,
    /// The engine's instance was lost, and its connections with it. Only shells report it.
    EngineLost,
    /// Anything that has no name here.
    Other(String),
}

/// A command that had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The connection that it named.
    pub connection: u64,
    /// The command that had no effect.
    pub command: CommandKind,
    /// Why it had no effect.
    pub why: Failure,
}

/// The commands that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the commands")]
pub enum CommandKind {
    Send,
    SendBinary,
    Close,
    Accept,
    Reject,
    Respond,
}

/// Why a command had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No such connection: it never existed, or it has ended.
    UnknownConnection,
    /// Not possible in the connection's state.
    WrongState,
    /// The command itself is malformed.
    Invalid,
    /// The message is not text, and the client's protocol has only text.
    NotText,
}
