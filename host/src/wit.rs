//! The WIT package's types in the host: input to an engine borrows, output from it is owned.
//!
//! `wit/` documents them.

pub(crate) mod bindings {
    #![allow(
        clippy::all,
        clippy::pedantic,
        clippy::restriction,
        missing_docs,
        missing_debug_implementations,
        unsafe_code,
        unused_qualifications,
        unused_variables,
        unreachable_pub,
        elided_lifetimes_in_paths,
        reason = "generated; the component ABI is pointers and lengths"
    )]

    wasmtime::component::bindgen!({
        path: "../wit",
        world: "library",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

/// World `application`: what the library's world takes this one returns, and vice versa, so the types differ.
pub(crate) mod application {
    #![allow(
        clippy::all,
        clippy::pedantic,
        clippy::restriction,
        missing_docs,
        missing_debug_implementations,
        unsafe_code,
        unused_qualifications,
        unused_variables,
        unreachable_pub,
        elided_lifetimes_in_paths,
        reason = "generated; the component ABI is pointers and lengths"
    )]

    wasmtime::component::bindgen!({
        path: "../wit",
        world: "application",
        ownership: Borrowing { duplicate_if_necessary: true },
    });

    pub(crate) use hixie::legacy_websocket::types::*;
}

pub use bindings::exports::hixie::legacy_websocket::legacy_websocket::{
    Counts, Destination, Disposition, Input, InvalidUtf8, Limits, Loss, Lost, Opened,
    OptionsParam as Options, Read, Received, Status, Step, Transmission, Version,
};
pub use bindings::hixie::legacy_websocket::types::{
    Acceptance, CloseCause, Closed, Command, CommandKind, Connected, Draft, Event, Failed, Failure,
    FieldParam, FieldResult as Field, Handshake, Messages, Outgoing, Recipients, Refusal, Rejection, Request,
    RequestHead, Response, State, StateChange,
};
