//! A worker's application: native, or a component instance.

use std::fmt;
use std::sync::Arc;

use super::api::{Application, ApplicationError, ApplicationLost};
use super::component::{ApplicationFactory, Instance};
use legacy_websocket::step::{Command, Event, Refusal};

/// How workers create their applications.
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

/// The application of a shell.
#[derive(Debug)]
pub(crate) enum Handler {
    /// Compiled into the program.
    Native(Box<dyn Application>),
    /// A component, and how to recreate it.
    Component(Arc<ApplicationFactory>, Box<Instance>),
    /// A component that could not be recreated; holds the time of the last attempt.
    Gone(Arc<ApplicationFactory>, u64),
}

impl Handler {
    /// Creates an instance, without calling it yet.
    pub(crate) fn component(factory: Arc<ApplicationFactory>) -> Result<Self, ApplicationError> {
        let instance = Box::new(factory.make()?);
        Ok(Self::Component(factory, instance))
    }

    /// Passes events to the application, and has its commands carried out.
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

/// Answers in place of a missing application.
fn refuse(event: &Event) -> Option<Command<'static>> {
    let connection = match event {
        Event::Handshake(handshake) => handshake.connection,
        Event::Request(request) => request.connection,
        _ => return None,
    };
    Some(Command::Reject(Refusal { connection, status: 503, reason: "the application is not there" }))
}
