//! One turn: the driver of the shell core's pump.

use alloc::vec::Vec;
use core::convert::Infallible;

use legacy_websocket::step::{Event, Input, Lost, Step, Transmission};
use legacy_websocket_shell::{Driver, Pump, carry_out, command_bytes, event_count, observe};

use super::Shell;
use crate::application::ask;
use crate::clock::{Stopwatch, now};

/// How long a turn may last before it yields, in milliseconds: an application may be slow, and may answer every
/// failure with another failing command.
const TURN_TIME: u64 = 10;

impl Shell {
    pub(super) fn run_engine(&mut self, inputs: &[Input]) {
        let now = now();
        self.turn_until = now.saturating_add(TURN_TIME);
        self.set_budget();
        let is_due = self.pump.is_due() || self.next_timeout.is_some_and(|at| at <= now);
        if self.pump.is_due() {
            self.pump(|pump, shell| pump.run_carried(shell, now));
        }
        if is_due || !inputs.is_empty() {
            let step = self.engine.turn(now, inputs);
            self.pump(|pump, shell| pump.run(shell, step, now));
        }
        #[cfg(feature = "http")]
        self.answer_requests(now);
        self.drive_touched(now);
        // Report what writing has detected.
        while !self.lost.is_empty() {
            let lost: Vec<_> = core::mem::take(&mut self.lost).into_iter().map(Input::Lost).collect();
            let step = self.engine.turn(now, &lost);
            self.pump(|pump, shell| pump.run(shell, step, now));
            self.drive_touched(now);
        }
    }

    /// Makes the application's first call, which has no events. The engine's clock starts here.
    pub(super) fn start_application(&mut self) {
        let now = now();
        self.turn_until = now.saturating_add(TURN_TIME);
        self.engine.turn(now, &[]);
        let Ok(step) = self.tell(Vec::new());
        if let Some(step) = step {
            self.pump(|pump, shell| pump.run(shell, step, now));
        }
    }

    /// Runs the pump, and records when the next turn is due.
    pub(super) fn pump(&mut self, run: impl FnOnce(&mut Pump, &mut Self) -> Result<Option<u64>, Infallible>) {
        let mut pump = core::mem::take(&mut self.pump);
        let Ok(next) = run(&mut pump, self);
        self.next_timeout = next;
        self.pump = pump;
    }

    fn set_budget(&mut self) {
        if let Some(events) = self.event_budget.take_change() {
            self.engine.set_budget(events);
        }
    }
}

impl Driver for Shell {
    type Error = Infallible;

    fn is_turn_over(&self) -> bool {
        now() > self.turn_until
    }

    fn deliver(&mut self, transmissions: Vec<Transmission>) {
        self.deliver_all(transmissions);
    }

    fn pause(&mut self, connections: &[u64]) {
        for id in core::mem::replace(&mut self.paused, connections.to_vec()) {
            if let Some(link) = self.links.get_mut(&id) {
                link.paused = false;
                self.link_changed(id);
            }
        }
        for id in connections {
            if let Some(link) = self.links.get_mut(id) {
                link.paused = true;
            }
        }
    }

    fn observe(&mut self, event: &Event) {
        observe(self, event);
        if let Event::Closed(closed) = event {
            #[cfg(feature = "http")]
            self.site.abandon(closed.connection, &mut self.waiter);
            if let Some(link) = self.links.get_mut(&closed.connection) {
                link.closed = true;
            }
        }
    }

    fn take_lost(&mut self) -> Vec<Lost> {
        core::mem::take(&mut self.lost)
    }

    fn turn(&mut self, now: u64, inputs: &[Input]) -> Result<Step, Infallible> {
        Ok(self.engine.turn(now, inputs))
    }

    fn tell(&mut self, events: Vec<Event>) -> Result<Option<Step>, Infallible> {
        self.set_budget();
        #[cfg(feature = "http")]
        let events = {
            let is_first = events.is_empty();
            let rest = self.site.take_requests(events, &self.links, &mut self.waiter);
            if rest.is_empty() && !is_first {
                return Ok(None);
            }
            rest
        };
        let (began, count) = (Stopwatch::start(), event_count(&events));
        let (step, bytes) = ask(events, |commands| {
            let bytes = commands.iter().map(command_bytes).fold(0, usize::saturating_add);
            let step = carry_out(commands, |part, is_last| {
                Ok(if is_last { self.engine.command(part) } else { self.engine.command_partly(part) })
            });
            (step, bytes)
        });
        self.event_budget.observe(count, began.elapsed(), bytes);
        step
    }
}
