//! What an application is told: reading it, and making it for tests.

use std::iter;

use crate::{
    Binary, CloseCause, Closed, Command, Connected, ConnectionId, Event, Failed, Field, Handshake, Messages,
    Outgoing, Protocol, Recipients, Rejection, Request, RequestHead,
};

/// The peer of an event that is made for a test (RFC 5737).
const PEER: &str = "192.0.2.1:1024";

impl Messages {
    /// Texts from one connection.
    #[must_use]
    pub fn new<S: AsRef<str>>(connection: ConnectionId, texts: impl IntoIterator<Item = S>) -> Self {
        let (text, ends) = join(texts);
        Self { connection, text, ends }
    }

    /// The messages, one by one.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = iter::once(0).chain(self.ends.iter().copied());
        let texts = starts.zip(&self.ends).map(|(start, end)| self.text.get(start as usize..*end as usize));
        texts.map(Option::unwrap_or_default)
    }

    /// Sends all of them back to their sender.
    #[must_use]
    pub fn back(self) -> Command {
        let to = Recipients::One(self.connection);
        Command::Send(Outgoing { to, text: self.text, ends: self.ends })
    }
}

impl Binary {
    /// A binary message from a connection.
    #[must_use]
    pub fn new(connection: ConnectionId, bytes: impl Into<Vec<u8>>) -> Self {
        Self { connection, bytes: bytes.into() }
    }

    /// Sends the message back to its sender.
    #[must_use]
    pub fn back(self) -> Command {
        Command::send_binary(Recipients::One(self.connection), self.bytes)
    }
}

impl Handshake {
    /// An opening handshake that asks for no subprotocol. The peer is an address of RFC 5737.
    #[must_use]
    pub fn new(connection: ConnectionId, protocol: Protocol, head: RequestHead) -> Self {
        Self { connection, protocol, peer: PEER.into(), subprotocol: None, head }
    }
}

impl Connected {
    /// A complete opening handshake without a subprotocol. The peer is an address of RFC 5737.
    #[must_use]
    pub fn new(connection: ConnectionId, protocol: Protocol, head: RequestHead) -> Self {
        Self { connection, protocol, peer: PEER.into(), subprotocol: None, head }
    }
}

impl Closed {
    /// The end of a connection whose peer gave neither code nor reason.
    #[must_use]
    pub fn new(connection: ConnectionId, cause: CloseCause) -> Self {
        Self { connection, cause, code: None, reason: String::new() }
    }
}

impl Request {
    /// A request without a body. The peer is an address of RFC 5737.
    #[must_use]
    pub fn new(connection: ConnectionId, head: RequestHead) -> Self {
        Self { connection, peer: PEER.into(), head, body: Vec::new() }
    }
}

impl RequestHead {
    /// A head without fields.
    #[must_use]
    pub fn new(method: &str, target: impl Into<Vec<u8>>) -> Self {
        Self { method: method.into(), target: target.into(), fields: Vec::new() }
    }

    /// A head of a `GET` without fields.
    #[must_use]
    pub fn get(target: impl Into<Vec<u8>>) -> Self {
        Self::new("GET", target)
    }

    /// The head with one field more.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push(Field { name: name.into(), value: value.into() });
        self
    }
}

/// Texts in one string, and where each ends.
pub(crate) fn join<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> (String, Vec<u32>) {
    let (mut all, mut ends) = (String::new(), Vec::new());
    for text in texts {
        all.push_str(text.as_ref());
        // A component's memory is at most 4 GB.
        ends.push(all.len() as u32);
    }
    (all, ends)
}

macro_rules! into_event {
    ($($case:ident($contents:ident))*) => {
        $(impl From<$contents> for Event {
            fn from(contents: $contents) -> Self {
                Self::$case(contents)
            }
        })*
    };
}

into_event! {
    Handshake(Handshake) Connected(Connected) Messages(Messages) Binary(Binary) Closed(Closed)
    Rejected(Rejection) Request(Request) Failed(Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_split_at_their_ends() {
        let messages = Messages { connection: 1, text: "h\u{e9}llo".into(), ends: vec![0, 3, 3, 6] };
        assert_eq!(messages.iter().collect::<Vec<_>>(), ["", "h\u{e9}", "", "llo"]);
        assert_eq!(Messages::new(1, messages.iter()), messages);
    }

    #[test]
    fn messages_go_back_whole() {
        let back = Messages::new(7, ["a", "b"]).back();
        let to = Recipients::One(7);
        assert_eq!(back, Command::Send(Outgoing { to: to.clone(), text: "ab".into(), ends: vec![1, 2] }));
        assert_eq!(Binary::new(7, [0, 255]).back(), Command::send_binary(to, [0, 255]));
    }
}
