//! Recordings: each connection as a trace in the format of the conformance suite.
//!
//! A [`Recorder`] sits between the shell and an engine, where all bytes pass. They go through a bounded channel to a
//! thread that writes files; whatever does not fit is dropped, because serving takes precedence, and the file says so.

mod file;
mod recording;
mod writer;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use legacy_websocket::Counts;
use legacy_websocket::step::{
    Command, Destination, Disposition, Input, Loss, Read, RequestHead, Status, Step,
};
use legacy_websocket_trace::Setting;

pub(crate) use self::file::check_folder;

use crate::engine::api::{Engine, EngineLost};

/// The channel's capacity: entries, and their bytes.
const MAX_QUEUED: usize = 4096;
const MAX_QUEUED_BYTES: usize = 32 << 20;

/// The cost of a read or write in addition to its bytes, because each is a separate line.
const BYTES_PER_STEP: u64 = 16;

/// Where recordings go, and their limits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecordOptions {
    /// The folder; created if missing, accessible to its owner only.
    pub folder: PathBuf,
    /// Maximum size of all files of this run together, in bytes.
    pub max_bytes: u64,
    /// Maximum kept of one connection, in bytes of both directions. A byte takes up to four in the file.
    pub max_connection_bytes: u64,
    /// Options of the server that a replay needs.
    pub settings: Vec<Setting>,
}

impl RecordOptions {
    /// Defaults to 256 MiB in total, and 1 MiB per connection.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, max_bytes: 256 << 20, max_connection_bytes: 1 << 20, settings: Vec::new() }
    }
}

/// Records the connections of its engines. Clones share files and limits.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    channel: SyncSender<Entry>,
    queued_bytes: AtomicUsize,
    next_number: AtomicU64,
    /// Recording has stopped: the total limit is reached.
    full: AtomicBool,
    max_connection_bytes: u64,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Messages to the writer thread.
#[derive(Debug)]
struct Entry {
    connection: Arc<Connection>,
    at: SystemTime,
    what: What,
    /// The number of dropped steps before this one.
    missing: u64,
}

/// A recorded connection.
#[derive(Debug)]
struct Connection {
    /// The number of the recording in this run; 0 is none.
    number: u64,
    peer: Option<SocketAddr>,
    since: SystemTime,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Client(Vec<u8>),
    ClientEnd {
        reset: bool,
    },
    Server(Vec<u8>),
    ServerEnd {
        reset: bool,
    },
    /// The connection's limit is reached.
    Cut,
    /// The recording has ended.
    Done,
    /// The server has ended.
    Stop,
}

impl Recorder {
    /// Creates the folder and starts the thread.
    ///
    /// # Errors
    /// The folder cannot be created or written to.
    pub fn start(options: RecordOptions) -> io::Result<Self> {
        file::make_folder(&options.folder)?;
        let (channel, entries) = sync_channel(MAX_QUEUED);
        let shared = Arc::new(Shared {
            channel,
            queued_bytes: AtomicUsize::new(0),
            next_number: AtomicU64::new(1),
            full: AtomicBool::new(false),
            max_connection_bytes: options.max_connection_bytes,
            writer: Mutex::new(None),
        });
        let theirs = Arc::clone(&shared);
        let writer = thread::Builder::new()
            .name("recorder".into())
            .spawn(move || writer::Writer::new(options, theirs).run(&entries))?;
        *shared.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
        Ok(Self(shared))
    }

    /// Waits until everything is written. Anything recorded afterwards is lost.
    pub fn finish(&self) {
        let nobody = Arc::new(Connection { number: 0, peer: None, since: SystemTime::now() });
        let stop = Entry { connection: nobody, at: SystemTime::now(), what: What::Stop, missing: 0 };
        if self.0.channel.send(stop).is_ok()
            && let Some(writer) = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            // It panics only on a bug, which has been reported by then.
            let _ = writer.join();
        }
    }

    /// Wraps an engine.
    pub(crate) fn record(&self, engine: Box<dyn Engine>) -> Box<dyn Engine> {
        Box::new(Recorded { engine, tape: Tape::new(Arc::clone(&self.0)) })
    }
}

