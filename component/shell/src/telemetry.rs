//! What is logged and counted, with levels and names.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::fmt::{Arguments, Display, Formatter, Result};

use legacy_websocket::step::{
    CloseCause, Closed, Event, Loss, Passed, Protocol, Rejection, Request, RequestHead, State,
};

use crate::log_rate_limiter::{LogCategory, LogPermit};
use crate::names::{cause_detail, cause_name, command_name, failure_name, protocol_name, state_name};
use crate::printable::LogValue;

/// The level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The server cannot continue.
    Error,
    /// Needs an operator's attention.
    Warn,
    /// Start and stop.
    Info,
    /// Details of every connection.
    Debug,
}

/// An event to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count<'a> {
    /// An opening handshake was completed.
    Connected(Protocol),
    /// An opening handshake or request was refused with this status.
    Rejected(u16),
    /// A connection that the engine knew has ended.
    Closed(&'a CloseCause),
    /// A peer did not read its output.
    SlowReader,
}

/// Where a driver logs and counts, and what it knows about its connections.
pub trait Telemetry {
    /// Whether this level is enabled.
    fn logs(&self, level: Level) -> bool;

    /// Writes one line.
    fn log(&mut self, level: Level, line: Arguments<'_>);

    /// Whether one more line of this category may be written.
    fn permit(&mut self, category: LogCategory) -> Option<LogPermit>;

    /// Counts an event.
    fn count(&mut self, what: Count<'_>);

    /// What is known about the peers.
    fn peers(&mut self) -> &mut PeerNames;

    /// The address of a connection's socket, if it is still there.
    fn address(&self, connection: u64) -> Option<String>;

    /// The head of a request that was just rejected.
    fn rejected_head(&mut self, connection: u64) -> Option<RequestHead>;
}

/// The peers' names in the log if they differ from the socket's address, and the connections that the engine is done
/// with.
#[derive(Debug, Default)]
pub struct PeerNames {
    /// Names from a trusted proxy, and of connections whose close has yet to be reported; made safe for the log.
    names: BTreeMap<u64, String>,
}

impl PeerNames {
    /// The name of a connection's peer, if it differs from the socket's address.
    #[must_use]
    pub fn get(&self, connection: u64) -> Option<&str> {
        self.names.get(&connection).map(String::as_str)
    }

    /// The connection is gone, but its close has yet to be reported: keeps its peer's address until then.
    pub fn keep(&mut self, connection: u64, address: String) {
        self.names.entry(connection).or_insert(address);
    }

    /// The connection's close has been reported.
    pub fn forget(&mut self, connection: u64) {
        self.names.remove(&connection);
    }

    /// Removes the others: their close will never be reported.
    pub fn retain(&mut self, mut keep: impl FnMut(u64) -> bool) {
        self.names.retain(|connection, _| keep(*connection));
    }
}

/// Counts an event, and logs it if it matters to the operator.
pub fn observe(to: &mut impl Telemetry, event: &Event) {
    match event {
        Event::Connected(connected) => {
            to.count(Count::Connected(connected.protocol));
            rename(to, connected.connection, &connected.peer);
            debug(
                to,
                connected.connection,
                "connected",
                format_args!(" protocol={}", protocol_name(connected.protocol)),
            );
        }
        Event::Rejected(rejection) => {
            to.count(Count::Rejected(rejection.status));
            rename(to, rejection.connection, &rejection.peer);
            if let Some(permit) = to.permit(LogCategory::Rejection) {
                log_rejection(to, rejection, permit);
            }
        }
        Event::Request(Request { connection, peer, head, body }) => {
            rename(to, *connection, peer);
            let (method, path) = (LogValue(head.method.as_bytes()), LogValue(&head.target));
            let rest = format_args!(" method={method} path={path} body_bytes={}", body.len());
            debug(to, *connection, "request", rest);
        }
        Event::Closed(closed) => observe_closed(to, closed),
        Event::Passed(Passed { connection, bytes }) => {
            debug(to, *connection, "passed", format_args!(" bytes={}", bytes.len()));
            to.peers().forget(*connection);
        }
        Event::Failed(failed) => {
            let (command, why) = (command_name(failed.command), failure_name(failed.why));
            debug(to, failed.connection, "command failed", format_args!(" command={command} why={why}"));
        }
        Event::StateChanged(change) if change.new != State::Closed => {
            let (old, new) = (state_name(change.old), state_name(change.new));
            debug(to, change.connection, "state", format_args!(" old={old} new={new}"));
        }
        Event::StateChanged(_)
        | Event::Handshake(_)
        | Event::Messages(_)
        | Event::Binary(_)
        | Event::Tick(_) => {}
    }
}

/// A connection was lost after the engine was done with it, so no event reports it: a peer that stops reading then is
/// counted here.
pub fn observe_lost_after_end(to: &mut impl Telemetry, connection: u64, why: Loss) {
    if why == Loss::SlowReader {
        count_slow_reader(to, connection);
    }
}

fn observe_closed(to: &mut impl Telemetry, closed: &Closed) {
    let Closed { connection, cause, code, reason } = closed;
    to.count(Count::Closed(cause));
    match cause {
        CloseCause::SlowReader => count_slow_reader(to, *connection),
        CloseCause::BadFrame(_)
        | CloseCause::Other(_)
        | CloseCause::BadText
        | CloseCause::MessageLimit
        | CloseCause::BufferLimit
        | CloseCause::HandshakeTimeout => warn_closed(to, *connection, cause),
        cause => {
            let code = code.map(|code| format!("{code}"));
            let code = Field("code", code.as_deref().map(str::as_bytes));
            let reason = Field("reason", Some(reason.as_bytes()).filter(|reason| !reason.is_empty()));
            debug(to, *connection, "closed", format_args!(" cause={}{code}{reason}", cause_name(cause)));
        }
    }
    if to.address(*connection).is_none() {
        to.peers().forget(*connection);
    }
}

fn count_slow_reader(to: &mut impl Telemetry, connection: u64) {
    to.count(Count::SlowReader);
    warn_closed(to, connection, &CloseCause::SlowReader);
}

fn warn_closed(to: &mut impl Telemetry, connection: u64, cause: &CloseCause) {
    if let Some(permit) = to.permit(LogCategory::Closure) {
        let peer = peer(to, connection);
        let detail = Field("detail", cause_detail(cause).map(str::as_bytes));
        let cause = cause_name(cause);
        to.log(
            Level::Warn,
            format_args!("closed connection={connection} peer={peer} cause={cause}{detail}{permit}"),
        );
    }
}

/// Includes the request, if it was complete.
fn log_rejection(to: &mut impl Telemetry, rejection: &Rejection, permit: LogPermit) {
    let (connection, status) = (rejection.connection, rejection.status);
    let (peer, reason) = (peer(to, connection), LogValue(rejection.reason.as_bytes()));
    let head = to.rejected_head(connection);
    let head = head.as_ref();
    let value = |names: &[&str]| head.and_then(|head| find(head, names));
    let method = Field("method", head.map(|head| head.method.as_bytes()));
    let path = Field("path", head.map(|head| head.target.as_slice()));
    let host = Field("host", value(&["Host"]));
    let origin = Field("origin", value(&["Origin"]));
    let subprotocol = Field("subprotocol", value(&["Sec-WebSocket-Protocol", "WebSocket-Protocol"]));
    let user_agent = Field("user_agent", value(&["User-Agent"]));
    to.log(
        Level::Warn,
        format_args!(
            "rejected connection={connection} peer={peer} status={status} reason={reason}\
             {method}{path}{host}{origin}{subprotocol}{user_agent}{permit}"
        ),
    );
}

fn debug(to: &mut impl Telemetry, connection: u64, message: &str, rest: Arguments<'_>) {
    if to.logs(Level::Debug) {
        let peer = peer(to, connection);
        to.log(Level::Debug, format_args!("{message} connection={connection} peer={peer}{rest}"));
    }
}

/// A trusted proxy may report another peer address than the socket's.
fn rename(to: &mut impl Telemetry, connection: u64, name: &str) {
    if let Some(address) = to.address(connection)
        && address != name
    {
        let name = format!("{}", LogValue(name.as_bytes()));
        to.peers().names.insert(connection, name);
    }
}

fn peer(to: &mut impl Telemetry, connection: u64) -> String {
    if let Some(name) = to.peers().get(connection) {
        return name.into();
    }
    to.address(connection).unwrap_or_else(|| "gone".into())
}

/// The value of the first field with one of these names.
fn find<'h>(head: &'h RequestHead, names: &[&str]) -> Option<&'h [u8]> {
    let named = |name: &str| names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted));
    head.fields.iter().find(|field| named(&field.name)).map(|field| field.value.as_slice())
}

