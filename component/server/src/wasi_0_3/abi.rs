//! Streams and waiting by the canonical ABI's own functions. wit-bindgen's futures would do, but take some calls of the
//! host and a search for each operation, and a task for each connection, while here is one loop.
#![expect(
    unsafe_code,
    reason = "the canonical ABI reads and writes buffers that it is given the addresses of"
)]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use wit_bindgen::{StreamReader, StreamWriter};

use super::bindings::wasi::sockets::types::TcpSocket;
use super::bindings::wit_stream::StreamPayload;

/// The operation goes on; an event tells its result.
pub(super) const BLOCKED: u32 = u32::MAX;

/// Of a future: it has been read or written.
pub(super) const COMPLETED: u32 = 0;

/// In the low bits of a result: the other side is gone. The number of items is in the others.
const DROPPED: u32 = 1;
const COUNT_SHIFT: u32 = 4;

/// The state of a call that has returned.
pub(super) const RETURNED: u32 = 2;
pub(super) const SUBTASK_SHIFT: u32 = 4;
pub(super) const STATE_MASK: u32 = 0xf;

/// The operations being waited for. It lives as long as the program: dropping a set that is not empty traps.
pub(super) struct WaitableSet(u32);

/// The result of an operation.
pub(crate) struct Event {
    /// The stream's, or the timer's.
    pub(super) handle: u32,
    pub(super) result: u32,
}

impl Event {
    /// Of a call: whether it is over.
    pub(super) fn has_returned(&self) -> bool {
        self.result == RETURNED
    }
}

impl WaitableSet {
    pub(super) fn new() -> Self {
        // SAFETY: it has no preconditions.
        Self(unsafe { waitable_set_new() })
    }

    /// Waits for an event.
    pub(super) fn wait(&self) -> Event {
        let mut event = [0; 2];
        // SAFETY: the set exists as long as `self`, and an event is two words.
        unsafe { waitable_set_wait(self.0, &mut event) };
        let [handle, result] = event;
        Event { handle, result }
    }

    /// An event, if there is one.
    pub(super) fn poll(&self) -> Option<Event> {
        let mut event = [0; 2];
        // SAFETY: as in `wait`.
        let kind = unsafe { waitable_set_poll(self.0, &mut event) };
        let [handle, result] = event;
        (kind != 0).then_some(Event { handle, result })
    }

    /// Waits for a stream's operations, too.
    pub(super) fn join(&self, handle: u32) {
        // SAFETY: both exist; a stream that does not would be a trap.
        unsafe { waitable_join(handle, self.0) };
    }
}

/// Lets the host do other work, such as to find out what else is ready.
pub(crate) fn yield_to_host() {
    // SAFETY: it has no preconditions.
    unsafe { thread_yield() };
}

/// Stops waiting for it.
pub(super) fn leave(handle: u32) {
    // SAFETY: the stream exists.
    unsafe { waitable_join(handle, 0) };
}

/// A wait for a time.
pub(super) struct Timer {
    pub(super) handle: u32,
}

impl Timer {
    /// Waits until this time of the monotonic clock, in nanoseconds. `None`: it has come.
    pub(super) fn start(at: u64, set: &WaitableSet) -> Option<Self> {
        // SAFETY: it has no preconditions.
        let started = unsafe { wait_until(at) };
        if started & STATE_MASK == RETURNED {
            return None;
        }
        let handle = started >> SUBTASK_SHIFT;
        set.join(handle);
        Some(Self { handle })
    }

    /// It has returned.
    pub(super) fn finish(self) {
        // SAFETY: it exists and has returned.
        unsafe { subtask_drop(self.handle) };
    }

    pub(super) fn cancel(self) {
        leave(self.handle);
        // SAFETY: it exists and has not returned, or no event has told so.
        unsafe { subtask_cancel(self.handle) };
        self.finish();
    }
}

/// A stream of bytes to read, one read at a time.
pub(super) struct Reader {
    stream: StreamReader<u8>,
    /// The read's, while there is one.
    buffer: Vec<u8>,
    state: ReadState,
}

#[derive(Clone, Copy)]
enum ReadState {
    Idle,
    Reading,
    /// This many bytes are in the buffer.
    Read(usize),
    /// So many, and these are the last.
    Last(usize),
    Ended,
}

impl Reader {
    pub(super) fn new(stream: StreamReader<u8>) -> Self {
        Self { stream, buffer: Vec::new(), state: ReadState::Idle }
    }

    pub(super) fn handle(&self) -> u32 {
        self.stream.handle()
    }

