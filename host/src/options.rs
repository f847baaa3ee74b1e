//! Options for the operator.

use std::time::Duration;

use legacy_websocket_shell::Settings;

use crate::wit::{InvalidUtf8, Limits, Options, Version};

/// How the engine behaves: the owned twin of the WIT package's `options`, which documents each.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "documented in wit/legacy-websocket.wit and in legacy_websocket::Options")]
#[non_exhaustive]
pub struct EngineOptions {
    pub version: Version,
    pub origins: Vec<String>,
    pub subprotocols: Vec<String>,
    pub hosts: Vec<String>,
    pub public_url: Option<String>,
    pub trust_forwarded: bool,
    pub authorise: bool,
    pub echo: bool,
    pub skip_reserved_frames: bool,
    pub invalid_utf8: InvalidUtf8,
    pub flash_policy: Option<String>,
    pub health_path: Option<String>,
    pub limits: Limits,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self::from(&legacy_websocket::Options::default())
    }
}

impl From<&legacy_websocket::Options> for EngineOptions {
    /// Limits that do not fit become the largest that do.
    fn from(options: &legacy_websocket::Options) -> Self {
        let limits = &options.limits;
        let narrow = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
        Self {
            version: match options.version {
                legacy_websocket::Version::Auto => Version::Auto,
                legacy_websocket::Version::Draft75 => Version::Draft75,
                legacy_websocket::Version::Draft76 => Version::Draft76,
            },
            origins: options.origins.clone(),
            subprotocols: options.subprotocols.clone(),
            hosts: options.hosts.clone(),
            public_url: options.public_url.clone(),
            trust_forwarded: options.trust_forwarded,
            authorise: options.authorise,
            echo: options.echo,
            skip_reserved_frames: options.skip_reserved_frames,
            invalid_utf8: match options.invalid_utf8 {
                legacy_websocket::InvalidUtf8::Replace => InvalidUtf8::Replace,
                legacy_websocket::InvalidUtf8::Close => InvalidUtf8::Close,
            },
            flash_policy: options.flash_policy.clone(),
            health_path: options.health_path.clone(),
            limits: Limits {
                max_head_bytes: narrow(limits.max_head_bytes),
                max_fields: narrow(limits.max_fields),
                max_message_bytes: narrow(limits.max_message_bytes),
                max_buffered_bytes: limits.max_buffered_bytes as u64,
                handshake_timeout: limits.handshake_timeout,
                idle_timeout: limits.idle_timeout,
                message_timeout: limits.message_timeout,
                close_timeout: limits.close_timeout,
            },
        }
    }
}

impl EngineOptions {
    /// Borrows itself as the WIT record.
    pub(crate) fn with_wit<T>(&self, use_it: impl FnOnce(&Options<'_>) -> T) -> T {
        let (origins, subprotocols, hosts) =
            (borrow_all(&self.origins), borrow_all(&self.subprotocols), borrow_all(&self.hosts));
        use_it(&Options {
            version: self.version,
            origins: &origins,
            subprotocols: &subprotocols,
            hosts: &hosts,
            public_url: self.public_url.as_deref(),
            trust_forwarded: self.trust_forwarded,
            authorise: self.authorise,
            echo: self.echo,
            skip_reserved_frames: self.skip_reserved_frames,
            invalid_utf8: self.invalid_utf8,
            flash_policy: self.flash_policy.as_deref(),
            health_path: self.health_path.as_deref(),
            limits: self.limits,
        })
    }
}

fn borrow_all(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

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
