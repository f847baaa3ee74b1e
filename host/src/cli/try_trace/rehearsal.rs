//! The driver of the shell core's pump for a trace: its steps instead of sockets, and a number instead of a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use legacy_websocket::Options;
use legacy_websocket::step::{
    Command, Disposition, Event, Input, Loss, Lost as LostConnection, Opened, Received, Step, Transmission,
};
use legacy_websocket_shell::{Driver, FailureCycle, Members, Pump, carry_out, has_failure};
use legacy_websocket_trace::Connection;
use tracing::warn;

use crate::application::{ApplicationFactory, ApplicationLost, Handler};
use crate::engine::{Engine, EngineFactory};
use crate::shell::Lost;
use crate::start_error::StartError;

/// When the application starts. Not 0: its origin is arbitrary, and nothing should rely on it.
const START: u64 = 1_000_000;

/// Events per call: as many as a server allows an application that is fast.
const EVENTS: u32 = 512;

/// An application over the native engine. Connections have the trace's numbers as ids.
pub(super) struct Rehearsal {
    engine: Box<dyn Engine>,
    application: Handler,
    now: u64,
    next_timeout: Option<u64>,
    /// The clients use TLS.
    secure: bool,
    opened: BTreeSet<u64>,
    /// Connections whose clients hear nothing any more.
    reset: BTreeSet<u64>,
    /// The members of a broadcast to all.
    members: Members,
    failure_cycle: FailureCycle,
    written: BTreeMap<Connection, Written>,
}

/// What the server has written on a connection.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// In pieces, each with whole frames.
    pub(super) pieces: Vec<Vec<u8>>,
    /// It has ended TCP, by RST or not.
    pub(super) end: Option<bool>,
}

impl Rehearsal {
    /// Makes the application's first call.
    pub(super) fn start(
        factory: Arc<ApplicationFactory>,
        options: &Options,
        secure: bool,
    ) -> Result<Self, StartError> {
        let options = Options { authorise: true, ..options.clone() };
        let mut this = Self {
            engine: EngineFactory::Native.make(&options)?,
            application: Handler::component(factory)?,
            now: START,
            next_timeout: None,
            secure,
            opened: BTreeSet::new(),
            reset: BTreeSet::new(),
            members: Members::default(),
            failure_cycle: FailureCycle::default(),
            written: BTreeMap::new(),
        };
        this.begin().map_err(|lost| match lost {
            Lost::Engine(lost) => StartError::Engine(lost.into()),
            Lost::Application(lost) => StartError::Application(lost.into()),
        })?;
        Ok(this)
    }

    /// A client writes; its first bytes open the connection.
    pub(super) fn receive(&mut self, connection: Connection, bytes: Vec<u8>) -> Result<(), Lost> {
        let mut inputs = self.open(connection);
        inputs.push(Input::Received(Received { connection: connection.into(), bytes }));
        self.turn_with(&inputs)
    }

    /// A client ends its side of TCP, or resets it.
    pub(super) fn end(&mut self, connection: Connection, reset: bool) -> Result<(), Lost> {
        let mut inputs = self.open(connection);
        let id = connection.into();
        inputs.push(if reset {
            self.reset.insert(id);
            Input::Lost(LostConnection { connection: id, why: Loss::Reset })
        } else {
            Input::Ended(id)
        });
        self.turn_with(&inputs)
    }

    /// Moves the clock, from deadline to deadline.
    pub(super) fn advance(&mut self, time: Duration) -> Result<(), Lost> {
        let end = self.now.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        while let Some(at) = self.next_timeout.filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.turn_with(&[])?;
        }
        self.now = end;
        self.turn_with(&[])
    }

    /// What was written since the last call of this.
    pub(super) fn take_written(&mut self) -> BTreeMap<Connection, Written> {
        std::mem::take(&mut self.written)
    }

    fn begin(&mut self) -> Result<(), Lost> {
        self.engine.set_budget(EVENTS)?;
        self.engine.turn(self.now, &[])?;
        match self.tell(Vec::new())? {
            Some(step) => self.pump(step),
            None => Ok(()),
        }
    }

    fn open(&mut self, connection: Connection) -> Vec<Input> {
        let id = connection.into();
        if !self.opened.insert(id) {
            return Vec::new();
        }
        // An address for documentation (RFC 5737).
        let peer = format!("192.0.2.1:{}", 1024 + id);
        vec![Input::Opened(Opened { connection: id, peer, secure: self.secure })]
    }

    fn turn_with(&mut self, inputs: &[Input]) -> Result<(), Lost> {
        let step = self.engine.turn(self.now, inputs)?;
        self.pump(step)
    }

    fn pump(&mut self, step: Step) -> Result<(), Lost> {
        // It carries nothing from one turn to the next.
        self.next_timeout = Pump::default().run_to_end(self, step, self.now)?;
        Ok(())
    }

    fn transmit(&mut self, id: u64, bytes: Vec<u8>, then: Disposition) {
        self.members.observe(id, then);
        if self.reset.contains(&id) {
            return;
        }
        let Ok(connection) = Connection::try_from(id) else { return };
        let end = match then {
            Disposition::HalfClose | Disposition::Finish => Some(false),
            Disposition::Abort => Some(true),
            Disposition::Join | Disposition::Keep | Disposition::Leave => None,
        };
        if bytes.is_empty() && end.is_none() {
            return;
        }
        let written = self.written.entry(connection).or_default();
        if !bytes.is_empty() {
            written.pieces.push(bytes);
        }
        written.end = written.end.or(end);
    }
}

impl Driver for Rehearsal {
    type Error = Lost;

    fn is_turn_over(&self) -> bool {
        false
    }

    fn deliver(&mut self, transmissions: Vec<Transmission>) {
        for Transmission { to, bytes, then } in transmissions {
            self.members.recipients(to).into_iter().for_each(|id| self.transmit(id, bytes.clone(), then));
        }
    }

    /// A turn goes on until no input waits.
    fn pause(&mut self, _: &[u64]) {}

    fn observe(&mut self, event: &Event) {
        if let Event::Failed(failed) = event {
            let (command, why) = (failed.command, failed.why);
            warn!("connection {}: a command had no effect: {command:?}, {why:?}", failed.connection);
        }
    }

    fn take_lost(&mut self) -> Vec<LostConnection> {
        Vec::new()
    }

    fn turn(&mut self, now: u64, inputs: &[Input]) -> Result<Step, Lost> {
        Ok(self.engine.turn(now, inputs)?)
    }

    fn tell(&mut self, events: Vec<Event>) -> Result<Option<Step>, Lost> {
        let Self { engine, application, .. } = self;
        let carry = |commands: &[Command<'_>]| {
            carry_out(
                commands,
                |part, is_last| {
                    if is_last { engine.command(part) } else { engine.command_partly(part) }
                },
            )
        };
        let step = application.handle(&events, carry)??;
        if self.failure_cycle.observe(has_failure(&events), step.as_ref()) {
            return Err(ApplicationLost::FailureCycle(FailureCycle::MAX).into());
        }
        Ok(step)
    }
}