    /// The most that the read going on, or the last one, may take, in bytes.
    pub(super) fn size(&self) -> usize {
        self.buffer.capacity()
    }

    /// Starts to read at most `size` bytes, if that has not been done. Returns whether there is something to take.
    pub(super) fn start(&mut self, size: usize) -> bool {
        if matches!(self.state, ReadState::Idle) {
            if self.buffer.capacity() != size {
                self.buffer = Vec::with_capacity(size);
            }
            let (buffer, size) = (self.buffer.as_mut_ptr(), self.buffer.capacity());
            // SAFETY: nothing touches the buffer until the read is over: `take` only then, and `drop` cancels it.
            let result = unsafe { (u8::VTABLE.start_read)(self.handle(), buffer, size) };
            self.state = ReadState::Reading;
            if result != BLOCKED {
                self.complete(result);
            }
        }
        !matches!(self.state, ReadState::Idle | ReadState::Reading)
    }

    /// An event has told the read's result.
    pub(super) fn complete(&mut self, result: u32) {
        let count = count(result);
        self.state = if is_dropped(result) { ReadState::Last(count) } else { ReadState::Read(count) };
    }

    /// Adds what was read. `None`: the stream has ended; 0: nothing was read yet.
    pub(super) fn take(&mut self, all: &mut Vec<u8>) -> Option<usize> {
        let (count, next) = match self.state {
            ReadState::Idle | ReadState::Reading => return Some(0),
            ReadState::Read(count) => (count, ReadState::Idle),
            ReadState::Last(count) if count > 0 => (count, ReadState::Ended),
            ReadState::Last(_) | ReadState::Ended => {
                self.state = ReadState::Ended;
                return None;
            }
        };
        self.state = next;
        // SAFETY: the host has written so many, at most the buffer's capacity.
        unsafe { self.buffer.set_len(count.min(self.buffer.capacity())) };
        if all.is_empty() && count > self.buffer.capacity() / 2 {
            mem::swap(all, &mut self.buffer);
        } else {
            all.extend_from_slice(&self.buffer);
            self.buffer.clear();
        }
        Some(count)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        leave(self.handle());
        if matches!(self.state, ReadState::Reading) {
            // SAFETY: a read is going on, or over without an event.
            unsafe { (u8::VTABLE.cancel_read)(self.handle()) };
        }
    }
}

/// A stream of bytes to write.
pub(super) struct Writer {
    stream: StreamWriter<u8>,
    /// What is being written, if that takes longer.
    pending: Option<Vec<u8>>,
    is_gone: bool,
}

/// What a write has done.
pub(super) enum Written {
    /// So many bytes were taken.
    Some(usize),
    /// So many, and no more can be for now.
    Full(usize),
    /// The reader is gone.
    Gone,
}

impl Writer {
    pub(super) fn new(stream: StreamWriter<u8>) -> Self {
        Self { stream, pending: None, is_gone: false }
    }

    pub(super) fn handle(&self) -> u32 {
        self.stream.handle()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    /// The bytes of the write going on.
    pub(super) fn pending(&self) -> usize {
        self.pending.as_ref().map_or(0, Vec::len)
    }

    /// Writes what can be written now.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Written {
        if self.is_gone {
            return Written::Gone;
        }
        if self.is_busy() {
            return Written::Full(0);
        }
        // SAFETY: the bytes are valid for this call, and if the write is not over then, it is cancelled.
        let mut result = unsafe { (u8::VTABLE.start_write)(self.handle(), bytes.as_ptr(), bytes.len()) };
        let is_full = result == BLOCKED;
        if is_full {
            // SAFETY: the write is going on, and in no set.
            result = unsafe { (u8::VTABLE.cancel_write)(self.handle()) };
        }
        self.is_gone = is_dropped(result);
        match count(result) {
            0 if self.is_gone => Written::Gone,
            count if is_full => Written::Full(count),
            count => Written::Some(count),
        }
    }

    /// Writes even if that takes longer: then an event tells the result. Without bytes it is the readiness to write
    /// that is waited for. Returns what is left to write, if this write is over.
    pub(super) fn start(&mut self, bytes: Vec<u8>, set: Option<&WaitableSet>) -> Option<Vec<u8>> {
        if self.is_gone {
            return Some(Vec::new());
        }
        // SAFETY: `pending` keeps the bytes until the write is over, and `drop` cancels it.
        let result = unsafe { (u8::VTABLE.start_write)(self.handle(), bytes.as_ptr(), bytes.len()) };
        if result != BLOCKED {
            return Some(self.rest(bytes, result));
        }
        self.pending = Some(bytes);
        if let Some(set) = set {
            set.join(self.handle());
        }
        None
    }

