//! Options for the operator.

use std::time::Duration;

use legacy_websocket_shell::Settings;

/// Options that the shell itself enforces.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ShellOptions {
    /// Serving threads, each with an engine and an application instance for its part of the connections. 0 counts as 1.
    pub workers: usize,
    /// A worker gets this many connections before the next gets any, as long as its thread has time to spare; once all
    /// have as many, the worker with the fewest gets the next. One thread serves a few connections faster than several
    /// that keep waking each other. 0: always the worker with the fewest.
    pub worker_fill: usize,
    /// Maximum concurrent connections. More are refused with 503.
    pub max_connections: usize,
    /// Maximum peers being refused with an answer concurrently. More are closed without one.
    pub max_refusals: usize,
    /// Maximum concurrent connections from one address, or one /64 in IPv6. More are refused with 429. 0: no limit.
    pub max_connections_per_peer: u32,
    /// Maximum new connections per second from one address, or one /64 in IPv6. More are refused with 429. 0: no
    /// limit.
    pub max_handshakes_per_peer: u32,
    /// Measure how long turns take.
    pub measure_turns: bool,
    /// Every connection begins with a PROXY header, which names the peer.
    pub proxy_protocol: bool,
    /// Maximum output pending for one peer, in bytes; a peer over it is closed as a slow reader. A single transmission
    /// may be longer if nothing else is pending: up to an eighth of
    /// [`max_total_queue_bytes`](Self::max_total_queue_bytes). A peer over half of it is not read from, so that
    /// flooding an echo slows the flood down first.
    pub max_queue_bytes: usize,
    /// Maximum memory for the output pending for all peers of all workers together, in bytes; a shared broadcast
    /// counts once. Above it, the connections that hold the most are closed as slow readers. At least
    /// `max_queue_bytes`.
    pub max_total_queue_bytes: usize,
    /// How long pending output may make no progress before the peer is closed as a slow reader.
    pub write_timeout: Duration,
    /// How long to wait for the peer's FIN after the last byte and our FIN.
    pub linger_timeout: Duration,
    /// Timeout for a PROXY header, and again for the TLS handshake, before the engine's own timeout for the opening
    /// handshake begins.
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
