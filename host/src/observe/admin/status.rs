//! The data of the status page.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use legacy_websocket_shell::Printable;
use serde::Serialize;

use crate::gateway::{BackendStatus, GatewayStatus, SiteStatus};
use crate::observe::log;
use crate::observe::metrics::{Row, Snapshot};
use crate::server::Observer;
use legacy_websocket_shell::{protocol_name, state_name};

/// The interval between plot points, and their number: ten minutes.
pub(super) const INTERVAL: Duration = Duration::from_secs(2);
const POINTS: usize = 300;

/// The maximum number of connections in the list. Each costs a call.
pub(super) const ROWS: usize = 200;

/// The history of the last minutes.
#[derive(Debug, Default)]
pub(super) struct History {
    points: VecDeque<Point>,
    last: Option<Sums>,
}

/// The figures at one time; rates are per second since the previous point.
#[derive(Clone, Copy, Debug, Serialize)]
struct Point {
    /// Seconds since the start.
    at: f64,
    connections: usize,
    received: f64,
    sent: f64,
    bytes_received: f64,
    bytes_sent: f64,
    handshakes: f64,
    refused: f64,
    queue_bytes: usize,
    /// Fraction of the workers' time spent in turns.
    busy: f64,
}

#[derive(Clone, Copy, Debug)]
struct Sums {
    at: f64,
    messages: [u64; 2],
    bytes: [u64; 2],
    handshakes: u64,
    refused: u64,
    busy: f64,
}

impl History {
    pub(super) fn push(&mut self, now: &Snapshot) {
        let sums = Sums::of(now);
        if let Some(last) = self.last.replace(sums)
            && sums.at > last.at
        {
            let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / (sums.at - last.at);
            self.points.push_back(Point {
                at: sums.at,
                connections: now.counts.open,
                received: rate(sums.messages[0], last.messages[0]),
                sent: rate(sums.messages[1], last.messages[1]),
                bytes_received: rate(sums.bytes[0], last.bytes[0]),
                bytes_sent: rate(sums.bytes[1], last.bytes[1]),
                handshakes: rate(sums.handshakes, last.handshakes),
                refused: rate(sums.refused, last.refused),
                queue_bytes: now.queue_bytes,
                busy: (sums.busy - last.busy) / (sums.at - last.at) / now.workers.len().max(1) as f64,
            });
            if self.points.len() > POINTS {
                self.points.pop_front();
            }
        }
    }
}

impl Sums {
    fn of(now: &Snapshot) -> Self {
        let refused = now.metrics.rejected.values().chain(now.metrics.refused.values()).sum();
        Self {
            at: now.uptime.as_secs_f64(),
            messages: now.messages,
            bytes: [now.metrics.bytes_received, now.bytes_sent],
            handshakes: now.metrics.connected.values().sum(),
            refused,
            busy: now.metrics.turns.seconds,
        }
    }
}

