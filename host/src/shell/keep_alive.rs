//! HTTP connections that are kept open.

use std::collections::HashMap;

use crate::accept::peer_limiter::Ticket;

/// Connections that have asked something over plain HTTP and of which nothing else is known to be under way.
pub(super) type KeepAlive = HashMap<u64, Http>;

#[derive(Debug)]
pub(super) enum Http {
    Responding {
        /// More has come ahead of the response.
        ahead: bool,
        /// To be closed behind the response.
        leaving: bool,
    },
    Idle(Ticket),
}
