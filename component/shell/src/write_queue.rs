//! Output pending for one peer.

use alloc::borrow::Cow;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;

use legacy_websocket::Disposition;

use crate::payload::{Held, Payload};

/// The fraction of the total limit that a single transmission may occupy.
const SINGLE: usize = 8;

/// The fraction of the total limit that is free after connections were closed, so that not every transmission has to
/// scan all of them.
const ROOM: usize = 16;

/// The limits of pending output, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "documented by the methods")]
pub struct QueueLimits {
    pub per_connection: usize,
    pub total: usize,
}

impl QueueLimits {
    /// `total` is the memory for all peers together, at least `per_connection`, which limits one peer that already has
    /// pending output.
    #[must_use]
    pub fn new(total: usize, per_connection: usize) -> Self {
        Self { per_connection, total: total.max(per_connection) }
    }

    /// The maximum that a connection without pending output may be sent at once.
    #[must_use]
    pub fn single(&self) -> usize {
        self.per_connection.max(self.total / SINGLE)
    }

    /// The total to get down to by closing connections.
    #[must_use]
    pub fn after_relief(&self) -> usize {
        self.total.saturating_sub(self.total / ROOM)
    }
}

/// The account that a queue charges.
pub trait WriteAccount {
    /// The limits.
    fn limits(&self) -> QueueLimits;

    /// The memory held by all queues of this account.
    fn held(&self) -> &Held;

    /// This many bytes were written.
    fn wrote(&self, _bytes: usize) {}

    /// Called after a round of writes, with the bytes still pending for one connection.
    fn settled(&self, _counted: usize) {}
}

impl<A: WriteAccount + ?Sized> WriteAccount for Rc<A> {
    fn limits(&self) -> QueueLimits {
        (**self).limits()
    }

    fn held(&self) -> &Held {
        (**self).held()
    }

    fn wrote(&self, bytes: usize) {
        (**self).wrote(bytes);
    }

    fn settled(&self, counted: usize) {
        (**self).settled(counted);
    }
}

/// The limit for pending output was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// Bytes in write order, with broadcasts shared between recipients, and the disposition after them.
#[derive(Debug)]
pub struct WriteQueue<A: WriteAccount> {
    /// The first is stored separately: usually there is one or none.
    first: Option<Rc<Payload>>,
    rest: VecDeque<Rc<Payload>>,
    /// How much of the first has been written.
    written: usize,
    /// Bytes pending.
    bytes: usize,
    /// Bytes written.
    sent: u64,
    then: Disposition,
    progress: bool,
    account: A,
}

impl<A: WriteAccount> WriteQueue<A> {
    /// An empty queue.
    pub fn new(account: A) -> Self {
        Self {
            first: None,
            rest: VecDeque::new(),
            written: 0,
            bytes: 0,
            sent: 0,
            then: Disposition::Keep,
            progress: false,
            account,
        }
    }

    /// Queues bytes, and what follows them. After an end, nothing more is queued.
    ///
    /// # Errors
    /// [`Overflow`]: nothing was queued.
    pub fn push(&mut self, payload: &Rc<Payload>, then: Disposition) -> Result<(), Overflow> {
        if self.then == Disposition::Abort {
            // Nothing may be written after output was dropped.
            return Ok(());
        }
        let ends = matches!(then, Disposition::HalfClose | Disposition::Finish | Disposition::Abort);
        if self.then != Disposition::Keep {
            // Nothing follows our FIN.
            if then.is_end() {
                self.then = then;
            }
            return Ok(());
        }
        if self.is_over(payload, ends) {
            return Err(Overflow);
        }
        self.add(payload);
        if ends {
            self.then = then;
        }
        Ok(())
    }

    /// Drops pending output and closes the connection at once.
    pub fn abort(&mut self) {
        self.clear();
        self.then = Disposition::Abort;
    }

