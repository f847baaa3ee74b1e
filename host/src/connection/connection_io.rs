//! A peer's socket, its pending output, and the writing.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use legacy_websocket::step::Disposition;
use legacy_websocket_shell::{Overflow, Payload, WriteQueue};
use tokio::io::ReadBuf;
use tokio::sync::oneshot;

use crate::connection::queue_budget::QueueAccount;
use crate::connection::socket::Socket;
use crate::workers::external::Done;

/// The number of slices passed to one vectored write.
const MAX_SLICES: usize = 64;

/// With this much pending or less, in bytes, whoever sends from outside of the application's calls is told to go on.
const WRITABLE_BYTES: usize = 64 << 10;

/// Filled by the shell, which immediately writes what the kernel takes; the connection's task writes the rest.
#[derive(Debug)]
pub(crate) struct ConnectionIo(RefCell<Inner>);

#[derive(Debug)]
struct Inner {
    socket: Socket,
    queue: WriteQueue<Rc<QueueAccount>>,
    /// Bytes read so far.
    received: u64,
    /// Whether anything was queued since the last flush.
    touched: bool,
    parked: Option<Waker>,
    /// Told when there is room for more output.
    waiting: Vec<oneshot::Sender<Done>>,
    /// What was received of a connection that the engine does not want.
    #[expect(clippy::box_collection, reason = "idle connections should be small, and this is rare")]
    passed: Option<Box<Vec<u8>>>,
}

impl ConnectionIo {
    pub(crate) fn new(socket: Socket, account: Rc<QueueAccount>) -> Self {
        Self(RefCell::new(Inner {
            socket,
            queue: WriteQueue::new(account),
            received: 0,
            touched: false,
            parked: None,
            waiting: Vec::new(),
            passed: None,
        }))
    }

    /// Queues bytes, and what follows them.
    pub(crate) fn push(&self, payload: &Rc<Payload>, then: Disposition) -> Result<(), Overflow> {
        self.0.borrow_mut().queue.push(payload, then)
    }

    /// Whether this is the first touch since the last flush.
    pub(crate) fn touch(&self) -> bool {
        !std::mem::replace(&mut self.0.borrow_mut().touched, true)
    }

    /// Drops pending output and closes the connection at once.
    pub(crate) fn abort(&self) {
        self.0.borrow_mut().queue.abort();
    }

    /// Writes what the kernel takes now, and leaves the rest to the task.
    pub(crate) fn flush(&self) {
        let mut inner = self.0.borrow_mut();
        inner.touched = false;
        let Inner { socket, queue, .. } = &mut *inner;
        while !queue.is_empty() {
            let written = write(queue, |slices| socket.try_write(slices));
            // A failed write fails again in the task, which handles it.
            if !written.is_ok_and(|written| written > 0) {
                break;
            }
        }
        queue.settle();
        inner.tell_writable();
        let Inner { socket, queue, .. } = &mut *inner;
        let done = queue.is_empty() && !socket.holds_output();
        if (inner.queue.then() != Disposition::Keep || !done)
            && let Some(waker) = inner.parked.take()
        {
            waker.wake();
        }
    }

