//! Observability: the log, metrics, and the status page.

pub(crate) mod admin;
pub(crate) mod log;
pub(crate) mod metrics;
