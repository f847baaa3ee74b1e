//! A peer's socket, its pending output, and the writing.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use legacy_websocket_shell::Payload;
use tokio::io::ReadBuf;

use crate::connection::queue_budget::QueueAccount;
use crate::connection::socket::Socket;
use crate::wit::Disposition;

/// Slices passed to one vectored write.
const MAX_SLICES: usize = 64;

/// Filled by the shell, which writes at once what the kernel takes; the connection's task writes the rest.
#[derive(Debug)]
pub(crate) struct ConnectionIo(RefCell<Inner>);

#[derive(Debug)]
struct Inner {
    socket: Socket,
    queue: Queue,
    then: Disposition,
    /// Bytes read so far.
    received: u64,
    /// Something was pushed since the last flush.
    touched: bool,
    parked: Option<Waker>,
}

/// The limit for waiting output was reached.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

impl ConnectionIo {
    pub(crate) fn new(socket: Socket, account: Rc<QueueAccount>) -> Self {
        Self(RefCell::new(Inner {
            socket,
            queue: Queue::new(account),
            then: Disposition::Keep,
            received: 0,
            touched: false,
            parked: None,
        }))
    }

    /// Adds bytes, and what comes after them.
    pub(crate) fn push(&self, payload: &Rc<Payload>, then: Disposition) -> Result<(), Overflow> {
        let mut inner = self.0.borrow_mut();
        if inner.then == Disposition::Abort {
            // Nothing may be written after dropped output.
            return Ok(());
        }
        let ends = matches!(then, Disposition::HalfClose | Disposition::Finish | Disposition::Abort);
        if inner.queue.is_over(payload, ends) {
            return Err(Overflow);
        }
        inner.queue.push(payload);
        if ends {
            inner.then = then;
        }
        Ok(())
    }

    /// Whether this is the first touch since the last flush.
    pub(crate) fn touch(&self) -> bool {
        !std::mem::replace(&mut self.0.borrow_mut().touched, true)
    }

    /// Drops pending output and has the connection closed at once.
    pub(crate) fn abort(&self) {
        let mut inner = self.0.borrow_mut();
        inner.queue.clear();
        inner.then = Disposition::Abort;
    }

    /// Writes what the kernel takes now, and leaves the rest to the task.
    pub(crate) fn flush(&self) {
        let mut inner = self.0.borrow_mut();
        inner.touched = false;
        let Inner { socket, queue, .. } = &mut *inner;
        while !queue.is_empty() {
            let written = queue.write(|slices| socket.try_write(slices));
            // A failed write fails again in the task, which handles it.
            if !written.is_ok_and(|written| written > 0) {
                break;
            }
        }
        queue.settle();
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
        let Inner { socket, queue, .. } = &mut *inner;
        if !queue.is_empty() {
            let flushed = queue.poll_write_all(|slices| socket.poll_write(cx, slices));
            queue.settle();
            queue.account.publish();
            ready!(flushed)?;
        }
        socket.poll_flush(cx)
    }

    /// Whether the peer has taken any pending output since the kernel took no more, though too little for the kernel to
    /// signal it: whatever the kernel takes now, it has room for.
    pub(crate) fn push_on(&self) -> bool {
        let mut inner = self.0.borrow_mut();
        let Inner { socket, queue, .. } = &mut *inner;
        let pushed = if socket.holds_output() {
            socket.push_on(&[])
        } else {
            queue.write(|slices| socket.push_on(slices))
        };
        pushed.is_ok_and(|written| written > 0)
    }

    /// Reads from the peer.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        let before = buffer.filled().len();
        ready!(inner.socket.poll_read(cx, buffer))?;
        inner.received += (buffer.filled().len() - before) as u64;
        Poll::Ready(Ok(()))
    }

    /// Bytes read and written so far, without TLS.
    pub(crate) fn traffic(&self) -> [u64; 2] {
        let inner = self.0.borrow();
        [inner.received, inner.queue.sent]
    }

    /// Whether the shell or the task has written anything since the last call.
    pub(crate) fn take_progress(&self) -> bool {
        std::mem::take(&mut self.0.borrow_mut().queue.progress)
    }

    /// Our FIN.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().socket.poll_shutdown(cx)
    }

    /// What to do once nothing is pending.
    pub(crate) fn then(&self) -> Disposition {
        self.0.borrow().then
    }

    /// Pending bytes.
    pub(crate) fn queued(&self) -> usize {
        self.0.borrow().queue.bytes
    }

    /// This connection's share of the memory of pending output.
    pub(crate) fn share(&self) -> usize {
        self.0.borrow().queue.share()
    }

    /// Half full: do not read from this peer for now.
    pub(crate) fn is_congested(&self) -> bool {
        let queue = &self.0.borrow().queue;
        queue.counted() > queue.account.per_connection() / 2
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

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.clear();
        self.queue.account.publish();
    }
}

