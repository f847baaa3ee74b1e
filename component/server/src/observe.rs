//! What the operator is told of the events, and what is counted.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::{Debug, Display, Formatter, Result};

use crate::log::Level;
use crate::shell::{Shell, now};
use crate::wit::{CloseCause, Closed, Event, Loss, State};

/// What was seen since the start.
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) connections: u64,
    pub(crate) connected: u64,
    pub(crate) rejected: u64,
    pub(crate) slow_readers: u64,
    /// When a refusal was logged last, and how many were not since.
    refusal_logged: Option<u64>,
    refusals_unlogged: u64,
}

/// Refusals are logged so often, in milliseconds.
const LOG_EVERY: u64 = 1000;

/// The name of a case without that of its type, which the bindings' `Debug` puts before it.
struct Name<T>(T);

impl<T: Debug> Display for Name<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let name = format!("{:?}", self.0);
        f.write_str(name.rsplit("::").next().unwrap_or_default())
    }
}

impl Shell {
    /// Counts, and logs what should be known.
    pub(crate) fn observe(&mut self, event: &Event) {
        match event {
            Event::Connected(connected) => {
                self.totals.connected += 1;
                self.rename(connected.connection, &connected.peer);
                let (connection, peer, draft) =
                    (connected.connection, &connected.peer, Name(connected.draft));
                self.log.write(
                    Level::Debug,
                    format_args!("connected connection={connection} peer={peer} draft={draft}"),
                );
            }
            Event::Rejected(rejection) => {
                self.totals.rejected += 1;
                self.rename(rejection.connection, &rejection.peer);
                let (connection, peer, status) = (rejection.connection, &rejection.peer, rejection.status);
                let reason = &rejection.reason;
                self.log.write(
                    Level::Warn,
                    format_args!(
                        "rejected connection={connection} peer={peer} status={status} reason={reason}"
                    ),
                );
            }
            Event::Closed(closed) => self.observe_closed(closed),
            Event::Failed(failed) => {
                let (connection, command, why) = (failed.connection, Name(failed.command), Name(failed.why));
                let peer = self.peer(connection);
                self.log.write(
                    Level::Debug,
                    format_args!(
                        "command failed connection={connection} peer={peer} command={command} why={why}"
                    ),
                );
            }
            Event::StateChanged(change) if change.new != State::Closed => {
                let (connection, old, new) = (change.connection, Name(change.old), Name(change.new));
                let peer = self.peer(connection);
                self.log.write(
                    Level::Debug,
                    format_args!("state connection={connection} peer={peer} old={old} new={new}"),
                );
            }
            _ => {}
        }
    }

    /// A peer that stops reading when the engine is done with it counts as well, though no event tells.
    pub(crate) fn observe_lost(&mut self, connection: u64, why: Loss) {
        let closed = self.links.get(&connection).is_some_and(|link| link.closed);
        if closed && why == Loss::SlowReader {
            self.count_slow_reader(connection);
        }
    }

    /// Somebody was not let in.
    pub(crate) fn observe_refused(&mut self, peer: &str, reason: &str) {
        let now = now();
        if self.totals.refusal_logged.is_some_and(|at| now.saturating_sub(at) < LOG_EVERY) {
            self.totals.refusals_unlogged += 1;
            return;
        }
        self.totals.refusal_logged = Some(now);
        let unlogged = core::mem::take(&mut self.totals.refusals_unlogged);
        self.log.write(
            Level::Warn,
            format_args!("refused peer={peer} status=503 reason={reason} unlogged={unlogged}"),
        );
    }

    fn observe_closed(&mut self, closed: &Closed) {
        let connection = closed.connection;
        if let Some(link) = self.links.get_mut(&connection) {
            link.closed = true;
        }
        let level = match &closed.cause {
            CloseCause::SlowReader => return self.count_slow_reader(connection),
            CloseCause::BadFrame(_)
            | CloseCause::Other(_)
            | CloseCause::BadText
            | CloseCause::MessageLimit
            | CloseCause::BufferLimit
            | CloseCause::HandshakeTimeout => Level::Warn,
            _ => Level::Debug,
        };
        let peer = self.peer(connection);
        let reason = match &closed.cause {
            CloseCause::BadFrame(reason) | CloseCause::Other(reason) => reason.clone(),
            cause => Name(cause).to_string(),
        };
        self.log.write(level, format_args!("closed connection={connection} peer={peer} reason={reason}"));
    }

    fn count_slow_reader(&mut self, connection: u64) {
        self.totals.slow_readers += 1;
        let (peer, total) = (self.peer(connection), self.totals.slow_readers);
        self.log.write(
            Level::Warn,
            format_args!("closed connection={connection} peer={peer} reason=slow-reader total={total}"),
        );
    }

    fn peer(&self, connection: u64) -> String {
        self.links.get(&connection).map_or_else(|| "gone".into(), |link| link.peer.clone())
    }

    /// A trusted proxy may know the peer by another name than the socket does.
    fn rename(&mut self, connection: u64, name: &str) {
        if let Some(link) = self.links.get_mut(&connection)
            && link.peer != name
        {
            link.peer = name.into();
        }
    }
}
