//! Input that waits for a later turn.

use alloc::vec::Vec;

use crate::event::ConnectionId;

/// Input of one connection that a bounded turn left for later: see
/// [`Server::take_deferred`](crate::Server::take_deferred).
#[derive(Debug)]
pub struct Deferred {
    pub(crate) connection: ConnectionId,
    pub(crate) bytes: Vec<u8>,
    pub(crate) start: usize,
    /// The peer ended its side of TCP after this input.
    pub(crate) ended: bool,
}

impl Deferred {
    /// The connection that sent it.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// The bytes not yet consumed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Takes bytes off the start.
    pub fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.bytes.len());
    }

    /// The memory that it holds.
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity()
    }
}