/// A field of a log line, with a leading space, if it has a value.
struct Field<'v>(&'static str, Option<&'v [u8]>);

impl Display for Field<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.1.map_or(Ok(()), |value| write!(f, " {}={}", self.0, LogValue(value)))
    }
}

#[cfg(test)]
mod tests {
    use legacy_websocket::step::{CommandKind, Connected, Failed, Failure, Field as HeadField, StateChange};

    use super::*;

    #[derive(Default)]
    struct Log {
        lines: String,
        names: PeerNames,
        gone: bool,
    }

    impl Telemetry for Log {
        fn logs(&self, _: Level) -> bool {
            true
        }

        fn log(&mut self, level: Level, line: Arguments<'_>) {
            self.lines.push_str(&format!("{level:?} {line}\n"));
        }

        fn permit(&mut self, category: LogCategory) -> Option<LogPermit> {
            self.lines.push_str(&format!("[{category:?}] "));
            Some(LogPermit { unlogged: Some(7) })
        }

        fn count(&mut self, what: Count<'_>) {
            self.lines.push_str(&format!("({what:?}) "));
        }

        fn peers(&mut self) -> &mut PeerNames {
            &mut self.names
        }

        fn address(&self, _: u64) -> Option<String> {
            (!self.gone).then(|| "192.0.2.1:1".into())
        }

