//! Commands from outside of the application's calls, on their way to the workers of their connections.

use std::cell::RefCell;

use legacy_websocket::step::{Acceptance, Command, CommandKind, Failure, Response, ResponseField};
use tokio::sync::oneshot;

use crate::workers::forwarded::{Destination, OwnedCommand};

/// What became of a command.
pub(crate) type Done = Result<(), Failure>;

/// Fields of a response's head.
pub(crate) type Fields = Vec<(String, Vec<u8>)>;

/// A command, and who waits for it to be carried out.
#[derive(Debug)]
pub(crate) struct ExternalCommand {
    pub(crate) what: External,
    /// Dropped without an answer if there is no such connection, or the engine is lost.
    pub(crate) done: RefCell<Option<oneshot::Sender<Done>>>,
}

#[derive(Debug)]
pub(crate) enum External {
    /// One that workers send each other, too.
    Shared(OwnedCommand),
    Accept {
        connection: u64,
        subprotocol: Option<String>,
        fields: Fields,
    },
    Respond {
        connection: u64,
        status: u16,
        fields: Fields,
        body: Vec<u8>,
    },
}

impl ExternalCommand {
    pub(crate) fn new(what: External, done: Option<oneshot::Sender<Done>>) -> Self {
        Self { what, done: RefCell::new(done) }
    }

    /// The one connection that it names, if it is not for all.
    pub(crate) fn connection(&self) -> Option<u64> {
        match &self.what {
            External::Shared(OwnedCommand::Send { to, .. }) => match to {
                Destination::One(connection) => Some(*connection),
                Destination::Many(_) | Destination::All | Destination::AllBut(_) => None,
            },
            External::Shared(
                OwnedCommand::Close { connection, .. } | OwnedCommand::Reject { connection, .. },
            )
            | External::Accept { connection, .. }
            | External::Respond { connection, .. } => Some(*connection),
        }
    }

    /// How failures name it.
    pub(crate) fn kind(&self) -> CommandKind {
        match &self.what {
            External::Shared(OwnedCommand::Send { outbound, .. }) => outbound.command(),
            External::Shared(OwnedCommand::Close { .. }) => CommandKind::Close,
            External::Shared(OwnedCommand::Reject { .. }) => CommandKind::Reject,
            External::Accept { .. } => CommandKind::Accept,
            External::Respond { .. } => CommandKind::Respond,
        }
    }

    fn fields(&self) -> Vec<ResponseField<'_>> {
        match &self.what {
            External::Accept { fields, .. } | External::Respond { fields, .. } => {
                fields.iter().map(|(name, value)| ResponseField { name, value }).collect()
            }
            External::Shared(_) => Vec::new(),
        }
    }

    fn lend<'a>(&'a self, fields: &'a [ResponseField<'a>]) -> Command<'a> {
        match &self.what {
            External::Shared(command) => command.lend(),
            External::Accept { connection, subprotocol, .. } => Command::Accept(Acceptance {
                connection: *connection,
                subprotocol: subprotocol.as_deref(),
                fields,
            }),
            External::Respond { connection, status, body, .. } => {
                Command::Respond(Response { connection: *connection, status: *status, fields, body })
            }
        }
    }
}

/// Passes the commands on, as the engine takes them.
pub(crate) fn lend<T>(commands: &[&ExternalCommand], carry_out: impl FnOnce(&[Command<'_>]) -> T) -> T {
    let fields: Vec<_> = commands.iter().map(|command| command.fields()).collect();
    let lent: Vec<_> = commands.iter().zip(&fields).map(|(command, fields)| command.lend(fields)).collect();
    carry_out(&lent)
}
