//! Which connections of plain HTTP are kept open with nothing under way. Where a limit is reached, they give way to new
//! connections: a page's requests must not keep its WebSocket out.

use std::collections::HashMap;

use tracing::debug;

use super::{Inner, Shell};
use crate::peers::Ticket;
use crate::wit::{Command, Disposition, Read};

/// Connections that have asked something over plain HTTP and of which nothing else is known to be under way.
pub(super) type KeptConnections = HashMap<u64, Http>;

#[derive(Debug)]
pub(super) enum Http {
    Responding {
        /// More has come ahead of the response.
        ahead: bool,
        /// To be closed behind the response.
        leaving: bool,
    },
    Idle(Ticket),
}

impl Inner {
    /// The application is asked.
    pub(super) fn observe_request(&mut self, connection: u64) {
        let before = self.kept.insert(connection, Http::Responding { ahead: false, leaving: false });
        self.reclaim(before);
    }

    /// Something was sent to a connection. A response is sent whole; what came in one read with the request, and is no
    /// whole request itself, is not known of.
    pub(super) fn observe_sent(&mut self, connection: u64, then: Disposition) {
        if self.kept.is_empty() {
            return;
        }
        let before = self.kept.remove(&connection);
        match before {
            Some(Http::Responding { leaving: true, .. }) => {
                self.plan.crew.close_idle(connection);
            }
            Some(Http::Responding { ahead: false, .. }) if then == Disposition::Keep => {
                if let Some(link) = self.connections.get(&connection) {
                    let ticket = self.plan.peers.idle(link.peer.ip(), connection);
                    self.kept.insert(connection, Http::Idle(ticket));
                }
            }
            before => self.reclaim(before),
        }
    }

    pub(super) fn observe_reads(&mut self, reads: &[Read]) {
        if self.kept.is_empty() {
            return;
        }
        for Read { connection, .. } in reads {
            match self.kept.get_mut(connection) {
                Some(Http::Responding { ahead, .. }) => *ahead = true,
                Some(Http::Idle(_)) => {
                    let before = self.kept.remove(connection);
                    self.reclaim(before);
                }
                None => {}
            }
        }
    }

    pub(super) fn forget_kept(&mut self, connection: u64) {
        let before = self.kept.remove(&connection);
        self.reclaim(before);
    }

    /// It does not give way any more.
    fn reclaim(&self, before: Option<Http>) {
        if let Some(Http::Idle(ticket)) = before {
            self.plan.peers.busy(ticket);
        }
    }
}

impl Shell {
    /// A connection that was idle gives way to a new one; behind the response that it waits for, if it has asked for
    /// something meanwhile.
    pub(crate) fn close_idle(&self, connection: u64) {
        self.take_reads();
        {
            let mut inner = self.inner.borrow_mut();
            if let Some(Http::Responding { leaving, .. }) = inner.kept.get_mut(&connection) {
                *leaving = true;
                return;
            }
            if inner.connections.get(&connection).is_none_or(|link| link.closed) {
                return;
            }
        }
        debug!(connection, "idle, gives way to a new connection");
        self.call(|engine, _| engine.command(&[Command::Close(connection)]));
    }
}
