//! What an application is, and how it fails.

use std::fmt;
use std::path::PathBuf;

use legacy_websocket::step::{Command, Event};
use thiserror::Error;

use crate::wasm::sandbox::{Budget, CallError};

/// An application in Rust. It is never called while it runs, and makes no callbacks.
pub trait Application: fmt::Debug {
    /// Takes the events of one turn, in order, and returns commands, in order.
    fn handle<'a>(&'a mut self, events: &'a [Event]) -> Vec<Command<'a>>;
}

/// What an application component is given.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ApplicationOptions {
    /// What one call may cost.
    pub budget: Budget,
    /// The variables of its environment, with their values.
    pub environment: Vec<(String, String)>,
}

impl From<Budget> for ApplicationOptions {
    /// With an empty environment.
    fn from(budget: Budget) -> Self {
        Self { budget, environment: Vec::new() }
    }
}

/// The application cannot be created.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ApplicationError {
    /// The component file cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// Not a component, or not one of world `application`.
    #[error("{name} is not a component of world `application`: {error}")]
    Component {
        /// Which component.
        name: String,
        /// Why not.
        error: String,
    },
    /// It was lost at its first call.
    #[error(transparent)]
    Lost(#[from] ApplicationLost),
}

/// The application's instance is gone, and a fresh one takes its place.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ApplicationLost {
    /// Its call failed.
    #[error("the application was lost: {0}")]
    Call(#[from] CallError),
    /// It returned a command that is too large.
    #[error("the application was lost: a command of {bytes} bytes; {limit} are the most")]
    LargeCommand {
        /// What the command holds.
        bytes: usize,
        /// What it may hold.
        limit: usize,
    },
    /// It answered this many failed commands in a row with commands that failed.
    #[error("the application was lost: it answered {0} failures in a row by commands that failed")]
    FailureCycle(u32),
}
