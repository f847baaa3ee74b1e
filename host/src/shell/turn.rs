//! One turn: the driver of the shell core's pump.

use std::time::{Duration, Instant};

use legacy_websocket::step::{Command, Event, Input, Lost as LostConnection, Step, Transmission};
use legacy_websocket_shell::{
    Driver, FailureCycle, Pump, carry_out, command_bytes, event_count, has_failure, observe,
};

use super::{Inner, Lost};
use crate::application::ApplicationLost;
use crate::engine::EngineLost;
use crate::workers::forward::SplitCommands;

/// How long a turn may last before it yields: an application may be slow, and may answer every failure with another
/// failing command.
const TURN_TIME: Duration = Duration::from_millis(10);

/// A single larger command is the application's fault, and must not cost the engine.
const MAX_COMMAND_BYTES: usize = 64 << 20;

impl Inner {
    /// Begins a turn: events carried over come first.
    pub(super) fn begin(&mut self, now: u64) {
        self.retry_application(now);
        // A new engine has no budget yet.
        if let Err(lost) = self.set_budget() {
            self.recover(Err(lost.into()), now);
        }
        if self.pump.is_due() {
            let result = self.pump(|pump, inner| pump.run_carried(inner, now));
            self.recover(result, now);
        }
    }

    /// Delivers a step and its consequences until there are none or the time is up. Returns the engine's next
    /// deadline.
    pub(super) fn finish(&mut self, step: Result<Step, EngineLost>, now: u64) -> Option<u64> {
        let result = step.map_err(Lost::from).and_then(|step| self.run(step, now));
        let next = self.recover(result, now);
        self.flush();
        self.queue_account.publish();
        if self.pump.is_due() { Some(now) } else { next }
    }

    pub(super) fn run(&mut self, step: Step, now: u64) -> Result<Option<u64>, Lost> {
        self.pump(|pump, inner| pump.run(inner, step, now))
    }

    /// Delivers a step, leaving its events for the next turn.
    pub(super) fn carry(&mut self, step: Step) {
        self.deliver(step.transmissions);
        step.events.iter().for_each(|event| Driver::observe(self, event));
        self.pump.carried().extend(step.events);
    }

    /// Passes events to the application, and carries out its commands.
    pub(super) fn tell_application(&mut self, events: &[Event]) -> Result<Option<Step>, Lost> {
        // Once per call, not once per turn: a turn has as many calls as time allows.
        self.set_budget()?;
        let began = Instant::now();
        let Self { context, engine, application, origin, alone, .. } = self;
        let mut carry_out = |commands: &[Command<'_>]| {
            carry_out(
                commands,
                |part, is_last| {
                    if is_last { engine.command(part) } else { engine.command_partly(part) }
                },
            )
        };
        let mut bytes = 0;
        let carry = |commands: &[Command<'_>]| {
            // Only the first call has no events.
            *alone |=
                events.is_empty() && commands.iter().any(|asked| matches!(asked, Command::SingleInstance));
            bytes = commands.iter().map(command_bytes).sum();
            if let Some(long) = commands.iter().map(command_bytes).find(|bytes| *bytes > MAX_COMMAND_BYTES) {
                return Err(ApplicationLost::LargeCommand { bytes: long, limit: MAX_COMMAND_BYTES }.into());
            }
            let Some(split) = SplitCommands::of(&context.pool, *origin, commands) else {
                return Ok(carry_out(commands)?);
            };
            let step = carry_out(&split.here());
            split.send(&context.pool);
            Ok(step?)
        };
        let step = application.handle(events, carry)?;
        let told = step.as_ref().ok().and_then(Option::as_ref);
        if self.failure_cycle.observe(has_failure(events), told) {
            return Err(ApplicationLost::FailureCycle(FailureCycle::MAX).into());
        }
        self.event_budget.observe(event_count(events), began.elapsed(), bytes);
        step
    }

    fn pump<T>(&mut self, run: impl FnOnce(&mut Pump, &mut Self) -> T) -> T {
        self.turn_until = Instant::now() + TURN_TIME;
        self.delivered_bytes = 0;
        let mut pump = std::mem::take(&mut self.pump);
        let result = run(&mut pump, self);
        self.pump = pump;
        result
    }

    fn recover(&mut self, mut result: Result<Option<u64>, Lost>, now: u64) -> Option<u64> {
        if let Err(Lost::Application(lost)) = result {
            result = self.replace_application(&lost, now);
        }
        result.unwrap_or_else(|lost| self.replace_engine(&lost, now))
    }

    fn set_budget(&mut self) -> Result<(), EngineLost> {
        match self.event_budget.take_change() {
            Some(events) => self.engine.set_budget(events),
            None => Ok(()),
        }
    }
}

impl Driver for Inner {
    type Error = Lost;

    fn is_turn_over(&self) -> bool {
        Instant::now() >= self.turn_until || self.has_much_to_write()
    }

    fn deliver(&mut self, transmissions: Vec<Transmission>) {
        self.deliver_all(transmissions);
    }

    fn pause(&mut self, connections: &[u64]) {
        if connections.is_empty() && self.paused.is_empty() {
            return;
        }
        let before = std::mem::replace(&mut self.paused, connections.iter().copied().collect());
        self.unpaused.extend(before.into_iter().filter(|connection| !self.paused.contains(connection)));
    }

    fn observe(&mut self, event: &Event) {
        observe(self, event);
        match event {
            Event::Request(request) => self.observe_request(request.connection),
            Event::Passed(passed) => self.pass(passed),
            Event::Closed(closed) => {
                if let Some(link) = self.connections.get_mut(&closed.connection) {
                    link.closed = true;
                }
            }
            _ => {}
        }
    }

    fn take_lost(&mut self) -> Vec<LostConnection> {
        std::mem::take(&mut self.lost)
    }

    fn turn(&mut self, now: u64, inputs: &[Input]) -> Result<Step, Lost> {
        Ok(self.engine.turn(now, inputs)?)
    }

    fn tell(&mut self, mut events: Vec<Event>) -> Result<Option<Step>, Lost> {
        self.leave_out_orphans(&mut events);
        events.retain(|event| !matches!(event, Event::Passed(_)));
        if events.is_empty() { Ok(None) } else { self.tell_application(&events) }
    }
}
