//! The main loop: it carries bytes to the engine, events to the application, commands back to the engine, and
//! transmissions to the sockets. It waits in a single place.

mod admission;
mod output;
#[cfg(feature = "http")]
mod requests;
mod telemetry;
mod turn;
#[cfg(not(feature = "wasi-0-3"))]
mod wait_0_2;
#[cfg(feature = "wasi-0-3")]
mod wait_0_3;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Reverse;

use legacy_websocket::step::{Input, Loss, Lost, Received, Server};
use legacy_websocket_shell::{EventBudget, Held, Level, Members, PeerNames, Pump};

use crate::arguments::{Arguments, ShellOptions};
use crate::clock::now;
use crate::io::Ready;
use crate::link::{Link, ReadOutcome};
use crate::log::Log;
#[cfg(feature = "http")]
use crate::site::Site;
#[cfg(feature = "wasi-0-3")]
use crate::system::Waiter;
use crate::system::stdio::{Stdin, print};
use crate::system::{Draining, Listener, TURN_SOURCES};

/// Bytes read in one turn. The last read may exceed it.
const TURN_BYTES: usize = 256 * 1024;

/// The server.
pub(crate) struct Shell {
    log: Log,
    links: BTreeMap<u64, Link>,
    /// When to look at which link, even if nothing happens; perhaps in vain.
    schedule: BinaryHeap<Reverse<(u64, u64)>>,
    #[cfg(feature = "wasi-0-3")]
    waiter: Waiter,
    peers: PeerNames,
    /// Memory held by pending output.
    held: Rc<Held>,
    totals: Totals,
    /// Links, without those being refused.
    open: usize,
    options: ShellOptions,
    engine: Server,
    event_budget: EventBudget,
    pump: Pump,
    /// When the current turn must yield to other work.
    turn_until: u64,
    listeners: Vec<Listener>,
    /// Nothing is accepted until this time.
    accept_from: u64,
    stdin: Option<Stdin>,
    drain_timeout: u64,
    /// When the drain timeout expires, once stopping has begun.
    stop_at: Option<u64>,
    /// Closed links whose output the host still holds.
    draining: Vec<Draining>,
    next_id: u64,
    next_timeout: Option<u64>,
    /// Connections with new output in this turn.
    touched: Vec<u64>,
    /// Peers found to be slow or gone; the engine is told of them next.
    lost: Vec<Lost>,
    /// The members of a broadcast to all.
    members: Members,
    /// Connections whose input waits in the engine.
    paused: Vec<u64>,
    #[cfg(feature = "http")]
    site: Site,
}

/// Counters since the start.
#[derive(Clone, Copy, Default)]
struct Totals {
    connections: u64,
    connected: u64,
    rejected: u64,
    slow_readers: u64,
}

/// Why the server could not start.
pub(crate) struct Failed {
    pub(crate) log: Log,
    pub(crate) reason: String,
}

impl Shell {
    /// Binds the listener, prints its address, and starts the application.
    pub(crate) fn start(arguments: Arguments, log: Log) -> Result<Self, Box<Failed>> {
        #[cfg(feature = "http")]
        let site = Site::new(&arguments.engine, arguments.shell.queue);
        let engine = match Server::new(arguments.engine) {
            Ok(engine) => engine,
            Err(error) => return Err(Box::new(Failed { log, reason: error.to_string() })),
        };
        let bound = arguments.listen.iter().map(|address| Listener::bind(*address, arguments.tcp_keepalive));
        let listeners = match bound.collect::<Result<Vec<_>, _>>() {
            Ok(listeners) => listeners,
            Err(reason) => return Err(Box::new(Failed { log, reason })),
        };
        for listener in &listeners {
            print(&format!("listening on ws://{}/\n", listener.address));
        }
        let mut shell = Self {
            #[cfg(feature = "wasi-0-3")]
            waiter: Waiter::new(),
            log,
            links: BTreeMap::new(),
            schedule: BinaryHeap::new(),
            peers: PeerNames::default(),
            held: Rc::default(),
            totals: Totals::default(),
            open: 0,
            options: arguments.shell,
            engine,
            event_budget: EventBudget::new(),
            pump: Pump::default(),
            turn_until: 0,
            listeners,
            accept_from: 0,
            stdin: arguments.stop_on_stdin_end.then(Stdin::new),
            drain_timeout: arguments.drain_timeout,
            stop_at: None,
            draining: Vec::new(),
            next_id: 1,
            next_timeout: None,
            touched: Vec::new(),
            lost: Vec::new(),
            members: Members::default(),
            paused: Vec::new(),
            #[cfg(feature = "http")]
            site,
        };
        shell.start_application();
        Ok(shell)
    }

    /// Serves until told to stop, and until every connection has closed.
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
        self.log.stderr.finish();
        // Dropping a stream waits for the output that the host holds; that ends with the program.
        core::mem::forget((self.draining, self.links));
    }

    /// When to stop waiting, if ever.
    fn next_wake(&self, now: u64) -> Option<u64> {
        let link = self.schedule.peek().map(|Reverse((at, _))| *at);
        let accept = Some(self.accept_from).filter(|at| *at > now);
        [self.next_timeout, self.stop_at, link, accept].into_iter().flatten().min()
    }

    /// Handles everything that is ready, in as many engine turns as the byte limit requires.
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
                Ready::Draining => self.draining.retain(|draining| !draining.is_done()),
                #[cfg(feature = "http")]
                Ready::Exchange(id) => self.site.drive(id, &mut self.waiter),
            }
            if bytes >= TURN_BYTES {
                bytes = 0;
                self.run_engine(&core::mem::take(&mut inputs));
            }
        }
        let now = now();
        while let Some(&Reverse((at, id))) = self.schedule.peek()
            && at <= now
        {
            self.schedule.pop();
            // Others were for a time that is no longer the link's.
            if let Some(link) = self.links.get_mut(&id)
                && link.scheduled == Some(at)
            {
                link.scheduled = None;
                self.touched.push(id);
            }
        }
        self.run_engine(&inputs);
    }

    fn read_stdin(&mut self, inputs: &mut Vec<Input>) {
        if self.stdin.as_mut().is_some_and(Stdin::has_ended) {
            self.stdin = None;
            self.listeners.clear();
            self.stop_at = Some(now().saturating_add(self.drain_timeout));
            let open = self.links.len();
            self.log.write(Level::Info, format_args!("stopping connections={open}"));
            inputs.push(Input::Shutdown);
        }
    }

    /// Returns the number of bytes read.
    fn read(&mut self, id: u64, inputs: &mut Vec<Input>) -> usize {
        self.link_changed(id);
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

    fn close(&mut self, id: u64) {
        self.members.remove(id);
        if let Some(link) = self.links.remove(&id) {
            self.open = self.open.saturating_sub(usize::from(!link.refused));
            if link.closed {
                self.peers.forget(id);
            } else {
                self.peers.keep(id, link.peer.clone());
            }
            self.draining.extend(link.close());
        }
    }
}
