//! What an application wants done.

use crate::event::join;
use crate::{
    Acceptance, Closing, Command, ConnectionId, Field, Handshake, Outgoing, OutgoingBinary, Recipients,
    Refusal, Response,
};

impl Command {
    /// Sends one text message.
    #[must_use]
    pub fn send(to: Recipients, text: impl Into<String>) -> Self {
        let text = text.into();
        // A component's memory is at most 4 GB.
        let ends = vec![text.len() as u32];
        Self::Send(Outgoing { to, text, ends })
    }

    /// Sends several text messages to the same recipients, which is cheaper than one command for each. At least one:
    /// none is [`Failure::Invalid`](crate::Failure::Invalid).
    #[must_use]
    pub fn send_texts<S: AsRef<str>>(to: Recipients, texts: impl IntoIterator<Item = S>) -> Self {
        let (text, ends) = join(texts);
        Self::Send(Outgoing { to, text, ends })
    }

    /// Sends one binary message. [`Recipients::All`] and [`Recipients::AllBut`] leave out clients of drafts 75 and 76;
    /// one that is named is reported as [`Failure::NotText`](crate::Failure::NotText).
    #[must_use]
    pub fn send_binary(to: Recipients, bytes: impl Into<Vec<u8>>) -> Self {
        Self::SendBinary(OutgoingBinary { to, bytes: bytes.into() })
    }

    /// Closes a connection, with code 1000 and no reason.
    #[must_use]
    pub fn close(connection: ConnectionId) -> Self {
        Self::Close(Closing { connection, code: None, reason: String::new() })
    }

    /// Closes a connection, and tells a client of RFC 6455 or hybi why: with a code of RFC 6455 section 7.4, which is
    /// 1000 to 1003, 1007 to 1014, or 3000 to 4999 (any other: [`Failure::Invalid`](crate::Failure::Invalid)), and a
    /// reason of up to 123 bytes (the rest is cut off). Drafts 75 and 76 have neither.
    #[must_use]
    pub fn close_with(connection: ConnectionId, code: u16, reason: impl Into<String>) -> Self {
        Self::Close(Closing { connection, code: Some(code), reason: reason.into() })
    }
}

impl Handshake {
    /// Accepts the client, with the subprotocol that it asked for. [`Acceptance`] does so with further fields.
    #[must_use]
    pub fn accept(&self) -> Command {
        Acceptance::new(self).into()
    }

    /// Refuses the client with a status, 400 to 599, and a reason of one line, which it is sent as text.
    #[must_use]
    pub fn reject(&self, status: u16, reason: impl Into<String>) -> Command {
        Command::Reject(Refusal { connection: self.connection, status, reason: reason.into() })
    }
}

/// ```
/// use legacy_websocket_application::{Acceptance, Command, Handshake};
///
/// fn greet(handshake: &Handshake) -> Command {
///     Acceptance::new(handshake).with_field("Set-Cookie", "seen=1").into()
/// }
/// ```
impl Acceptance {
    /// Accepts a client, with the subprotocol that it asked for.
    #[must_use]
    pub fn new(handshake: &Handshake) -> Self {
        let Handshake { connection, subprotocol, .. } = handshake;
        Self { connection: *connection, subprotocol: subprotocol.clone(), fields: Vec::new() }
    }

    /// Names this subprotocol instead, which has to be one of those that the client asked for; `None` names none.
    #[must_use]
    pub fn with_subprotocol(mut self, subprotocol: Option<&str>) -> Self {
        self.subprotocol = subprotocol.map(Into::into);
        self
    }

    /// Adds a field to the answer. The whole command is [`Failure::Invalid`](crate::Failure::Invalid), and the client
    /// waits until another decides or its time is over, if a value contains CR, LF or NUL, or if the field is one of
    /// the handshake's own: Connection, Upgrade, Content-Length, Transfer-Encoding, `Sec-WebSocket-…`.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push(Field { name: name.into(), value: value.into() });
        self
    }
}

macro_rules! into_command {
    ($($case:ident($contents:ident))*) => {
        $(impl From<$contents> for Command {
            fn from(contents: $contents) -> Self {
                Self::$case(contents)
            }
        })*
    };
}

into_command! {
    Send(Outgoing) SendBinary(OutgoingBinary) Close(Closing) Accept(Acceptance) Reject(Refusal) Respond(Response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Protocol, RequestHead};

    #[test]
    fn a_text_ends_at_its_length_in_bytes() {
        let sent = Outgoing { to: Recipients::All, text: "h\u{e9}".into(), ends: vec![3] };
        assert_eq!(Command::send(Recipients::All, "h\u{e9}"), Command::Send(sent.clone()));
        assert_eq!(Command::send_texts(Recipients::All, ["h\u{e9}"]), sent.into());
    }

    #[test]
    fn several_texts_are_one_send() {
        let sent = Outgoing { to: Recipients::One(1), text: "h\u{e9}llo".into(), ends: vec![3, 3, 6] };
        assert_eq!(Command::send_texts(Recipients::One(1), ["h\u{e9}", "", "llo"]), sent.into());
    }

    #[test]
    fn a_close_has_a_code_only_if_told() {
        let closing = |code, reason: &str| Closing { connection: 7, code, reason: reason.into() };
        assert_eq!(Command::close(7), closing(None, "").into());
        assert_eq!(Command::close_with(7, 4000, "later"), closing(Some(4000), "later").into());
    }

    #[test]
    fn a_handshake_is_accepted_with_what_it_asked_for() {
        let mut handshake = Handshake::new(3, Protocol::Rfc6455, RequestHead::get("/"));
        handshake.subprotocol = Some("chat".into());
        let accepted = |subprotocol, fields| Acceptance { connection: 3, subprotocol, fields };
        assert_eq!(handshake.accept(), accepted(Some("chat".into()), vec![]).into());
        let acceptance = Acceptance::new(&handshake).with_subprotocol(None).with_field("a", "b");
        assert_eq!(acceptance, accepted(None, vec![Field { name: "a".into(), value: b"b".into() }]));
        let refusal = Refusal { connection: 3, status: 403, reason: "no".into() };
        assert_eq!(handshake.reject(403, "no"), refusal.into());
    }
}