impl Shared {
    /// Returns the entry if there is no room.
    fn offer(&self, entry: Entry) -> Result<(), Entry> {
        let bytes = entry.what.bytes();
        if self.queued_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > MAX_QUEUED_BYTES {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(entry);
        }
        self.channel.try_send(entry).map_err(|error| {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            let (TrySendError::Full(entry) | TrySendError::Disconnected(entry)) = error;
            entry
        })
    }
}

impl What {
    fn bytes(&self) -> usize {
        match self {
            Self::Client(bytes) | Self::Server(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

/// An engine whose inputs and transmissions are recorded.
#[derive(Debug)]
struct Recorded {
    engine: Box<dyn Engine>,
    tape: Tape,
}

impl Engine for Recorded {
    fn turn(&mut self, now: u64, inputs: &[Input]) -> Result<Step, EngineLost> {
        for input in inputs {
            match input {
                Input::Opened(opened) => self.tape.open(opened.connection, &opened.peer),
                Input::Received(received) => self.tape.client(received.connection, &received.bytes),
                Input::Ended(connection) => self.tape.step(*connection, What::ClientEnd { reset: false }),
                Input::Lost(lost) => {
                    if lost.why == Loss::Reset {
                        self.tape.step(lost.connection, What::ClientEnd { reset: true });
                    } else {
                        self.tape.step(lost.connection, What::ServerEnd { reset: true });
                    }
                    self.tape.done(lost.connection);
                }
                Input::Shutdown | Input::ApplicationLost => {}
            }
        }
        let step = self.engine.turn(now, inputs);
        self.tape.hear(step)
    }

    fn receive(&mut self, now: u64, reads: &[Read], bytes: &[u8]) -> Result<Step, EngineLost> {
        let mut start = 0;
        for read in reads {
            let end = read.end as usize;
            self.tape.client(read.connection, bytes.get(start..end).unwrap_or_default());
            start = end;
        }
        let step = self.engine.receive(now, reads, bytes);
        self.tape.hear(step)
    }

    fn command(&mut self, commands: &[Command<'_>]) -> Result<Step, EngineLost> {
        let step = self.engine.command(commands);
        self.tape.hear(step)
    }

    fn command_partly(&mut self, commands: &[Command<'_>]) -> Result<Step, EngineLost> {
        let step = self.engine.command_partly(commands);
        self.tape.hear(step)
    }

    fn set_budget(&mut self, events: u32) -> Result<(), EngineLost> {
        self.engine.set_budget(events)
    }

    fn memory_bytes(&self) -> usize {
        self.engine.memory_bytes()
    }

    fn counts(&mut self) -> Result<Counts, EngineLost> {
        self.engine.counts()
    }

    fn connections(&mut self) -> Result<Vec<Status>, EngineLost> {
        self.engine.connections()
    }

    fn head(&mut self, connection: u64) -> Result<Option<RequestHead>, EngineLost> {
        self.engine.head(connection)
    }
}

/// The recordings of one engine's connections.
#[derive(Debug)]
struct Tape {
    shared: Arc<Shared>,
    connections: HashMap<u64, Track>,
    /// Ends that did not fit in the channel: they are small, and must not be lost.
    late: Vec<Entry>,
}

#[derive(Debug)]
struct Track {
    connection: Arc<Connection>,
    /// It is a member of broadcasts.
    joined: bool,
    kept: u64,
    missing: u64,
}

impl Tape {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, connections: HashMap::new(), late: Vec::new() }
    }

    fn open(&mut self, id: u64, peer: &str) {
        if self.shared.full.load(Ordering::Relaxed) {
            return;
        }
        let number = self.shared.next_number.fetch_add(1, Ordering::Relaxed);
        let connection = Connection { number, peer: peer.parse().ok(), since: SystemTime::now() };
        self.connections
            .insert(id, Track { connection: Arc::new(connection), joined: false, kept: 0, missing: 0 });
    }

    fn client(&mut self, id: u64, bytes: &[u8]) {
        // Look up first, before copying the bytes.
        if self.connections.contains_key(&id) {
            self.step(id, What::Client(bytes.into()));
        }
    }

    fn step(&mut self, id: u64, what: What) {
        let Some(track) = self.connections.get_mut(&id) else {
            return;
        };
        track.kept += what.bytes() as u64 + BYTES_PER_STEP;
        if track.kept > self.shared.max_connection_bytes {
            self.end(id, What::Cut);
            return;
        }
        let entry = track.entry(what);
        if self.shared.offer(entry).is_err() {
            track.missing += 1;
        }
    }

    fn done(&mut self, id: u64) {
        self.end(id, What::Done);
    }

    fn end(&mut self, id: u64, what: What) {
        if let Some(track) = self.connections.remove(&id) {
            self.late.push(track.entry(what));
        }
        while let Some(entry) = self.late.pop() {
            if let Err(entry) = self.shared.offer(entry) {
                self.late.push(entry);
                break;
            }
        }
    }

    /// Records the engine's transmissions.
    fn hear(&mut self, step: Result<Step, EngineLost>) -> Result<Step, EngineLost> {
        let Ok(step) = step else {
            // All of its connections are closed.
            for id in self.connections.keys().copied().collect::<Vec<_>>() {
                self.step(id, What::ServerEnd { reset: true });
                self.done(id);
            }
            return step;
        };
        for transmission in &step.transmissions {
            match &transmission.to {
                Destination::One(id) => self.server(*id, &transmission.bytes, transmission.then),
                Destination::Many(ids) => {
                    for id in ids {
                        self.server(*id, &transmission.bytes, transmission.then);
                    }
                }
                Destination::All => self.server_all(None, &transmission.bytes),
                Destination::AllBut(id) => self.server_all(Some(*id), &transmission.bytes),
            }
        }
        Ok(step)
    }

    fn server_all(&mut self, but: Option<u64>, bytes: &[u8]) {
        let joined = self.connections.iter().filter(|(id, track)| track.joined && Some(**id) != but);
        for id in joined.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.server(id, bytes, Disposition::Keep);
        }
    }

    fn server(&mut self, id: u64, bytes: &[u8], then: Disposition) {
        let Some(track) = self.connections.get_mut(&id) else {
            return;
        };
        track.joined = then.membership_change().unwrap_or(track.joined);
        if !bytes.is_empty() && then != Disposition::Abort {
            self.step(id, What::Server(bytes.into()));
        }
        // A half-closed connection continues; it is recorded as ended when the engine is done with it.
        if matches!(then, Disposition::Finish | Disposition::Abort) {
            self.step(id, What::ServerEnd { reset: then == Disposition::Abort });
            self.done(id);
        }
    }
}

impl Track {
    fn entry(&self, what: What) -> Entry {
        let connection = Arc::clone(&self.connection);
        Entry { connection, at: SystemTime::now(), what, missing: self.missing }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;

    use super::*;

    fn tape(room: usize) -> (Tape, Receiver<Entry>) {
        let (channel, entries) = sync_channel(room);
        let shared = Shared {
            channel,
            queued_bytes: AtomicUsize::new(0),
            next_number: AtomicU64::new(1),
            full: AtomicBool::new(false),
            max_connection_bytes: 1000,
            writer: Mutex::new(None),
        };
        (Tape::new(Arc::new(shared)), entries)
    }

    #[test]
    fn dropped_steps_are_counted_and_ends_are_kept() {
        let (mut tape, entries) = tape(1);
        tape.open(7, "127.0.0.1:1234");
        for bytes in ["a", "b", "c"] {
            tape.client(7, bytes.as_bytes());
        }
        assert_eq!(entries.recv().unwrap().what, What::Client(b"a".into()));
        tape.client(7, b"d");
        tape.done(7);
        let entry = entries.recv().unwrap();
        assert_eq!((entry.what, entry.missing), (What::Client(b"d".into()), 2));
        tape.done(8);
        let entry = entries.recv().unwrap();
        assert_eq!((entry.what, entry.missing, entry.connection.number), (What::Done, 2, 1));
    }

    #[test]
    fn recording_stops_at_the_limit_of_each_connection() {
        let (mut tape, entries) = tape(10);
        for id in [1, 2] {
            tape.open(id, "[::1]:1");
        }
        tape.client(1, &[0; 900]);
        tape.client(1, &[0; 900]);
        tape.client(1, b"nothing of this");
        tape.client(2, b"b");
        let kinds = entries.try_iter().map(|entry| (entry.connection.number, entry.what.bytes()));
        assert_eq!(kinds.collect::<Vec<_>>(), [(1, 900), (1, 0), (2, 1)]);
    }
}
