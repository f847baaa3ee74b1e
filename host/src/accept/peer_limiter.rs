//! Per-peer limits: concurrent connections, and new ones per second; and which idle connections are closed to make
//! room.

mod idle;
mod network;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use legacy_websocket_shell::Refusal;

use self::idle::IdleConnections;
pub(crate) use self::idle::Ticket;
use self::network::Network;

/// From this number of entries on, stale ones are searched for.
const SWEEP_FROM: usize = 1024;

/// Counts each peer's connections. 0 is no limit.
#[derive(Debug)]
pub(crate) struct PeerLimiter {
    max_connections: u32,
    max_rate: u32,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    usages: HashMap<Network, Usage>,
    sweep_at: usize,
    idle: IdleConnections,
}

#[derive(Debug)]
struct Usage {
    open: u32,
    /// How many new connections it may open at once; at most one second's worth.
    allowance: f64,
    at: Instant,
}

/// A new connection may stay.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// `None` if nothing is limited.
    pub(crate) permit: Option<PeerPermit>,
    /// An idle connection of the same peer, to be closed instead.
    pub(crate) instead: Option<u64>,
}

/// One connection of a peer, counted until dropped.
#[derive(Debug)]
pub(crate) struct PeerPermit {
    peers: Arc<PeerLimiter>,
    network: Network,
}

impl PeerLimiter {
    pub(crate) fn new(max_connections: u32, max_rate: u32) -> Arc<Self> {
        let table = Mutex::new(Table {
            usages: HashMap::new(),
            sweep_at: SWEEP_FROM,
            idle: IdleConnections::default(),
        });
        Arc::new(Self { max_connections, max_rate, table })
    }

