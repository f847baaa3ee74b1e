//! A connection's streams.

use core::net::SocketAddr;

use legacy_websocket_shell::{WriteAccount, WriteQueue};

use super::address::lift;
use super::bindings::wasi::io::poll::Pollable;
use super::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};
use super::bindings::wasi::sockets::tcp::{ShutdownType, TcpSocket};
use crate::io::{Flush, Gone, Received};

/// The kernel's send buffer. Small, so that a `MORE_SEND_BUFFER` can take the remaining output of a peer that does not
/// read.
pub(super) const SEND_BUFFER: u64 = 64 * 1024;

/// More than the kernel allows: on Linux it allows twice the requested size, but at least 200 KiB.
const MORE_SEND_BUFFER: u64 = 4 * 1024 * 1024;

/// The maximum passed to the host in one write: a message of 64 KiB with its frame. The host may hold it, unseen, until
/// the peer takes it. Two writes for one message would be slow: the kernel holds back a segment that is not full until
/// the peer has acknowledged the one before it, for which the peer takes its time.
const MAX_WRITE: u64 = 64 * 1024 + 256;

/// The size of the first of several reads, in bytes: hosts allocate all of it.
const MIN_READ: usize = 4 * 1024;

/// A connection's streams.
pub(crate) struct Socket {
    // Children before parents: fields are dropped in this order.
    pub(crate) readable: Pollable,
    pub(crate) writable: Option<Pollable>,
    input: InputStream,
    output: OutputStream,
    socket: TcpSocket,
    read_size: usize,
    /// The largest value `check-write` has returned: at that value the host holds nothing.
    idle_room: u64,
}

impl Socket {
    pub(super) fn new(socket: TcpSocket, input: InputStream, output: OutputStream) -> Self {
        let readable = input.subscribe();
        Self { readable, writable: None, input, output, socket, read_size: MIN_READ, idle_room: 1 }
    }

    /// The peer's address, or none if the peer is gone already.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.socket.remote_address().ok().map(lift)
    }

    /// Reads what is there, at most `max` bytes. The size of a read grows for peers that send much.
    pub(crate) fn read(&mut self, max: usize) -> Received {
        match self.input.read(self.read_size as u64) {
            Ok(bytes) if bytes.is_empty() => Received::Nothing,
            Ok(bytes) => {
                let full = bytes.len() >= self.read_size;
                self.read_size = if full { (self.read_size * 2).min(max) } else { MIN_READ };
                Received::Bytes(bytes)
            }
            Err(StreamError::Closed) => Received::End,
            Err(StreamError::LastOperationFailed(_)) => Received::Reset,
        }
    }

    /// Passes as much to the host as it takes.
    pub(crate) fn write<A: WriteAccount>(&mut self, queue: &mut WriteQueue<A>) -> Result<(), Gone> {
        while !queue.is_empty() {
            let room = self.output.check_write().map_err(|_| Gone)?;
            if room == 0 {
                break;
            }
            self.idle_room = self.idle_room.max(room);
            let front = queue.front(usize::try_from(room.min(MAX_WRITE)).unwrap_or(usize::MAX));
            self.output.write(&front).map_err(|_| Gone)?;
            let written = front.len();
            queue.advance(written);
        }
        Ok(())
    }

    /// Where the output is that the host has taken.
    pub(crate) fn flush(&self) -> Result<Flush, Gone> {
        match self.output.check_write() {
            Ok(room) if room >= self.idle_room => Ok(Flush::Done),
            Ok(0) => Ok(Flush::Blocked),
            Ok(_) => Ok(Flush::Soon),
            Err(_) => Err(Gone),
        }
    }

    /// Sends our FIN. On hosts without half-close this is the end of the connection.
    pub(crate) fn half_close(&mut self) {
        let _ = self.socket.shutdown(ShutdownType::Send);
    }

    /// The main loop waits until more can be written, or no longer does.
    pub(crate) fn await_writable(&mut self, awaits: bool) {
        let output = &self.output;
        if awaits {
            self.writable.get_or_insert_with(|| output.subscribe());
        } else {
            self.writable = None;
        }
    }

    /// Closes it. Dropping a stream waits for output that the host still holds, so the kernel is made to take it, and
    /// the main loop waits for the rest together with everything else.
    pub(crate) fn close(self) -> Option<Draining> {
        if self.output.check_write().is_ok_and(|room| room < self.idle_room) {
            let _ = self.socket.set_send_buffer_size(MORE_SEND_BUFFER);
            let _ = self.socket.shutdown(ShutdownType::Both);
        }
        if !matches!(self.output.check_write(), Ok(0)) {
            return None;
        }
        let Self { readable, writable, input, output, socket, .. } = self;
        // Dropped before their parents.
        drop((readable, writable));
        drop(input);
        Some(Draining { writable: output.subscribe(), output, _socket: socket })
    }
}

/// A closed connection; the host still holds bytes that the peer does not read.
pub(crate) struct Draining {
    pub(crate) writable: Pollable,
    output: OutputStream,
    _socket: TcpSocket,
}

impl Draining {
    /// Whether dropping it would not block.
    pub(crate) fn is_done(&self) -> bool {
        !matches!(self.output.check_write(), Ok(0))
    }
}
