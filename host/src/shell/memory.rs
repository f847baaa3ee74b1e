//! Memory limits: too much pending output, and an engine that has grown.

use legacy_websocket::step::{Command, Loss, Lost};
use legacy_websocket_shell::{EventBudget, LogCategory, LogPermit};
use tracing::{debug, warn};

use super::{Inner, Shell};
use crate::connection::queue_budget::Relief;
use crate::observe::log;
use crate::workers::message::WorkerMessage;

/// The memory up to which an engine is kept once it has no connections.
const LARGE: usize = 16 << 20;

impl Shell {
    /// Linear memory never shrinks: an engine that has grown large is replaced once its last connection has closed.
    pub(super) fn renew_engine(&self) {
        {
            let mut inner = self.inner.borrow_mut();
            let keep = !inner.connections.is_empty() || inner.engine.memory_bytes() <= LARGE;
            if keep || self.context.pool.is_stopping() {
                return;
            }
            inner.renew_engine(self.now());
        }
        self.turn(&[]);
    }

    /// Makes room for another worker's connections.
    pub(crate) fn relieve(&self) {
        let closed = {
            let mut inner = self.inner.borrow_mut();
            inner.relieve();
            !inner.lost.is_empty()
        };
        if closed {
            self.turn(&[]);
        }
    }
}

impl Inner {
    /// Nothing is lost: the old engine's counters and the application's next tick are kept. If anything fails, the old
    /// engine stays.
    fn renew_engine(&mut self, now: u64) {
        let (Ok(step), Ok(counts)) = (self.engine.turn(now, &[]), self.engine.counts()) else {
            return;
        };
        let tick = step.next_timeout.map(|at| Command::Tick(at.saturating_sub(now)));
        self.carry(step);
        let Ok(mut engine) = self.context.factory.make(&self.context.engine_options) else {
            return;
        };
        if engine.turn(now, &[]).is_err() || engine.command(tick.as_slice()).is_err() {
            return;
        }
        self.metrics.engine_messages = [0, 0];
        self.metrics.messages_before[0] += counts.messages_received;
        self.metrics.messages_before[1] += counts.messages_sent;
        debug!(bytes = self.engine.memory_bytes(), "an engine that had grown large is replaced");
        self.engine = engine;
        self.event_budget = EventBudget::new();
    }

    /// Writes as much as the kernel takes now.
    pub(super) fn flush(&mut self) {
        for io in self.touched.drain(..) {
            io.flush();
        }
    }

    /// If too much output is pending, closes the connections that hold the most, or has another worker do so. The
    /// engine is told later.
    pub(super) fn relieve(&mut self) {
        // The kernel may take output that was only waiting for the end of the turn.
        self.flush();
        let mut relief = self.queue_account.relief();
        if relief == Relief::Close {
            self.close_largest();
            relief = self.queue_account.relief();
        }
        if let Relief::Ask(worker) = relief {
            self.context.pool.tell(worker, WorkerMessage::ShedOutput);
        }
    }

    fn close_largest(&mut self) {
        let held = self.connections.iter().map(|(connection, link)| (link.io.share(), *connection));
        let held = held.filter(|(share, _)| *share > 0).collect();
        let mut closed = Vec::new();
        self.queue_account.close_largest(held, |connection| {
            if let Some(link) = self.connections.get(&connection) {
                link.io.abort();
                link.io.flush();
                closed.push(connection);
            }
        });
        if closed.is_empty() {
            return;
        }
        if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Closure) {
            let (connections, limit) = (closed.len(), self.context.queue_budget.limit());
            warn!(
                connections,
                limit, unlogged, "too much output waits; the connections holding the most are closed"
            );
        }
        for connection in closed {
            self.observe_lost(connection, Loss::SlowReader);
            self.lost.push(Lost { connection, why: Loss::SlowReader });
        }
    }
}
