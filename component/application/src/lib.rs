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
//!
//! | to | there is |
//! |---|---|
//! | read a head | [`RequestHead`]: path, query, cookies, origin, fields as text |
//! | decide | [`Handshake::accept`], [`Handshake::reject`], [`Acceptance`] |
//! | send | [`Command`]: one text, several, a binary message, a close |
//! | answer over HTTP | [`Request`]: text, HTML, JSON, a redirect; [`Response`] with further fields |
//! | keep what belongs to a connection | [`Connections`] |
//! | send to a group | [`Rooms`] |
//! | act at times | [`Timers`] |
//! | stand before an application | [`Middleware`] |
//!
//! # Features
//!
//! None is on by default.
//!
//! - `json`: answers as JSON, by serde (`cargo add serde --features derive` for types of your own).
//! - `log`: module `logger`, which writes to standard error what the crate `log` is told (`cargo add log`).
//! - `testing`: module `testing`, to test an application natively over the real engine, without sockets, with a clock
//!   of its own. For dev-dependencies: components never contain the engine.

#[cfg(all(feature = "testing", not(target_family = "wasm")))]
extern crate alloc;

#[doc(hidden)]
pub mod bindings;
mod command;
mod connections;
mod event;
mod head;
#[cfg(feature = "log")]
pub mod logger;
mod middleware;
mod response;
mod rooms;
#[cfg(all(feature = "testing", not(target_family = "wasm")))]
pub mod testing;
mod timers;

pub use bindings::hixie::legacy_websocket::types::{
    Acceptance, Binary, CloseCause, Closed, Closing, Command, CommandKind, Connected, ConnectionId, Duration,
    Event, Failed, Failure, Field, Handshake, Instant, Messages, Outgoing, OutgoingBinary, Passed, Protocol,
    Recipients, Refusal, Rejection, Request, RequestHead, Response, State, StateChange,
};

#[cfg(all(feature = "testing", not(target_family = "wasm")))]
use crate::bindings::hixie::legacy_websocket::types;
pub use crate::connections::Connections;
#[doc(hidden)]
pub use crate::middleware::bindings::hixie::legacy_websocket::handler::handle as call_next;
pub use crate::middleware::{Layered, Middleware, Next};
#[doc(hidden)]
pub use crate::middleware::{call as call_middleware, is_middleware};
pub use crate::rooms::Rooms;
pub use crate::timers::Timers;
#[doc(hidden)]
pub use crate::timers::begin_call;

/// Its examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

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
                    $crate::begin_call();
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
