//! Standard input, output and error.

use super::bindings::wasi::cli::stderr::get_stderr;
use super::bindings::wasi::cli::stdin::get_stdin;
use super::bindings::wasi::cli::stdout::get_stdout;
use super::bindings::wasi::io::poll::Pollable;
use super::bindings::wasi::io::streams::{InputStream, OutputStream};

/// The maximum that one call of `blocking-write-and-flush` takes.
const BLOCKING_BYTES: usize = 4096;

/// Standard input, of which only the end matters.
pub(crate) struct Stdin {
    // Before the stream, its parent.
    pub(crate) readable: Pollable,
    stream: InputStream,
}

/// Standard error.
pub(crate) struct Stderr(OutputStream);

impl Stdin {
    pub(crate) fn new() -> Self {
        let stream = get_stdin();
        Self { readable: stream.subscribe(), stream }
    }

    /// Whether it has ended, or cannot be read. Input is discarded.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.stream.read(4096).is_err()
    }
}

impl Stderr {
    pub(crate) fn new() -> Self {
        Self(get_stderr())
    }

    /// Writes all of it or, if it is not being read, nothing. Returns whether it did.
    pub(crate) fn write(&mut self, text: &[u8]) -> bool {
        let room = self.0.check_write().unwrap_or(0);
        if room < text.len() as u64 || self.0.write(text).is_err() {
            return false;
        }
        // Bytes it could not take are counted when the next line finds no room.
        let _ = self.0.flush();
        true
    }

    /// The host writes what it has.
    pub(crate) fn finish(&mut self) {}
}

/// Writes to standard output. Errors are ignored: it may have been closed on purpose.
pub(crate) fn print(text: &str) {
    let stdout = get_stdout();
    for part in text.as_bytes().chunks(BLOCKING_BYTES) {
        let _ = stdout.blocking_write_and_flush(part);
    }
}