    /// What to do once nothing is pending.
    pub fn then(&self) -> Disposition {
        self.then
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The number of pending bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes written so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether anything was written since the last call.
    pub fn take_progress(&mut self) -> bool {
        core::mem::take(&mut self.progress)
    }

    /// Whether it is half full: stop reading from the peer.
    pub fn is_congested(&self) -> bool {
        self.counted() > self.account.limits().per_connection / 2
    }

    /// This connection's share of the memory of pending output.
    pub fn share(&self) -> usize {
        let all = self.first.iter().chain(&self.rest);
        all.map(Payload::share).fold(self.slots(), usize::saturating_add)
    }

    /// The account it charges.
    pub fn account(&self) -> &A {
        &self.account
    }

    /// The number of pending pieces.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()).saturating_add(self.rest.len())
    }

    /// The pending output, in pieces.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let first = self.first.iter().filter_map(|first| first.bytes().get(self.written..));
        first.chain(self.rest.iter().map(|payload| payload.bytes()))
    }

    /// The first `limit` bytes of pending output, or all if there are fewer; borrowed if contiguous.
    pub fn front(&self, limit: usize) -> Cow<'_, [u8]> {
        let mut pieces = self.pieces();
        let first = pieces.next().unwrap_or_default();
        if first.len() >= limit || self.rest.is_empty() {
            return first.get(..limit).unwrap_or(first).into();
        }
        let mut joined = Vec::with_capacity(limit.min(self.bytes));
        for piece in core::iter::once(first).chain(pieces) {
            let left = limit.saturating_sub(joined.len());
            joined.extend_from_slice(piece.get(..left).unwrap_or(piece));
            if piece.len() >= left {
                break;
            }
        }
        joined.into()
    }

    /// Removes written bytes.
    pub fn advance(&mut self, mut written: usize) {
        self.account.wrote(written);
        self.sent = self.sent.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        self.bytes = self.bytes.saturating_sub(written);
        self.progress |= written > 0;
        while let Some(first) = &self.first {
            let left = first.bytes().len().saturating_sub(self.written);
            if written < left {
                self.written = self.written.saturating_add(written);
                return;
            }
            written = written.saturating_sub(left);
            self.written = 0;
            self.first = self.rest.pop_front();
        }
        // Free the memory: a connection is idle most of its life.
        self.change_rest(|rest| *rest = VecDeque::new());
    }

    /// Called after a round of writes: the rest may be pending for a long time.
    pub fn settle(&mut self) {
        if let Some(first) = &mut self.first {
            self.written = self.written.saturating_sub(Payload::trim(first, self.written));
            self.account.settled(self.counted());
        }
    }

    /// The size that counts towards the limit. Each entry has a cost as well, because small frames cost more than
    /// their bytes.
    fn counted(&self) -> usize {
        self.bytes.saturating_add(self.len().saturating_mul(Payload::OVERHEAD))
    }

    /// Whether this much more exceeds the limit. With nothing pending, or for the last entry, there is more room.
    fn is_over(&self, payload: &Payload, ends: bool) -> bool {
        let more = payload.bytes().len();
        let limits = self.account.limits();
        let limit = if ends || self.bytes == 0 { limits.single() } else { limits.per_connection };
        more > 0 && self.counted().saturating_add(more) > limit
    }

    fn add(&mut self, payload: &Rc<Payload>) {
        if payload.bytes().is_empty() {
            return;
        }
        self.bytes = self.bytes.saturating_add(payload.bytes().len());
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
    fn change_rest(&mut self, change: impl FnOnce(&mut VecDeque<Rc<Payload>>)) {
        let before = self.slots();
        change(&mut self.rest);
        let now = self.slots();
        if now != before {
            self.account.held().change(before, now);
        }
    }

    fn slots(&self) -> usize {
        self.rest.capacity().saturating_mul(size_of::<Rc<Payload>>())
    }
}

