//! Refusals before a connection reaches the engine, and the answer to the peer.

use alloc::vec::Vec;
use core::fmt::{Display, Formatter, Result};

use legacy_websocket::http_refusal;

use crate::printable::LogValue;
use crate::telemetry::Level;

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The server is shutting down.
    Stopping,
    /// The maximum number of connections is reached.
    Full,
    /// This address has its maximum number of connections.
    ConnectionsPerPeer,
    /// This address has opened its maximum number of connections in this second.
    HandshakesPerPeer,
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Stopping | Self::Full => 503,
            Self::ConnectionsPerPeer | Self::HandshakesPerPeer => 429,
        }
    }

    /// The label in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::Full => "full",
            Self::ConnectionsPerPeer => "connections-per-peer",
            Self::HandshakesPerPeer => "handshakes-per-peer",
        }
    }

    /// One line for the log and the peer.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Stopping => "the server is shutting down",
            Self::Full => "too many connections",
            Self::ConnectionsPerPeer => "too many connections from one address",
            Self::HandshakesPerPeer => "too many new connections from one address",
        }
    }

    /// The level of the log line. A stopping server refuses everything, which is not worth a warning.
    #[must_use]
    pub fn level(self) -> Level {
        match self {
            Self::Stopping => Level::Debug,
            _ => Level::Warn,
        }
    }

    /// The log line.
    pub fn line(self, peer: impl Display) -> impl Display {
        Line { peer, why: self }
    }

    /// The whole response; the connection ends after it.
    #[must_use]
    pub fn response(self) -> Vec<u8> {
        http_refusal(self.status(), &[("Retry-After", "1")], self.reason())
    }
}

struct Line<P> {
    peer: P,
    why: Refusal,
}

impl<P: Display> Display for Line<P> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (peer, status, reason) = (&self.peer, self.why.status(), LogValue(self.why.reason().as_bytes()));
        write!(f, "refused peer={peer} status={status} reason={reason}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_retry_after() {
        let response = String::from_utf8(Refusal::HandshakesPerPeer.response()).unwrap();
        assert!(response.starts_with("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\ntoo many new connections from one address\n"), "{response}");
    }
}
