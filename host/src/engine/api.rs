//! The engine, as seen by the shell.

use std::path::PathBuf;

use legacy_websocket::Counts;
use legacy_websocket::step::{Command, Input, Read, RequestHead, Status, Step};
use thiserror::Error;

use crate::wasm::sandbox::CallError;

/// The protocol engine, wherever it runs. Each call is one crossing.
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

    /// The same, if more commands that answer the same events follow, or if these answer none: an end that waits for
    /// the application's answers keeps waiting.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    fn command_partly(&mut self, commands: &[Command<'_>]) -> Result<Step, EngineLost>;

    /// Roughly how many events for the application a call may return; the rest waits for the next turn. 0, the default:
    /// no limit.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    fn set_budget(&mut self, events: u32) -> Result<(), EngineLost>;

    /// What it has counted.
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

    /// Memory that it has allocated and frees only when dropped, in bytes.
    fn memory_bytes(&self) -> usize {
        0
    }
}

/// The engine's instance trapped, ran too long or grew too large.
#[derive(Debug, Error)]
#[error("the engine's instance was lost: {0}")]
pub struct EngineLost(#[from] pub CallError);

/// An engine cannot be created.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The component's file cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// Not a component, or not one of world `library`.
    #[error("{name} is not a component of world `library`: {error}")]
    Component {
        /// Which component.
        name: String,
        /// Why not.
        error: String,
    },
    /// The options are refused.
    #[error("{0}")]
    Options(String),
    /// The instance was lost during creation.
    #[error(transparent)]
    Lost(#[from] EngineLost),
}
