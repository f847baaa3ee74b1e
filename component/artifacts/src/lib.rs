//! The built components, embedded, and what is composed of them.

mod compose;

pub use compose::{ComposeError, compose, not_a_component, stack};

include!(concat!(env!("OUT_DIR"), "/constants.rs"));
