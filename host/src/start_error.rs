//! Why a server cannot start.

use std::io;

use thiserror::Error;

use crate::application::ApplicationError;
use crate::engine::EngineError;
#[cfg(feature = "gateway")]
use crate::gateway::error::GatewayError;

/// Why a server cannot start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The engine cannot be created.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The application cannot be created.
    #[error(transparent)]
    Application(#[from] ApplicationError),
    /// The gateway's options are not valid.
    #[cfg(feature = "gateway")]
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The system provides no thread, or no event queue for it.
    #[error("cannot start a worker: {0}")]
    Thread(#[from] io::Error),
}
