//! Options for the operator.

use std::time::Duration;

use legacy_websocket_shell::Settings;

/// What the shell itself enforces.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ShellOptions {
    /// Serving threads, each with an engine and an application instance for its part of the connections. 0 counts as 1.
    pub workers: usize,
    /// A worker gets this many connections before the next gets any, as long as its thread has spare time; once all
    /// have as many, the one with the fewest gets the next. One thread serves a few connections faster than several
    /// that wake each other. 0: always the one with the fewest.
    pub worker_fill: usize,
    /// Connections at once. More are refused with 503.
    pub max_connections: usize,
    /// Peers being refused with an answer at once. More are closed without one.
    pub max_refusals: usize,
    /// Concurrent connections from one address, or from one /64 in IPv6. More are refused with 429. 0: no limit.
    pub max_connections_per_peer: u32,
    /// New connections per second from one address, or from one /64 in IPv6. More are refused with 429. 0: no limit.
    pub max_handshakes_per_peer: u32,
    /// Measure how long turns take.
    pub measure_turns: bool,
    /// Every connection begins with a header of the PROXY protocol, which says who the peer is.
    pub proxy_protocol: bool,
    /// Output waiting for one peer, in bytes, before the peer counts as a slow reader and is closed. A single
    /// transmission may be longer, if nothing else is waiting: up to an eighth of
    /// [`max_total_queue_bytes`](Self::max_total_queue_bytes). From half of it on the peer is not read from, so that
    /// one that floods an echo slows itself down first.
    pub max_queue_bytes: usize,
    /// Memory for the output waiting for all peers together, of all workers, in bytes; shared broadcast data counts
    /// once. Above it the connections that hold the most are closed as slow readers. At least `max_queue_bytes`.
    pub max_total_queue_bytes: usize,
    /// Output without progress for this long: a slow reader, too.
    pub write_timeout: Duration,
    /// After the last byte and our FIN: how long we wait for the peer's.
    pub linger_timeout: Duration,
    /// For a PROXY header, and then for the TLS handshake, before the engine's own timeout for the opening handshake begins.
    pub handshake_timeout: Duration,
}

impl Default for ShellOptions {
    fn default() -> Self {
        Self::from(&Settings::default())
    }
}

impl From<&Settings> for ShellOptions {
    fn from(settings: &Settings) -> Self {
        let narrow = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
        let limits = &settings.engine.limits;
        Self {
            workers: 1,
            worker_fill: 64,
            max_connections: settings.max_connections,
            max_refusals: 256,
            max_connections_per_peer: narrow(settings.max_connections_per_peer),
            max_handshakes_per_peer: narrow(settings.max_handshakes_per_peer),
            measure_turns: false,
            proxy_protocol: settings.proxy_protocol,
            max_queue_bytes: settings.max_queue_bytes,
            max_total_queue_bytes: settings.max_total_queue_bytes,
            write_timeout: Duration::from_millis(settings.write_timeout),
            linger_timeout: Duration::from_millis(limits.close_timeout),
            handshake_timeout: Duration::from_millis(limits.handshake_timeout),
        }
    }
}
