//! The loop: it carries bytes to the engine, events to the application, commands back, and transmissions to the
//! sockets. It waits in one place.

mod intake;
mod output;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use legacy_websocket_shell::Held;

use crate::adapter::Adapter;
use crate::application::ask;
use crate::arguments::{Arguments, ShellOptions};
use crate::bindings::hixie::legacy_websocket::handler::handle;
use crate::bindings::wasi::cli::stdin::get_stdin;
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::io::poll::{Pollable, poll};
use crate::bindings::wasi::io::streams::{InputStream, StreamError};
use crate::link::{Closing, Link, ReadOutcome};
use crate::listener::Listener;
use crate::log::{Level, Log, print};
use crate::observe::Totals;
use crate::wit::{Event, Input, Loss, Lost, Received, Step};

/// How long a turn may go on by itself before it is the others' turn, in milliseconds: an application may be slow, and
/// may answer every failure with another failing command.
const TURN_TIME: u64 = 10;

/// Events that the application gets in one call, roughly. Fewer would part a refusal from the end of its connection.
const CALL_EVENTS: u32 = 256;

/// Bytes read in one turn, but for the read that goes beyond.
const TURN_BYTES: usize = 256 * 1024;

/// How many are looked after in one turn. Hosts on tokio allow a task 128 operations between two waits; beyond that
/// nothing is ready any more, and where all 128 went to `poll` nothing would ever get done.
const TURN_SOURCES: usize = 40;

/// The server.
pub(crate) struct Shell {
    pub(crate) log: Log,
    pub(crate) links: BTreeMap<u64, Link>,
    /// By what waits to be written to them.
    held: Rc<Held>,
    pub(crate) totals: Totals,
    /// Links that are not being refused.
    open: usize,
    options: ShellOptions,
    pub(crate) adapter: Adapter,
    listeners: Vec<Listener>,
    /// Until when nobody is accepted.
    accept_from: u64,
    stdin: Option<Stdin>,
    drain_timeout: u64,
    /// Set once stopping has begun: when to give up waiting.
    stop_at: Option<u64>,
    /// Closed, but for what the host still holds.
    closing: Vec<Closing>,
    next_id: u64,
    next_timeout: Option<u64>,
    /// Connections that got something to write in this turn.
    touched: Vec<u64>,
    /// Peers found to be slow, or gone, of which the engine is to be told.
    lost: Vec<Lost>,
    /// Events that a turn had no time for.
    carried: Vec<Event>,
    /// Connections that a broadcast reaches.
    members: BTreeSet<u64>,
    /// Connections whose input waits in the engine.
    paused: Vec<u64>,
}

/// Why serving could not begin.
pub(crate) struct Failed {
    pub(crate) log: Log,
    pub(crate) reason: String,
}

struct Stdin {
    // Before the stream, whose child it is.
    readable: Pollable,
    stream: InputStream,
}

/// What became ready.
#[derive(Clone, Copy)]
enum Ready {
    Time,
    Stdin,
    Listener(usize),
    Readable(u64),
    Writable(u64),
    Closing,
}

impl Shell {
    /// Binds, tells where, and lets the application begin.
    pub(crate) fn start(arguments: Arguments, log: Log) -> Result<Self, Box<Failed>> {
        let mut adapter = match Adapter::create(&arguments.engine) {
            Ok(adapter) => adapter,
            Err(reason) => return Err(Box::new(Failed { log, reason })),
        };
        adapter.set_budget(CALL_EVENTS);
        let bound = arguments.listen.iter().map(|address| Listener::bind(*address, arguments.tcp_keepalive));
        let listeners = match bound.collect::<Result<Vec<_>, _>>() {
            Ok(listeners) => listeners,
            Err(reason) => return Err(Box::new(Failed { log, reason })),
        };
        for listener in &listeners {
            print(&format!("listening on ws://{}/\n", listener.address));
        }
        let stdin = arguments.stop_on_stdin_end.then(|| {
            let stream = get_stdin();
            Stdin { readable: stream.subscribe(), stream }
        });
        let mut shell = Self {
            log,
            links: BTreeMap::new(),
            held: Rc::default(),
            totals: Totals::default(),
            open: 0,
            options: arguments.shell,
            adapter,
            listeners,
            accept_from: 0,
            stdin,
            drain_timeout: arguments.drain_timeout,
            stop_at: None,
            closing: Vec::new(),
            next_id: 1,
            next_timeout: None,
            touched: Vec::new(),
            lost: Vec::new(),
            carried: Vec::new(),
            members: BTreeSet::new(),
            paused: Vec::new(),
        };
        let now = now();
        let commands = handle(&[]);
        // Its clock begins here.
        shell.adapter.turn(now, &[]);
        let step = shell.adapter.command(&commands);
        shell.run_step(step, now);
        Ok(shell)
    }

