//! What is done with an engine's step.

use std::rc::Rc;

use bytes::Bytes;

use super::{Inner, Lost};
use crate::engine::EngineLost;
use crate::relay::Split;
use crate::wit::{
    Command, Destination, Disposition, Event, Input, Loss, Lost as LostConnection, Step, Transmission,
};

/// Rounds of events and commands in one turn: pipelined requests come one by one, and an application may answer
/// every failure with another failing command.
const MAX_ROUNDS: usize = 64;

impl Inner {
    /// Carries a step to where it belongs, and what comes of it, until nothing does. Returns the engine's next
    /// deadline.
    pub(super) fn finish(&mut self, step: Result<Step, EngineLost>, now: u64) -> Option<u64> {
        let mut next = step.map_err(Lost::from).and_then(|step| self.run(step, now));
        if let Err(Lost::Application(lost)) = next {
            next = self.replace_application(&lost, now);
        }
        let next = next.unwrap_or_else(|lost| self.replace_engine(&lost, now));
        for outbox in self.touched.drain(..) {
            outbox.flush();
        }
        next
    }

    pub(super) fn run(&mut self, mut step: Step, now: u64) -> Result<Option<u64>, Lost> {
        if !self.carried.is_empty() {
            let later = std::mem::replace(&mut step.events, std::mem::take(&mut self.carried));
            step.events.extend(later);
        }
        for _ in 0..MAX_ROUNDS {
            self.deliver(std::mem::take(&mut step.transmissions));
            self.observe(&step.events);
            self.leave_out_orphans(&mut step.events);
            let commanded = match step.events.as_slice() {
                [] => None,
                events => self.tell(events)?,
            };
            step = if let Some(following) = commanded {
                following
            } else if !self.slow.is_empty() || step.next_timeout.is_some_and(|at| at <= now) {
                let slow = std::mem::take(&mut self.slow).into_iter();
                let lost = |connection| Input::Lost(LostConnection { connection, why: Loss::SlowReader });
                self.engine.turn(now, &slow.map(lost).collect::<Vec<_>>())?
            } else {
                return Ok(step.next_timeout);
            };
        }
        // It is the others' turn; this goes on in the next one, which is due.
        self.deliver(step.transmissions);
        self.carried = step.events;
        Ok(Some(now))
    }

    /// Tells the application, and carries out what it wants.
    pub(super) fn tell(&mut self, events: &[Event]) -> Result<Option<Step>, Lost> {
        let Self { plan, engine, application, origin, alone, .. } = self;
        let mut command = |commands: &[Command<'_>]| match commands {
            [] => Ok(None),
            commands => engine.command(commands).map(Some),
        };
        let carry = |commands: &[Command<'_>]| {
            // Only the first call has none.
            *alone |=
                events.is_empty() && commands.iter().any(|asked| matches!(asked, Command::SingleInstance));
            let Some(split) = Split::of(&plan.crew, *origin, commands) else {
                return command(commands);
            };
            let step = command(&split.here());
            split.send(&plan.crew);
            step
        };
        Ok(application.handle(events, carry)??)
    }

    pub(super) fn deliver(&mut self, transmissions: Vec<Transmission>) {
        for Transmission { to, mut bytes, then } in transmissions {
            // What waits is counted by its length.
            if bytes.capacity() / 2 > bytes.len() {
                bytes.shrink_to_fit();
            }
            let bytes = Bytes::from(bytes);
            match to {
                Destination::One(connection) => self.deliver_one(connection, bytes, then),
                Destination::Many(connections) => {
                    for connection in connections {
                        self.deliver_one(connection, bytes.clone(), then);
                    }
                }
            }
        }
    }

    fn deliver_one(&mut self, connection: u64, bytes: Bytes, then: Disposition) {
        let Some(link) = self.connections.get(&connection) else {
            return;
        };
        if link.outbox.touch() {
            self.touched.push(Rc::clone(&link.outbox));
        }
        if then == Disposition::Abort {
            link.outbox.abort();
        } else if link.outbox.push(bytes.clone(), then).is_err() {
            // The kernel may take what waits only for the end of the turn.
            link.outbox.flush();
            if link.outbox.push(bytes, then).is_err() {
                link.outbox.abort();
                self.slow.push(connection);
            }
            if link.outbox.touch() {
                self.touched.push(Rc::clone(&link.outbox));
            }
        }
    }
}
