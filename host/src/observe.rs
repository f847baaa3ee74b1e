//! What an operator sees: the log, metrics, and the status page.

pub(crate) mod admin;
pub(crate) mod log;
#[path = "../../component/server/src/log_rate_limiter.rs"]
pub(crate) mod log_rate_limiter;
pub(crate) mod metrics;
#[path = "../../component/server/src/names.rs"]
pub(crate) mod names;
#[path = "../../component/server/src/printable.rs"]
pub(crate) mod printable;

// For `names`, which the server component has as well.
use crate::wit;