    /// Serves until it is told to stop and every connection is gone.
    pub(crate) fn run(mut self) {
        loop {
            if let Some(stop_at) = self.stop_at {
                let over = stop_at <= now();
                if over && !self.links.is_empty() {
                    let dropped = self.links.len();
                    self.log.write(
                        Level::Warn,
                        format_args!("drain timeout expired; dropping connections={dropped}"),
                    );
                }
                if over || self.links.is_empty() {
                    break;
                }
            }
            let ready = self.wait();
            let many = ready.len() > TURN_SOURCES;
            for part in ready.chunks(TURN_SOURCES) {
                if many {
                    self.begin_anew(part);
                }
                self.turn(part);
            }
            if ready.is_empty() {
                self.turn(&[]);
            }
        }
        let Totals { connections, connected, rejected, slow_readers, .. } = self.totals;
        self.log.write(
            Level::Info,
            format_args!(
                "stopped connections={connections} connected={connected} rejected={rejected} \
                 slow_readers={slow_readers}"
            ),
        );
        // Dropping a stream waits for what the host holds of it, which is over when the program is.
        core::mem::forget((self.closing, self.links));
    }

    /// Waits until something is ready.
    fn wait(&self) -> Vec<Ready> {
        let now = now();
        let mut next = self.next_timeout.into_iter().chain(self.stop_at).min();
        let mut sources = Vec::with_capacity(self.links.len().saturating_add(8));
        let mut pollables = Vec::with_capacity(sources.capacity());
        let mut add = |source: Ready, pollable| {
            sources.push(source);
            pollables.push(pollable);
        };
        for (id, link) in &self.links {
            next = next.into_iter().chain(link.wake).min();
            if let Some(readable) = link.readable() {
                add(Ready::Readable(*id), readable);
            }
            if let Some(writable) = link.writable() {
                add(Ready::Writable(*id), writable);
            }
        }
        for closing in &self.closing {
            add(Ready::Closing, &closing.writable);
        }
        if self.accept_from > now {
            next = next.into_iter().chain([self.accept_from]).min();
        } else {
            for (at, listener) in self.listeners.iter().enumerate() {
                add(Ready::Listener(at), &listener.acceptable);
            }
        }
        if let Some(stdin) = &self.stdin {
            add(Ready::Stdin, &stdin.readable);
        }
        let timer = next
            .map(|at| monotonic_clock::subscribe_duration(at.saturating_sub(now).saturating_mul(1_000_000)));
        if let Some(timer) = &timer {
            add(Ready::Time, timer);
        }
        if pollables.is_empty() {
            // Nobody is left to wait for: `poll` would trap.
            return Vec::new();
        }
        poll(&pollables)
            .into_iter()
            .filter_map(|at| sources.get(usize::try_from(at).ok()?).copied())
            .collect()
    }

    /// Waits for one that is ready: a host that has used up what a task may do between two waits lets it begin anew.
    fn begin_anew(&self, ready: &[Ready]) {
        let pollable = ready.iter().find_map(|source| match source {
            Ready::Readable(id) => self.links.get(id).and_then(Link::readable),
            Ready::Writable(id) => self.links.get(id).and_then(Link::writable),
            _ => None,
        });
        if let Some(pollable) = pollable {
            pollable.block();
        }
    }

    /// Does what the ready ones call for, in as many turns of the engine as its limit of bytes takes.
    fn turn(&mut self, ready: &[Ready]) {
        let mut inputs = Vec::new();
        let mut bytes = 0;
        for source in ready {
            match *source {
                Ready::Time => {}
                Ready::Stdin => self.read_stdin(&mut inputs),
                Ready::Listener(at) => self.accept(at, &mut inputs),
                Ready::Readable(id) => bytes += self.read(id, &mut inputs),
                Ready::Writable(id) => self.touched.push(id),
                Ready::Closing => self.closing.retain(|closing| !closing.is_done()),
            }
            if bytes >= TURN_BYTES {
                bytes = 0;
                self.run_engine(&core::mem::take(&mut inputs));
            }
        }
        let now = now();
        let due = self.links.iter().filter(|(_, link)| link.wake.is_some_and(|at| at <= now));
        self.touched.extend(due.map(|(id, _)| *id));
        self.run_engine(&inputs);
    }

