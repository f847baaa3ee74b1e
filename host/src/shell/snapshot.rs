//! A shell's state, as seen from outside.

use std::time::Duration;

use legacy_websocket::step::{RequestHead, Status};
use legacy_websocket_shell::Printable;

use super::Shell;
use crate::engine::{Engine, EngineLost};
use crate::observe::metrics::{Row, Snapshot, limit_rows};

impl Shell {
    pub(crate) fn count_refused(&self, reason: &'static str) {
        *self.inner.borrow_mut().metrics.refused.entry(reason).or_default() += 1;
    }

    /// Counts a connection that ended without sending a byte.
    pub(crate) fn count_probe(&self) {
        self.inner.borrow_mut().metrics.probes += 1;
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let counts = self.ask(|engine| engine.counts()).unwrap_or_default();
        let mut inner = self.inner.borrow_mut();
        inner.metrics.engine_messages = [counts.messages_received, counts.messages_sent];
        let [received, sent] = inner.metrics.messages_before;
        Snapshot {
            metrics: inner.metrics.clone(),
            counts,
            messages: [received + counts.messages_received, sent + counts.messages_sent],
            bytes_sent: inner.queue_account.sent(),
            totals: inner.totals,
            queue_bytes: inner.queue_account.held_bytes(),
            max_total_queue_bytes: self.context.queue_budget.limit(),
            max_connections: self.options().max_connections,
            workers: Vec::new(),
            ages: Vec::new(),
            uptime: self.context.started.elapsed(),
        }
    }

    /// Up to `limit` connections, and how many are left out.
    pub(crate) fn rows(&self, limit: usize) -> (Vec<Row>, usize) {
        let statuses = self.ask(|engine| engine.connections()).unwrap_or_default();
        let now = self.now();
        let rows = {
            let connections = &self.inner.borrow().connections;
            let row = |status: Status| {
                let link = connections.get(&status.connection)?;
                let age = Duration::from_millis(now.saturating_sub(link.since));
                let (bytes, queue_bytes) = (link.io.traffic(), link.io.queued());
                Some(Row { status, origin: None, age, bytes, queue_bytes })
            };
            statuses.into_iter().filter_map(row).collect()
        };
        let (mut rows, more) = limit_rows([(rows, 0)], limit);
        for row in &mut rows {
            let head = self.ask(|engine| engine.head(row.status.connection)).flatten();
            let field = |head: RequestHead| {
                head.fields.into_iter().find(|field| field.name.eq_ignore_ascii_case("Origin"))
            };
            row.origin = head.and_then(field).map(|field| Printable::cut(&field.value).to_string());
        }
        (rows, more)
    }

    /// Queries the engine; `None` if the engine was lost during the call.
    fn ask<T>(&self, ask: impl FnOnce(&mut dyn Engine) -> Result<T, EngineLost>) -> Option<T> {
        let answer = ask(self.inner.borrow_mut().engine.as_mut());
        answer.map_err(|lost| self.call(|_, _| Err(lost))).ok()
    }
}
