//! Logging and counters.

use alloc::string::String;
use core::fmt::Arguments;

use legacy_websocket::step::{Loss, RequestHead};
use legacy_websocket_shell::{
    Count, Level, LogCategory, LogPermit, PeerNames, Refusal, Telemetry, observe_lost_after_end,
};

use super::Shell;

impl Telemetry for Shell {
    fn logs(&self, level: Level) -> bool {
        self.log.writes(level)
    }

    fn log(&mut self, level: Level, line: Arguments<'_>) {
        self.log.write(level, line);
    }

    fn permit(&mut self, category: LogCategory) -> Option<LogPermit> {
        self.log.permit(category)
    }

    fn count(&mut self, what: Count<'_>) {
        match what {
            Count::Connected(_) => self.totals.connected += 1,
            Count::Rejected(_) => self.totals.rejected += 1,
            Count::SlowReader => self.totals.slow_readers += 1,
            Count::Closed(_) => {}
        }
    }

    fn peers(&mut self) -> &mut PeerNames {
        &mut self.peers
    }

    fn address(&self, connection: u64) -> Option<String> {
        self.links.get(&connection).map(|link| link.peer.clone())
    }

    fn rejected_head(&mut self, connection: u64) -> Option<RequestHead> {
        self.engine.head(connection)
    }
}

impl Shell {
    /// Logs a lost connection; if the engine is done with it, no event reports it.
    pub(super) fn observe_lost(&mut self, connection: u64, why: Loss) {
        if self.links.get(&connection).is_some_and(|link| link.closed) {
            observe_lost_after_end(self, connection, why);
        }
    }

    /// Logs a peer that was refused.
    pub(super) fn observe_refused(&mut self, peer: &str, why: Refusal) {
        if let Some(permit) = self.log.permit(LogCategory::Admission) {
            self.log.write(why.level(), format_args!("{}{permit}", why.line(peer)));
        }
    }
}
