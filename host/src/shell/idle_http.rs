//! Idle HTTP connections are closed to make room for new connections when a limit is reached: a page's requests must
//! not keep its WebSocket out.

use tracing::debug;

use super::keep_alive::Http;
use super::{Inner, Shell};
use legacy_websocket::step::{Command, Disposition, Read};

impl Inner {
    /// The application has been asked.
    pub(super) fn observe_request(&mut self, connection: u64) {
        let before = self.keep_alive.insert(connection, Http::Responding { ahead: false, leaving: false });
        self.reclaim(before);
    }

    /// Something was sent to a connection. A response is sent whole; an incomplete request in the same read as the
    /// previous one goes unnoticed.
    pub(super) fn observe_sent(&mut self, connection: u64, then: Disposition) {
        if self.keep_alive.is_empty() {
            return;
        }
        let before = self.keep_alive.remove(&connection);
        match before {
            Some(Http::Responding { leaving: true, .. }) => {
                self.context.pool.close_idle(connection);
            }
            Some(Http::Responding { ahead: false, .. }) if then == Disposition::Keep => {
                if let Some(link) = self.connections.get(&connection) {
                    let ticket = self.context.peers.idle(link.peer.address.ip(), connection);
                    self.keep_alive.insert(connection, Http::Idle(ticket));
                }
            }
            before => self.reclaim(before),
        }
    }

    pub(super) fn observe_reads(&mut self, reads: &[Read]) {
        if self.keep_alive.is_empty() {
            return;
        }
        for Read { connection, .. } in reads {
            match self.keep_alive.get_mut(connection) {
                Some(Http::Responding { ahead, .. }) => *ahead = true,
                Some(Http::Idle(_)) => {
                    let before = self.keep_alive.remove(connection);
                    self.reclaim(before);
                }
                None => {}
            }
        }
    }

    pub(super) fn forget_kept(&mut self, connection: u64) {
        let before = self.keep_alive.remove(&connection);
        self.reclaim(before);
    }

    /// Removes it from the idle connections.
    fn reclaim(&self, before: Option<Http>) {
        if let Some(Http::Idle(ticket)) = before {
            self.context.peers.busy(ticket);
        }
    }
}

impl Shell {
    /// Closes an idle connection to make room for a new one; if it has sent a request meanwhile, after the response.
    pub(crate) fn close_idle(&self, connection: u64) {
        self.take_reads();
        {
            let mut inner = self.inner.borrow_mut();
            if let Some(Http::Responding { leaving, .. }) = inner.keep_alive.get_mut(&connection) {
                *leaving = true;
                return;
            }
            if inner.connections.get(&connection).is_none_or(|link| link.closed) {
                return;
            }
        }
        debug!(connection, "closing an idle connection to make room for a new one");
        self.call(|engine, _| engine.command(&[Command::close(connection)]));
    }
}
