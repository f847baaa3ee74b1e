//! HTTP connections that are kept open.

use std::collections::HashMap;

use crate::accept::peer_limiter::Ticket;

/// Connections that have sent a plain HTTP request and have nothing else in progress, as far as we know.
pub(super) type KeepAlive = HashMap<u64, Http>;

#[derive(Debug)]
pub(super) enum Http {
    Responding {
        /// More has come ahead of the response.
        ahead: bool,
        /// To be closed after the response.
        leaving: bool,
    },
    Idle(Ticket),
}