#[derive(Serialize)]
struct Page<'a> {
    version: &'static str,
    uptime: f64,
    /// Why load balancers should send no clients here now.
    unready: Option<&'static str>,
    open: usize,
    /// Connected clients by protocol, the oldest first.
    protocols: Vec<(&'static str, usize)>,
    max_connections: usize,
    /// Connections by worker.
    workers: &'a [usize],
    /// The age of each worker's figures, in seconds; 0 if it responds.
    worker_ages: Vec<Option<f64>>,
    accepted: u64,
    connected: u64,
    messages: [u64; 2],
    bytes: [u64; 2],
    queue_bytes: usize,
    /// The maximum number of connections.
    max_total_queue_bytes: usize,
    buffered_bytes: usize,
    slow_readers: u64,
    traps: u64,
    restarts: u64,
    log_lines_lost: u64,
    turns: u64,
    turn_seconds: f64,
    rejected: Vec<(String, u64)>,
    closed: Vec<(&'static str, u64)>,
    interval: f64,
    points: &'a VecDeque<Point>,
    rows: Vec<Connection>,
    more_rows: usize,
    /// Only of a gateway.
    gateway: Option<Gateway>,
    /// Only with a web application.
    site: Option<Site>,
}

#[derive(Serialize)]
struct Site {
    open: usize,
    memory_bytes: usize,
    /// By the status of the answer.
    requests: Vec<(String, u64)>,
    /// By reason.
    failures: Vec<(&'static str, u64)>,
}

#[derive(Serialize)]
struct Gateway {
    backends: Vec<Backend>,
    /// Each route's path, and its backends.
    routes: Vec<(String, Vec<String>)>,
    pairs: usize,
    tunnels: usize,
    /// By the status of the answer.
    requests: Vec<(String, u64)>,
    binary_dropped: u64,
    /// By code.
    closes: Vec<(String, u64)>,
}

#[derive(Serialize)]
struct Backend {
    name: String,
    /// How long it has not been reachable, in seconds, if it is not.
    down: Option<f64>,
    open: usize,
    connects: u64,
    failures: Vec<(&'static str, u64)>,
}

#[derive(Serialize)]
struct Connection {
    id: u64,
    peer: String,
    protocol: Option<&'static str>,
    state: &'static str,
    origin: Option<String>,
    age: f64,
    /// Bytes received and sent.
    bytes: [u64; 2],
    queue_bytes: usize,
    /// Only in a gateway.
    backend: Option<String>,
}

pub(super) fn json(
    now: &Snapshot,
    observer: &Observer,
    (rows, more_rows): (Vec<Row>, usize),
    history: &History,
) -> String {
    let metrics = &now.metrics;
    let statuses = metrics.rejected.iter().map(|(status, count)| (status.to_string(), *count));
    let reasons = metrics.refused.iter().map(|(reason, count)| ((*reason).to_owned(), *count));
    let protocols = now.counts.connected.iter().map(|(protocol, count)| (protocol_name(protocol), count));
    let mut gateway = observer.gateway();
    let site = gateway.as_mut().and_then(|gateway| gateway.site.take()).map(Site::from);
    let has_site = site.is_some();
    let page = Page {
        version: env!("CARGO_PKG_VERSION"),
        uptime: now.uptime.as_secs_f64(),
        unready: observer.unready(),
        open: now.counts.open,
        protocols: protocols.collect(),
        max_connections: now.max_connections,
        workers: &now.workers,
        worker_ages: now.ages.iter().map(|age| age.map(|age| age.as_secs_f64())).collect(),
        accepted: now.totals.connections,
        connected: metrics.connected.values().sum(),
        messages: now.messages,
        bytes: [metrics.bytes_received, now.bytes_sent],
        queue_bytes: now.queue_bytes,
        max_total_queue_bytes: now.max_total_queue_bytes,
        buffered_bytes: now.counts.buffered_bytes,
        slow_readers: now.totals.slow_readers,
        traps: now.totals.traps,
        restarts: now.metrics.restarts,
        log_lines_lost: log::lost_lines(),
        turns: metrics.turns.count(),
        turn_seconds: metrics.turns.seconds,
        rejected: statuses.chain(reasons).collect(),
        closed: metrics.closed.iter().map(|(cause, count)| (*cause, *count)).collect(),
        interval: INTERVAL.as_secs_f64(),
        points: &history.points,
        rows: rows.into_iter().map(|row| Connection::new(row, observer)).collect(),
        more_rows,
        site,
        gateway: gateway.filter(|_| !has_site).map(Gateway::from),
    };
    // Cannot fail: numbers and strings only.
    serde_json::to_string(&page).unwrap_or_default()
}

fn counted(counts: BTreeMap<u16, u64>) -> Vec<(String, u64)> {
    counts.into_iter().map(|(number, count)| (number.to_string(), count)).collect()
}

impl From<SiteStatus> for Site {
    fn from(status: SiteStatus) -> Self {
        Self {
            open: status.open,
            memory_bytes: status.memory_bytes,
            requests: counted(status.requests),
            failures: status.failures.into_iter().collect(),
        }
    }
}

impl From<GatewayStatus> for Gateway {
    fn from(status: GatewayStatus) -> Self {
        let backend = |backend: BackendStatus| Backend {
            name: backend.name,
            down: backend.down.map(|down| down.as_secs_f64()),
            open: backend.open,
            connects: backend.connects,
            failures: backend.failures.into_iter().collect(),
        };
        Self {
            backends: status.backends.into_iter().map(backend).collect(),
            routes: status.routes,
            pairs: status.pairs,
            tunnels: status.tunnels,
            requests: counted(status.requests),
            binary_dropped: status.dropped,
            closes: counted(status.closes),
        }
    }
}

impl Connection {
    fn new(Row { status, origin, age, bytes, queue_bytes }: Row, observer: &Observer) -> Self {
        Self {
            backend: observer.backend_of(status.connection),
            id: status.connection,
            peer: Printable::cut(status.peer.as_bytes()).to_string(),
            protocol: status.protocol.map(protocol_name),
            state: state_name(status.state),
            origin,
            age: age.as_secs_f64(),
            bytes,
            queue_bytes,
        }
    }
}
