//! Texts of a backend that go to the client together.

/// Initial capacity, in bytes.
const CAPACITY: usize = 512;

/// What a message costs beyond its content, in bytes.
pub(super) const MESSAGE_COST: usize = 16;

/// Several texts in one string.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) text: String,
    /// Where each text ends.
    pub(super) ends: Vec<u32>,
}

impl Batch {
    pub(super) fn push(&mut self, text: &str) {
        if self.ends.is_empty() {
            // Most batches are of short texts: few allocations for all of them.
            self.text.reserve(text.len().max(CAPACITY));
            self.ends.reserve(CAPACITY / 32);
        }
        self.text.push_str(text);
        // Far below 4 GB: a message has a limit, and a batch one beside it.
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    /// The approximate memory, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.text.len() + self.ends.len() * MESSAGE_COST
    }
}
