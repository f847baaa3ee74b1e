//! Why a server cannot start.

use std::io;

use thiserror::Error;

use crate::application::ApplicationError;
use crate::engine::EngineError;

/// A server cannot start serving.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// There is no application.
    #[error(transparent)]
    Application(#[from] ApplicationError),
    /// The system has no thread, or no means to wait for it.
    #[error("no worker: {0}")]
    Thread(#[from] io::Error),
}