impl<A: WriteAccount> Drop for WriteQueue<A> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    struct Account(QueueLimits, Rc<Held>);

    impl WriteAccount for Account {
        fn limits(&self) -> QueueLimits {
            self.0
        }

        fn held(&self) -> &Held {
            &self.1
        }
    }

    fn queue(per_connection: usize) -> (WriteQueue<Account>, Rc<Held>) {
        let held = Rc::new(Held::default());
        let limits = QueueLimits::new(16 * per_connection, per_connection);
        (WriteQueue::new(Account(limits, Rc::clone(&held))), held)
    }

    #[test]
    fn one_transmission_may_exceed_the_limit_but_no_more_is_queued() {
        let limit = 1000 + Payload::OVERHEAD;
        let (mut queue, held) = queue(limit);
        let payload = |bytes| Payload::new(vec![0; bytes], &held);
        let (long, too_long, short, none) =
            (payload(2 * limit), payload(2 * limit + 1), payload(1), payload(0));
        assert!(queue.is_over(&too_long, false) && queue.is_over(&too_long, true));
        assert!(!queue.is_over(&long, false));
        queue.push(&payload(limit), Disposition::Keep).unwrap();
        assert_eq!(queue.push(&short, Disposition::Keep), Err(Overflow));
        assert!(!queue.is_over(&short, true) && !queue.is_over(&none, false));
        assert!(queue.is_over(&long, true));
    }

    #[test]
    fn a_slow_reader_overflows_and_an_abort_frees_everything() {
        let (mut queue, held) = queue(10_000);
        let payload = Payload::new(vec![0; 1000], &held);
        let pushes = (0..100).take_while(|_| queue.push(&payload, Disposition::Keep).is_ok()).count();
        assert!((5..10).contains(&pushes), "{pushes}");
        assert!(queue.is_congested());
        drop(payload);
        queue.abort();
        assert_eq!((held.get(), queue.then()), (0, Disposition::Abort));
        queue.push(&Payload::new(vec![0], &held), Disposition::Finish).unwrap();
        assert!(queue.is_empty() && queue.then() == Disposition::Abort);
    }

    /// Push a payload with what follows it, or write bytes.
    #[derive(Clone, Debug)]
    enum Step {
        Push(Vec<u8>, Disposition),
        Write(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let then = prop_oneof![
            20 => Just(Disposition::Keep),
            1 => Just(Disposition::HalfClose),
            1 => Just(Disposition::Finish),
            1 => Just(Disposition::Abort),
        ];
        vec(
            prop_oneof![
                (vec(any::<u8>(), 0..300), then).prop_map(|(bytes, then)| Step::Push(bytes, then)),
                (0..500_usize).prop_map(Step::Write),
            ],
            0..60,
        )
    }

    proptest! {
        #[test]
        fn bytes_are_written_once_in_order_and_never_after_the_end(steps in steps()) {
            let (mut queue, held) = queue(4000);
            let (mut expected, mut taken, mut ended) = (Vec::new(), Vec::new(), Disposition::Keep);
            for step in steps {
                match step {
                    Step::Push(bytes, then) => {
                        let result = queue.push(&Payload::new(bytes.clone(), &held), then);
                        if ended == Disposition::Keep && result.is_ok() {
                            expected.extend(bytes);
                        }
                        let goes_further = ended == Disposition::Keep || then.is_end();
                        if result.is_ok() && ended != Disposition::Abort && goes_further {
                            ended = then;
                        }
                    }
                    Step::Write(limit) => {
                        let front = queue.front(limit).into_owned();
                        prop_assert!(front.len() <= limit);
                        queue.advance(front.len());
                        queue.settle();
                        taken.extend(front);
                    }
                }
                prop_assert_eq!(queue.then(), ended);
                prop_assert_eq!(queue.bytes(), expected.len() - taken.len());
                prop_assert_eq!(queue.pieces().map(<[u8]>::len).sum::<usize>(), queue.bytes());
            }
            while !queue.is_empty() {
                let front = queue.front(7).into_owned();
                queue.advance(front.len());
                taken.extend(front);
            }
            prop_assert_eq!(queue.sent(), taken.len() as u64);
            prop_assert_eq!(taken, expected);
            prop_assert_eq!(held.get(), 0);
        }
    }
}