        fn rejected_head(&mut self, _: u64) -> Option<RequestHead> {
            Some(head())
        }
    }

    fn head() -> RequestHead {
        let field = |name: &str, value: &[u8]| HeadField { name: name.into(), value: value.into() };
        let fields = vec![field("HOST", b"a b"), field("User-Agent", b"old \"browser\"\x1b[31m")];
        RequestHead { method: "GET".into(), target: b"/chat".to_vec(), fields }
    }

    fn events() -> Vec<Event> {
        let closed =
            |cause| Event::Closed(Closed { connection: 1, cause, code: None, reason: String::new() });
        let causes = [
            CloseCause::ByPeer,
            CloseCause::BadFrame("frame type 0x05".into()),
            CloseCause::HandshakeTimeout,
            CloseCause::SlowReader,
            CloseCause::EngineLost,
        ];
        let mut events = vec![
            Event::StateChanged(StateChange { connection: 1, old: State::Unknown, new: State::Opening }),
            Event::StateChanged(StateChange { connection: 1, old: State::Connected, new: State::Closed }),
            Event::Connected(Connected {
                connection: 1,
                protocol: Protocol::Draft76,
                peer: "192.0.2.1:1".into(),
                subprotocol: None,
                head: head(),
            }),
            Event::Rejected(Rejection {
                connection: 1,
                peer: "192.0.2.1:1".into(),
                status: 403,
                reason: "the origin is not allowed".into(),
            }),
            Event::Request(Request {
                connection: 1,
                peer: "192.0.2.1:1".into(),
                head: head(),
                body: vec![0; 5],
            }),
            Event::Passed(Passed { connection: 1, bytes: vec![0; 5] }),
            Event::Failed(Failed { connection: 1, command: CommandKind::Send, why: Failure::WrongState }),
            Event::Tick(1),
        ];
        events.extend(causes.map(closed));
        events
    }

    #[test]
    fn lines_and_counts() {
        let mut log = Log::default();
        events().iter().for_each(|event| observe(&mut log, event));
        observe_lost_after_end(&mut log, 2, Loss::SlowReader);
        observe_lost_after_end(&mut log, 2, Loss::Reset);
        insta::assert_snapshot!(log.lines);
    }

    #[test]
    fn a_peer_keeps_its_name_until_its_close_is_reported() {
        let mut log = Log::default();
        let connected = Connected {
            connection: 1,
            protocol: Protocol::Draft75,
            peer: "203.0.113.9 \x1b".into(),
            subprotocol: None,
            head: head(),
        };
        observe(&mut log, &Event::Connected(connected));
        log.gone = true;
        log.names.keep(1, "192.0.2.1:1".into());
        log.names.keep(2, "192.0.2.1:1".into());
        for connection in [1, 2, 1, 2] {
            log.lines.clear();
            let (code, reason) = (Some(1001), "gone \n".into());
            observe(&mut log, &Event::Closed(Closed { connection, cause: CloseCause::ByPeer, code, reason }));
            if connection == 1 && log.names.get(2).is_some() {
                assert!(log.lines.contains("peer=\"203.0.113.9 \\u{1b}\""), "{}", log.lines);
            }
        }
        assert!(log.names.names.is_empty());
        assert!(log.lines.contains("peer=gone cause=by-peer code=1001 reason=\"gone \\n\""), "{}", log.lines);
    }
}
