//! State shared by a server's connections: the policy, the clock, and the output.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Add;

use crate::event::{ConnectionId, Destination, Disposition, Event, Transmission};
use crate::options::Millis;
use crate::policy::Policy;
use crate::protocol::Protocol;
use crate::rejected::RejectedHeads;

/// How many connections a server has, and how much they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "mirrors the WIT record, which cannot grow either")]
pub struct Counts {
    /// Connections in any state.
    pub open: usize,
    /// Of them, those that are connected.
    pub connected: ConnectedCounts,
    /// Bytes held for incomplete heads, bodies and messages.
    pub buffered_bytes: usize,
    /// Complete messages received since the server was created, including echoed ones.
    pub messages_received: u64,
    /// Messages sent since the server was created, counted once per recipient.
    pub messages_sent: u64,
}

/// How many connections are connected, by their protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "mirrors the WIT record, which cannot grow either")]
#[expect(missing_docs, reason = "documented in Protocol")]
pub struct ConnectedCounts {
    pub draft75: usize,
    pub draft76: usize,
    pub hybi7: usize,
    pub hybi8: usize,
    pub rfc6455: usize,
}

impl ConnectedCounts {
    /// Each protocol's, the oldest first.
    pub fn iter(self) -> impl Iterator<Item = (Protocol, usize)> {
        let Self { draft75, draft76, hybi7, hybi8, rfc6455 } = self;
        Protocol::ALL.into_iter().zip([draft75, draft76, hybi7, hybi8, rfc6455])
    }

    /// All of them together.
    #[must_use]
    pub fn total(self) -> usize {
        self.iter().map(|(_, count)| count).fold(0, usize::saturating_add)
    }
}

impl Add for ConnectedCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            draft75: self.draft75.saturating_add(other.draft75),
            draft76: self.draft76.saturating_add(other.draft76),
            hybi7: self.hybi7.saturating_add(other.hybi7),
            hybi8: self.hybi8.saturating_add(other.hybi8),
            rfc6455: self.rfc6455.saturating_add(other.rfc6455),
        }
    }
}

/// How many connections a broadcast reaches: those with the frames of the hixie drafts, and those with the frames of
/// hybi and RFC 6455.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Members {
    pub(crate) hixie: usize,
    pub(crate) hybi: usize,
}

/// Several texts in one string.
#[derive(Debug, Default)]
pub(crate) struct EchoedTexts {
    pub(crate) text: String,
    /// Where each ends.
    pub(crate) ends: Vec<u32>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) policy: Policy,
    pub(crate) now: Millis,
    /// The number of times the clock was set. A turn is everything between two settings.
    pub(crate) turn: u64,
    pub(crate) events: VecDeque<Event<'static>>,
    transmissions: VecDeque<Transmission>,
    deadlines: BTreeSet<(Millis, ConnectionId)>,
    /// When the application is due a tick.
    tick: Option<Millis>,
    pub(crate) counts: Counts,
    /// Buffer for short texts in transit.
    pub(crate) short_texts: Vec<u8>,
    /// Buffers for texts that are echoed.
    pub(crate) echoed: EchoedTexts,
    /// Texts in the current input are no longer echoed together: some of them are not valid.
    pub(crate) echo_one_by_one: bool,
    /// Connections that ended in this call, to be removed from the table.
    pub(crate) ended: Vec<ConnectionId>,
    /// The members of a broadcast to all.
    pub(crate) members: Members,
    /// Whether input ahead of an answer is deferred instead of reported with the answer.
    pub(crate) bounded: bool,
    /// Connections with deferred input, longest wait first. Some may have ended.
    pub(crate) deferred: VecDeque<ConnectionId>,
    /// Connections to be given back at the end of this call. Some may have ended.
    pub(crate) passing: VecDeque<ConnectionId>,
    pub(crate) rejected: RejectedHeads,
}

