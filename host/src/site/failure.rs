//! Why a web application fails a request.

use std::error::Error as StdError;
use std::time::Duration;

use thiserror::Error;

/// Why a request got no response, or not all of it.
#[derive(Clone, Debug, Error)]
pub(crate) enum SiteFailure {
    #[error("an instance wanted more than {0} bytes of memory")]
    Memory(usize),
    #[error("all instances together wanted more memory than they may have")]
    TotalMemory,
    /// It computed for too long without waiting for anything.
    #[error("computed for longer than {0:?}")]
    Computation(Duration),
    /// It trapped, or returned an error.
    #[error("{0}")]
    Response(String),
    /// There are too many requests at once.
    #[error("too many requests at once")]
    TooMany,
}

/// In one line, for the log.
pub(super) fn root_cause(mut error: &(dyn StdError + 'static)) -> String {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string().replace('\n', "; ")
}

impl SiteFailure {
    /// The label of the metric.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::TotalMemory => "total-memory",
            Self::Computation(_) => "computation",
            Self::Response(_) => "error",
            Self::TooMany => "too-many",
        }
    }
}
