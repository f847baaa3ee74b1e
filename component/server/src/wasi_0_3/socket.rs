//! A connection's streams.

use alloc::vec::Vec;
use core::mem;
use core::net::SocketAddr;

use legacy_websocket_shell::{WriteAccount, WriteQueue};
use wit_bindgen::FutureReader;

use super::abi::{Event, Reader, Writer, Written};
use super::bindings::wasi::sockets::types::{ErrorCode, TcpSocket};
use super::bindings::wit_stream;
use super::future::result;
use super::waiter::{Source, Waiter};
use crate::io::{Flush, Gone, Ready, Received};

/// The buffer of each connection, which the host has even of idle ones, in bytes: of those whose last input fit into it,
/// and of others.
const MIN_READ: usize = 1024;
const LARGE_READ: usize = 17 * 1024;

/// The maximum passed to the host in one write. It is copied if it is of several pieces.
const MAX_WRITE: usize = 256 * 1024;

/// The maximum of a write that may take longer, which is always copied.
const MAX_AGAIN: usize = 16 * 1024;

/// A connection's streams.
pub(crate) struct Socket {
    input: Reader,
    /// How the input ended, until that has been told.
    end: Option<FutureReader<Result<(), ErrorCode>>>,
    /// `None` after our FIN.
    output: Option<Writer>,
    awaits_writable: bool,
    /// The host has just said that more can be written.
    is_writable: bool,
    /// What to write next, even if that takes longer: the host has taken nothing although it said that it would. The
    /// canonical ABI wants such a write, for a reader may find out only so what it can take.
    again: Vec<u8>,
    /// Bytes of the queue that the host has taken since the last write.
    taken: usize,
    has_joined: bool,
    read_size: usize,
    peer: Option<SocketAddr>,
    _socket: TcpSocket,
}

impl Socket {
    pub(super) fn new(socket: TcpSocket, peer: Option<SocketAddr>) -> Self {
        let (input, end) = socket.receive();
        let (output, outgoing) = wit_stream::new();
        // A write tells whether the connection is gone.
        drop(socket.send(outgoing));
        Self {
            input: Reader::new(input),
            end: Some(end),
            output: Some(Writer::new(output)),
            awaits_writable: false,
            is_writable: false,
            again: Vec::new(),
            taken: 0,
            has_joined: false,
            read_size: MIN_READ,
            peer,
            _socket: socket,
        }
    }

    /// The peer's address, or none if the peer is gone already.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Reads what is there, at most `max` bytes and the buffer.
    pub(crate) fn read(&mut self, max: usize) -> Received {
        let mut all = Vec::new();
        loop {
            let size = self.input.size();
            match self.input.take(&mut all) {
                Some(0) => break,
                Some(count) if count < size || all.len() >= max => break,
                Some(_) => {}
                None if all.is_empty() => return self.end(),
                // The end is reported after the bytes.
                None => break,
            }
            // It may block, and keep its buffer for as long as the peer is idle.
            if !self.input.start(LARGE_READ.min(max)) {
                break;
            }
        }
        if all.is_empty() {
            return Received::Nothing;
        }
        self.read_size = if all.len() < MIN_READ { MIN_READ } else { LARGE_READ.min(max) };
        Received::Bytes(all)
    }

    fn end(&mut self) -> Received {
        match self.end.take().map(result) {
            Some(Err(_)) => Received::Reset,
            Some(Ok(())) | None => Received::End,
        }
    }

    /// Passes as much to the host as it takes.
    pub(crate) fn write<A: WriteAccount>(&mut self, queue: &mut WriteQueue<A>) -> Result<(), Gone> {
        if self.taken > 0 {
            queue.advance(mem::take(&mut self.taken));
        }
        let was_writable = mem::replace(&mut self.is_writable, false);
        while !queue.is_empty() {
            let Some(output) = &mut self.output else { return Err(Gone) };
            if output.is_busy() {
                break;
            }
            let (written, is_full) = match output.write(&queue.front(MAX_WRITE)) {
                Written::Some(count) => (count, count == 0),
                Written::Full(count) => (count, true),
                Written::Gone => return Err(Gone),
            };
            queue.advance(written);
            if is_full {
                if was_writable && written == 0 {
                    self.again = queue.front(MAX_AGAIN).to_vec();
                }
                break;
            }
        }
        Ok(())
    }

    /// The host has nothing: what it takes is the kernel's.
    pub(crate) fn flush(&self) -> Result<Flush, Gone> {
        Ok(Flush::Done)
    }

    /// Sends our FIN.
    pub(crate) fn half_close(&mut self) {
        self.output = None;
    }

    /// The main loop waits until more can be written, or no longer does.
    pub(crate) fn await_writable(&mut self, awaits: bool) {
        self.awaits_writable = awaits;
    }

    /// Closes it. The host holds nothing of it.
    pub(crate) fn close(self) -> Option<Draining> {
        None
    }

    /// Starts to read, and to wait for readiness to write, if that is wanted and not done yet.
    pub(crate) fn start(&mut self, id: u64, reads: bool, waiter: &mut Waiter) {
        if reads {
            if !mem::replace(&mut self.has_joined, true) {
                waiter.join(self.input.handle(), Source::Input(id));
            }
            if self.input.start(self.read_size) {
                waiter.note_ready(Ready::Readable(id));
            }
        }
        if let Some(output) = &mut self.output
            && self.awaits_writable
            && !output.is_busy()
        {
            let bytes = mem::take(&mut self.again);
            let count = bytes.len();
            match output.start(bytes, Some(&waiter.set)) {
                Some(rest) => {
                    self.taken = count.saturating_sub(rest.len());
                    waiter.note_ready(Ready::Writable(id));
                }
                None => waiter.note(output.handle(), Source::Output(id)),
            }
        }
    }

    /// An event has told the result of the read.
    pub(crate) fn complete_read(&mut self, event: &Event) {
        self.input.complete(event.result);
    }

    /// An event has told that more can be written.
    pub(crate) fn complete_write(&mut self, event: &Event) {
        if let Some(output) = &mut self.output {
            let count = output.pending();
            let rest = output.complete(event.result);
            self.taken = count.saturating_sub(rest.len());
            self.is_writable = count == 0;
        }
    }
}

/// Nothing is held by a host of WASI 0.3.
pub(crate) enum Draining {}

impl Draining {
    /// Whether dropping it would not block.
    pub(crate) fn is_done(&self) -> bool {
        match *self {}
    }
}