impl Shared {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            now: 0,
            turn: 0,
            events: VecDeque::new(),
            transmissions: VecDeque::new(),
            deadlines: BTreeSet::new(),
            tick: None,
            counts: Counts::default(),
            short_texts: Vec::new(),
            echoed: EchoedTexts::default(),
            echo_one_by_one: false,
            ended: Vec::new(),
            members: Members::default(),
            bounded: false,
            deferred: VecDeque::new(),
            passing: VecDeque::new(),
            rejected: RejectedHeads::default(),
        }
    }

    /// How many more bytes may be buffered.
    pub(crate) fn room(&self) -> usize {
        self.policy.options.limits.max_buffered_bytes.saturating_sub(self.counts.buffered_bytes)
    }

    pub(crate) fn count_messages(&mut self, received: u64, sent: u64) {
        self.counts.messages_received = self.counts.messages_received.saturating_add(received);
        self.counts.messages_sent = self.counts.messages_sent.saturating_add(sent);
    }

    pub(crate) fn count_connected(&mut self, protocol: Protocol, more: bool) {
        let connected = &mut self.counts.connected;
        let count = match protocol {
            Protocol::Draft75 => &mut connected.draft75,
            Protocol::Draft76 => &mut connected.draft76,
            Protocol::Hybi7 => &mut connected.hybi7,
            Protocol::Hybi8 => &mut connected.hybi8,
            Protocol::Rfc6455 => &mut connected.rfc6455,
        };
        step(count, more);
    }

    /// A broadcast reaches one connection more, or one less.
    pub(crate) fn count_member(&mut self, protocol: Protocol, more: bool) {
        let count = if protocol.is_hybi() { &mut self.members.hybi } else { &mut self.members.hixie };
        step(count, more);
    }

    /// Lets `write` append to this connection's last transmission, so that it goes out in one write.
    pub(crate) fn transmit<T>(&mut self, to: ConnectionId, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        self.transmit_to(Destination::One(to), write)
    }

    /// The same for any destination: consecutive output for the same recipients becomes one transmission.
    pub(crate) fn transmit_to<T>(&mut self, to: Destination, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        self.address(to);
        // There is a last one now.
        let mut none = Vec::new();
        write(self.transmissions.back_mut().map_or(&mut none, |last| &mut last.bytes))
    }

    /// The same for two destinations that have no connection in common.
    pub(crate) fn transmit_to_both<T>(
        &mut self,
        one: Destination,
        other: Destination,
        write: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>) -> T,
    ) -> T {
        let mut last = self.transmissions.iter().rev();
        let is_continued = last.next().is_some_and(|last| last.to == other && last.then == Disposition::Keep)
            && last.next().is_some_and(|last| last.to == one && last.then == Disposition::Keep);
        if !is_continued {
            for to in [one, other] {
                self.transmissions.push_back(Transmission { to, bytes: Vec::new(), then: Disposition::Keep });
            }
        }
        // There are two now.
        let (mut none, mut nothing) = (Vec::new(), Vec::new());
        let mut last = self.transmissions.iter_mut().rev().map(|last| &mut last.bytes);
        let other = last.next().unwrap_or(&mut none);
        write(last.next().unwrap_or(&mut nothing), other)
    }

    /// Makes the last transmission one for these recipients. Not inlined: it is called from some fifty places.
    #[inline(never)]
    fn address(&mut self, to: Destination) {
        let is_continued = self
            .transmissions
            .back()
            .is_some_and(|last| last.to == to && matches!(last.then, Disposition::Keep | Disposition::Join));
        if !is_continued {
            self.transmissions.push_back(Transmission { to, bytes: Vec::new(), then: Disposition::Keep });
        }
    }

    /// Sets what follows the bytes so far.
    pub(crate) fn transmit_then(&mut self, to: ConnectionId, then: Disposition) {
        self.transmit(to, |_| ());
        if let Some(last) = self.transmissions.back_mut() {
            last.then = then;
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmission> {
        self.transmissions.pop_front()
    }

    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        if !self.deferred.is_empty() {
            return Some(self.now);
        }
        let first = self.deadlines.first().map(|(at, _)| *at);
        first.into_iter().chain(self.tick).min()
    }

    pub(crate) fn set_tick(&mut self, after: Millis) {
        let at = self.now.saturating_add(after.max(1));
        self.tick = Some(self.tick.map_or(at, |earlier| earlier.min(at)));
    }

    pub(crate) fn expire_tick(&mut self) {
        if self.tick.take_if(|at| *at <= self.now).is_some() {
            self.events.push_back(Event::Tick { now: self.now });
        }
    }

    /// Removes an expired deadline from the set.
    pub(crate) fn pop_expired(&mut self) -> Option<ConnectionId> {
        let first = self.deadlines.first().copied().filter(|(at, _)| *at <= self.now)?;
        self.deadlines.remove(&first);
        Some(first.1)
    }
}

fn step(count: &mut usize, more: bool) {
    *count = if more { count.saturating_add(1) } else { count.saturating_sub(1) };
}

/// The time at which a connection acts if nothing else happens first. Postponing a deadline is free: the set is only
/// updated when the earlier time has passed.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    due: Option<Millis>,
    /// The entry in [`Shared::deadlines`].
    armed: Option<Millis>,
}

impl Timer {
    /// Sets the deadline to this many milliseconds from now; `None` for never.
    pub(crate) fn set(&mut self, shared: &mut Shared, id: ConnectionId, after: Option<Millis>) {
        self.set_at(shared, id, after.map(|after| shared.now.saturating_add(after)));
    }

    /// Sets the deadline to a point in time.
    pub(crate) fn set_at(&mut self, shared: &mut Shared, id: ConnectionId, due: Option<Millis>) {
        self.due = due;
        match (self.due, self.armed) {
            (Some(due), Some(armed)) if armed <= due => {}
            (due, armed) => {
                if let Some(armed) = armed {
                    shared.deadlines.remove(&(armed, id));
                }
                if let Some(due) = due {
                    shared.deadlines.insert((due, id));
                }
                self.armed = due;
            }
        }
    }

    /// The armed deadline was removed from the set. Returns whether it has expired; if it was postponed, it is armed
    /// again.
    pub(crate) fn has_expired(&mut self, shared: &mut Shared, id: ConnectionId) -> bool {
        self.armed = None;
        match self.due {
            Some(due) if due > shared.now => {
                shared.deadlines.insert((due, id));
                self.armed = Some(due);
                false
            }
            due => due.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    fn shared() -> Shared {
        Shared::new(Policy::new(Options::default()).unwrap())
    }

    #[test]
    fn several_ticks_become_one_at_the_earliest_time() {
        let mut shared = shared();
        for after in [500, 200, 300] {
            shared.set_tick(after);
        }
        assert_eq!(shared.next_deadline(), Some(200));
        shared.now = 199;
        shared.expire_tick();
        assert!(shared.events.is_empty());
        shared.now = 1000;
        shared.expire_tick();
        shared.expire_tick();
        assert!(matches!(shared.events.pop_front(), Some(Event::Tick { now: 1000 })));
        assert!(shared.events.is_empty());
        assert_eq!(shared.next_deadline(), None);
    }

    #[test]
    fn a_tick_after_0_ms_waits_one_millisecond() {
        let mut shared = shared();
        shared.set_tick(0);
        shared.expire_tick();
        assert!(shared.events.is_empty());
        assert_eq!(shared.next_deadline(), Some(1));
    }
}