/// Bytes in the order in which they are to be written.
#[derive(Debug)]
struct Queue {
    /// The first is kept separately: most of the time there is one or none.
    first: Option<Rc<Payload>>,
    rest: VecDeque<Rc<Payload>>,
    /// How much of the first is written.
    written: usize,
    /// What waits.
    bytes: usize,
    /// What was written.
    sent: u64,
    account: Rc<QueueAccount>,
    progress: bool,
}

impl Queue {
    fn new(account: Rc<QueueAccount>) -> Self {
        Self { first: None, rest: VecDeque::new(), written: 0, bytes: 0, sent: 0, account, progress: false }
    }

    fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// What counts towards the limit: each entry, too, because small frames cost more than they hold.
    fn counted(&self) -> usize {
        let entries = usize::from(self.first.is_some()) + self.rest.len();
        self.bytes.saturating_add(entries * Payload::OVERHEAD)
    }

    /// Whether that much more is too much. If nothing is pending, or this is the last entry, there is more room.
    fn is_over(&self, payload: &Payload, ends: bool) -> bool {
        let more = payload.bytes().len();
        let limit =
            if ends || self.bytes == 0 { self.account.single() } else { self.account.per_connection() };
        more > 0 && self.counted().saturating_add(more) > limit
    }

    fn push(&mut self, payload: &Rc<Payload>) {
        if payload.bytes().is_empty() {
            return;
        }
        self.bytes += payload.bytes().len();
        if self.first.is_none() {
            self.first = Some(Rc::clone(payload));
        } else {
            self.change_rest(|rest| rest.push_back(Rc::clone(payload)));
        }
    }

    fn clear(&mut self) {
        (self.first, self.written, self.bytes) = (None, 0, 0);
        self.change_rest(|rest| *rest = VecDeque::new());
    }

    /// The memory of the slots counts as well.
    fn change_rest<T>(&mut self, change: impl FnOnce(&mut VecDeque<Rc<Payload>>) -> T) -> T {
        let before = self.rest.capacity();
        let result = change(&mut self.rest);
        let now = self.rest.capacity();
        if now != before {
            self.account.change(before * size_of::<Rc<Payload>>(), now * size_of::<Rc<Payload>>());
        }
        result
    }

    fn share(&self) -> usize {
        let all = self.first.iter().chain(&self.rest);
        all.map(Payload::share).sum::<usize>() + self.rest.capacity() * size_of::<Rc<Payload>>()
    }

    /// After a round of writes: the rest may wait for a long time.
    fn settle(&mut self) {
        if let Some(first) = &mut self.first {
            self.written -= Payload::trim(first, self.written);
            self.account.observe(self.counted());
        }
    }

    /// Ready when nothing waits.
    fn poll_write_all(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let written = self.write(|slices| match write(slices) {
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
    fn write<W: Written>(&mut self, write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<W>) -> io::Result<W> {
        let first = self.first.as_ref().map_or(&[][..], |first| &first.bytes()[self.written..]);
        let written = if self.rest.is_empty() {
            write(&[IoSlice::new(first)])?
        } else {
            let mut slices = Vec::with_capacity(MAX_SLICES.min(self.rest.len() + 1));
            slices.push(IoSlice::new(first));
            slices.extend(self.rest.iter().take(MAX_SLICES - 1).map(|payload| IoSlice::new(payload.bytes())));
            write(&slices)?
        };
        self.advance(written.bytes());
        Ok(written)
    }

    fn advance(&mut self, mut written: usize) {
        self.account.add_sent(written);
        self.sent += written as u64;
        self.bytes -= written;
        self.progress |= written > 0;
        while let Some(first) = &self.first {
            let left = first.bytes().len() - self.written;
            if written < left {
                self.written += written;
                return;
            }
            written -= left;
            self.written = 0;
            self.first = self.rest.pop_front();
        }
        // Its memory is freed: a connection is idle most of its life.
        self.change_rest(|rest| *rest = VecDeque::new());
    }
}

/// How much was written, if writing was possible at all.
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
    use crate::connection::queue_budget::QueueBudget;

    fn queue(limit: usize) -> Queue {
        Queue::new(QueueAccount::new(&QueueBudget::new(16 * limit, limit), 0))
    }

    #[test]
    fn one_long_transmission_passes_but_nothing_on_top_of_it() {
        let limit = 1000 + Payload::OVERHEAD;
        let mut queue = queue(limit);
        let account = Rc::clone(&queue.account);
        let payload = |bytes| account.payload(vec![0; bytes]);
        let (long, too_long, short, none) =
            (payload(2 * limit), payload(2 * limit + 1), payload(1), payload(0));
        assert!(queue.is_over(&too_long, false) && queue.is_over(&too_long, true));
        assert!(!queue.is_over(&long, false));
        queue.push(&payload(limit));
        assert!(queue.is_over(&short, false));
        assert!(!queue.is_over(&short, true) && !queue.is_over(&none, false));
        assert!(queue.is_over(&long, true));
    }

    #[test]
    fn bytes_come_out_in_order_however_they_are_taken() {
        let mut queue = queue(1000);
        for part in ["ab", "", "cde", "f"] {
            queue.push(&queue.account.payload(part.into()));
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
        assert_eq!(queue.account.held(), 0);
    }
}
