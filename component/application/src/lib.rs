//! Write an application as a component: world `application` of the WIT package `hixie:legacy-websocket`, which
//! documents the contract between application and shell.
//!
//! One application serves clients of every [`Protocol`]: draft 75, draft 76, hybi and RFC 6455. All have text. Binary
//! messages, and the code and reason of a close, exist in RFC 6455 and hybi only.
//!
//! ```
//! use legacy_websocket_application::{Application, Command, Event};
//!
//! /// Sends every message back.
//! #[derive(Default)]
//! struct Echo;
//!
//! impl Application for Echo {
//!     fn handle(&mut self, events: Vec<Event>) -> Vec<Command> {
//!         let answer = |event| match event {
//!             Event::Messages(messages) => Some(messages.back()),
//!             Event::Binary(binary) => Some(binary.back()),
//!             _ => None,
//!         };
//!         events.into_iter().filter_map(answer).collect()
//!     }
//! }
//!
//! legacy_websocket_application::export!(Echo);
//! ```
//!
//! In a package with `crate-type = ["cdylib"]`, `cargo build --release --target wasm32-wasip2` builds the component,
//! and `legacy-websocket serve` serves it. `docs/applications.md` starts from `cargo new`.

#[doc(hidden)]
pub mod bindings;

use std::iter;

pub use bindings::hixie::legacy_websocket::types::{
    Acceptance, Binary, CloseCause, Closed, Closing, Command, CommandKind, Connected, ConnectionId, Duration,
    Event, Failed, Failure, Field, Handshake, Instant, Messages, Outgoing, OutgoingBinary, Passed, Protocol,
    Recipients, Refusal, Rejection, Request, RequestHead, Response, State, StateChange,
};

/// An application. One value of it lives as long as the component's instance.
pub trait Application: Default + 'static {
    /// Takes the events of one turn, in order, and returns commands, in order. The first call has no events: it marks
    /// the start of the server.
    fn handle(&mut self, events: Vec<Event>) -> Vec<Command>;
}

/// Makes the component export an [`Application`]. Builds for targets other than WebAssembly export nothing; there it
/// only checks that the type is an application.
#[macro_export]
macro_rules! export {
    ($application:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            ::std::thread_local! {
                static APPLICATION: ::core::cell::RefCell<$application> = ::core::default::Default::default();
            }

            struct Component;

            impl $crate::bindings::exports::hixie::legacy_websocket::handler::Guest for Component {
                fn handle(events: ::std::vec::Vec<$crate::Event>) -> ::std::vec::Vec<$crate::Command> {
                    APPLICATION
                        .with_borrow_mut(|application| $crate::Application::handle(application, events))
                }
            }

    $crate::bindings::export!(Component with_types_in $crate::bindings);
        };

        // Linkers of other targets reject these export names.
        #[cfg(not(target_family = "wasm"))]
        const _: fn() = || $crate::is_application::<$application>();
    };
}

#[doc(hidden)]
pub fn is_application<A: Application>() {
    let _ = (A::default, A::handle);
}

impl Messages {
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
    /// Sends the message back to its sender.
    #[must_use]
    pub fn back(self) -> Command {
        Command::send_binary(Recipients::One(self.connection), self.bytes)
    }
}

impl Command {
    /// Sends one text message. (For many, one [`Outgoing`] is cheaper.)
    #[must_use]
    pub fn send(to: Recipients, text: impl Into<String>) -> Self {
        let text = text.into();
        // A component's memory is at most 4 GB.
        let ends = vec![text.len() as u32];
        Self::Send(Outgoing { to, text, ends })
    }

    /// Sends one binary message. [`Recipients::All`] and [`Recipients::AllBut`] leave out clients of drafts 75 and 76;
    /// one that is named is reported as [`Failure::NotText`].
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
    /// 1000 to 1003, 1007 to 1011, or 3000 to 4999 (any other: [`Failure::Invalid`]), and a reason of up to 123 bytes
    /// (the rest is cut off). Drafts 75 and 76 have neither.
    #[must_use]
    pub fn close_with(connection: ConnectionId, code: u16, reason: impl Into<String>) -> Self {
        Self::Close(Closing { connection, code: Some(code), reason: reason.into() })
    }
}

impl Request {
    /// Answers the request; `content_type` is that of the body.
    #[must_use]
    pub fn respond(&self, status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Command {
        let fields = vec![Field { name: "Content-Type".into(), value: content_type.into() }];
        Command::Respond(Response { connection: self.connection, status, fields, body: body.into() })
    }
}

impl RequestHead {
    /// The target without its query.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.target.split(|byte| *byte == b'?').next().unwrap_or_default()
    }

    /// The value of the first field with that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        let found = self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        Some(&found.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_split_at_their_ends() {
        let messages = Messages { connection: 1, text: "h\u{e9}llo".into(), ends: vec![0, 3, 3, 6] };
        assert_eq!(messages.iter().collect::<Vec<_>>(), ["", "h\u{e9}", "", "llo"]);
    }

    #[test]
    fn messages_go_back_whole() {
        let messages = Messages { connection: 7, text: "ab".into(), ends: vec![1, 2] };
        let Command::Send(Outgoing { to: Recipients::One(7), text, ends }) = messages.back() else {
            panic!()
        };
        assert_eq!((text.as_str(), &ends[..]), ("ab", &[1, 2][..]));
        let binary = Binary { connection: 7, bytes: vec![0, 255] };
        let Command::SendBinary(OutgoingBinary { to: Recipients::One(7), bytes }) = binary.back() else {
            panic!()
        };
        assert_eq!(bytes, [0, 255]);
    }

    #[test]
    fn a_text_ends_at_its_length_in_bytes() {
        let Command::Send(sent) = Command::send(Recipients::All, "h\u{e9}") else { panic!() };
        assert_eq!((sent.text.as_str(), &sent.ends[..]), ("h\u{e9}", &[3][..]));
    }

    #[test]
    fn a_close_has_a_code_only_if_told() {
        let Command::Close(closing) = Command::close(7) else { panic!() };
        assert_eq!((closing.connection, closing.code, closing.reason.as_str()), (7, None, ""));
        let Command::Close(closing) = Command::close_with(7, 4000, "later") else { panic!() };
        assert_eq!((closing.connection, closing.code, closing.reason.as_str()), (7, Some(4000), "later"));
    }

    #[test]
    fn field_names_are_case_insensitive() {
        let fields = vec![Field { name: "cookie".into(), value: b"a=b".to_vec() }];
        let head = RequestHead { method: "GET".into(), target: b"/x?y".to_vec(), fields };
        assert_eq!(head.field("Cookie"), Some(&b"a=b"[..]));
        assert_eq!(head.field("Host"), None);
        assert_eq!(head.path(), b"/x");
    }
}
