//! The settings of a server, with a typed field for each option.

use alloc::vec::Vec;
use core::error::Error;
use core::fmt::{Display, Formatter, Result as FmtResult};

use legacy_websocket::{Limits, Millis, Options, Protocol};

/// The settings of a server, all with defaults. A shell ignores the fields of options it does not have.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The engine's options.
    pub engine: Options,
    /// The protocols listed so far; until one is, all are accepted.
    pub(super) listed_protocols: Vec<Protocol>,
    /// Idle time before TCP keepalive probes, in milliseconds; 0: never.
    pub tcp_keepalive: Millis,
    /// Also log every connection, state change and close.
    pub debug: bool,
    /// Stop when standard input ends.
    pub stop_on_stdin_end: bool,
    /// Every connection begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Maximum pending output for one peer, in bytes.
    pub max_queue_bytes: usize,
    /// Memory for the pending output of all peers together, in bytes. At least `max_queue_bytes`.
    pub max_total_queue_bytes: usize,
    /// Maximum concurrent connections.
    pub max_connections: usize,
    /// Maximum concurrent connections from one address; 0: no limit.
    pub max_connections_per_peer: usize,
    /// Maximum new connections per second from one address; 0: no limit.
    pub max_handshakes_per_peer: usize,
    /// Maximum memory of one component instance, in bytes.
    pub max_memory_bytes: usize,
    /// How long pending output may make no progress, in milliseconds.
    pub write_timeout: Millis,
    /// How long one call into a component may take, in milliseconds.
    pub call_timeout: Millis,
    /// How long connections may take to close when the server stops, in milliseconds; 0: no wait.
    pub drain_timeout: Millis,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: Options::default(),
            listed_protocols: Vec::new(),
            tcp_keepalive: 60_000,
            debug: false,
            stop_on_stdin_end: false,
            proxy_protocol: false,
            max_queue_bytes: 4 << 20,
            max_total_queue_bytes: 256 << 20,
            max_connections: 16_384,
            max_connections_per_peer: 0,
            max_handshakes_per_peer: 0,
            max_memory_bytes: 1 << 30,
            write_timeout: 30_000,
            call_timeout: 1000,
            drain_timeout: 10_000,
        }
    }
}

impl Settings {
    /// Checks that the options are consistent.
    ///
    /// # Errors
    /// [`TooSmall`] names the first two that are not.
    pub fn check(&self) -> Result<(), TooSmall> {
        let Limits { max_buffered_bytes, max_message_bytes, .. } = self.engine.limits;
        let queues = ("max-total-queue-bytes", self.max_total_queue_bytes);
        for (total, part, owner) in [
            (("max-buffered-bytes", max_buffered_bytes), ("max-message-bytes", max_message_bytes), "message"),
            (queues, ("max-queue-bytes", self.max_queue_bytes), "peer"),
        ] {
            if total.1 < part.1 {
                return Err(TooSmall { total, part, owner });
            }
        }
        Ok(())
    }
}

/// A total limit is below the limit for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall {
    total: (&'static str, usize),
    part: (&'static str, usize),
    owner: &'static str,
}

impl Display for TooSmall {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let Self { total: (total, all), part: (part, one), owner } = self;
        write!(f, "--{total} {all} is less than --{part} {one}, which is for one {owner}")
    }
}

impl Error for TooSmall {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_limit_below_the_individual_limit_is_rejected() {
        let mut settings = Settings::default();
        assert_eq!(settings.check(), Ok(()));
        settings.max_total_queue_bytes = settings.max_queue_bytes;
        assert_eq!(settings.check(), Ok(()));
        settings.max_queue_bytes = 2000;
        settings.max_total_queue_bytes = 1999;
        assert_eq!(
            settings.check().unwrap_err().to_string(),
            "--max-total-queue-bytes 1999 is less than --max-queue-bytes 2000, which is for one peer"
        );
        settings.engine.limits.max_buffered_bytes = 5;
        assert_eq!(
            settings.check().unwrap_err().to_string(),
            "--max-buffered-bytes 5 is less than --max-message-bytes 1048576, which is for one message"
        );
    }
}
