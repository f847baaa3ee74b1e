//! Limits the memory of pending output: of all connections together, and of each one.
//!
//! Each shell counts its own without any synchronisation, and adds it to the total at the end of a turn. Above the
//! limit, the shell with the largest connection closes it, then the next largest, until there is room again. A shell
//! whose connections are smaller asks that shell to do so; only if nothing happens because its worker is busy, and the
//! total has grown by another [`SLACK`], does it close its own. So the total stays below that.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use legacy_websocket_shell::{Held, Payload, QueueLimits, WriteAccount};

/// The fraction of the limit by which the total may exceed it while another worker is asked to make room.
const SLACK: usize = 8;

/// The limits, and the memory held by all shells of a server.
#[derive(Debug)]
pub(crate) struct QueueBudget {
    limits: QueueLimits,
    held: AtomicUsize,
    versions: Mutex<Vec<Arc<Shown>>>,
}

/// What the other shells can see of one shell.
#[derive(Debug)]
struct Shown {
    worker: usize,
    /// The most that one connection holds; by now it may hold less.
    largest: AtomicUsize,
    /// It was asked to close connections, and has not done so yet.
    asked: AtomicBool,
}

impl Shown {
    fn largest(&self) -> usize {
        self.largest.load(Ordering::Relaxed)
    }
}

impl QueueBudget {
    /// `limit` is for all connections, at least `per_connection`.
    pub(crate) fn new(limit: usize, per_connection: usize) -> Arc<Self> {
        let (held, versions) = Default::default();
        Arc::new(Self { limits: QueueLimits::new(limit, per_connection), held, versions })
    }

    pub(crate) fn limit(&self) -> usize {
        self.limits.total
    }

    fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn versions(&self) -> MutexGuard<'_, Vec<Arc<Shown>>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One shell's part of the budget.
#[derive(Debug)]
pub(crate) struct QueueAccount {
    budget: Arc<QueueBudget>,
    held: Rc<Held>,
    /// The part of the total that is this shell's.
    published: Cell<usize>,
    shown: Arc<Shown>,
    /// Bytes written to all peers.
    sent: Cell<u64>,
}

/// What a shell must do when the total is over the limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Relief {
    Nothing,
    /// Close the connections that hold the most.
    Close,
    /// Ask this worker to do so.
    Ask(usize),
}

impl QueueAccount {
    pub(crate) fn new(budget: &Arc<QueueBudget>, worker: usize) -> Rc<Self> {
        let (largest, asked) = Default::default();
        let shown = Arc::new(Shown { worker, largest, asked });
        budget.versions().push(Arc::clone(&shown));
        let (held, published, sent) = Default::default();
        Rc::new(Self { budget: Arc::clone(budget), held, published, shown, sent })
    }

    pub(crate) fn payload(&self, bytes: Vec<u8>) -> Rc<Payload> {
        Payload::new(bytes, &self.held)
    }

