//! Kept-alive HTTP connections.

use std::collections::HashMap;

use crate::accept::peer_limiter::Ticket;

/// Connections that have sent a plain HTTP request and have nothing else in progress, as far as the shell knows.
pub(super) type KeepAlive = HashMap<u64, Http>;

#[derive(Debug)]
pub(super) enum Http {
    Responding {
        /// More input has arrived ahead of the response.
        ahead: bool,
        /// Close after the response.
        leaving: bool,
    },
    Idle(Ticket),
}
