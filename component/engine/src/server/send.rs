//! Sends messages to one connection, several, or all; each message is encoded once for all that have the same frames.

use alloc::vec::Vec;

use super::Server;
use crate::connection::Connection;
use crate::error::Misuse;
use crate::event::{ConnectionId, Destination, Undelivered};
use crate::frame;
use crate::hybi::encode::{encode_binary, encode_text};
use crate::protocol::Protocol;

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
            let is_hybi = is_hybi(connection);
            let sent = shared.transmit(id, |out| {
                if is_hybi {
                    encode_all(texts, |text| encode_text(text, out))
                } else {
                    encode_all(texts, |text| frame::encode(text, out))
                }
            });
            shared.count_messages(0, sent);
            Ok(())
        })
    }

    pub(super) fn send_to_many<'t>(
        &mut self,
        ids: &[ConnectionId],
        texts: impl Iterator<Item = &'t str>,
        undelivered: impl FnMut(Undelivered),
    ) -> usize {
        let (mut hixie, mut hybi) = (Vec::new(), Vec::new());
        self.for_each_receiver(ids, undelivered, |connection| {
            if is_hybi(connection) { &mut hybi } else { &mut hixie }.push(connection.id());
            Ok(())
        });
        self.transmit_texts(Group::listed(hixie), Group::listed(hybi), texts)
    }

    pub(super) fn send_to_all<'t>(
        &mut self,
        but: Option<ConnectionId>,
        texts: impl Iterator<Item = &'t str>,
    ) -> usize {
        let (hixie, hybi) = self.everyone(but, |_| true);
        self.transmit_texts(hixie, hybi, texts)
    }

    pub(super) fn send_binary_to_many(
        &mut self,
        ids: &[ConnectionId],
        bytes: &[u8],
        undelivered: impl FnMut(Undelivered),
    ) -> usize {
        let mut hybi = Vec::new();
        self.for_each_receiver(ids, undelivered, |connection| {
            if !is_hybi(connection) {
                return Err(Misuse::Unsupported);
            }
            hybi.push(connection.id());
            Ok(())
        });
        self.transmit_binary(Group::listed(hybi), bytes)
    }

    pub(super) fn send_binary_to_all(&mut self, but: Option<ConnectionId>, bytes: &[u8]) -> usize {
        let (_, hybi) = self.everyone(but, is_hybi);
        self.transmit_binary(hybi, bytes)
    }

    /// Reports those that are not connected, and those that `receive` refuses.
    fn for_each_receiver(
        &mut self,
        ids: &[ConnectionId],
        mut undelivered: impl FnMut(Undelivered),
        mut receive: impl FnMut(&Connection) -> Result<(), Misuse>,
    ) {
        self.remove_ended();
        for &id in ids {
            let result = match self.connections.get_mut(&id) {
                Some(connection) if connection.can_send() => {
                    receive(connection).map(|()| connection.touch(&mut self.shared))
                }
                Some(_) => Err(Misuse::WrongState),
                None => Err(Misuse::UnknownConnection),
            };
            if let Err(why) = result {
                undelivered(Undelivered { connection: id, why });
            }
        }
    }

    /// Every connected client but one: those of the hixie drafts, and the others. Restarts the idle timeout of those
    /// that receive the message.
    #[inline(never)]
    fn everyone(&mut self, but: Option<ConnectionId>, receives: fn(&Connection) -> bool) -> (Group, Group) {
        let exception = but.and_then(|id| self.connections.get(&id)).filter(|it| it.can_send());
        let (but, is_hybi_exception) = (exception.map(|it| it.id()), exception.is_some_and(|it| is_hybi(it)));
        if self.shared.policy.options.limits.idle_timeout != 0 {
            for connection in self.connections.values_mut().filter(|connection| connection.can_send()) {
                if Some(connection.id()) != but && receives(connection) {
                    connection.touch(&mut self.shared);
                }
            }
        }
        let members = self.shared.members;
        let all = |count: usize, has_exception: bool| Group {
            to: but.map_or(Destination::All, Destination::AllBut),
            count: count.saturating_sub(usize::from(has_exception)),
        };
        if members.hixie == 0 || members.hybi == 0 {
            (all(members.hixie, but.is_some() && !is_hybi_exception), all(members.hybi, is_hybi_exception))
        } else {
            // "All" is one destination, and these are two kinds of bytes.
            let others = self.connections.values().filter(|it| it.can_send() && Some(it.id()) != but);
            let (hybi, hixie): (Vec<_>, Vec<_>) = others.map(AsRef::as_ref).partition(|it| is_hybi(it));
            let ids = |group: Vec<&Connection>| group.into_iter().map(Connection::id).collect();
            (Group::listed(ids(hixie)), Group::listed(ids(hybi)))
        }
    }

    /// Returns the number of recipients.
    fn transmit_texts<'t>(
        &mut self,
        hixie: Group,
        hybi: Group,
        texts: impl Iterator<Item = &'t str>,
    ) -> usize {
        let count = hixie.count.saturating_add(hybi.count);
        let shared = &mut self.shared;
        let sent = match (hixie.count, hybi.count) {
            (0, 0) => 0,
            (_, 0) => shared.transmit_to(hixie.to, |out| encode_all(texts, |text| frame::encode(text, out))),
            (0, _) => shared.transmit_to(hybi.to, |out| encode_all(texts, |text| encode_text(text, out))),
            _ => shared.transmit_to_both(hixie.to, hybi.to, |hixie, hybi| {
                encode_all(texts, |text| {
                    frame::encode(text, hixie);
                    encode_text(text, hybi);
                })
            }),
        };
        shared.count_messages(0, sent.saturating_mul(u64::try_from(count).unwrap_or(u64::MAX)));
        count
    }

    /// Returns the number of recipients.
    fn transmit_binary(&mut self, group: Group, bytes: &[u8]) -> usize {
        if group.count != 0 {
            self.shared.transmit_to(group.to, |out| encode_binary(bytes, out));
            self.shared.count_messages(0, u64::try_from(group.count).unwrap_or(u64::MAX));
        }
        group.count
    }
}

/// The number of messages.
fn encode_all<'t>(texts: impl Iterator<Item = &'t str>, mut encode: impl FnMut(&str)) -> u64 {
    let mut count: u64 = 0;
    for text in texts {
        encode(text);
        count = count.saturating_add(1);
    }
    count
}

/// Recipients with the same frames.
struct Group {
    to: Destination,
    count: usize,
}

impl Group {
    fn listed(ids: Vec<ConnectionId>) -> Self {
        let count = ids.len();
        let to = match ids.as_slice() {
            [one] => Destination::One(*one),
            _ => Destination::Many(ids),
        };
        Self { to, count }
    }
}

fn is_hybi(connection: &Connection) -> bool {
    connection.protocol().is_some_and(Protocol::is_hybi)
}
