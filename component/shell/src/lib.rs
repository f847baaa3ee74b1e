//! What every shell of the engine decides without sockets and clocks: which options there are, how much the application
//! gets in a call, what waiting output costs, how many lines are logged, and how a peer's text appears in them.
//!
//! No I/O, no clock, no panics. The host and the server component are its drivers.
#![cfg_attr(not(test), no_std)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::unwrap_used, reason = "a test may panic"))]

extern crate alloc;

mod event_budget;
mod log_rate_limiter;
mod options;
mod payload;
mod printable;

pub use crate::event_budget::EventBudget;
pub use crate::log_rate_limiter::{LogCategory, LogPermit, LogRateLimiter};
pub use crate::options::{
    DEFAULT_ADDRESS, InvalidValue, Kind, OptionSpec, Place, SECTIONS, Section, Settings, Shell, TooSmall,
    Word, Words, Zero,
};
pub use crate::payload::{Held, Payload};
pub use crate::printable::{LogValue, Printable};
