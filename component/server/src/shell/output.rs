//! The engine's output: queued, written, and limited over all connections.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use legacy_websocket::step::{Destination, Disposition, Loss, Lost, Transmission};
use legacy_websocket_shell::{Level, LogCategory, Payload};

use super::Shell;
use crate::clock::now;
use crate::link::Outcome;

impl Shell {
    pub(super) fn deliver_all(&mut self, transmissions: Vec<Transmission>) {
        let now = now();
        for Transmission { to, bytes, then } in transmissions {
            let payload = Payload::new(bytes, &self.held);
            match to {
                Destination::One(id) => self.deliver_one(id, &payload, then, now),
                Destination::Many(ids) => {
                    for id in ids {
                        self.deliver_one(id, &payload, then, now);
                    }
                }
                Destination::All => self.broadcast(None, &payload, now),
                Destination::AllBut(but) => self.broadcast(Some(but), &payload, now),
            }
            drop(payload);
            if self.held.get() > self.options.queue.total {
                self.relieve(now);
            }
        }
    }

    fn broadcast(&mut self, but: Option<u64>, payload: &Rc<Payload>, now: u64) {
        let members = core::mem::take(&mut self.members);
        for id in members.iter().filter(|id| Some(*id) != but) {
            self.deliver_one(id, payload, Disposition::Keep, now);
        }
        self.members = members;
    }

    fn deliver_one(&mut self, id: u64, payload: &Rc<Payload>, then: Disposition, now: u64) {
        self.members.observe(id, then);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        self.touched.push(id);
        if then == Disposition::Abort {
            link.abort();
        } else if link.push(payload, then).is_err() {
            // The host may accept output that was only waiting for the end of the turn.
            link.drive(now, &self.options);
            if link.push(payload, then).is_err() {
                link.abort();
                self.lost.push(Lost { connection: id, why: Loss::SlowReader });
            }
        }
    }

    /// Closes the connections that hold the most, until enough of the limit is free again.
    fn relieve(&mut self, now: u64) {
        // The host may accept output that was only waiting for the end of the turn.
        self.drive_touched(now);
        let total = self.options.queue.total;
        if self.held.get() <= total {
            return;
        }
        let room = self.options.queue.after_relief();
        let mut shares: Vec<_> = self.links.iter().map(|(id, link)| (link.share(), *id)).collect();
        shares.sort_unstable_by(|one, other| other.cmp(one));
        let mut closed: usize = 0;
        for (_, id) in shares {
            if self.held.get() <= room {
                break;
            }
            if let Some(link) = self.links.get_mut(&id) {
                link.abort();
                self.touched.push(id);
                self.observe_lost(id, Loss::SlowReader);
                self.lost.push(Lost { connection: id, why: Loss::SlowReader });
                closed = closed.saturating_add(1);
            }
        }
        if let Some(permit) = self.log.permit(LogCategory::Closure) {
            self.log.write(
                Level::Warn,
                format_args!(
                    "too much output waits; the connections holding the most are closed connections={closed} \
                     limit={total}{permit}"
                ),
            );
        }
    }

    /// Writes this turn's output, and closes connections that are due.
    pub(super) fn drive_touched(&mut self, now: u64) {
        let mut touched = core::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for id in &touched {
            let Some(link) = self.links.get_mut(id) else {
                continue;
            };
            match link.drive(now, &self.options) {
                Outcome::Keep => {
                    if let Some(at) = link.wake
                        && link.scheduled.is_none_or(|before| at < before)
                    {
                        link.scheduled = Some(at);
                        self.schedule.push(Reverse((at, *id)));
                    }
                    self.link_changed(*id);
                }
                Outcome::Done => self.close(*id),
                Outcome::Lost(why) => {
                    // It is closed after the engine has been told.
                    link.abort();
                    self.touched.push(*id);
                    self.observe_lost(*id, why);
                    self.lost.push(Lost { connection: *id, why });
                }
            }
        }
    }
}
