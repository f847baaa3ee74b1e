//! Observability: the log, metrics, and the status page.

#[cfg(feature = "admin")]
pub(crate) mod admin;
pub(crate) mod log;
pub(crate) mod metrics;
#[cfg(feature = "cli")]
mod start_log;

#[cfg(feature = "cli")]
pub(crate) use self::start_log::start_log;
