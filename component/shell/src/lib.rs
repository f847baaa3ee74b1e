//! What every shell of the engine decides without sockets and clocks: the pump of a turn, pending output, how
//! connections end, the application's contract, refusals, logs, counters, and the limits of each.
//!
//! No I/O, no clock, no panics. The host and the server component are its drivers: they move bytes and pass in the
//! time.
//!
//! | module | decides |
//! |---|---|
//! | [`Pump`], [`Driver`] | a turn: step, events, application, commands, step …, until nothing is left or time is up |
//! | [`Handshakes`], [`carry_out`], [`FailureCycle`] | a shell's obligations to an application |
//! | [`Members`] | whom a broadcast to all includes |
//! | [`EventBudget`] | how many events the application gets in a call |
//! | [`WriteQueue`], [`Payload`] | pending output: order, limits, memory, what follows it |
//! | [`Closing`] | which side still reads, our FIN, lingering |
//! | [`SECTIONS`], [`OptionSpec`], [`Settings`] | the options: names, units, defaults, help, checks |
//! | [`Refusal`] | HTTP answers that do not involve the engine |
//! | [`observe`], [`Telemetry`], [`LogRateLimiter`] | logs and counters: levels and names |
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
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

mod application;
mod closing;
mod event_budget;
mod log_rate_limiter;
mod members;
mod names;
mod options;
mod payload;
mod printable;
mod pump;
mod refusal;
mod telemetry;
mod write_queue;

pub use crate::application::{FailureCycle, Handshakes, carry_out, command_bytes, event_count, has_failure};
pub use crate::closing::{Action, Closing, Fin, Reading};
pub use crate::event_budget::EventBudget;
pub use crate::log_rate_limiter::{LogCategory, LogPermit, LogRateLimiter};
pub use crate::members::Members;
pub use crate::names::{cause_detail, cause_name, protocol_name, state_name};
pub use crate::options::{
    DEFAULT_ADDRESS, InvalidValue, Kind, OptionSpec, Place, SECTIONS, Section, Settings, Shell, TooSmall,
    Word, Words, Zero,
};
pub use crate::payload::{Held, Payload};
pub use crate::printable::{LogValue, Printable};
pub use crate::pump::{Driver, Pump};
pub use crate::refusal::Refusal;
pub use crate::telemetry::{Count, Level, PeerNames, Telemetry, observe, observe_lost_after_end};
pub use crate::write_queue::{Overflow, QueueLimits, WriteAccount, WriteQueue};

/// Its examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
