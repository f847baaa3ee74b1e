//! What is said over the connections: an application gets events and gives commands.

mod component;
mod convert;
mod page;
mod wasi;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

pub use self::component::ApplicationFactory;
use self::component::Instance;
pub use self::page::TestPage;
use crate::sandbox::Budget;
use crate::wit::{Command, Event, Refusal};

/// An application in Rust. It is never called while it runs, and calls nobody.
pub trait Application: fmt::Debug {
    /// Gets what happened in one turn, in order, and says what is to be done about it, in order.
    fn handle<'a>(&'a mut self, events: &'a [Event]) -> Vec<Command<'a>>;
}

/// What an application that is a component is given.
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

/// No application can be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ApplicationError {
    /// The component's file cannot be read.
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

/// The application's instance trapped, ran too long or grew too large.
#[derive(Debug, Error)]
#[error("the application was lost: {0}")]
pub struct ApplicationLost(pub String);

/// How each worker comes to its application.
pub(crate) enum Program {
    /// Compiled into the program.
    Native(Box<dyn Fn() -> Box<dyn Application> + Send + Sync>),
    /// A component.
    Component(Arc<ApplicationFactory>),
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native(_) => f.write_str("Native"),
            Self::Component(factory) => factory.fmt(f),
        }
    }
}

impl Program {
    pub(crate) fn make(&self) -> Result<Handler, ApplicationError> {
        match self {
            Self::Native(make) => Ok(Handler::Native(make())),
            Self::Component(factory) => Handler::component(Arc::clone(factory)),
        }
    }
}

/// The application as the shell has it.
#[derive(Debug)]
pub(crate) enum Handler {
    /// Compiled into the program.
    Native(Box<dyn Application>),
    /// A component, and how to make it again.
    Component(Arc<ApplicationFactory>, Box<Instance>),
    /// It could not be made again; when that was tried last.
    Gone(Arc<ApplicationFactory>, u64),
}

impl Handler {
    /// An instance that has not been called yet.
    pub(crate) fn component(factory: Arc<ApplicationFactory>) -> Result<Self, ApplicationError> {
        let instance = Box::new(factory.make()?);
        Ok(Self::Component(factory, instance))
    }

    /// Asks it about the events of a turn and has its commands carried out.
    pub(crate) fn handle<R>(
        &mut self,
        events: &[Event],
        carry: impl FnOnce(&[Command<'_>]) -> R,
    ) -> Result<R, ApplicationLost> {
        match self {
            Self::Native(application) => Ok(carry(&application.handle(events))),
            Self::Component(_, instance) => instance.handle(events, carry),
            Self::Gone(..) => Ok(carry(&events.iter().filter_map(refuse).collect::<Vec<_>>())),
        }
    }
}

/// What can be said for an application that is not there.
fn refuse(event: &Event) -> Option<Command<'static>> {
    let connection = match event {
        Event::Handshake(handshake) => handshake.connection,
        Event::Request(request) => request.connection,
        _ => return None,
    };
    Some(Command::Reject(Refusal { connection, status: 503, reason: "the application is not there" }))
}
