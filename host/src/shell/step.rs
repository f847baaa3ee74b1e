//! Processing of an engine's step.

use std::rc::Rc;
use std::time::{Duration, Instant};

use legacy_websocket_shell::Payload;

use super::{Inner, Lost};
use crate::application::ApplicationLost;
use crate::connection::connection_io::ConnectionIo;
use crate::engine::{Engine, EngineLost};
use crate::wit::{
    Command, Destination, Disposition, Event, Input, Loss, Lost as LostConnection, Step, Transmission,
};
use crate::workers::forward::SplitCommands;

/// How long a turn may go on before it yields to the others: an application may be slow, and may answer every failure
/// with another failing command.
const TURN_TIME: Duration = Duration::from_millis(10);

/// A turn that has this much to write, over all connections, goes on in the next: writing it takes as long as a turn.
/// With many recipients, the bytes for each count, because every write has its own cost.
const TURN_DELIVERED_BYTES: usize = 16 << 20;
const TURN_BYTES_EACH: usize = 8 << 10;

/// How many commands, and roughly how many bytes of them, one engine call carries out: the result must fit into its
/// memory.
const CALL_COMMANDS: usize = 1024;
const CALL_BYTES: usize = 4 << 20;

/// A single larger command is the application's fault, and must not cost the engine.
const MAX_COMMAND_BYTES: usize = 64 << 20;

/// Events that go to the application at once whatever its pace. The engine returns fewer; failures can be more.
const MAX_EVENTS: usize = 4096;

/// Consecutive failed answers to failures before the application is considered lost.
const MAX_FAILURES: u32 = 10_000;

impl Inner {
    /// Begins a turn: carried-over events come before anything new.
    pub(super) fn begin(&mut self, now: u64) {
        self.retry_application(now);
        // A new engine has not heard of any.
        if let Err(lost) = self.set_budget() {
            self.recover(Err(lost.into()), now);
        }
        if !self.carried.is_empty() {
            let result = self.tell_carried(now);
            self.recover(result, now);
        }
    }

    /// Delivers a step and its consequences, until there are none or the time is up. Returns the engine's next
    /// deadline.
    pub(super) fn finish(&mut self, step: Result<Step, EngineLost>, now: u64) -> Option<u64> {
        let result = step.map_err(Lost::from).and_then(|step| self.run(step, now));
        let next = self.recover(result, now);
        self.flush();
        self.queue_account.publish();
        if self.carried.is_empty() { next } else { Some(now) }
    }

    fn recover(&mut self, mut result: Result<Option<u64>, Lost>, now: u64) -> Option<u64> {
        if let Err(Lost::Application(lost)) = result {
            result = self.replace_application(&lost, now);
        }
        result.unwrap_or_else(|lost| self.replace_engine(&lost, now))
    }

    fn tell_carried(&mut self, now: u64) -> Result<Option<u64>, Lost> {
        let events = std::mem::take(&mut self.carried);
        match self.tell_some(events)? {
            Some(step) => self.run(step, now),
            None => Ok(None),
        }
    }

    pub(super) fn run(&mut self, mut step: Step, now: u64) -> Result<Option<u64>, Lost> {
        let until = Instant::now() + TURN_TIME;
        self.delivered_bytes = 0;
        loop {
            self.deliver(std::mem::take(&mut step.transmissions));
            self.pause(&step.paused);
            let events = std::mem::take(&mut step.events);
            self.observe(&events);
            let is_over = Instant::now() >= until || self.has_much_to_write();
            step = if !self.carried.is_empty() || (is_over && !events.is_empty()) {
                // Yield to the others; this continues in the next turn.
                self.carried.extend(events);
                return Ok(Some(now));
            } else if let Some(following) = self.tell_some(events)? {
                following
            } else if !self.slow.is_empty() || (!is_over && step.next_timeout.is_some_and(|at| at <= now)) {
                let slow = std::mem::take(&mut self.slow).into_iter();
                let lost = |connection| Input::Lost(LostConnection { connection, why: Loss::SlowReader });
                self.engine.turn(now, &slow.map(lost).collect::<Vec<_>>())?
            } else {
                return Ok(step.next_timeout);
            };
        }
    }

    fn has_much_to_write(&self) -> bool {
        self.delivered_bytes >= TURN_DELIVERED_BYTES.max(self.touched.len() * TURN_BYTES_EACH)
    }

    /// Passes the application as many events as it may have at once; the others are carried over.
    fn tell_some(&mut self, mut events: Vec<Event>) -> Result<Option<Step>, Lost> {
        self.leave_out_orphans(&mut events);
        if events.len() > MAX_EVENTS {
            self.carried = events.split_off(MAX_EVENTS);
        }
        if events.is_empty() { Ok(None) } else { self.tell(&events) }
    }

