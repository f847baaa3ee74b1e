//! Idle kept-alive HTTP connections: they are closed to make room when a limit is reached.

use std::collections::{BTreeMap, BTreeSet};

use super::network::Network;

/// The idle connections of all workers, in order of idle time.
#[derive(Debug, Default)]
pub(super) struct IdleConnections {
    all: BTreeMap<Ticket, (Option<Network>, u64)>,
    by_peer: BTreeSet<(Network, Ticket)>,
    last: u64,
}

/// When a connection became idle, as an increasing number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

impl IdleConnections {
    pub(super) fn insert(&mut self, peer: Option<Network>, connection: u64) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.all.insert(ticket, (peer, connection));
        self.by_peer.extend(peer.map(|peer| (peer, ticket)));
        ticket
    }

    /// Removes a connection; `None` if it was asked to close meanwhile.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<u64> {
        let (peer, connection) = self.all.remove(&ticket)?;
        if let Some(peer) = peer {
            self.by_peer.remove(&(peer, ticket));
        }
        Some(connection)
    }

    /// The connection idle for the longest, of one peer or of all.
    pub(super) fn oldest(&self, of: Option<Network>) -> Option<Ticket> {
        match of {
            None => self.all.first_key_value().map(|(ticket, _)| *ticket),
            Some(peer) => {
                let all = (peer, Ticket(0))..=(peer, Ticket(u64::MAX));
                self.by_peer.range(all).next().map(|(_, ticket)| *ticket)
            }
        }
    }
}
