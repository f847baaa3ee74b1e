//! What the program asks for from outside of the application's calls, and what the engine leaves to it.

use std::rc::Rc;

use legacy_websocket::step::{Failed, Passed};

use super::{Inner, Shell};
use crate::accept::incoming::Peer;
use crate::connection::connection_io::ConnectionIo;
use crate::workers::external::{self, ExternalCommand};

impl Inner {
    /// Gives back a connection that the engine does not want, before anything else is read from it.
    pub(super) fn pass(&mut self, Passed { connection, bytes }: &Passed) {
        if let Some(link) = self.connections.get_mut(connection) {
            link.closed = true;
            link.io.pass(bytes.clone());
        }
    }
}

impl Shell {
    /// Whether the connection is one of its own.
    pub(crate) fn has(&self, connection: u64) -> bool {
        self.inner.borrow().connections.contains_key(&connection)
    }

    /// The peer of a connection, as the system or a PROXY header names it.
    pub(crate) fn peer(&self, connection: u64) -> Option<Peer> {
        self.inner.borrow().connections.get(&connection).map(|link| link.peer)
    }

    fn io_of(&self, connection: u64) -> Option<Rc<ConnectionIo>> {
        self.inner.borrow().connections.get(&connection).map(|link| Rc::clone(&link.io))
    }

    /// Reads no more from a connection, until it is resumed.
    pub(crate) fn pause(&self, connection: u64) {
        if self.has(connection) {
            self.backpressure.pause(connection);
        }
    }

    pub(crate) fn resume_reading(&self, connection: u64) {
        self.backpressure.resume(connection);
    }

    /// Carries out commands in one turn. Whoever waits is told of a failure at once, of success when there is room for
    /// more output.
    pub(crate) fn carry_out_external(&self, commands: &[&ExternalCommand]) {
        let Ok(mut failed) = external::lend(commands, |commands| self.carry_out(commands)) else {
            // Whoever waits is told by the drop of the commands.
            return;
        };
        for command in commands {
            let (Some(connection), Some(done)) = (command.connection(), command.done.take()) else {
                continue;
            };
            let is_its =
                |failed: &Failed| failed.connection == connection && failed.command == command.kind();
            let failure = failed.iter().position(is_its);
            match (failure, self.io_of(connection)) {
                (Some(at), _) => drop(done.send(Err(failed.remove(at).why))),
                (None, Some(io)) => io.when_writable(done),
                (None, None) => drop(done.send(Ok(()))),
            }
        }
    }
}
