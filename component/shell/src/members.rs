//! The connections that a broadcast to all includes.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use legacy_websocket::step::{Destination, Disposition};

/// The connections that [`Destination::All`] includes.
#[derive(Debug, Default)]
pub struct Members(BTreeSet<u64>);

impl Members {
    /// Records what a transmission to one connection changes.
    pub fn observe(&mut self, connection: u64, then: Disposition) {
        match then.membership_change() {
            Some(true) => drop(self.0.insert(connection)),
            Some(false) => self.remove(connection),
            None => {}
        }
    }

    /// The connection is gone.
    pub fn remove(&mut self, connection: u64) {
        self.0.remove(&connection);
    }

    /// In order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter().copied()
    }

    /// The connections a transmission goes to.
    #[must_use]
    pub fn recipients(&self, to: Destination) -> Vec<u64> {
        match to {
            Destination::One(connection) => Vec::from([connection]),
            Destination::Many(connections) => connections,
            Destination::All => self.iter().collect(),
            Destination::AllBut(but) => self.iter().filter(|connection| *connection != but).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcast_includes_who_has_joined_and_not_left() {
        let mut members = Members::default();
        for (connection, then) in [
            (1, Disposition::Keep),
            (2, Disposition::Join),
            (3, Disposition::Join),
            (4, Disposition::Join),
            (5, Disposition::Join),
            (6, Disposition::Join),
            (3, Disposition::HalfClose),
            (4, Disposition::Leave),
            (5, Disposition::Finish),
            (6, Disposition::Abort),
        ] {
            members.observe(connection, then);
        }
        assert_eq!(members.recipients(Destination::All), [2, 3]);
        assert_eq!(members.recipients(Destination::AllBut(2)), [3]);
        assert_eq!(members.recipients(Destination::Many(Vec::from([9, 1]))), [9, 1]);
        members.remove(2);
        assert_eq!(members.iter().collect::<Vec<_>>(), [3]);
    }
}
