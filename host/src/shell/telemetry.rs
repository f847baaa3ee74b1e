//! Counts and logs the events that pass.

use legacy_websocket_shell::{LogCategory, LogPermit, LogValue};
use tracing::{debug, field, warn};

use super::{Inner, Link};
use crate::observe::log;
use crate::observe::names::{cause_detail, cause_name, command_name, draft_name, failure_name, state_name};
use crate::wit::{CloseCause, Closed, Event, Loss, Rejection, RequestHead, State};

impl Inner {
    /// Counts, and logs what matters to the operator.
    pub(super) fn observe(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Connected(connected) => {
                    self.totals.connected += 1;
                    self.metrics.count_connected(connected.draft);
                    self.rename(connected.connection, &connected.peer);
                    let connection = connected.connection;
                    debug!(connection, peer = %self.peer(connection), draft = %draft_name(connected.draft), "connected");
                }
                Event::Rejected(rejection) => {
                    self.totals.rejected += 1;
                    *self.metrics.rejected.entry(rejection.status).or_default() += 1;
                    self.rename(rejection.connection, &rejection.peer);
                    if let Some(permit) = log::permit(LogCategory::Rejection) {
                        self.log_rejection(rejection, permit);
                    }
                }
                Event::Request(request) => {
                    self.observe_request(request.connection);
                    self.rename(request.connection, &request.peer);
                    let (connection, head) = (request.connection, &request.head);
                    debug!(
                        connection,
                        peer = %self.peer(connection),
                        method = %LogValue(head.method.as_bytes()),
                        path = %LogValue(&head.target),
                        body_bytes = request.body.len(),
                        "request"
                    );
                }
                Event::Closed(closed) => self.observe_closed(closed),
                Event::Failed(failed) => {
                    let connection = failed.connection;
                    let (command, why) = (command_name(failed.command), failure_name(failed.why));
                    debug!(connection, peer = %self.peer(connection), %command, %why, "command failed");
                }
                Event::StateChanged(change) if change.new != State::Closed => {
                    let connection = change.connection;
                    let (old, new) = (state_name(change.old), state_name(change.new));
                    debug!(connection, peer = %self.peer(connection), %old, %new, "state");
                }
                _ => {}
            }
        }
    }

    /// With the request, if it was complete.
    fn log_rejection(&mut self, rejection: &Rejection, LogPermit { unlogged }: LogPermit) {
        let connection = rejection.connection;
        // If the engine is lost here, its next call shows it.
        let head = self.engine.head(connection).ok().flatten();
        let head = head.as_ref();
        let value = |names: &[&str]| head.and_then(|head| find(head, names)).map(shown);
        warn!(
            connection,
            peer = %self.peer(connection),
            status = rejection.status,
            reason = %LogValue(rejection.reason.as_bytes()),
            method = head.map(|head| shown(head.method.as_bytes())),
            path = head.map(|head| shown(&head.target)),
            host = value(&["Host"]),
            origin = value(&["Origin"]),
            subprotocol = value(&["Sec-WebSocket-Protocol", "WebSocket-Protocol"]),
            user_agent = value(&["User-Agent"]),
            unlogged,
            "rejected"
        );
    }

    fn observe_closed(&mut self, closed: &Closed) {
        let connection = closed.connection;
        self.metrics.count_closed(&closed.cause);
        if let Some(link) = self.connections.get_mut(&connection) {
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
            cause => debug!(connection, peer = %self.peer(connection), cause = %cause_name(cause), "closed"),
        }
    }

    fn warn_closed(&self, connection: u64, cause: &CloseCause) {
        if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Closure) {
            let detail = cause_detail(cause).map(|detail| shown(detail.as_bytes()));
            warn!(connection, peer = %self.peer(connection), cause = %cause_name(cause), detail, unlogged, "closed");
        }
    }

    /// A peer that stops reading after the engine is done with it counts as well, although there is no event.
    pub(super) fn observe_lost(&mut self, connection: u64, why: Loss) {
        let closed = self.connections.get(&connection).is_some_and(|link| link.closed);
        if closed && why == Loss::SlowReader {
            self.count_slow_reader(connection);
        }
    }

    fn count_slow_reader(&mut self, connection: u64) {
        self.totals.slow_readers += 1;
        self.warn_closed(connection, &CloseCause::SlowReader);
    }

    /// Made safe for the log.
    fn peer(&self, connection: u64) -> String {
        self.connections.get(&connection).map_or_else(|| "gone".into(), Link::name)
    }

    /// A trusted proxy may report a different peer address than the socket.
    fn rename(&mut self, connection: u64, name: &str) {
        let name = LogValue(name.as_bytes()).to_string();
        if let Some(link) = self.connections.get_mut(&connection)
            && link.name() != name
        {
            link.forwarded = Some(name.into());
        }
    }
}

/// The value of the first field of one of these names.
fn find<'h>(head: &'h RequestHead, names: &[&str]) -> Option<&'h [u8]> {
    let named = |name: &str| names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted));
    head.fields.iter().find(|field| named(&field.name)).map(|field| field.value.as_slice())
}

fn shown(text: &[u8]) -> field::DisplayValue<LogValue<'_>> {
    field::display(LogValue(text))
}
