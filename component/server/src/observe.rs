//! What the operator is told of the events, and what is counted.

use alloc::format;
use alloc::string::String;
use core::fmt::{Display, Formatter, Result};

use legacy_websocket_shell::{LogCategory, LogPermit, LogValue};

use crate::log::Level;
use crate::names::{cause_detail, cause_name, command_name, draft_name, failure_name, state_name};
use crate::shell::Shell;
use crate::wit::{CloseCause, Closed, Event, Loss, Rejection, RequestHead, State};

/// What was seen since the start.
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) connections: u64,
    pub(crate) connected: u64,
    pub(crate) rejected: u64,
    pub(crate) slow_readers: u64,
}

/// A field of a line, with a space before it, if there is a value.
struct Field<'v>(&'static str, Option<&'v [u8]>);

impl Display for Field<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.1.map_or(Ok(()), |value| write!(f, " {}={}", self.0, LogValue(value)))
    }
}

impl Shell {
    /// Counts, and logs what should be known.
    pub(crate) fn observe(&mut self, event: &Event) {
        match event {
            Event::Connected(connected) => {
                self.totals.connected += 1;
                self.rename(connected.connection, &connected.peer);
                let connection = connected.connection;
                let (peer, draft) = (self.peer(connection), draft_name(connected.draft));
                self.log.write(
                    Level::Debug,
                    format_args!("connected connection={connection} peer={peer} draft={draft}"),
                );
            }
            Event::Rejected(rejection) => {
                self.totals.rejected += 1;
                self.rename(rejection.connection, &rejection.peer);
                if let Some(permit) = self.log.permit(LogCategory::Rejection) {
                    self.log_rejection(rejection, permit);
                }
            }
            Event::Request(request) => {
                self.rename(request.connection, &request.peer);
                let (connection, head) = (request.connection, &request.head);
                let (method, path) = (LogValue(head.method.as_bytes()), LogValue(&head.target));
                let peer = self.peer(connection);
                self.log.write(
                    Level::Debug,
                    format_args!("request connection={connection} peer={peer} method={method} path={path}"),
                );
            }
            Event::Closed(closed) => self.observe_closed(closed),
            Event::Failed(failed) => {
                let connection = failed.connection;
                let (command, why) = (command_name(failed.command), failure_name(failed.why));
                let peer = self.peer(connection);
                self.log.write(
                    Level::Debug,
                    format_args!(
                        "command failed connection={connection} peer={peer} command={command} why={why}"
                    ),
                );
            }
            Event::StateChanged(change) if change.new != State::Closed => {
                let connection = change.connection;
                let (old, new) = (state_name(change.old), state_name(change.new));
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
        if let Some(permit) = self.log.permit(LogCategory::Admission) {
            let reason = LogValue(reason.as_bytes());
            self.log
                .write(Level::Warn, format_args!("refused peer={peer} status=503 reason={reason}{permit}"));
        }
    }

    /// With what came, if it came whole.
    fn log_rejection(&mut self, rejection: &Rejection, permit: LogPermit) {
        let (connection, status) = (rejection.connection, rejection.status);
        let (peer, reason) = (self.peer(connection), LogValue(rejection.reason.as_bytes()));
        let head = self.adapter.head(connection);
        let head = head.as_ref();
        let value = |names: &[&str]| head.and_then(|head| find(head, names));
        let method = Field("method", head.map(|head| head.method.as_bytes()));
        let path = Field("path", head.map(|head| head.target.as_slice()));
        let host = Field("host", value(&["Host"]));
        let origin = Field("origin", value(&["Origin"]));
        let subprotocol = Field("subprotocol", value(&["Sec-WebSocket-Protocol", "WebSocket-Protocol"]));
        let user_agent = Field("user_agent", value(&["User-Agent"]));
        self.log.write(
            Level::Warn,
            format_args!(
                "rejected connection={connection} peer={peer} status={status} reason={reason}\
                 {method}{path}{host}{origin}{subprotocol}{user_agent}{permit}"
            ),
        );
    }

    fn observe_closed(&mut self, closed: &Closed) {
        let connection = closed.connection;
        if let Some(link) = self.links.get_mut(&connection) {
            link.closed = true;
        }
        match &closed.cause {
            CloseCause::SlowReader => self.count_slow_reader(connection),
            CloseCause::BadFrame(_)
            | CloseCause::Other(_)
            | CloseCause::BadText
            | CloseCause::MessageLimit
            | CloseCause::BufferLimit
            | CloseCause::HandshakeTimeout => self.warn_closed(connection, &closed.cause),
            cause => {
                let (peer, cause) = (self.peer(connection), cause_name(cause));
                self.log.write(
                    Level::Debug,
                    format_args!("closed connection={connection} peer={peer} cause={cause}"),
                );
            }
        }
    }

    fn warn_closed(&mut self, connection: u64, cause: &CloseCause) {
        if let Some(permit) = self.log.permit(LogCategory::Closure) {
            let peer = self.peer(connection);
            let detail = Field("detail", cause_detail(cause).map(str::as_bytes));
            let cause = cause_name(cause);
            self.log.write(
                Level::Warn,
                format_args!("closed connection={connection} peer={peer} cause={cause}{detail}{permit}"),
            );
        }
    }

    fn count_slow_reader(&mut self, connection: u64) {
        self.totals.slow_readers += 1;
        self.warn_closed(connection, &CloseCause::SlowReader);
    }

    /// As it may stand in the log.
    fn peer(&self, connection: u64) -> String {
        self.links.get(&connection).map_or_else(|| "gone".into(), |link| link.peer.clone())
    }

    /// A trusted proxy may know the peer by another name than the socket does.
    fn rename(&mut self, connection: u64, name: &str) {
        if let Some(link) = self.links.get_mut(&connection)
            && link.peer != name
        {
            link.peer = format!("{}", LogValue(name.as_bytes()));
        }
    }
}

/// The value of the first field of one of these names.
fn find<'h>(head: &'h RequestHead, names: &[&str]) -> Option<&'h [u8]> {
    let named = |name: &str| names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted));
    head.fields.iter().find(|field| named(&field.name)).map(|field| field.value.as_slice())
}
