//! Bytes that wait to be written to one peer.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// What is handed to the host in one write. The host may keep it until the peer takes it, out of our sight.
const MAX_WRITE: usize = 16 * 1024;

/// Bytes in the order in which they are to be written, those of a broadcast shared by its recipients.
pub(crate) struct Queue {
    entries: VecDeque<Rc<Vec<u8>>>,
    /// How much of the first entry is written.
    written: usize,
    bytes: usize,
    limit: usize,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: VecDeque::new(), written: 0, bytes: 0, limit }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// More than half full.
    pub(crate) fn is_congested(&self) -> bool {
        self.bytes > self.limit / 2
    }

    /// Whether so many bytes more are too many. Each entry counts, too, for small frames cost more than they
    /// hold. Where nothing waits anything may be pushed, and where nothing is pushed nothing is too much.
    pub(crate) fn is_over(&self, more: usize) -> bool {
        let entries = self.entries.len().saturating_add(1).saturating_mul(size_of::<Rc<Vec<u8>>>());
        more > 0 && self.bytes > 0 && self.bytes.saturating_add(entries).saturating_add(more) > self.limit
    }

    pub(crate) fn push(&mut self, bytes: Rc<Vec<u8>>) {
        if !bytes.is_empty() {
            self.bytes = self.bytes.saturating_add(bytes.len());
            self.entries.push_back(bytes);
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.limit);
    }

    /// Hands up to `room` bytes to `write`, and takes them off if it took them.
    pub(crate) fn write<E>(
        &mut self,
        room: u64,
        write: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(MAX_WRITE);
        let first = self.entries.front().and_then(|entry| entry.get(self.written..)).unwrap_or_default();
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
            let rest = entry.get(skipped..).unwrap_or_default();
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
        while let Some(first) = self.entries.front() {
            let rest = first.len().saturating_sub(self.written);
            if count < rest {
                self.written = self.written.saturating_add(count);
                return;
            }
            count -= rest;
            self.written = 0;
            self.entries.pop_front();
        }
        // The memory is given back: a connection is idle most of its life.
        self.entries = VecDeque::new();
    }
}
