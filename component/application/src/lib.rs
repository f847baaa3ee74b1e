//! Write an application as a component: world `application` of the WIT package `hixie:legacy-websocket`, which
//! documents the contract between application and shell.
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
    Acceptance, CloseCause, Closed, Command, CommandKind, Connected, ConnectionId, Draft, Duration, Event,
    Failed, Failure, Field, Handshake, Instant, Messages, Outgoing, Recipients, Refusal, Rejection, Request,
    RequestHead, Response, State, StateChange,
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

impl Command {
    /// Sends one message. (For many, one [`Outgoing`] is cheaper.)
    #[must_use]
    pub fn send(to: Recipients, text: impl Into<String>) -> Self {
        let text = text.into();
        // A component's memory is at most 4 GB.
        let ends = vec![text.len() as u32];
        Self::Send(Outgoing { to, text, ends })
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
    fn field_names_are_case_insensitive() {
        let fields = vec![Field { name: "cookie".into(), value: b"a=b".to_vec() }];
        let head = RequestHead { method: "GET".into(), target: b"/x?y".to_vec(), fields };
        assert_eq!(head.field("Cookie"), Some(&b"a=b"[..]));
        assert_eq!(head.field("Host"), None);
        assert_eq!(head.path(), b"/x");
    }
}
