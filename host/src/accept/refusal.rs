//! Why a connection is refused before it reaches the engine, and what its peer is told.

use crate::accept::peer_limiter::LimitExceeded;

/// Why it is refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
    Stopping,
    Full,
    LimitExceeded(LimitExceeded),
}

impl Refusal {
    pub(super) fn status(self) -> u16 {
        match self {
            Self::Stopping | Self::Full => 503,
            Self::LimitExceeded(_) => 429,
        }
    }

    /// For metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::Full => "full",
            Self::LimitExceeded(LimitExceeded::Connections) => "connections-per-peer",
            Self::LimitExceeded(LimitExceeded::Rate) => "handshakes-per-peer",
        }
    }

    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Stopping => "the server is shutting down",
            Self::Full => "the server has as many connections as it may have",
            Self::LimitExceeded(LimitExceeded::Connections) => "too many connections of one address",
            Self::LimitExceeded(LimitExceeded::Rate) => "too many new connections of one address",
        }
    }

    pub(super) fn response(self) -> Vec<u8> {
        let phrase = if self.status() == 503 { "Service Unavailable" } else { "Too Many Requests" };
        let (status, body) = (self.status(), format!("{}\n", self.reason()));
        format!(
            "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
             Retry-After: 1\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}
