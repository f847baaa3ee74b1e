//! A peer's socket, what waits to be written to it, and the writing.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

use crate::socket::Socket;
use crate::wit::Disposition;

/// Slices handed to one vectored write.
const MAX_SLICES: usize = 64;

/// Filled by the shell, which writes at once what the kernel takes; the rest is the connection's task's.
#[derive(Debug)]
pub(crate) struct Outbox(RefCell<Inner>);

#[derive(Debug)]
struct Inner {
    socket: Socket,
    queue: Queue,
    /// All that was written, to all peers.
    sent: Rc<Cell<u64>>,
    then: Disposition,
    /// Something was pushed since the last flush.
    touched: bool,
    parked: Option<Waker>,
}

/// The limit for waiting output was reached.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

impl Outbox {
    pub(crate) fn new(socket: Socket, limit: usize, sent: Rc<Cell<u64>>) -> Self {
        Self(RefCell::new(Inner {
            socket,
            queue: Queue::new(limit),
            sent,
            then: Disposition::Keep,
            touched: false,
            parked: None,
        }))
    }

    /// Adds bytes, and what comes after them.
    pub(crate) fn push(&self, bytes: Bytes, then: Disposition) -> Result<(), Overflow> {
        let mut inner = self.0.borrow_mut();
        if inner.then == Disposition::Abort {
            // Nothing may be written behind what was dropped.
            return Ok(());
        }
        // What ends the connection is the last that is queued, so it may go over the limit.
        let ends = matches!(then, Disposition::HalfClose | Disposition::Finish | Disposition::Abort);
        if !ends && inner.queue.is_over(bytes.len()) {
            return Err(Overflow);
        }
        inner.queue.push(bytes);
        if ends {
            inner.then = then;
        }
        Ok(())
    }

    /// Whether this is the first touch since the last flush.
    pub(crate) fn touch(&self) -> bool {
        !std::mem::replace(&mut self.0.borrow_mut().touched, true)
    }

    /// Drops what waits and has the connection closed at once.
    pub(crate) fn abort(&self) {
        let mut inner = self.0.borrow_mut();
        inner.queue.clear();
        inner.then = Disposition::Abort;
    }

    /// Writes what the kernel takes now, and leaves what is left to do to the task.
    pub(crate) fn flush(&self) {
        let mut inner = self.0.borrow_mut();
        inner.touched = false;
        let Inner { socket, queue, sent, .. } = &mut *inner;
        let before = queue.bytes;
        while !queue.is_empty() {
            let written = queue.write(|slices| socket.try_write(slices));
            // What failed will fail again in the task, which knows what to do then.
            if !written.is_ok_and(|written| written > 0) {
                break;
            }
        }
        sent.set(sent.get() + (before - queue.bytes) as u64);
        let done = queue.is_empty() && !socket.holds_output();
        if (inner.then != Disposition::Keep || !done)
            && let Some(waker) = inner.parked.take()
        {
            waker.wake();
        }
    }

    /// Ready when nothing waits.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        let Inner { socket, queue, sent, .. } = &mut *inner;
        while !queue.is_empty() {
            let written = queue.write(|slices| match socket.poll_write(cx, slices) {
                Poll::Ready(result) => result.map(Poll::Ready),
                Poll::Pending => Ok(Poll::Pending),
            });
            let written = ready!(written?);
            sent.set(sent.get() + written as u64);
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        socket.poll_flush(cx)
    }

