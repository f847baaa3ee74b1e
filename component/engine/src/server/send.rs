//! Sends messages to one connection, several, or all; each message is encoded once.

use alloc::vec::Vec;

use super::Server;
use crate::error::Misuse;
use crate::event::{ConnectionId, Destination, Undelivered};
use crate::frame::encode;

impl Server {
    pub(super) fn send_to_one<'t>(
        &mut self,
        id: ConnectionId,
        texts: impl Iterator<Item = &'t str>,
    ) -> Result<(), Misuse> {
        self.command(id, |connection, shared| {
            if !connection.can_send() {
                return Err(Misuse::WrongState);
            }
            connection.touch(shared);
            let sent = shared.transmit(id, |out| encode_all(texts, out));
            shared.count_messages(0, sent);
            Ok(())
        })
    }

    pub(super) fn send_to_many<'t>(
        &mut self,
        ids: &[ConnectionId],
        texts: impl Iterator<Item = &'t str>,
        mut undelivered: impl FnMut(Undelivered),
    ) -> usize {
        self.remove_ended();
        let mut reached = Vec::new();
        for &id in ids {
            match self.connections.get_mut(&id) {
                Some(connection) if connection.can_send() => {
                    connection.touch(&mut self.shared);
                    reached.push(id);
                }
                Some(_) => undelivered(Undelivered { connection: id, why: Misuse::WrongState }),
                None => undelivered(Undelivered { connection: id, why: Misuse::UnknownConnection }),
            }
        }
        let count = reached.len();
        let to = match reached.as_slice() {
            [one] => Destination::One(*one),
            _ => Destination::Many(reached),
        };
        self.transmit_encoded(to, count, texts)
    }

    pub(super) fn send_to_all<'t>(
        &mut self,
        but: Option<ConnectionId>,
        texts: impl Iterator<Item = &'t str>,
    ) -> usize {
        let but = but.filter(|id| self.connections.get(id).is_some_and(|connection| connection.can_send()));
        if self.shared.policy.options.limits.idle_timeout != 0 {
            for connection in self.connections.values_mut().filter(|connection| connection.can_send()) {
                if Some(connection.id()) != but {
                    connection.touch(&mut self.shared);
                }
            }
        }
        let reached = self.shared.members.saturating_sub(usize::from(but.is_some()));
        self.transmit_encoded(but.map_or(Destination::All, Destination::AllBut), reached, texts)
    }

    fn transmit_encoded<'t>(
        &mut self,
        to: Destination,
        reached: usize,
        texts: impl Iterator<Item = &'t str>,
    ) -> usize {
        if reached != 0 {
            let sent = self.shared.transmit_to(to, |out| encode_all(texts, out));
            self.shared.count_messages(0, sent.saturating_mul(u64::try_from(reached).unwrap_or(u64::MAX)));
        }
        reached
    }
}

/// The number of messages.
fn encode_all<'t>(texts: impl Iterator<Item = &'t str>, out: &mut Vec<u8>) -> u64 {
    let mut count: u64 = 0;
    for text in texts {
        encode(text, out);
        count = count.saturating_add(1);
    }
    count
}
