//! How a web application is served, and why it cannot be.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::wasm::sandbox::Budget;

/// The options of a web application.
#[derive(Clone, Debug)]
pub(crate) struct SiteOptions {
    /// The budget of one instance: how long it may compute without waiting for anything, and its memory.
    pub(crate) budget: Budget,
    /// Maximum memory of all instances together, in bytes.
    pub(crate) max_total_memory_bytes: usize,
    /// Maximum requests at once, those included whose response is being sent.
    pub(crate) max_requests: usize,
    /// How long a response may take to begin, after the last part of the request.
    pub(crate) timeout: Duration,
    /// Its environment variables.
    pub(crate) environment: Vec<(String, String)>,
    /// Threads that it runs on.
    pub(crate) threads: usize,
}

/// Why a web application cannot be served.
#[derive(Debug, Error)]
pub(crate) enum SiteError {
    #[error("{path}: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{name} is not a web application: {error}")]
    Component { name: String, error: String },
    #[error("cannot start the threads of the web application: {0}")]
    Thread(std::io::Error),
}
