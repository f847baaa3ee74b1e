//! A shell's counters.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Add;
use std::time::Duration;

use legacy_websocket::Counts;
use legacy_websocket::step::{CloseCause, Protocol, Status};
use legacy_websocket_shell::{cause_name, protocol_name};

/// A server's totals, for the operator.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Totals {
    /// Connections accepted.
    pub connections: u64,
    /// Completed opening handshakes.
    pub connected: u64,
    /// Refused opening handshakes and requests.
    pub rejected: u64,
    /// Connections closed because the peer did not read.
    pub slow_readers: u64,
    /// Lost engine instances.
    pub traps: u64,
    /// Lost application instances.
    pub application_traps: u64,
    /// Workers that were stuck in a call when the server stopped waiting for them.
    pub unresponsive_workers: usize,
}

impl Add for Totals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            connected: self.connected + other.connected,
            rejected: self.rejected + other.rejected,
            slow_readers: self.slow_readers + other.slow_readers,
            traps: self.traps + other.traps,
            application_traps: self.application_traps + other.application_traps,
            unresponsive_workers: self.unresponsive_workers + other.unresponsive_workers,
        }
    }
}

/// Counters since the start, without those of the engine itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    /// Completed opening handshakes, by protocol.
    pub(crate) connected: BTreeMap<&'static str, u64>,
    /// Opening handshakes and requests refused by the engine, by status.
    pub(crate) rejected: BTreeMap<u16, u64>,
    /// Peers refused before they reached the engine, by reason.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// Connections that ended without sending a byte, such as health checks.
    pub(crate) probes: u64,
    /// Connections closed, by cause.
    pub(crate) closed: BTreeMap<&'static str, u64>,
    /// Bytes read for the engine.
    pub(crate) bytes_received: u64,
    /// How long turns take.
    pub(crate) turns: Histogram,
    /// Engine instances that replaced a lost one.
    pub(crate) restarts: u64,
    /// Message counts (received, sent) last read from the engine, and those of its predecessors.
    pub(crate) engine_messages: [u64; 2],
    pub(crate) messages_before: [u64; 2],
}

/// A snapshot of all figures.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) metrics: Metrics,
    pub(crate) counts: Counts,
    /// Messages received and sent since the start.
    pub(crate) messages: [u64; 2],
    pub(crate) bytes_sent: u64,
    pub(crate) totals: Totals,
    /// Memory of pending output for all peers together, and its limit.
    pub(crate) queue_bytes: usize,
    pub(crate) max_total_queue_bytes: usize,
    pub(crate) max_connections: usize,
    /// Connections of each worker, if this covers all workers.
    pub(crate) workers: Vec<usize>,
    /// The age of each worker's figures, if this covers all workers and there are any.
    pub(crate) ages: Vec<Option<Duration>>,
    pub(crate) uptime: Duration,
}

/// One connection in the list.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) status: Status,
    pub(crate) origin: Option<String>,
    pub(crate) age: Duration,
    /// Messages received and sent.
    pub(crate) bytes: [u64; 2],
    pub(crate) queue_bytes: usize,
}

/// Merges several lists, each with the number of connections it left out, into up to `limit` connections: longest
/// queues first, then newest. Also returns how many are left out.
pub(crate) fn limit_rows(
    lists: impl IntoIterator<Item = (Vec<Row>, usize)>,
    limit: usize,
) -> (Vec<Row>, usize) {
    let (mut rows, mut more) = (Vec::new(), 0);
    for (some, others) in lists {
        rows.extend(some);
        more += others;
    }
    rows.sort_by_key(|row| (Reverse(row.queue_bytes), row.age, Reverse(row.status.connection)));
    more += rows.len().saturating_sub(limit);
    rows.truncate(limit);
    (rows, more)
}

impl Snapshot {
    /// Adds the figures of another shell of the same server.
    pub(crate) fn with(mut self, other: Self) -> Self {
        self.metrics.add(&other.metrics);
        self.counts.open += other.counts.open;
        self.counts.connected = self.counts.connected + other.counts.connected;
        self.counts.buffered_bytes += other.counts.buffered_bytes;
        self.counts.messages_received += other.counts.messages_received;
        self.counts.messages_sent += other.counts.messages_sent;
        self.messages[0] += other.messages[0];
        self.messages[1] += other.messages[1];
        self.bytes_sent += other.bytes_sent;
        self.totals = self.totals + other.totals;
        self.queue_bytes += other.queue_bytes;
        self
    }
}

impl Metrics {
    fn add(&mut self, other: &Self) {
        for (protocol, count) in &other.connected {
            *self.connected.entry(protocol).or_default() += count;
        }
        for (status, count) in &other.rejected {
            *self.rejected.entry(*status).or_default() += count;
        }
        for (reason, count) in &other.refused {
            *self.refused.entry(reason).or_default() += count;
        }
        self.probes += other.probes;
        for (cause, count) in &other.closed {
            *self.closed.entry(cause).or_default() += count;
        }
        self.bytes_received += other.bytes_received;
        self.turns.seconds += other.turns.seconds;
        for (bucket, count) in self.turns.buckets.iter_mut().zip(other.turns.buckets) {
            *bucket += count;
        }
        self.restarts += other.restarts;
    }

    pub(crate) fn count_connected(&mut self, protocol: Protocol) {
        *self.connected.entry(protocol_name(protocol)).or_default() += 1;
    }

    pub(crate) fn count_closed(&mut self, cause: &CloseCause) {
        *self.closed.entry(cause_name(cause)).or_default() += 1;
    }
}

/// Upper bounds of turn times in seconds; the last bucket has none.
pub(crate) const BOUNDS: [f64; 12] =
    [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.1, 1.0];

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Histogram {
    pub(crate) buckets: [u64; BOUNDS.len() + 1],
    pub(crate) seconds: f64,
}

impl Histogram {
    pub(crate) fn observe(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        self.buckets[BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len())] += 1;
        self.seconds += seconds;
    }

    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}
