//! The built components, embedded.

include!(concat!(env!("OUT_DIR"), "/constants.rs"));
