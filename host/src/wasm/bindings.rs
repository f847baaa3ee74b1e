//! What wasmtime makes of the WIT package: what a world takes is borrowed, what it returns is owned.

/// World `library`.
pub(crate) mod library {
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

    pub(crate) use exports::hixie::legacy_websocket::legacy_websocket::{
        Counts, Destination, Disposition, GuestServer, Input, InvalidUtf8, Limits, Loss, Lost, Opened,
        OptionsParam, Read, Received, Status, Step, Transmission, Version,
    };
    pub(crate) use hixie::legacy_websocket::types::*;
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
