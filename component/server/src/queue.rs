//! Bytes that wait to be written to one peer.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;

use legacy_websocket_shell::{Held, Payload};

/// What is handed to the host in one write. The host may keep it until the peer takes it, out of our sight.
const MAX_WRITE: usize = 16 * 1024;

/// The part of what may wait for all peers that a single transmission may take up.
const SINGLE: usize = 8;

/// How much may wait, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct QueueLimits {
    /// For one peer, if something waits for it already.
    pub(crate) per_connection: usize,
    /// For all peers together, as memory.
    pub(crate) total: usize,
}

/// Bytes in the order in which they are to be written, those of a broadcast shared by its recipients.
pub(crate) struct Queue {
    entries: VecDeque<Rc<Payload>>,
    /// How much of the first entry is written.
    written: usize,
    bytes: usize,
    limits: QueueLimits,
    held: Rc<Held>,
}

impl Queue {
    pub(crate) fn new(limits: QueueLimits, held: &Rc<Held>) -> Self {
        Self { entries: VecDeque::new(), written: 0, bytes: 0, limits, held: Rc::clone(held) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// More than half full.
    pub(crate) fn is_congested(&self) -> bool {
        self.counted() > self.limits.per_connection / 2
    }

    /// Whether that much more is too much. Where nothing waits, or this is the last that is queued, there is more room.
    pub(crate) fn is_over(&self, payload: &Payload, ends: bool) -> bool {
        let more = payload.bytes().len();
        let QueueLimits { per_connection, total } = self.limits;
        let limit = if ends || self.bytes == 0 { per_connection.max(total / SINGLE) } else { per_connection };
        more > 0 && self.counted().saturating_add(more) > limit
    }

    pub(crate) fn push(&mut self, payload: &Rc<Payload>) {
        if !payload.bytes().is_empty() {
            self.bytes = self.bytes.saturating_add(payload.bytes().len());
            self.change(|entries| entries.push_back(Rc::clone(payload)));
        }
    }

    pub(crate) fn clear(&mut self) {
        (self.written, self.bytes) = (0, 0);
        self.change(|entries| *entries = VecDeque::new());
    }

    /// The part of the memory of what waits that falls to this connection.
    pub(crate) fn share(&self) -> usize {
        self.entries.iter().map(Payload::share).fold(self.places(), usize::saturating_add)
    }

    /// What counts against the limit: each entry, too, for small frames cost more than they hold.
    fn counted(&self) -> usize {
        self.bytes.saturating_add(self.entries.len().saturating_mul(Payload::OVERHEAD))
    }

    /// The memory of the places counts as well.
    fn change(&mut self, change: impl FnOnce(&mut VecDeque<Rc<Payload>>)) {
        let before = self.places();
        change(&mut self.entries);
        self.held.change(before, self.places());
    }

    fn places(&self) -> usize {
        self.entries.capacity().saturating_mul(size_of::<Rc<Payload>>())
    }

    /// Hands up to `room` bytes to `write`, and takes them off if it took them.
    pub(crate) fn write<E>(
        &mut self,
        room: u64,
        write: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(MAX_WRITE);
        let first =
            self.entries.front().and_then(|entry| entry.bytes().get(self.written..)).unwrap_or_default();
        let count = if first.len() >= room || self.entries.len() == 1 {
            let part = first.get(..room).unwrap_or(first);
            write(part)?;
            part.len()
        } else {
            let joined = self.join(room);
            write(&joined)?;
            joined.len()
        };
        self.advance(count);
        Ok(())
    }

    /// The beginning of what waits, of several entries.
    fn join(&self, room: usize) -> Vec<u8> {
        let mut joined = Vec::with_capacity(room.min(self.bytes));
        let mut skipped = self.written;
        for entry in &self.entries {
            let rest = entry.bytes().get(skipped..).unwrap_or_default();
            skipped = 0;
            let left = room.saturating_sub(joined.len());
            joined.extend_from_slice(rest.get(..left).unwrap_or(rest));
            if rest.len() >= left {
                break;
            }
        }
        joined
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
        while let Some(first) = self.entries.front_mut() {
            let rest = first.bytes().len().saturating_sub(self.written);
            if count < rest {
                self.written = self.written.saturating_add(count);
                self.written = self.written.saturating_sub(Payload::trim(first, self.written));
                return;
            }
            count = count.saturating_sub(rest);
            self.written = 0;
            self.entries.pop_front();
        }
        // The memory is given back: a connection is idle most of its life.
        self.clear();
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.clear();
    }
}