    /// The memory held by its connections.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.get()
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// Publishes the memory it holds to the others.
    pub(crate) fn publish(&self) {
        let held = self.held_bytes();
        let before = self.published.replace(held);
        if held > before {
            self.budget.held.fetch_add(held - before, Ordering::Relaxed);
        } else if held < before {
            self.budget.held.fetch_sub(before - held, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.all() > self.budget.limit()
    }

    /// What to do about the total.
    pub(crate) fn relief(&self) -> Relief {
        self.shown.asked.store(false, Ordering::Relaxed);
        if !self.is_over() {
            return Relief::Nothing;
        }
        match self.largest_other() {
            Some(other) if other.largest() > self.shown.largest() && !self.is_beyond_slack() => {
                let asked = other.asked.swap(true, Ordering::Relaxed);
                if asked { Relief::Nothing } else { Relief::Ask(other.worker) }
            }
            _ => Relief::Close,
        }
    }

    /// Closes connections with `close`, each holding this much, largest first, until there is room again or another
    /// shell's are larger. Returns their number.
    pub(crate) fn close_largest(&self, mut held: Vec<(usize, u64)>, mut close: impl FnMut(u64)) -> usize {
        held.sort_unstable_by(|one, other| other.cmp(one));
        let others = self.largest_other().map_or(0, |other| other.largest());
        let room = self.budget.limits.after_relief();
        let mut closed = 0;
        for &(share, connection) in &held {
            if self.all() <= room || (share < others && !self.is_beyond_slack()) {
                break;
            }
            close(connection);
            closed += 1;
        }
        let largest = held.get(closed).map_or(0, |(share, _)| *share);
        self.shown.largest.store(largest, Ordering::Relaxed);
        self.publish();
        closed
    }

    /// The other shell with the largest connection.
    fn largest_other(&self) -> Option<Arc<Shown>> {
        let versions = self.budget.versions();
        let others = versions.iter().filter(|shown| !Arc::ptr_eq(shown, &self.shown));
        others.max_by_key(|shown| shown.largest()).cloned()
    }

    fn is_beyond_slack(&self) -> bool {
        self.all() > self.budget.limit() + self.budget.limit() / SLACK
    }

    /// The memory held by all connections of all shells.
    fn all(&self) -> usize {
        self.budget.held().saturating_sub(self.published.get()).saturating_add(self.held_bytes())
    }
}

impl WriteAccount for QueueAccount {
    fn limits(&self) -> QueueLimits {
        self.budget.limits
    }

    fn held(&self) -> &Held {
        &self.held
    }

    fn wrote(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
    }

    fn settled(&self, counted: usize) {
        if counted > self.shown.largest() {
            self.shown.largest.store(counted, Ordering::Relaxed);
        }
    }
}

impl Drop for QueueAccount {
    fn drop(&mut self) {
        self.publish();
        self.budget.versions().retain(|shown| !Arc::ptr_eq(shown, &self.shown));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const LIMIT: usize = 1 << 20;

    /// A shell whose connections, numbered from 0, hold this many sixteenths of the limit each.
    struct Holders {
        account: Rc<QueueAccount>,
        payloads: HashMap<u64, Rc<Payload>>,
    }

    impl Holders {
        fn new(budget: &Arc<QueueBudget>, worker: usize, sixteenths: &[usize]) -> Self {
            let account = QueueAccount::new(budget, worker);
            let mut holders = Self { account, payloads: HashMap::new() };
            sixteenths.iter().for_each(|part| holders.add(*part));
            holders
        }

        fn add(&mut self, sixteenths: usize) {
            let payload = self.account.payload(vec![0; sixteenths * LIMIT / 16]);
            self.account.settled(payload.cost());
            self.payloads.insert(self.payloads.len() as u64, payload);
            self.account.publish();
        }

        fn close_largest(&mut self) -> Vec<u64> {
            let held =
                self.payloads.iter().map(|(connection, payload)| (Payload::share(payload), *connection));
            let mut closed = Vec::new();
            self.account.close_largest(held.collect(), |connection| {
                self.payloads.remove(&connection);
                closed.push(connection);
            });
            closed
        }
    }

    #[test]
    fn over_the_limit_the_largest_connections_are_closed() {
        let budget = QueueBudget::new(LIMIT, 1);
        let mut shell = Holders::new(&budget, 0, &[1, 6, 2, 5, 1]);
        assert_eq!(shell.account.relief(), Relief::Nothing);
        shell.add(1);
        assert_eq!(shell.account.relief(), Relief::Close);
        assert_eq!(shell.close_largest(), [1]);
        assert_eq!(shell.account.relief(), Relief::Nothing);
        shell.payloads.clear();
        shell.account.publish();
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_smaller_shell_asks_the_larger_one_before_closing_its_own() {
        let budget = QueueBudget::new(LIMIT, 1);
        let mut large = Holders::new(&budget, 7, &[10, 4]);
        let mut small = Holders::new(&budget, 8, &[1, 1]);
        assert_eq!(small.account.relief(), Relief::Ask(7));
        // It is asked only once.
        assert_eq!(small.account.relief(), Relief::Nothing);
        small.add(2);
        assert_eq!(small.account.relief(), Relief::Close);
        assert_eq!(small.close_largest(), [2]);
        assert_eq!(large.account.relief(), Relief::Close);
        assert_eq!(large.close_largest(), [0]);
        assert_eq!(small.account.relief(), Relief::Nothing);
    }

    #[test]
    fn the_largest_connections_of_two_shells_are_closed() {
        let budget = QueueBudget::new(LIMIT, 1);
        let mut one = Holders::new(&budget, 0, &[6, 2]);
        let mut other = Holders::new(&budget, 1, &[5, 5]);
        assert_eq!(one.account.relief(), Relief::Close);
        assert_eq!(one.close_largest(), [0]);
        other.add(4);
        assert_eq!(one.account.relief(), Relief::Ask(1));
        assert_eq!(other.account.relief(), Relief::Close);
        assert_eq!(other.close_largest(), [1]);
        assert_eq!(one.account.relief(), Relief::Nothing);
    }

    #[test]
    fn shared_bytes_count_once_until_the_last_connection_releases_them() {
        let budget = QueueBudget::new(LIMIT, 1);
        let account = QueueAccount::new(&budget, 0);
        let payload = account.payload(vec![0; 1000]);
        let others = [Rc::clone(&payload), Rc::clone(&payload), Rc::clone(&payload)];
        assert_eq!(account.held_bytes(), payload.cost());
        assert_eq!(Payload::share(&payload), payload.cost() / 4);
        drop(payload);
        assert!(account.held_bytes() >= 1000);
        drop(others);
        assert_eq!(account.held_bytes(), 0);
    }

    #[test]
    fn the_written_part_of_a_long_payload_is_released() {
        let budget = QueueBudget::new(LIMIT, 1);
        let account = QueueAccount::new(&budget, 0);
        let bytes: Vec<u8> = (0..200_000_u32).map(|at| at as u8).collect();
        let mut payload = account.payload(bytes.clone());
        assert_eq!(Payload::trim(&mut payload, 90_000), 0);
        assert_eq!(Payload::trim(&mut payload, 150_000), 150_000);
        assert_eq!(payload.bytes(), &bytes[150_000..]);
        assert_eq!(account.held_bytes(), 50_000 + Payload::OVERHEAD);
        // Another connection still holds them.
        let shared = Rc::clone(&payload);
        assert_eq!(Payload::trim(&mut payload, 50_000), 0);
        drop((payload, shared));
        assert_eq!(account.held_bytes(), 0);
    }
}
