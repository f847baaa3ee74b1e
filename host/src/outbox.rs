//! What waits to be written to one peer.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::task::Waker;

use bytes::{Buf, Bytes};

use crate::wit::Disposition;

/// Slices handed to one vectored write.
const MAX_SLICES: usize = 64;

/// Filled by the shell, emptied by the connection's task.
#[derive(Debug)]
pub(crate) struct Outbox(RefCell<Inner>);

#[derive(Debug)]
struct Inner {
    /// The first of the queue stands outside it: most of the time there is one or none.
    first: Bytes,
    rest: VecDeque<Bytes>,
    bytes: usize,
    limit: usize,
    then: Disposition,
    parked: Option<Waker>,
}

/// The limit for waiting output was reached.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self(RefCell::new(Inner {
            first: Bytes::new(),
            rest: VecDeque::new(),
            bytes: 0,
            limit,
            then: Disposition::Keep,
            parked: None,
        }))
    }

    /// Adds bytes, and what comes after them.
    pub(crate) fn push(&self, bytes: Bytes, then: Disposition) -> Result<(), Overflow> {
        let mut inner = self.0.borrow_mut();
        if inner.bytes > 0 && inner.bytes.saturating_add(bytes.len()) > inner.limit {
            return Err(Overflow);
        }
        inner.bytes += bytes.len();
        if inner.first.is_empty() {
            inner.first = bytes;
        } else if !bytes.is_empty() {
            inner.rest.push_back(bytes);
        }
        if then != Disposition::Keep {
            inner.then = then;
        }
        inner.wake();
        Ok(())
    }

    /// Drops what waits and has the connection closed at once.
    pub(crate) fn abort(&self) {
        let mut inner = self.0.borrow_mut();
        inner.first = Bytes::new();
        inner.rest = VecDeque::new();
        inner.bytes = 0;
        inner.then = Disposition::Abort;
        inner.wake();
    }

    /// What to do once nothing waits any more.
    pub(crate) fn then(&self) -> Disposition {
        self.0.borrow().then
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().bytes == 0
    }

    /// Half full: no more is to be read from this peer for now.
    pub(crate) fn is_congested(&self) -> bool {
        let inner = self.0.borrow();
        inner.bytes > inner.limit / 2
    }

    /// Lets `write` write of what waits, and takes off what it says it has written.
    pub(crate) fn write<T>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> (usize, T)) -> T {
        let mut inner = self.0.borrow_mut();
        let (written, result) = if inner.rest.is_empty() {
            write(&[IoSlice::new(&inner.first)])
        } else {
            let mut slices = Vec::with_capacity(MAX_SLICES.min(inner.rest.len() + 1));
            slices.push(IoSlice::new(&inner.first));
            slices.extend(inner.rest.iter().take(MAX_SLICES - 1).map(|bytes| IoSlice::new(bytes)));
            write(&slices)
        };
        inner.advance(written);
        result
    }

    /// Has the task woken when something is pushed.
    pub(crate) fn park(&self, waker: &Waker) {
        self.0.borrow_mut().parked = Some(waker.clone());
    }

    /// The task runs: nobody has to wake it.
    pub(crate) fn unpark(&self) {
        self.0.borrow_mut().parked = None;
    }
}

impl Inner {
    fn wake(&mut self) {
        if let Some(waker) = self.parked.take() {
            waker.wake();
        }
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while written > 0 {
            let taken = written.min(self.first.len());
            self.first.advance(taken);
            written -= taken;
            if self.first.is_empty() {
                match self.rest.pop_front() {
                    Some(next) => self.first = next,
                    // Give the queue's memory back: a connection is idle most of its life.
                    None => self.rest = VecDeque::new(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_transmission_passes_but_nothing_on_top_of_it() {
        let outbox = Outbox::new(4);
        assert_eq!(outbox.push(Bytes::from_static(b"longer"), Disposition::Keep), Ok(()));
        assert!(outbox.is_congested());
        assert_eq!(outbox.push(Bytes::from_static(b"x"), Disposition::Keep), Err(Overflow));
    }

    #[test]
    fn bytes_come_out_in_order_however_they_are_taken() {
        let outbox = Outbox::new(100);
        for part in ["ab", "", "cde", "f"] {
            outbox.push(Bytes::from_static(part.as_bytes()), Disposition::Keep).unwrap();
        }
        let mut taken = Vec::new();
        while !outbox.is_empty() {
            outbox.write(|slices| {
                let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
                taken.extend_from_slice(&all[..all.len().min(2)]);
                (all.len().min(2), ())
            });
        }
        assert_eq!(taken, b"abcdef");
    }
}
