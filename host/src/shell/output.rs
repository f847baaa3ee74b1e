//! The engine's output: queued, and limited over all connections.

use std::rc::Rc;

use legacy_websocket::step::{Destination, Disposition, Loss, Lost, Transmission};
use legacy_websocket_shell::Payload;

use super::Inner;
use crate::connection::connection_io::ConnectionIo;

/// A turn with this much output, over all connections, continues in the next one: writing it takes as long as a turn.
/// With many recipients, the bytes for each count, because every write has its own cost.
const TURN_DELIVERED_BYTES: usize = 16 << 20;
const TURN_BYTES_EACH: usize = 8 << 10;

impl Inner {
    pub(super) fn has_much_to_write(&self) -> bool {
        self.delivered_bytes >= TURN_DELIVERED_BYTES.max(self.touched.len() * TURN_BYTES_EACH)
    }

    pub(super) fn deliver_all(&mut self, transmissions: Vec<Transmission>) {
        for Transmission { to, bytes, then } in transmissions {
            let payload = self.queue_account.payload(bytes);
            match to {
                Destination::One(connection) => {
                    self.deliver_one(connection, &payload, then);
                    self.observe_sent(connection, then);
                }
                Destination::Many(connections) => {
                    for connection in connections {
                        self.deliver_one(connection, &payload, then);
                    }
                }
                Destination::All => self.broadcast(None, &payload),
                Destination::AllBut(but) => self.broadcast(Some(but), &payload),
            }
            drop(payload);
            if self.queue_account.is_over() {
                self.relieve();
            }
        }
    }

    fn deliver_one(&mut self, connection: u64, payload: &Rc<Payload>, then: Disposition) {
        let Some(link) = self.connections.get(&connection) else {
            return;
        };
        let io = Rc::clone(&link.io);
        self.push(connection, &io, payload, then);
        match then.membership_change() {
            Some(true) => self.join(connection, io),
            Some(false) => self.leave(connection),
            None => {}
        }
    }

    fn broadcast(&mut self, but: Option<u64>, payload: &Rc<Payload>) {
        let members = std::mem::take(&mut self.members);
        for (connection, io) in &members {
            if Some(*connection) != but {
                self.push(*connection, io, payload, Disposition::Keep);
            }
        }
        self.members = members;
    }

    fn push(&mut self, connection: u64, io: &Rc<ConnectionIo>, payload: &Rc<Payload>, then: Disposition) {
        self.delivered_bytes += payload.bytes().len();
        if io.touch() {
            self.touched.push(Rc::clone(io));
        }
        if then == Disposition::Abort {
            io.abort();
        } else if io.push(payload, then).is_err() {
            // The kernel may take output that was only waiting for the end of the turn.
            io.flush();
            if io.push(payload, then).is_err() {
                io.abort();
                self.lost.push(Lost { connection, why: Loss::SlowReader });
            }
            if io.touch() {
                self.touched.push(Rc::clone(io));
            }
        }
    }

    /// Adds it to the members of broadcasts.
    fn join(&mut self, connection: u64, io: Rc<ConnectionIo>) {
        if let Some(link) = self.connections.get_mut(&connection)
            && link.member.is_none()
        {
            link.member = Some(self.members.len());
            self.members.push((connection, io));
        }
    }

    /// Removes it from the members of broadcasts.
    pub(super) fn leave(&mut self, connection: u64) {
        let Some(at) = self.connections.get_mut(&connection).and_then(|link| link.member.take()) else {
            return;
        };
        self.members.swap_remove(at);
        if let Some((moved, _)) = self.members.get(at)
            && let Some(link) = self.connections.get_mut(moved)
        {
            link.member = Some(at);
        }
    }
}
