//! The interface of an application, and its failures.

use std::fmt;
use std::path::PathBuf;

use legacy_websocket::step::{Command, Event};
use thiserror::Error;

use crate::wasm::sandbox::{Budget, CallError};

/// An application in Rust. Calls never overlap, and it makes no callbacks.
pub trait Application: fmt::Debug {
    /// Takes the events of one turn, in order, and returns commands, in order.
    fn handle<'a>(&'a mut self, events: &'a [Event]) -> Vec<Command<'a>>;
}

/// The options of an application component.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ApplicationOptions {
    /// The budget of one call.
    pub budget: Budget,
    /// Its environment variables.
    pub environment: Vec<(String, String)>,
}

impl From<Budget> for ApplicationOptions {
    /// With an empty environment.
    fn from(budget: Budget) -> Self {
        Self { budget, environment: Vec::new() }
    }
}

/// Why an application cannot be created.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ApplicationError {
    /// The component file cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// The path.
        path: PathBuf,
        /// The cause.
        error: std::io::Error,
    },
    /// Not a component, or not one of world `application`.
    #[error("{name} is not a component of world `application`: {error}")]
    Component {
        /// Its name.
        name: String,
        /// The cause.
        error: String,
    },
    /// It was lost at its first call.
    #[error(transparent)]
    Lost(#[from] ApplicationLost),
}

/// Why the application's instance was lost. A fresh one takes its place.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ApplicationLost {
    /// Its call failed.
    #[error("the application was lost: {0}")]
    Call(#[from] CallError),
    /// It returned a command that is too large.
    #[error("the application was lost: a command of {bytes} bytes; the maximum is {limit}")]
    LargeCommand {
        /// The size of the command.
        bytes: usize,
        /// The maximum size.
        limit: usize,
    },
    /// It answered failed commands with failing commands this many times in a row.
    #[error("the application was lost: it answered {0} failures in a row with commands that failed")]
    FailureCycle(u32),
}
