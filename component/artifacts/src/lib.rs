//! The built components, embedded, and what is composed of them.

mod compose;
mod handler;

pub use compose::{ComposeError, Wasi, compose, compose_with_http, not_a_component, stack};
pub use handler::{not_a_site, not_an_application};

include!(concat!(env!("OUT_DIR"), "/constants.rs"));

/// Its examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
