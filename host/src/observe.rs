//! Observability: the log, metrics, and the status page.

#[cfg(feature = "admin")]
pub(crate) mod admin;
pub(crate) mod log;
pub(crate) mod metrics;
