//! Standard input, output and error.

use alloc::vec::Vec;
use core::mem;

use super::abi::{Event, Reader, Timer, WaitableSet, Writer};
use super::bindings::wasi::cli::{stderr, stdin, stdout};
use super::bindings::wit_stream;
use super::clock::monotonic;
use super::waiter::{Source, Waiter};
use crate::io::{NANOSECONDS, Ready};

/// The size of a read of standard input, in bytes.
const READ: usize = 4096;

/// Lines that wait for standard error, in bytes.
const MAX_WAITING: usize = 64 * 1024;

/// How long the last lines may take, in nanoseconds.
const FINISH_TIME: u64 = 1000 * NANOSECONDS;

/// Standard input, of which only the end matters.
pub(crate) struct Stdin {
    reader: Reader,
    has_joined: bool,
}

impl Stdin {
    pub(crate) fn new() -> Self {
        let (stream, _) = stdin::read_via_stream();
        Self { reader: Reader::new(stream), has_joined: false }
    }

    /// Starts to read, if that is not done yet.
    pub(crate) fn start(&mut self, waiter: &mut Waiter) {
        if !mem::replace(&mut self.has_joined, true) {
            waiter.join(self.reader.handle(), Source::Stdin);
        }
        if self.reader.start(READ) {
            waiter.note_ready(Ready::Stdin);
        }
    }

    /// An event has told the result.
    pub(crate) fn complete(&mut self, event: &Event) {
        self.reader.complete(event.result);
    }

    /// Whether it has ended, or cannot be read. Input is discarded.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.reader.take(&mut Vec::new()).is_none()
    }
}

/// Standard error. Lines wait in memory while the host writes others.
pub(crate) struct Stderr {
    pub(super) writer: Writer,
    waiting: Vec<u8>,
    has_joined: bool,
}

impl Stderr {
    pub(crate) fn new() -> Self {
        let (writer, lines) = wit_stream::new();
        drop(stderr::write_via_stream(lines));
        Self { writer: Writer::new(writer), waiting: Vec::new(), has_joined: false }
    }

    /// Writes all of it or, if it is not being read, nothing. Returns whether it did.
    pub(crate) fn write(&mut self, text: &[u8]) -> bool {
        if self.waiting.len().saturating_add(text.len()) > MAX_WAITING {
            return false;
        }
        self.waiting.extend_from_slice(text);
        self.go_on();
        true
    }

    /// Waits for what is being written.
    pub(crate) fn start(&mut self, waiter: &mut Waiter) {
        if !mem::replace(&mut self.has_joined, true) {
            waiter.join(self.writer.handle(), Source::Stderr);
        }
    }

    /// An event has told what was written.
    pub(crate) fn complete(&mut self, event: &Event, waiter: &Waiter) {
        self.go_on_after(event.result);
        waiter.set.join(self.writer.handle());
    }

    fn go_on_after(&mut self, result: u32) {
        let mut left = self.writer.complete(result);
        left.append(&mut self.waiting);
        self.waiting = left;
        self.go_on();
    }

    /// Waits until everything is written, or for a moment.
    pub(crate) fn finish(&mut self) {
        let set = WaitableSet::new();
        let mut timer = Timer::start(monotonic().saturating_add(FINISH_TIME), &set);
        while self.writer.is_busy() {
            set.join(self.writer.handle());
            let event = set.wait();
            match timer.take_if(|timer| timer.handle == event.handle) {
                Some(over) => {
                    over.finish();
                    break;
                }
                None => self.go_on_after(event.result),
            }
        }
        if let Some(timer) = timer {
            timer.cancel();
        }
    }

    fn go_on(&mut self) {
        while !self.waiting.is_empty() && !self.writer.is_busy() {
            let lines = mem::take(&mut self.waiting);
            self.waiting = self.writer.start(lines, None).unwrap_or_default();
        }
    }
}

/// Writes to standard output. Errors are ignored: it may have been closed on purpose.
pub(crate) fn print(text: &str) {
    let (stream, lines) = wit_stream::new();
    drop(stdout::write_via_stream(lines));
    let (mut writer, set) = (Writer::new(stream), WaitableSet::new());
    let mut left = text.as_bytes().to_vec();
    while !left.is_empty() {
        left = match writer.start(left, Some(&set)) {
            Some(left) => left,
            None => writer.complete(set.wait().result),
        };
    }
}
