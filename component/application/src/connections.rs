//! What an application keeps for each connection.

use std::collections::BTreeMap;

use crate::{Closed, Connected, ConnectionId};

/// A value for each connection, from `connected` to `closed`.
///
/// Both ends take the event itself: what has not begun cannot get in, and what has not ended is not lost. An id is
/// never reused, so a value never meets another connection. These are the connections of one instance, and a server has
/// an instance on each core unless the first call returns [`Command::SingleInstance`](crate::Command::SingleInstance).
///
/// ```
/// use legacy_websocket_application::{Application, Command, Connections, Event, Recipients};
///
/// /// Counts what each client says.
/// #[derive(Default)]
/// struct Count {
///     said: Connections<u64>,
/// }
///
/// impl Application for Count {
///     fn handle(&mut self, events: Vec<Event>) -> Vec<Command> {
///         let mut commands = Vec::new();
///         for event in events {
///             match event {
///                 Event::Connected(connected) => self.said.insert(&connected, 0),
///                 Event::Messages(messages) => {
///                     if let Some(said) = self.said.get_mut(messages.connection) {
///                         *said += messages.iter().count() as u64;
///                         commands.push(Command::send(Recipients::One(messages.connection), said.to_string()));
///                     }
///                 }
///                 Event::Closed(closed) => drop(self.said.remove(&closed)),
///                 _ => {}
///             }
///         }
///         commands
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections<T> {
    values: BTreeMap<ConnectionId, T>,
}

impl<T> Connections<T> {
    /// No values.
    #[must_use]
    pub const fn new() -> Self {
        Self { values: BTreeMap::new() }
    }

    /// Keeps a value for a connection, until [`remove`](Self::remove).
    pub fn insert(&mut self, connected: &Connected, value: T) {
        self.values.insert(connected.connection, value);
    }

    /// Gives up the value of a connection that has ended. `None` if it has none: it never connected, or it was plain
    /// HTTP.
    pub fn remove(&mut self, closed: &Closed) -> Option<T> {
        self.values.remove(&closed.connection)
    }

    /// The value of an open connection.
    #[must_use]
    pub fn get(&self, connection: ConnectionId) -> Option<&T> {
        self.values.get(&connection)
    }

    /// The value of an open connection, to change it.
    pub fn get_mut(&mut self, connection: ConnectionId) -> Option<&mut T> {
        self.values.get_mut(&connection)
    }

    /// Whether there is a value for the connection.
    #[must_use]
    pub fn contains(&self, connection: ConnectionId) -> bool {
        self.values.contains_key(&connection)
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The connections and their values, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (ConnectionId, &T)> {
        self.values.iter().map(|(id, value)| (*id, value))
    }

    /// The connections and their values, the oldest first, to change the values.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ConnectionId, &mut T)> {
        self.values.iter_mut().map(|(id, value)| (*id, value))
    }

    /// The ids, the oldest first.
    pub fn ids(&self) -> impl Iterator<Item = ConnectionId> {
        self.values.keys().copied()
    }

    /// The values, that of the oldest connection first.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.values.values()
    }
}

impl<T> Default for Connections<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CloseCause, Protocol, RequestHead};

    #[test]
    fn a_value_lives_from_connected_to_closed() {
        let mut connections = Connections::new();
        for (id, name) in [(4, "b"), (2, "a")] {
            connections
                .insert(&Connected::new(id, Protocol::Draft75, RequestHead::get("/")), name.to_owned());
        }
        connections.get_mut(4).unwrap().push('!');
        assert_eq!((connections.len(), connections.contains(2), connections.contains(3)), (2, true, false));
        let all: Vec<_> = connections.iter().map(|(id, name)| (id, &**name)).collect();
        assert_eq!(all, [(2, "a"), (4, "b!")]);
        assert_eq!(connections.remove(&Closed::new(4, CloseCause::ByPeer)).as_deref(), Some("b!"));
        assert_eq!(connections.remove(&Closed::new(4, CloseCause::ByPeer)), None);
        assert_eq!(connections.get(4), None);
        assert_eq!(connections.ids().collect::<Vec<_>>(), [2]);
    }
}
