//! The body of a request.

use alloc::vec::Vec;
use core::mem;

use wit_bindgen::StreamWriter;

use crate::wasi_0_3::abi::{Event, Writer};
use crate::wasi_0_3::waiter::{Part, Source, Waiter};

/// The body of a request, on its way.
pub(super) struct Upload {
    writer: Writer,
    rest: Vec<u8>,
}

impl Upload {
    pub(super) fn new(writer: StreamWriter<u8>, body: Vec<u8>) -> Self {
        Self { writer: Writer::new(writer), rest: body }
    }

    /// An event has told the result of a write. Returns itself if writing takes longer.
    pub(super) fn complete(mut self, event: &Event, id: u64, waiter: &mut Waiter) -> Option<Self> {
        self.rest = self.writer.complete(event.result);
        self.write(id, waiter)
    }

    /// Writes what can be written. Returns itself if that takes longer.
    pub(super) fn write(mut self, id: u64, waiter: &mut Waiter) -> Option<Self> {
        while !self.rest.is_empty() {
            match self.writer.start(mem::take(&mut self.rest), Some(&waiter.set)) {
                Some(rest) => self.rest = rest,
                None => {
                    waiter.note(self.writer.handle(), Source::Exchange(id, Part::Upload));
                    return Some(self);
                }
            }
        }
        None
    }
}
