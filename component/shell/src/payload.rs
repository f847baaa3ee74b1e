//! Output on its way to peers, counted by the memory it occupies.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;

/// Memory occupied by pending output, in bytes.
#[derive(Debug, Default)]
pub struct Held(Cell<usize>);

impl Held {
    /// The memory in bytes.
    pub fn get(&self) -> usize {
        self.0.get()
    }

    /// Replaces `before` with `now`.
    pub fn change(&self, before: usize, now: usize) {
        self.0.set(self.0.get().saturating_sub(before).saturating_add(now));
    }
}

/// Bytes for one or more peers. Their memory counts once, until the last peer releases them.
#[derive(Debug)]
pub struct Payload {
    bytes: Vec<u8>,
    held: Rc<Held>,
}

impl Payload {
    /// The overhead of each payload: itself with two counters, the allocator's share of both, and a slot in a queue.
    pub const OVERHEAD: usize = size_of::<Self>() + 6 * size_of::<usize>();

    /// Freeing less is not worth a copy.
    const MIN_TRIM: usize = 64 * 1024;

    /// Charges the memory of `bytes` to `held`. Excess capacity is freed.
    pub fn new(mut bytes: Vec<u8>, held: &Rc<Held>) -> Rc<Self> {
        if bytes.capacity() / 2 > bytes.len() {
            bytes.shrink_to_fit();
        }
        let payload = Self { bytes, held: Rc::clone(held) };
        held.change(0, payload.cost());
        Rc::new(payload)
    }

    /// The bytes to write.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The memory it occupies, in bytes.
    pub fn cost(&self) -> usize {
        self.bytes.capacity().saturating_add(Self::OVERHEAD)
    }

    /// The share of its memory that each owner accounts for.
    pub fn share(this: &Rc<Self>) -> usize {
        this.cost().checked_div(Rc::strong_count(this)).unwrap_or_default()
    }

    /// Frees the memory of the first `written` bytes if they are not shared and make up most of it: moving the rest
    /// costs less than writing them did. Returns the number of bytes freed.
    pub fn trim(this: &mut Rc<Self>, written: usize) -> usize {
        let Some(payload) = Rc::get_mut(this) else {
            return 0;
        };
        if written < Self::MIN_TRIM || written < payload.bytes.capacity() / 2 {
            return 0;
        }
        let before = payload.cost();
        payload.bytes.drain(..written.min(payload.bytes.len()));
        payload.bytes.shrink_to_fit();
        payload.held.change(before, payload.cost());
        written
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.held.change(self.cost(), 0);
    }
}
