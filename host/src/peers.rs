//! Limits for each peer's address: connections at once, and new ones a second.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Entries from which on those that say nothing any more are looked for.
const SWEEP_FROM: usize = 1024;

/// Counts what each peer has. 0 is no limit.
#[derive(Debug)]
pub(crate) struct Peers {
    max_connections: u32,
    max_rate: u32,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    usages: HashMap<Network, Usage>,
    sweep_at: usize,
}

/// What counts as one peer: an address, or in IPv6 a /64, for that is what one subscriber has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Network {
    V4(u32),
    V6(u64),
}

#[derive(Debug)]
struct Usage {
    open: u32,
    /// New connections that it may open at once; up to those of a second.
    allowance: f64,
    at: Instant,
}

/// A peer has as much as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    Connections,
    Rate,
}

/// One connection of a peer's, until it is dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    peers: Arc<Peers>,
    network: Network,
}

impl Peers {
    pub(crate) fn new(max_connections: u32, max_rate: u32) -> Arc<Self> {
        let table = Mutex::new(Table { usages: HashMap::new(), sweep_at: SWEEP_FROM });
        Arc::new(Self { max_connections, max_rate, table })
    }

    /// A new connection; None where nothing is limited.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        now: Instant,
    ) -> Result<Option<Admission>, Excess> {
        if self.max_connections == 0 && self.max_rate == 0 {
            return Ok(None);
        }
        let network = Network::of(address);
        let rate = f64::from(self.max_rate);
        let mut table = self.table();
        table.sweep(now);
        let usage = table.usages.entry(network).or_insert(Usage { open: 0, allowance: rate, at: now });
        if self.max_connections > 0 && usage.open >= self.max_connections {
            return Err(Excess::Connections);
        }
        if self.max_rate > 0 {
            let earned = now.saturating_duration_since(usage.at).as_secs_f64() * rate;
            usage.allowance = (usage.allowance + earned).min(rate);
            usage.at = now;
            if usage.allowance < 1.0 {
                return Err(Excess::Rate);
            }
            usage.allowance -= 1.0;
        }
        usage.open += 1;
        Ok(Some(Admission { peers: Arc::clone(self), network }))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Counts are right whoever has panicked.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission {
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
    /// Forgets who is not there and could have come at any rate, now and then: a flood from many addresses
    /// costs the memory of a second.
    fn sweep(&mut self, now: Instant) {
        if self.usages.len() >= self.sweep_at {
            self.usages
                .retain(|_, usage| usage.open > 0 || now.saturating_duration_since(usage.at).as_secs() < 1);
            self.sweep_at = SWEEP_FROM.max(self.usages.len() * 2);
        }
    }
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
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
    fn each_peer_has_its_own_connections() {
        let (peers, now) = (Peers::new(2, 0), Instant::now());
        let one = peers.admit(ip("192.0.2.1"), now).unwrap();
        let _two = peers.admit(ip("::ffff:192.0.2.1"), now).unwrap();
        assert_eq!(peers.admit(ip("192.0.2.1"), now).unwrap_err(), Excess::Connections);
        let _other = peers.admit(ip("192.0.2.2"), now).unwrap();
        drop(one);
        drop(peers.admit(ip("192.0.2.1"), now).unwrap());
        let _six = [ip("2001:db8::1"), ip("2001:db8::2")].map(|ip| peers.admit(ip, now).unwrap());
        assert!(peers.admit(ip("2001:db8::ffff:3"), now).is_err());
        assert!(peers.admit(ip("2001:db8:0:1::3"), now).is_ok());
    }

    #[test]
    fn a_rate_is_earned_again() {
        let (peers, start) = (Peers::new(0, 2), Instant::now());
        let admit = |millis| peers.admit(ip("192.0.2.1"), start + Duration::from_millis(millis)).map(drop);
        assert_eq!([admit(0), admit(0), admit(0)], [Ok(()), Ok(()), Err(Excess::Rate)]);
        assert_eq!([admit(500), admit(900), admit(1000)], [Ok(()), Err(Excess::Rate), Ok(())]);
        // No more than a second's worth is saved.
        assert_eq!([admit(60_000), admit(60_000), admit(60_000)], [Ok(()), Ok(()), Err(Excess::Rate)]);
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let (peers, start) = (Peers::new(1, 1), Instant::now());
        let stays = peers.admit(ip("192.0.2.1"), start).unwrap();
        for number in 0..100_000 {
            let at = start + Duration::from_millis(number);
            drop(peers.admit(IpAddr::from((number as u32).to_be_bytes()), at).unwrap());
        }
        let entries = peers.table().usages.len();
        assert!(entries <= 2 * SWEEP_FROM, "{entries}");
        assert!(peers.admit(ip("192.0.2.1"), start + Duration::from_secs(100)).is_err());
        drop(stays);
        assert!(Peers::new(0, 0).admit(ip("192.0.2.1"), start).unwrap().is_none());
    }
}