    /// Reads from the peer.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().socket.poll_read(cx, buffer)
    }

    /// Whether anything was written since the last time that this was asked, by the shell or by the task.
    pub(crate) fn take_progress(&self) -> bool {
        std::mem::take(&mut self.0.borrow_mut().queue.progress)
    }

    /// Our FIN.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().socket.poll_shutdown(cx)
    }

    /// What to do once nothing waits any more.
    pub(crate) fn then(&self) -> Disposition {
        self.0.borrow().then
    }

    /// Bytes that wait.
    pub(crate) fn queued(&self) -> usize {
        self.0.borrow().queue.bytes
    }

    /// Half full: no more is to be read from this peer for now.
    pub(crate) fn is_congested(&self) -> bool {
        let inner = self.0.borrow();
        inner.queue.bytes > inner.queue.limit / 2
    }

    /// Has the task woken when there is something to do for it.
    pub(crate) fn park(&self, waker: &Waker) {
        let parked = &mut self.0.borrow_mut().parked;
        match parked {
            Some(parked) => parked.clone_from(waker),
            None => *parked = Some(waker.clone()),
        }
    }
}

/// Bytes in the order in which they are to be written.
#[derive(Debug)]
struct Queue {
    /// The first stands outside the rest: most of the time there is one or none.
    first: Bytes,
    rest: VecDeque<Bytes>,
    bytes: usize,
    limit: usize,
    progress: bool,
}

impl Queue {
    fn new(limit: usize) -> Self {
        Self { first: Bytes::new(), rest: VecDeque::new(), bytes: 0, limit, progress: false }
    }

    fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Whether so many bytes more are too many. Each entry counts, too, for small frames cost more than they
    /// hold. Where nothing waits anything may be pushed, and where nothing is pushed nothing is too much.
    fn is_over(&self, more: usize) -> bool {
        let entries = (1 + self.rest.len()) * size_of::<Bytes>();
        more > 0 && self.bytes > 0 && self.bytes.saturating_add(entries).saturating_add(more) > self.limit
    }

    fn push(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        if self.first.is_empty() {
            self.first = bytes;
        } else if !bytes.is_empty() {
            self.rest.push_back(bytes);
        }
    }

    fn clear(&mut self) {
        *self = Self::new(self.limit);
    }

    /// Hands what waits to `write`, and takes off what that has written.
    fn write<W: Written>(&mut self, write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<W>) -> io::Result<W> {
        let written = if self.rest.is_empty() {
            write(&[IoSlice::new(&self.first)])?
        } else {
            let mut slices = Vec::with_capacity(MAX_SLICES.min(self.rest.len() + 1));
            slices.push(IoSlice::new(&self.first));
            slices.extend(self.rest.iter().take(MAX_SLICES - 1).map(|bytes| IoSlice::new(bytes)));
            write(&slices)?
        };
        self.advance(written.bytes());
        Ok(written)
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        self.progress |= written > 0;
        while written > 0 {
            let taken = written.min(self.first.len());
            self.first.advance(taken);
            written -= taken;
            if self.first.is_empty() {
                // The memory of both is given back: a connection is idle most of its life.
                match self.rest.pop_front() {
                    Some(next) => self.first = next,
                    None => (self.first, self.rest) = (Bytes::new(), VecDeque::new()),
                }
            }
        }
    }
}

/// How much a write has written, if it could write at all.
trait Written {
    fn bytes(&self) -> usize;
}

impl Written for usize {
    fn bytes(&self) -> usize {
        *self
    }
}

impl Written for Poll<usize> {
    fn bytes(&self) -> usize {
        match self {
            Self::Ready(written) => *written,
            Self::Pending => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_transmission_passes_but_nothing_on_top_of_it() {
        let mut queue = Queue::new(4);
        assert!(!queue.is_over(6));
        queue.push(Bytes::from_static(b"longer"));
        assert!(queue.is_over(1));
        assert!(!queue.is_over(0));
    }

    #[test]
    fn bytes_come_out_in_order_however_they_are_taken() {
        let mut queue = Queue::new(100);
        for part in ["ab", "", "cde", "f"] {
            queue.push(Bytes::from_static(part.as_bytes()));
        }
        let mut taken = Vec::new();
        while !queue.is_empty() {
            let take = |slices: &[IoSlice<'_>]| {
                let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
                taken.extend_from_slice(&all[..all.len().min(2)]);
                Ok(all.len().min(2))
            };
            queue.write(take).unwrap();
        }
        assert_eq!(taken, b"abcdef");
    }
}
