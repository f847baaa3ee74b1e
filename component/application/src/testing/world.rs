//! The driver of the shell core's pump: peers instead of sockets, and a number instead of a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use legacy_websocket::step::{
    Command, Disposition, Event, Input, Lost, Opened, Received, Server as Engine, Step, Transmission,
};
use legacy_websocket::{InvalidOptions, Options};
use legacy_websocket_shell::{Driver, FailureCycle, Handshakes, Members, Pump, carry_out, has_failure};

use super::lift::with_commands;
use super::lower::lower_event;
use super::peer::Peer;
use crate::{Application, ConnectionId, Failed, begin_call};

/// When the application starts. Not 0: its origin is arbitrary, and nothing should rely on it.
const START: u64 = 1_000_000;

/// Events per call: as many as a server allows an application that is fast.
const EVENTS: u32 = 512;

/// Engine, application and peers.
#[derive(Debug)]
pub(super) struct World<A> {
    pub(super) application: A,
    pub(super) failed: Vec<Failed>,
    engine: Engine,
    now: u64,
    next_timeout: Option<u64>,
    peers: BTreeMap<ConnectionId, Peer>,
    /// Peers that neither hear nor say anything any more.
    vanished: BTreeSet<ConnectionId>,
    /// The members of a broadcast to all.
    members: Members,
    /// Connections that the application has been told are over.
    closed: BTreeSet<ConnectionId>,
    failure_cycle: FailureCycle,
    /// What the peers did by themselves.
    reactions: Vec<Input>,
    /// What waits for its turn, while inputs are held.
    held: Option<Vec<Input>>,
}

impl<A: Application> World<A> {
    /// Makes the application's first call.
    pub(super) fn start(application: A, options: Options) -> Result<Self, InvalidOptions> {
        let options = Options { authorise: true, pass_through: false, echo: false, ..options };
        let mut engine = Engine::new(options)?;
        engine.set_budget(EVENTS);
        engine.turn(START, &[]);
        let mut world = Self {
            application,
            failed: Vec::new(),
            engine,
            now: START,
            next_timeout: None,
            peers: BTreeMap::new(),
            vanished: BTreeSet::new(),
            members: Members::default(),
            closed: BTreeSet::new(),
            failure_cycle: FailureCycle::default(),
            reactions: Vec::new(),
            held: None,
        };
        let Ok(step) = world.tell(Vec::new());
        if let Some(step) = step {
            world.pump(step);
        }
        Ok(world)
    }

    /// Opens a connection on which the peer sends these bytes first.
    pub(super) fn open(&mut self, connection: ConnectionId, peer: Peer, address: String, bytes: Vec<u8>) {
        self.peers.insert(connection, peer);
        let opened = Input::Opened(Opened { connection, peer: address, secure: false });
        self.turn_all(vec![opened, Input::Received(Received { connection, bytes })]);
    }

    /// A turn with one input, and all that follows from it.
    pub(super) fn run(&mut self, input: Input) {
        self.turn_all(vec![input]);
    }

    /// Inputs wait from here on.
    #[track_caller]
    pub(super) fn hold(&mut self) {
        assert!(self.held.replace(Vec::new()).is_none(), "this is in `together` already");
    }

    /// One turn with all inputs that have waited.
    pub(super) fn release(&mut self) {
        let inputs = self.held.take().unwrap_or_default();
        self.turn_all(inputs);
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Moves the clock, from deadline to deadline.
    #[track_caller]
    pub(super) fn advance(&mut self, millis: u64) {
        assert!(!self.is_held(), "no time passes in `together`");
        let end = self.now.saturating_add(millis);
        while let Some(at) = self.next_timeout.filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.turn_all(Vec::new());
        }
        self.now = end;
        self.turn_all(Vec::new());
    }

    /// The peer has ended the connection.
    pub(super) fn end(&mut self, connection: ConnectionId) {
        self.peer_mut(connection).end();
    }

    /// Nothing reaches the peer from here on, nor comes from it.
    pub(super) fn vanish(&mut self, connection: ConnectionId) {
        self.end(connection);
        self.vanished.insert(connection);
    }

    #[track_caller]
    pub(super) fn peer(&self, connection: ConnectionId) -> &Peer {
        self.peers.get(&connection).expect("no such client: it is another server's")
    }

    #[track_caller]
    pub(super) fn peer_mut(&mut self, connection: ConnectionId) -> &mut Peer {
        self.peers.get_mut(&connection).expect("no such client: it is another server's")
    }

    /// Turns until the peers have nothing to say by themselves.
    fn turn_all(&mut self, mut inputs: Vec<Input>) {
        if let Some(held) = &mut self.held {
            held.append(&mut inputs);
            return;
        }
        loop {
            let step = self.engine.turn(self.now, &inputs);
            self.pump(step);
            inputs = std::mem::take(&mut self.reactions);
            if inputs.is_empty() {
                break;
            }
        }
    }

    fn pump(&mut self, step: Step) {
        // It carries nothing from one turn to the next.
        let Ok(next) = Pump::default().run_to_end(self, step, self.now);
        self.next_timeout = next;
    }

    fn transmit(&mut self, connection: ConnectionId, bytes: &[u8], then: Disposition) {
        self.members.observe(connection, then);
        if self.vanished.contains(&connection) {
            return;
        }
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        let answers = peer.receive(bytes);
        if !answers.is_empty() {
            self.reactions.push(Input::Received(Received { connection, bytes: answers }));
        }
        // The peer ends its side when the server has ended its own.
        if matches!(then, Disposition::HalfClose | Disposition::Finish | Disposition::Abort) && peer.end() {
            self.reactions.push(Input::Ended(connection));
        }
    }
}

impl<A: Application> Driver for World<A> {
    type Error = Infallible;

    fn is_turn_over(&self) -> bool {
        false
    }

    fn deliver(&mut self, transmissions: Vec<Transmission>) {
        for Transmission { to, bytes, then } in transmissions {
            self.members
                .recipients(to)
                .into_iter()
                .for_each(|connection| self.transmit(connection, &bytes, then));
        }
    }

    /// A turn goes on until no input waits.
    fn pause(&mut self, _: &[u64]) {}

    fn observe(&mut self, event: &Event) {
        match event {
            Event::Closed(closed) => {
                assert!(self.closed.insert(closed.connection), "a connection ended twice");
            }
            Event::Failed(_) => {
                if let crate::Event::Failed(failed) = lower_event(event.clone()) {
                    self.failed.push(failed);
                }
            }
            _ => {}
        }
    }

    fn take_lost(&mut self) -> Vec<Lost> {
        Vec::new()
    }

    fn turn(&mut self, now: u64, inputs: &[Input]) -> Result<Step, Infallible> {
        Ok(self.engine.turn(now, inputs))
    }

    fn tell(&mut self, events: Vec<Event>) -> Result<Option<Step>, Infallible> {
        let handshakes = Handshakes::of(&events);
        let told_failure = has_failure(&events);
        begin_call();
        let commands = self.application.handle(events.into_iter().map(lower_event).collect());
        let Ok(step) = with_commands(&commands, |commands| {
            let mut commands: Vec<Command<'_>> = commands;
            handshakes.accept_undecided(&mut commands);
            carry_out::<Infallible>(&commands, |part, is_last| {
                Ok(if is_last { self.engine.command(part) } else { self.engine.command_partly(part) })
            })
        });
        let is_lost = self.failure_cycle.observe(told_failure, step.as_ref());
        assert!(!is_lost, "the application answers every failure with another command that fails");
        Ok(step)
    }
}