    /// An event has told the result. Returns what is left to write.
    pub(super) fn complete(&mut self, result: u32) -> Vec<u8> {
        let bytes = self.pending.take().unwrap_or_default();
        leave(self.handle());
        self.rest(bytes, result)
    }

    fn rest(&mut self, mut bytes: Vec<u8>, result: u32) -> Vec<u8> {
        self.is_gone = is_dropped(result);
        let written = if self.is_gone { bytes.len() } else { count(result).min(bytes.len()) };
        bytes.drain(..written);
        bytes
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.is_busy() {
            leave(self.handle());
            // SAFETY: a write is going on, or over without an event.
            unsafe { (u8::VTABLE.cancel_write)(self.handle()) };
        }
    }
}

/// A stream of new connections.
pub(super) struct Incoming {
    stream: StreamReader<TcpSocket>,
    /// Where the next one is put.
    slot: Box<u32>,
    state: ReadState,
}

impl Incoming {
    pub(super) fn new(stream: StreamReader<TcpSocket>) -> Self {
        Self { stream, slot: Box::new(0), state: ReadState::Idle }
    }

    pub(super) fn handle(&self) -> u32 {
        self.stream.handle()
    }

    /// Waits for a connection. Returns whether there is one.
    pub(super) fn start(&mut self) -> bool {
        if matches!(self.state, ReadState::Idle) {
            let slot: *mut u32 = &mut *self.slot;
            // SAFETY: a handle fits into the slot, which is not touched until the read is over; `drop` cancels it.
            let result = unsafe { (TcpSocket::VTABLE.start_read)(self.handle(), slot.cast(), 1) };
            self.state = ReadState::Reading;
            if result != BLOCKED {
                self.complete(result);
            }
        }
        matches!(self.state, ReadState::Read(_) | ReadState::Last(_))
    }

    /// Whether there will never be one again.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, ReadState::Ended)
    }

    /// An event has told the result.
    pub(super) fn complete(&mut self, result: u32) {
        self.state = match (count(result), is_dropped(result)) {
            (0, false) => ReadState::Idle,
            (0, true) => ReadState::Ended,
            (count, false) => ReadState::Read(count),
            (count, true) => ReadState::Last(count),
        };
    }

    /// The next connection, if there is one.
    pub(super) fn take(&mut self) -> Option<TcpSocket> {
        self.state = match self.state {
            ReadState::Read(_) => ReadState::Idle,
            ReadState::Last(_) => ReadState::Ended,
            _ => return None,
        };
        // SAFETY: the host has put the handle of a socket there, which is ours.
        Some(unsafe { TcpSocket::from_handle(*self.slot) })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        leave(self.handle());
        if matches!(self.state, ReadState::Reading) {
            // SAFETY: a read is going on, or over without an event.
            let result = unsafe { (TcpSocket::VTABLE.cancel_read)(self.handle()) };
            self.complete(result);
        }
        // A connection that nobody will serve.
        drop(self.take());
    }
}

fn count(result: u32) -> usize {
    usize::try_from(result >> COUNT_SHIFT).unwrap_or_default()
}

fn is_dropped(result: u32) -> bool {
    result & STATE_MASK == DROPPED
}

#[link(wasm_import_module = "$root")]
unsafe extern "C" {
    #[link_name = "[waitable-set-new]"]
    fn waitable_set_new() -> u32;
    #[link_name = "[waitable-set-wait]"]
    fn waitable_set_wait(set: u32, event: *mut [u32; 2]) -> u32;
    #[link_name = "[waitable-set-poll]"]
    fn waitable_set_poll(set: u32, event: *mut [u32; 2]) -> u32;
    #[link_name = "[waitable-join]"]
    fn waitable_join(waitable: u32, set: u32);
    #[link_name = "[subtask-cancel]"]
    fn subtask_cancel(subtask: u32) -> u32;
    #[link_name = "[subtask-drop]"]
    pub(super) fn subtask_drop(subtask: u32);
    #[link_name = "[thread-yield]"]
    fn thread_yield() -> u32;
}

#[link(wasm_import_module = "wasi:clocks/monotonic-clock@0.3.0")]
unsafe extern "C" {
    #[link_name = "[async-lower]wait-until"]
    fn wait_until(when: u64) -> u32;
}
