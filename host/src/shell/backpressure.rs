//! Pauses reads, mainly while other workers have too many commands to carry out: only the connections that cause the
//! commands are paused.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::task::{Context, Waker};

use legacy_websocket::step::Read;

use crate::workers::pool::Congestion;

/// How much a connection may cause for other workers while they are congested, in bytes.
const ALLOWANCE: usize = 64 * 1024;

/// The paused connections of one shell.
#[derive(Debug, Default)]
pub(super) struct Backpressure {
    /// The bytes each has caused since the others became congested.
    caused: RefCell<HashMap<u64, usize>>,
    waiting: RefCell<HashMap<u64, Waker>>,
    /// Those that the program has paused.
    paused: RefCell<HashSet<u64>>,
}

impl Backpressure {
    /// Reads have caused this many bytes for other workers that have too many already. Each read gets its share.
    pub(super) fn charge(&self, reads: &[Read], bytes: usize) {
        let total = reads.last().map_or(1, |read| read.end.max(1));
        let mut caused = self.caused.borrow_mut();
        let mut begin = 0;
        for Read { connection, end } in reads {
            let part = bytes as f64 * f64::from(end - begin) / f64::from(total);
            *caused.entry(*connection).or_default() += part as usize;
            begin = *end;
        }
    }

    /// The same, if each connection has caused that much.
    pub(super) fn charge_each(&self, connections: &HashSet<u64>, bytes: usize) {
        let mut caused = self.caused.borrow_mut();
        for connection in connections {
            *caused.entry(*connection).or_default() += bytes / connections.len();
        }
    }

    /// Pauses a connection until it is resumed.
    pub(super) fn pause(&self, connection: u64) {
        self.paused.borrow_mut().insert(connection);
    }

    pub(super) fn resume(&self, connection: u64) {
        if self.paused.borrow_mut().remove(&connection) {
            self.wake(connection);
        }
    }

    /// Whether a connection must wait.
    pub(super) fn holds(&self, connection: u64, congestion: Congestion) -> bool {
        if self.paused.borrow().contains(&connection) {
            return true;
        }
        match congestion {
            Congestion::None => false,
            Congestion::Some => self.caused.borrow().get(&connection).is_some_and(|bytes| *bytes > ALLOWANCE),
            Congestion::Full => true,
        }
    }

    /// Waits; the connection is woken when it may no longer have to.
    pub(super) fn wait(&self, connection: u64, cx: &Context<'_>) {
        self.waiting.borrow_mut().insert(connection, cx.waker().clone());
    }

    pub(super) fn wake(&self, connection: u64) {
        if let Some(waker) = self.waiting.borrow_mut().remove(&connection) {
            waker.wake();
        }
    }

    /// The others have caught up.
    pub(super) fn release(&self) {
        self.caused.borrow_mut().clear();
        self.waiting.take().into_values().for_each(Waker::wake);
    }

    /// Removes a closed connection.
    pub(super) fn forget(&self, connection: u64) {
        self.caused.borrow_mut().remove(&connection);
        self.waiting.borrow_mut().remove(&connection);
        self.paused.borrow_mut().remove(&connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_connection_that_causes_congestion_waits() {
        let backpressure = Backpressure::default();
        let reads = [Read { connection: 1, end: 10 }, Read { connection: 2, end: 1000 }];
        backpressure.charge(&reads, ALLOWANCE + 5000);
        let holds = |congestion| [1, 2, 3].map(|connection| backpressure.holds(connection, congestion));
        assert_eq!(holds(Congestion::None), [false, false, false]);
        assert_eq!(holds(Congestion::Some), [false, true, false]);
        assert_eq!(holds(Congestion::Full), [true, true, true]);
        backpressure.release();
        assert_eq!(holds(Congestion::Some), [false, false, false]);
    }
}