    /// Passes events to the application, and carries out its commands.
    pub(super) fn tell(&mut self, events: &[Event]) -> Result<Option<Step>, Lost> {
        // Not once per turn: a turn has as many calls as time allows.
        self.set_budget()?;
        let began = Instant::now();
        let Self { context, engine, application, origin, alone, .. } = self;
        let mut bytes = 0;
        let carry = |commands: &[Command<'_>]| {
            // Only the first call has none.
            *alone |=
                events.is_empty() && commands.iter().any(|asked| matches!(asked, Command::SingleInstance));
            bytes = commands.iter().map(command_bytes).sum();
            if let Some(long) = commands.iter().map(command_bytes).find(|bytes| *bytes > MAX_COMMAND_BYTES) {
                return Err(ApplicationLost::LargeCommand { bytes: long, limit: MAX_COMMAND_BYTES }.into());
            }
            let Some(split) = SplitCommands::of(&context.pool, *origin, commands) else {
                return Ok(carry_out(engine.as_mut(), commands)?);
            };
            let step = carry_out(engine.as_mut(), &split.here());
            split.send(&context.pool);
            Ok(step?)
        };
        let step = application.handle(events, carry)?;
        self.count_failures(events, step.as_ref().ok().and_then(Option::as_ref))?;
        self.event_budget.observe(event_count(events), began.elapsed(), bytes);
        step
    }

    fn set_budget(&mut self) -> Result<(), EngineLost> {
        match self.event_budget.take_change() {
            Some(events) => self.engine.set_budget(events),
            None => Ok(()),
        }
    }

    /// An application that answers each failure with another failing command would go on forever.
    fn count_failures(&mut self, told: &[Event], step: Option<&Step>) -> Result<(), ApplicationLost> {
        let is_failure = |event: &Event| matches!(event, Event::Failed(_));
        let again = step.is_some_and(|step| step.events.iter().any(is_failure));
        match (told.iter().any(is_failure), again) {
            (true, true) => self.failures += 1,
            (true, false) => self.failures = 0,
            (false, _) => {}
        }
        if self.failures < MAX_FAILURES {
            return Ok(());
        }
        self.failures = 0;
        Err(ApplicationLost::FailureCycle(MAX_FAILURES))
    }

    pub(super) fn deliver(&mut self, transmissions: Vec<Transmission>) {
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
                Destination::All => self.deliver_all(None, &payload),
                Destination::AllBut(but) => self.deliver_all(Some(but), &payload),
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
        match then {
            Disposition::Join => self.join(connection, io),
            Disposition::Leave | Disposition::Finish | Disposition::Abort => self.leave(connection),
            Disposition::Keep | Disposition::HalfClose => {}
        }
    }

    fn deliver_all(&mut self, but: Option<u64>, payload: &Rc<Payload>) {
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
            // The kernel may take output that only waits for the end of the turn.
            io.flush();
            if io.push(payload, then).is_err() {
                io.abort();
                self.slow.push(connection);
            }
            if io.touch() {
                self.touched.push(Rc::clone(io));
            }
        }
    }

    /// From here on broadcasts reach it.
    fn join(&mut self, connection: u64, io: Rc<ConnectionIo>) {
        if let Some(link) = self.connections.get_mut(&connection)
            && link.member.is_none()
        {
            link.member = Some(self.members.len());
            self.members.push((connection, io));
        }
    }

    /// Broadcasts no longer reach it.
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

    /// Reads nothing from these until a later step omits them.
    fn pause(&mut self, connections: &[u64]) {
        if connections.is_empty() && self.paused.is_empty() {
            return;
        }
        let before = std::mem::replace(&mut self.paused, connections.iter().copied().collect());
        self.unpaused.extend(before.into_iter().filter(|connection| !self.paused.contains(connection)));
    }
}

/// Has the engine carry out commands, in as many calls as they need.
fn carry_out(engine: &mut dyn Engine, mut commands: &[Command<'_>]) -> Result<Option<Step>, EngineLost> {
    let mut whole: Option<Step> = None;
    while !commands.is_empty() {
        let mut bytes = 0;
        let fits = |command: &&Command<'_>| {
            bytes += command_bytes(command);
            bytes <= CALL_BYTES
        };
        let count = commands.iter().take(CALL_COMMANDS).take_while(fits).count().max(1);
        let (part, rest) = commands.split_at(count);
        let step = if rest.is_empty() { engine.command(part)? } else { engine.command_partly(part)? };
        whole = Some(match whole {
            None => step,
            Some(mut whole) => {
                whole.events.extend(step.events);
                whole.transmissions.extend(step.transmissions);
                Step { events: whole.events, transmissions: whole.transmissions, ..step }
            }
        });
        commands = rest;
    }
    Ok(whole)
}

/// The approximate size of a command.
fn command_bytes(command: &Command<'_>) -> usize {
    match command {
        Command::Send(outgoing) => {
            let to = match outgoing.to {
                crate::wit::Recipients::Many(connections) => size_of_val(connections),
                _ => 0,
            };
            outgoing.text.len() + size_of_val(outgoing.ends) + to
        }
        Command::Respond(response) => response.body.len(),
        _ => 0,
    }
}

/// As the engine's budget counts them.
fn event_count(events: &[Event]) -> usize {
    let count = |event: &Event| match event {
        Event::Messages(messages) => messages.ends.len(),
        Event::StateChanged(_) => 0,
        _ => 1,
    };
    events.iter().map(count).sum()
}
