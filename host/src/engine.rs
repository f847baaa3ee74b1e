//! The engine as the shell sees it: one small trait, two builds behind it.

mod component;
mod native;

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

pub use self::component::ComponentFactory;
use self::native::NativeEngine;
pub(crate) use self::native::ends_fit;
use crate::options::EngineOptions;
use crate::record::Recorder;
use crate::wit::{Command, Counts, Input, Read, RequestHead, Status, Step};

/// The protocol engine, wherever it runs. Each call is one crossing.
pub trait Engine: std::fmt::Debug {
    /// Moves the clock to `now` (milliseconds) and takes inputs.
    ///
    /// # Errors
    /// [`EngineLost`]: the instance is gone, and every connection of it.
    fn turn(&mut self, now: u64, inputs: &[Input<'_>]) -> Result<Step, EngineLost>;

    /// The same as [`turn`](Self::turn) with several reads, whose bytes stand one behind the other.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    fn receive(&mut self, now: u64, reads: &[Read], bytes: &[u8]) -> Result<Step, EngineLost>;

    /// Carries out an application's commands.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    fn command(&mut self, commands: &[Command<'_>]) -> Result<Step, EngineLost>;

    /// The same where more commands follow that answer the same events, or where these answer none: an end that
    /// waits for the application's answers waits on.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    fn command_partly(&mut self, commands: &[Command<'_>]) -> Result<Step, EngineLost>;

    /// How many events for the application a call may give, about; what is more waits for the next turn. 0, the
    /// default: no limit.
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

    /// Memory that it has taken and does not give back before it is dropped, in bytes.
    fn memory_bytes(&self) -> usize {
        0
    }
}

/// The engine's instance trapped, ran too long or grew too large.
#[derive(Debug, Error)]
#[error("the engine's instance was lost: {0}")]
pub struct EngineLost(pub String);

/// An engine cannot be had at all.
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
    /// The instance was lost while it was made.
    #[error(transparent)]
    Lost(#[from] EngineLost),
}

/// Makes engines: the first one, and a fresh one for each that is lost.
#[derive(Clone, Debug)]
pub enum EngineFactory {
    /// On wasmtime, sandboxed.
    Component(Arc<ComponentFactory>),
    /// The same crate compiled into the host.
    Native,
    /// Another one's, recorded.
    Recorded(Box<Self>, Recorder),
}

impl EngineFactory {
    /// A fresh engine without connections.
    ///
    /// # Errors
    /// [`EngineError::Options`], or [`EngineError::Lost`].
    pub fn make(&self, options: &EngineOptions) -> Result<Box<dyn Engine>, EngineError> {
        match self {
            Self::Component(factory) => options.with_wit(|options| Ok(Box::new(factory.make(options)?) as _)),
            Self::Native => options.with_wit(|options| Ok(Box::new(NativeEngine::create(options)?) as _)),
            Self::Recorded(factory, recorder) => Ok(recorder.record(factory.make(options)?)),
        }
    }

    /// Has what its engines do recorded.
    #[must_use]
    pub fn recorded_by(self, recorder: Recorder) -> Self {
        Self::Recorded(Box::new(self), recorder)
    }
}
