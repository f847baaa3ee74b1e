//! The engine, as seen by the shell.

use std::path::PathBuf;

use legacy_websocket::Counts;
use legacy_websocket::step::{Command, Input, Read, RequestHead, Status, Step};
use thiserror::Error;

use crate::wasm::sandbox::CallError;

/// The protocol engine, native or in a component. Each call crosses the sandbox once.
pub trait Engine: std::fmt::Debug {
    /// Moves the clock to `now` (milliseconds) and takes inputs.
    ///
    /// # Errors
    /// [`EngineLost`]: the instance is gone, with all its connections.
    fn turn(&mut self, now: u64, inputs: &[Input]) -> Result<Step, EngineLost>;

    /// The same as [`turn`](Self::turn) with several reads, whose bytes are concatenated.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    fn receive(&mut self, now: u64, reads: &[Read], bytes: &[u8]) -> Result<Step, EngineLost>;

    /// Carries out an application's commands.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    fn command(&mut self, commands: &[Command<'_>]) -> Result<Step, EngineLost>;

    /// The same for commands that are not the last to answer the same events, or that answer none: a connection that
    /// waits for the application's answers before it ends keeps waiting.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    fn command_partly(&mut self, commands: &[Command<'_>]) -> Result<Step, EngineLost>;

    /// Sets roughly how many events for the application a call may return; the rest waits for the next turn. 0, the
    /// default: no limit.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    fn set_budget(&mut self, events: u32) -> Result<(), EngineLost>;

    /// The engine's counters.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    fn counts(&mut self) -> Result<Counts, EngineLost>;

    /// Every open connection.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    fn connections(&mut self) -> Result<Vec<Status>, EngineLost>;

    /// The head of the request that opened a connection.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    fn head(&mut self, connection: u64) -> Result<Option<RequestHead>, EngineLost>;

    /// The memory it has allocated, in bytes, which is freed only when the engine is dropped.
    fn memory_bytes(&self) -> usize {
        0
    }
}

/// The engine's instance trapped, exceeded its time, or exceeded its memory.
#[derive(Debug, Error)]
#[error("the engine's instance was lost: {0}")]
pub struct EngineLost(#[from] pub CallError);

/// Why an engine cannot be created.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The component's file cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// The path.
        path: PathBuf,
        /// The cause.
        error: std::io::Error,
    },
    /// Not a component, or not one of world `library`.
    #[error("{name} is not a component of world `library`: {error}")]
    Component {
        /// Its name.
        name: String,
        /// The cause.
        error: String,
    },
    /// The options are invalid.
    #[error("{0}")]
    Options(String),
    /// The instance was lost during creation.
    #[error(transparent)]
    Lost(#[from] EngineLost),
}
