//! What an operator sees: the log, metrics, and the status page.

pub(crate) mod admin;
pub(crate) mod log;
pub(crate) mod metrics;
#[path = "../../component/server/src/names.rs"]
pub(crate) mod names;

// For `names`, which the server component has as well.
use crate::wit;
