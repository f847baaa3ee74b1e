//! What the components share: the allocator, the panic handler, and how the WIT package's types become those of
//! [`legacy_websocket::step`] and back. For other targets than WebAssembly it is empty.
#![cfg(target_arch = "wasm32")]
#![cfg_attr(target_arch = "wasm32", no_std)]
#![deny(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used
)]

extern crate alloc;

mod bindings;
// The files are in the package that is published, and are the components' as well.
#[path = "../../application/src/testing/lift.rs"]
mod lift;
#[path = "../../application/src/testing/lower.rs"]
mod lower;
mod runtime;

pub use crate::bindings::hixie::legacy_websocket::types;
pub use crate::lift::with_commands;
pub use crate::lower::{lower_event, lower_head, lower_protocol, lower_state};
