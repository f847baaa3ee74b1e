//! Groups of connections that hear the same.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use crate::{Closed, Command, ConnectionId, Recipients};

/// Rooms: a connection is in any number of them. A room exists while somebody is in it.
///
/// The members are connections of one instance, and a server has an instance on each core unless the first call returns
/// [`Command::SingleInstance`]: without it, members on two cores do not hear each other.
///
/// ```
/// use legacy_websocket_application::{Application, Command, Event, Rooms};
///
/// /// Those who came to the same path hear each other.
/// #[derive(Default)]
/// struct Paths {
///     rooms: Rooms,
/// }
///
/// impl Application for Paths {
///     fn handle(&mut self, events: Vec<Event>) -> Vec<Command> {
///         if events.is_empty() {
///             return vec![Command::SingleInstance];
///         }
///         let mut commands = Vec::new();
///         for event in events {
///             match event {
///                 Event::Connected(connected) => {
///                     self.rooms.join(connected.path(), connected.connection);
///                 }
///                 Event::Messages(messages) => {
///                     for room in self.rooms.of(messages.connection) {
///                         commands.extend(messages.iter().map(|text| self.rooms.send(room, text)));
///                     }
///                 }
///                 Event::Closed(closed) => self.rooms.remove(&closed),
///                 _ => {}
///             }
///         }
///         commands
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rooms<K = String> {
    members: BTreeMap<K, BTreeSet<ConnectionId>>,
    joined: BTreeMap<ConnectionId, BTreeSet<K>>,
}

impl<K: Ord + Clone> Rooms<K> {
    /// No rooms.
    #[must_use]
    pub const fn new() -> Self {
        Self { members: BTreeMap::new(), joined: BTreeMap::new() }
    }

    /// A connection enters a room, from `connected` to `closed`: what is sent to one that has ended, or that is plain
    /// HTTP, is `failed`. Returns whether it was outside.
    pub fn join(&mut self, room: impl Into<K>, connection: ConnectionId) -> bool {
        let room = room.into();
        self.joined.entry(connection).or_default().insert(room.clone());
        self.members.entry(room).or_default().insert(connection)
    }

    /// A connection leaves a room. Returns whether it was inside.
    pub fn leave<Q: Ord + ?Sized>(&mut self, room: &Q, connection: ConnectionId) -> bool
    where
        K: Borrow<Q>,
    {
        let was_inside = take(&mut self.members, room, &connection);
        take(&mut self.joined, &connection, room);
        was_inside
    }

    /// A connection that has ended leaves all of its rooms.
    pub fn remove(&mut self, closed: &Closed) {
        for room in self.joined.remove(&closed.connection).unwrap_or_default() {
            take(&mut self.members, &room, &closed.connection);
        }
    }

    /// One text to everyone in a room; to nobody, if there is no such room.
    #[must_use]
    pub fn send<Q: Ord + ?Sized>(&self, room: &Q, text: impl Into<String>) -> Command
    where
        K: Borrow<Q>,
    {
        Command::send(self.recipients(room), text)
    }

    /// Everyone in a room, as recipients of anything.
    #[must_use]
    pub fn recipients<Q: Ord + ?Sized>(&self, room: &Q) -> Recipients
    where
        K: Borrow<Q>,
    {
        Recipients::Many(self.members(room).collect())
    }

    /// Everyone in a room but this one.
    #[must_use]
    pub fn recipients_but<Q: Ord + ?Sized>(&self, room: &Q, connection: ConnectionId) -> Recipients
    where
        K: Borrow<Q>,
    {
        Recipients::Many(self.members(room).filter(|member| *member != connection).collect())
    }

    /// Who is in a room, the oldest connection first.
    pub fn members<Q: Ord + ?Sized>(&self, room: &Q) -> impl Iterator<Item = ConnectionId>
    where
        K: Borrow<Q>,
    {
        self.members.get(room).into_iter().flatten().copied()
    }

    /// The rooms that a connection is in.
    pub fn of(&self, connection: ConnectionId) -> impl Iterator<Item = &K> {
        self.joined.get(&connection).into_iter().flatten()
    }

    /// All rooms, and how many are in each.
    pub fn iter(&self) -> impl Iterator<Item = (&K, usize)> {
        self.members.iter().map(|(room, members)| (room, members.len()))
    }

    /// Whether a connection is in a room.
    #[must_use]
    pub fn contains<Q: Ord + ?Sized>(&self, room: &Q, connection: ConnectionId) -> bool
    where
        K: Borrow<Q>,
    {
        self.members.get(room).is_some_and(|members| members.contains(&connection))
    }

    /// How many rooms there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are no rooms.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl<K: Ord + Clone> Default for Rooms<K> {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes `value` out of the set of `key`, and the set with its last. Returns whether it was there.
fn take<K, V, Q, R>(sets: &mut BTreeMap<K, BTreeSet<V>>, key: &Q, value: &R) -> bool
where
    K: Ord + Borrow<Q>,
    V: Ord + Borrow<R>,
    Q: Ord + ?Sized,
    R: Ord + ?Sized,
{
    let Some(set) = sets.get_mut(key) else { return false };
    let was_there = set.remove(value);
    if set.is_empty() {
        sets.remove(key);
    }
    was_there
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CloseCause;

    #[test]
    fn a_room_is_sent_to_at_once() {
        let mut rooms = Rooms::<String>::new();
        assert!(rooms.join("tea", 2));
        assert!(rooms.join("tea", 1));
        assert!(!rooms.join("tea", 1));
        assert_eq!(rooms.send("tea", "hi"), Command::send(Recipients::Many(vec![1, 2]), "hi"));
        assert_eq!(rooms.recipients_but("tea", 1), Recipients::Many(vec![2]));
        assert_eq!(rooms.recipients("coffee"), Recipients::Many(Vec::new()));
    }

    #[test]
    fn an_empty_room_vanishes() {
        let mut rooms = Rooms::<String>::new();
        rooms.join("tea", 1);
        assert!(!rooms.leave("coffee", 1));
        assert!(!rooms.leave("tea", 2));
        assert!(rooms.leave("tea", 1));
        assert_eq!(rooms, Rooms::new());
    }

    #[test]
    fn a_connection_that_ends_is_in_no_room() {
        let mut rooms = Rooms::<u8>::new();
        for (room, connection) in [(1, 1), (2, 1), (2, 7)] {
            rooms.join(room, connection);
        }
        assert_eq!(rooms.of(1).collect::<Vec<_>>(), [&1, &2]);
        rooms.remove(&Closed::new(1, CloseCause::Reset));
        assert_eq!(rooms.iter().collect::<Vec<_>>(), [(&2, 1)]);
        assert_eq!((rooms.contains(&2, 7), rooms.contains(&2, 1), rooms.of(1).count()), (true, false, 0));
        rooms.remove(&Closed::new(7, CloseCause::Reset));
        assert!(rooms.is_empty());
    }
}
