//! The application's commands.

use crate::options::Millis;
use crate::text;

/// A command. It borrows its contents, because it is read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Send messages.
    Send(Outgoing<'a>),
    /// Send a binary message.
    SendBinary(OutgoingBinary<'a>),
    /// End a connection: [`crate::Server::close_with`].
    Close(Closing<'a>),
    /// Answer a [`Handshake`](super::Handshake) with the 101.
    Accept(Acceptance<'a>),
    /// Refuse a [`Handshake`](super::Handshake) or [`Request`](super::Request); closes a connected client.
    Reject(Refusal<'a>),
    /// Answer a [`Request`](super::Request), or a [`Handshake`](super::Handshake) with a response instead of the 101.
    Respond(Response<'a>),
    /// Ask for one tick after this many milliseconds (0 counts as 1).
    Tick(Millis),
    /// The application needs a single instance. For the shell; the engine ignores it.
    SingleInstance,
}

/// Messages to send, encoded once for all recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// The recipients.
    pub to: Recipients<'a>,
    /// The messages' texts, concatenated.
    pub text: &'a str,
    /// Where each message ends, in bytes of `text`; the last ends at its length.
    pub ends: &'a [u32],
}

/// A binary message to send. Of its recipients, clients of the hixie drafts cannot receive it: `All` and `AllBut` leave
/// them out, and those named otherwise are reported with [`NotText`](super::Failure::NotText).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingBinary<'a> {
    /// The recipients.
    pub to: Recipients<'a>,
    /// The message.
    pub bytes: &'a [u8],
}

/// The recipients of messages. Only connected clients receive them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients<'a> {
    /// One client.
    One(u64),
    /// Some clients.
    Many(&'a [u64]),
    /// Every connected client.
    All,
    /// Every connected client but this one.
    AllBut(u64),
}

/// Ends a connection: [`crate::Server::close_with`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing<'a> {
    /// The connection to close.
    pub connection: u64,
    /// The code for the peer; `None` is 1000. One that must not be sent
    /// ([`CloseCode::new`](crate::hybi::CloseCode::new)) is [`Invalid`](super::Failure::Invalid). The hixie drafts have
    /// none.
    pub code: Option<u16>,
    /// The reason for the peer: the whole characters of its first 123 bytes are sent. The hixie drafts have none.
    pub reason: &'a str,
}

/// Accepts an opening handshake: [`crate::Server::accept`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance<'a> {
    /// The connection whose handshake is accepted.
    pub connection: u64,
    /// The subprotocol the client asked for (from hybi-07 on, one of those), or none.
    pub subprotocol: Option<&'a str>,
    /// Additional fields for the answer.
    pub fields: &'a [ResponseField<'a>],
}

/// Refuses an opening handshake or a request: [`crate::Server::reject`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The connection that is refused.
    pub connection: u64,
    /// 400 to 599.
    pub status: u16,
    /// One line, sent to the peer and reported in [`Rejection`](super::Rejection).
    pub reason: &'a str,
}

/// Answers a request, or an opening handshake without accepting it: [`crate::Server::respond`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The connection whose request or handshake is answered.
    pub connection: u64,
    /// 200 to 599.
    pub status: u16,
    /// Fields for the response; the engine writes Content-Length and Connection.
    pub fields: &'a [ResponseField<'a>],
    /// Not sent in answer to HEAD, nor with 204 and 304.
    pub body: &'a [u8],
}

/// One field of a response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ResponseField<'a> {
    pub name: &'a str,
    pub value: &'a [u8],
}

impl Command<'_> {
    /// Ends a connection, with close code 1000 where the protocol has one.
    #[must_use]
    pub fn close(connection: u64) -> Self {
        Self::Close(Closing { connection, code: None, reason: "" })
    }
}

impl Outgoing<'_> {
    /// Whether `ends` is ascending, lies on character boundaries, and ends at the text's length. A command with other
    /// `ends` is [`Invalid`](super::Failure::Invalid).
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let mut start = 0;
        for end in self.ends {
            match usize::try_from(*end) {
                Ok(end) if end >= start && self.text.is_char_boundary(end) => start = end,
                _ => return false,
            }
        }
        !self.ends.is_empty() && start == self.text.len()
    }

    /// The messages, in order.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        text::split(self.text, self.ends)
    }
}