    fn read_stdin(&mut self, inputs: &mut Vec<Input>) {
        let ended = match &self.stdin {
            Some(stdin) => matches!(stdin.stream.read(4096), Err(StreamError::Closed)),
            None => return,
        };
        if ended {
            self.stdin = None;
            self.listeners.clear();
            self.stop_at = Some(now().saturating_add(self.drain_timeout));
            let open = self.links.len();
            self.log.write(Level::Info, format_args!("stopping connections={open}"));
            inputs.push(Input::Shutdown);
        }
    }

    /// Returns how many bytes there were.
    fn read(&mut self, id: u64, inputs: &mut Vec<Input>) -> usize {
        let Some(link) = self.links.get_mut(&id) else {
            return 0;
        };
        match link.read() {
            ReadOutcome::Bytes(bytes) => {
                let count = bytes.len();
                inputs.push(Input::Received(Received { connection: id, bytes }));
                return count;
            }
            ReadOutcome::Nothing => {}
            ReadOutcome::Ended => inputs.push(Input::Ended(id)),
            ReadOutcome::Lost => {
                link.abort();
                inputs.push(Input::Lost(Lost { connection: id, why: Loss::Reset }));
            }
        }
        self.touched.push(id);
        0
    }

    fn run_engine(&mut self, inputs: &[Input]) {
        let now = now();
        self.run_carried(now);
        let due = self.next_timeout.is_some_and(|at| at <= now);
        if due || !inputs.is_empty() {
            let step = self.adapter.turn(now, inputs);
            self.run_step(step, now);
        }
        self.drive_touched(now);
        // What writing found out.
        while !self.lost.is_empty() {
            let lost: Vec<_> = core::mem::take(&mut self.lost).into_iter().map(Input::Lost).collect();
            let step = self.adapter.turn(now, &lost);
            self.run_step(step, now);
            self.drive_touched(now);
        }
    }

    /// Carries a step to where it belongs, and what comes of it, until nothing does.
    fn run_step(&mut self, mut step: Step, now: u64) {
        let until = now.saturating_add(TURN_TIME);
        loop {
            self.deliver(core::mem::take(&mut step.transmissions), now);
            self.pause(&step.paused);
            for event in &step.events {
                self.observe(event);
            }
            let is_over = self::now() > until;
            if is_over && !step.events.is_empty() {
                // It is the others' turn; this goes on in the next one, which is due.
                self.carried = step.events;
                self.next_timeout = Some(now);
                return;
            }
            step = if let Some(following) = self.tell(&step.events) {
                following
            } else if !self.lost.is_empty() || (!is_over && step.next_timeout.is_some_and(|at| at <= now)) {
                let lost: Vec<_> = core::mem::take(&mut self.lost).into_iter().map(Input::Lost).collect();
                self.adapter.turn(now, &lost)
            } else {
                self.next_timeout = step.next_timeout;
                return;
            };
        }
    }

    /// What a turn had no time for comes before anything new.
    fn run_carried(&mut self, now: u64) {
        let carried = core::mem::take(&mut self.carried);
        if !carried.is_empty() {
            let step = self.tell(&carried).unwrap_or_else(|| self.adapter.command(&[]));
            self.run_step(step, now);
        }
    }

    /// Tells the application, and has the engine carry out its commands; None if there are none.
    fn tell(&mut self, events: &[Event]) -> Option<Step> {
        if events.is_empty() {
            return None;
        }
        let commands = ask(events);
        (!commands.is_empty()).then(|| self.adapter.command(&commands))
    }

    /// Reads nothing from these until another step leaves them out.
    fn pause(&mut self, connections: &[u64]) {
        for id in core::mem::replace(&mut self.paused, connections.to_vec()) {
            if let Some(link) = self.links.get_mut(&id) {
                link.paused = false;
            }
        }
        for id in connections {
            if let Some(link) = self.links.get_mut(id) {
                link.paused = true;
            }
        }
    }

    fn close(&mut self, id: u64) {
        self.members.remove(&id);
        if let Some(link) = self.links.remove(&id) {
            self.open = self.open.saturating_sub(usize::from(!link.refused));
            self.closing.extend(link.close());
        }
    }
}

/// Milliseconds since the host's clock began.
pub(crate) fn now() -> u64 {
    monotonic_clock::now() / 1_000_000
}
