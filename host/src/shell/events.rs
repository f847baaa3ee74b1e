//! What is counted and logged of the events that pass by.

use tracing::{debug, warn};

use super::{Inner, Link};
use crate::wit::{CloseCause, Closed, Event, Loss, State};

impl Inner {
    /// Counts, and tells the operator what he should know.
    pub(super) fn observe(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Connected(connected) => {
                    self.totals.connected += 1;
                    self.metrics.count_connected(connected.draft);
                    self.rename(connected.connection, &connected.peer);
                    debug!(connection = connected.connection, peer = %connected.peer, draft = ?connected.draft, "connected");
                }
                Event::Rejected(rejection) => {
                    self.totals.rejected += 1;
                    *self.metrics.rejected.entry(rejection.status).or_default() += 1;
                    self.rename(rejection.connection, &rejection.peer);
                    let peer = &rejection.peer;
                    warn!(connection = rejection.connection, %peer, status = rejection.status, reason = %rejection.reason, "rejected");
                }
                Event::Closed(closed) => self.observe_closed(closed),
                Event::Failed(failed) => {
                    debug!(connection = failed.connection, peer = %self.peer(failed.connection), command = ?failed.command, why = ?failed.why, "command failed");
                }
                Event::StateChanged(change) if change.new != State::Closed => {
                    debug!(connection = change.connection, peer = %self.peer(change.connection), old = ?change.old, new = ?change.new, "state");
                }
                _ => {}
            }
        }
    }

    fn observe_closed(&mut self, closed: &Closed) {
        let connection = closed.connection;
        self.metrics.count_closed(&closed.cause);
        if let Some(link) = self.connections.get_mut(&connection) {
            link.closed = true;
        }
        let peer = self.peer(connection);
        match &closed.cause {
            CloseCause::SlowReader => self.count_slow_reader(connection),
            CloseCause::BadFrame(reason) | CloseCause::Other(reason) => {
                warn!(connection, %peer, %reason, "closed");
            }
            CloseCause::BadText
            | CloseCause::MessageLimit
            | CloseCause::BufferLimit
            | CloseCause::HandshakeTimeout => warn!(connection, %peer, reason = ?closed.cause, "closed"),
            cause => debug!(connection, %peer, reason = ?cause, "closed"),
        }
    }

    /// A peer that stops reading when the engine is done with it counts as well, though no event tells.
    pub(super) fn observe_lost(&mut self, connection: u64, why: Loss) {
        let closed = self.connections.get(&connection).is_some_and(|link| link.closed);
        if closed && why == Loss::SlowReader {
            self.count_slow_reader(connection);
        }
    }

    fn count_slow_reader(&mut self, connection: u64) {
        self.totals.slow_readers += 1;
        let peer = self.peer(connection);
        warn!(connection, %peer, reason = "slow-reader", "closed");
    }

    fn peer(&self, connection: u64) -> String {
        self.connections.get(&connection).map_or_else(|| "gone".into(), Link::name)
    }

    /// A trusted proxy may know the peer by another name than the socket does.
    fn rename(&mut self, connection: u64, name: &str) {
        if let Some(link) = self.connections.get_mut(&connection)
            && link.name() != name
        {
            link.forwarded = Some(name.into());
        }
    }
}
