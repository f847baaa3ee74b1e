//! Support shared by the suite's test programs.
#![allow(dead_code, reason = "each of the test programs uses a part of it")]

pub(crate) mod component;
pub(crate) mod control;
pub(crate) mod driven_engine;
pub(crate) mod driven_host;
pub(crate) mod sockets;
pub(crate) mod wrong;