    /// Ready when nothing is pending.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        let Inner { socket, queue, .. } = &mut *inner;
        if !queue.is_empty() {
            let flushed = poll_write_all(queue, |slices| socket.poll_write(cx, slices));
            queue.settle();
            queue.account().publish();
            inner.tell_writable();
            ready!(flushed)?;
        }
        inner.socket.poll_flush(cx)
    }

    /// Tells `waiting` once there is room for more output, at once if there is; drops it with the connection.
    pub(crate) fn when_writable(&self, waiting: oneshot::Sender<Done>) {
        let mut inner = self.0.borrow_mut();
        inner.waiting.push(waiting);
        inner.tell_writable();
    }

    /// The connection is for another owner, with what was received.
    pub(crate) fn pass(&self, received: Vec<u8>) {
        let mut inner = self.0.borrow_mut();
        inner.passed = Some(Box::new(received));
        if let Some(waker) = inner.parked.take() {
            waker.wake();
        }
    }

    /// If it was passed: the socket, with what was received.
    pub(crate) fn take_passed(&self) -> Option<(Socket, Vec<u8>)> {
        let mut inner = self.0.borrow_mut();
        let received = inner.passed.take()?;
        Some((std::mem::replace(&mut inner.socket, Socket::Taken), *received))
    }

    /// Whether the peer has taken any pending output since the kernel was full, though too little for the kernel to
    /// signal room.
    pub(crate) fn push_on(&self) -> bool {
        let mut inner = self.0.borrow_mut();
        let Inner { socket, queue, .. } = &mut *inner;
        let pushed = if socket.holds_output() {
            socket.push_on(&[])
        } else {
            write(queue, |slices| socket.push_on(slices))
        };
        inner.tell_writable();
        pushed.is_ok_and(|written| written > 0)
    }

    /// Reads from the peer.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        if inner.passed.is_some() {
            // Woken when it was passed.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(inner.socket.poll_read(cx, buffer))?;
        inner.received += (buffer.filled().len() - before) as u64;
        Poll::Ready(Ok(()))
    }

    /// Bytes read and written so far, without TLS.
    pub(crate) fn traffic(&self) -> [u64; 2] {
        let inner = self.0.borrow();
        [inner.received, inner.queue.sent()]
    }

    /// Whether the shell or the task has written anything since the last call.
    pub(crate) fn take_progress(&self) -> bool {
        self.0.borrow_mut().queue.take_progress()
    }

    /// Sends our FIN.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().socket.poll_shutdown(cx)
    }

    /// What to do once nothing is pending.
    pub(crate) fn then(&self) -> Disposition {
        self.0.borrow().queue.then()
    }

    /// The number of pending bytes.
    pub(crate) fn queued(&self) -> usize {
        self.0.borrow().queue.bytes()
    }

    /// This connection's share of the memory of pending output.
    pub(crate) fn share(&self) -> usize {
        self.0.borrow().queue.share()
    }

    /// Whether the queue is half full: do not read from this peer for now.
    pub(crate) fn is_congested(&self) -> bool {
        self.0.borrow().queue.is_congested()
    }

    /// Wakes the task when it has something to do.
    pub(crate) fn park(&self, waker: &Waker) {
        let parked = &mut self.0.borrow_mut().parked;
        match parked {
            Some(parked) => parked.clone_from(waker),
            None => *parked = Some(waker.clone()),
        }
    }
}

impl Inner {
    fn tell_writable(&mut self) {
        if self.queue.bytes() <= WRITABLE_BYTES {
            for waiting in self.waiting.drain(..) {
                // It may not care any more.
                let _ = waiting.send(Ok(()));
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.abort();
        self.queue.account().publish();
    }
}

/// Ready when nothing is pending.
fn poll_write_all(
    queue: &mut WriteQueue<Rc<QueueAccount>>,
    mut write_some: impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<()>> {
    while !queue.is_empty() {
        let written = write(queue, |slices| match write_some(slices) {
            Poll::Ready(result) => result.map(Poll::Ready),
            Poll::Pending => Ok(Poll::Pending),
        });
        if ready!(written?) == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
    }
    Poll::Ready(Ok(()))
}

/// Passes pending output to `write`, and removes what was written.
fn write<W: Written>(
    queue: &mut WriteQueue<Rc<QueueAccount>>,
    write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<W>,
) -> io::Result<W> {
    let written = if queue.len() <= 1 {
        let piece = queue.pieces().next().unwrap_or_default();
        write(&[IoSlice::new(piece)])?
    } else {
        write(&queue.pieces().take(MAX_SLICES).map(IoSlice::new).collect::<Vec<_>>())?
    };
    queue.advance(written.bytes());
    Ok(written)
}

/// How much was written, if the socket was writable.
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