    /// Admits a new connection, possibly in place of an idle one.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<Admitted, Refusal> {
        if self.max_connections == 0 && self.max_rate == 0 {
            return Ok(Admitted { permit: None, instead: None });
        }
        let network = Network::of(address);
        let rate = f64::from(self.max_rate);
        let mut table = self.table();
        table.sweep(now);
        let Table { usages, idle, .. } = &mut *table;
        let usage = usages.entry(network).or_insert(Usage { open: 0, allowance: rate, at: now });
        let is_full = self.max_connections > 0 && usage.open >= self.max_connections;
        let oldest = if is_full { idle.oldest(Some(network)) } else { None };
        if is_full && oldest.is_none() {
            return Err(Refusal::ConnectionsPerPeer);
        }
        if self.max_rate > 0 {
            let earned = now.saturating_duration_since(usage.at).as_secs_f64() * rate;
            usage.allowance = (usage.allowance + earned).min(rate);
            usage.at = now;
            if usage.allowance < 1.0 {
                return Err(Refusal::HandshakesPerPeer);
            }
            usage.allowance -= 1.0;
        }
        // One too many, until the other has closed.
        usage.open += 1;
        let instead = oldest.and_then(|ticket| idle.remove(ticket));
        Ok(Admitted { permit: Some(PeerPermit { peers: Arc::clone(self), network }), instead })
    }

    /// A plain HTTP connection has become idle.
    pub(crate) fn idle(&self, address: Option<IpAddr>, connection: u64) -> Ticket {
        self.table().idle.insert(address.map(Network::of), connection)
    }

    /// It is no longer idle.
    pub(crate) fn busy(&self, ticket: Ticket) {
        self.table().idle.remove(ticket);
    }

    /// The connection that has been idle the longest; the caller closes it.
    pub(crate) fn take_oldest_idle(&self) -> Option<u64> {
        let mut table = self.table();
        let oldest = table.idle.oldest(None)?;
        table.idle.remove(oldest)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic leaves the counts correct.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PeerPermit {
    fn drop(&mut self) {
        let mut table = self.peers.table();
        if let Some(usage) = table.usages.get_mut(&self.network) {
            usage.open -= 1;
            if usage.open == 0 && self.peers.max_rate == 0 {
                table.usages.remove(&self.network);
            }
        }
    }
}

impl Table {
    /// Occasionally removes peers without connections that are within their rate, so that a flood from many addresses
    /// costs only one second's memory.
    fn sweep(&mut self, now: Instant) {
        if self.usages.len() >= self.sweep_at {
            self.usages
                .retain(|_, usage| usage.open > 0 || now.saturating_duration_since(usage.at).as_secs() < 1);
            self.sweep_at = SWEEP_FROM.max(self.usages.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_peer_is_limited_separately() {
        let (peers, now) = (PeerLimiter::new(2, 0), Instant::now());
        let one = peers.admit(ip("192.0.2.1"), now).unwrap();
        let _two = peers.admit(ip("::ffff:192.0.2.1"), now).unwrap();
        assert_eq!(peers.admit(ip("192.0.2.1"), now).unwrap_err(), Refusal::ConnectionsPerPeer);
        let _other = peers.admit(ip("192.0.2.2"), now).unwrap();
        drop(one);
        drop(peers.admit(ip("192.0.2.1"), now).unwrap());
        let _six = [ip("2001:db8::1"), ip("2001:db8::2")].map(|ip| peers.admit(ip, now).unwrap());
        assert!(peers.admit(ip("2001:db8::ffff:3"), now).is_err());
        assert!(peers.admit(ip("2001:db8:0:1::3"), now).is_ok());
    }

    #[test]
    fn the_rate_allowance_refills() {
        let (peers, start) = (PeerLimiter::new(0, 2), Instant::now());
        let admit = |millis| peers.admit(ip("192.0.2.1"), start + Duration::from_millis(millis)).map(drop);
        assert_eq!([admit(0), admit(0), admit(0)], [Ok(()), Ok(()), Err(Refusal::HandshakesPerPeer)]);
        assert_eq!([admit(500), admit(900), admit(1000)], [Ok(()), Err(Refusal::HandshakesPerPeer), Ok(())]);
        // At most one second's worth accumulates.
        assert_eq!(
            [admit(60_000), admit(60_000), admit(60_000)],
            [Ok(()), Ok(()), Err(Refusal::HandshakesPerPeer)]
        );
    }

    #[test]
    fn a_departed_peer_is_removed() {
        let (peers, start) = (PeerLimiter::new(1, 1), Instant::now());
        let stays = peers.admit(ip("192.0.2.1"), start).unwrap();
        for number in 0..100_000 {
            let at = start + Duration::from_millis(number);
            drop(peers.admit(IpAddr::from((number as u32).to_be_bytes()), at).unwrap());
        }
        let entries = peers.table().usages.len();
        assert!(entries <= 2 * SWEEP_FROM, "{entries}");
        assert!(peers.admit(ip("192.0.2.1"), start + Duration::from_secs(100)).is_err());
        drop(stays);
        assert!(PeerLimiter::new(0, 0).admit(ip("192.0.2.1"), start).unwrap().permit.is_none());
    }

    #[test]
    fn the_peers_oldest_idle_connection_is_evicted() {
        let (peers, now) = (PeerLimiter::new(2, 0), Instant::now());
        let [here, there] = [ip("192.0.2.1"), ip("192.0.2.2")];
        let instead = |address| {
            peers.admit(address, now).map(|admitted| {
                std::mem::forget(admitted.permit);
                admitted.instead
            })
        };
        assert_eq!([instead(here), instead(here)], [Ok(None); 2]);
        peers.idle(Some(there), 7);
        assert_eq!(instead(here), Err(Refusal::ConnectionsPerPeer));
        let [first, ..] = [1, 2, 3].map(|connection| peers.idle(Some(here), connection));
        peers.busy(first);
        assert_eq!([instead(here), instead(here)], [Ok(Some(2)), Ok(Some(3))]);
        assert_eq!(instead(here), Err(Refusal::ConnectionsPerPeer));
        peers.idle(None, 8);
        assert_eq!([(); 3].map(|()| peers.take_oldest_idle()), [Some(7), Some(8), None]);
        // It was already asked to close.
        peers.busy(first);
    }
}
