//! Input that arrives ahead of an answer: pipelined requests, or messages right after an opening handshake.

use alloc::vec::Vec;

use crate::error::FrameError;
use crate::frame::hold;

/// Bytes waiting for an answer. Taking bytes off the front does not move the rest.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    bytes: Vec<u8>,
    taken: usize,
}

impl Ahead {
    /// Holds all but the first `taken` bytes.
    pub(crate) fn new(bytes: Vec<u8>, taken: usize) -> Self {
        Self { bytes, taken }
    }

    /// The reverse of [`Self::new`].
    pub(crate) fn into_parts(self) -> (Vec<u8>, usize) {
        (self.bytes, self.taken)
    }

    /// Memory held, in bytes, including bytes already taken but not yet freed.
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// The remaining bytes.
    pub(crate) fn rest(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// Takes all but the last `left` bytes off the front. Frees them once they make up half of the buffer, so that
    /// each byte is moved at most once.
    pub(crate) fn take_all_but(&mut self, left: usize) {
        self.taken = self.bytes.len().saturating_sub(left);
        if self.taken >= left {
            self.bytes.drain(..self.taken);
            self.bytes.shrink_to_fit();
            self.taken = 0;
        }
    }

    /// Appends all of `input`, up to `limit` bytes in total, within `room`.
    pub(crate) fn hold(&mut self, input: &mut &[u8], limit: usize, room: usize) -> Result<(), FrameError> {
        if self.rest().len().saturating_add(input.len()) > limit {
            return Err(FrameError::NoRoom);
        }
        self.bytes = hold(core::mem::take(&mut self.bytes), input, room)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_from_the_front_and_appended_at_the_end() {
        let mut ahead = Ahead::default();
        ahead.hold(&mut &b"abcdef"[..], 6, usize::MAX).unwrap();
        ahead.take_all_but(5);
        assert_eq!((ahead.rest(), ahead.held()), (&b"bcdef"[..], 6));
        ahead.hold(&mut &b"g"[..], 6, usize::MAX).unwrap();
        assert_eq!(ahead.hold(&mut &b"h"[..], 6, usize::MAX), Err(FrameError::NoRoom));
        ahead.take_all_but(2);
        assert_eq!((ahead.rest(), ahead.held()), (&b"fg"[..], 2));
        assert_eq!(ahead.hold(&mut &b"h"[..], 6, 2), Err(FrameError::NoRoom));
    }
}
