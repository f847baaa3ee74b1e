//! Logging and counters.

use std::fmt::Arguments;

use legacy_websocket::step::{Loss, RequestHead};
use legacy_websocket_shell::{
    Count, Level, LogCategory, LogPermit, PeerNames, Telemetry, observe_lost_after_end,
};
use tracing::{debug, enabled, error, info, warn};

use super::Inner;
use crate::observe::log;

impl Telemetry for Inner {
    fn logs(&self, level: Level) -> bool {
        match level {
            Level::Error | Level::Warn | Level::Info => true,
            Level::Debug => enabled!(tracing::Level::DEBUG),
        }
    }

    fn log(&mut self, level: Level, line: Arguments<'_>) {
        match level {
            Level::Error => error!("{line}"),
            Level::Warn => warn!("{line}"),
            Level::Info => info!("{line}"),
            Level::Debug => debug!("{line}"),
        }
    }

    fn permit(&mut self, category: LogCategory) -> Option<LogPermit> {
        log::permit(category)
    }

    fn count(&mut self, what: Count<'_>) {
        match what {
            Count::Connected(protocol) => {
                self.totals.connected += 1;
                self.metrics.count_connected(protocol);
            }
            Count::Rejected(status) => {
                self.totals.rejected += 1;
                *self.metrics.rejected.entry(status).or_default() += 1;
            }
            Count::Closed(cause) => self.metrics.count_closed(cause),
            Count::SlowReader => self.totals.slow_readers += 1,
        }
    }

    fn peers(&mut self) -> &mut PeerNames {
        &mut self.peers
    }

    fn address(&self, connection: u64) -> Option<String> {
        self.connections.get(&connection).map(|link| link.peer.address.to_string())
    }

    fn rejected_head(&mut self, connection: u64) -> Option<RequestHead> {
        // If this call loses the engine, the next one reports it.
        self.engine.head(connection).ok().flatten()
    }
}

impl Inner {
    /// Logs a lost connection; if the engine is done with it, no event reports it.
    pub(super) fn observe_lost(&mut self, connection: u64, why: Loss) {
        if self.connections.get(&connection).is_some_and(|link| link.closed) {
            observe_lost_after_end(self, connection, why);
        }
    }
}
