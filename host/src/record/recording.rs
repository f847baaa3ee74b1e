//! The recording of one connection.

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{io, mem};

use legacy_websocket_trace::{Framer, Protocol, Severity, Step, Trace};

use super::file::TraceFile;
use super::{Connection, Entry, RecordOptions, What};

/// A file is started after at most this many bytes of a head.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Longest title, in characters.
const MAX_TITLE: usize = 100;

/// Shorter pauses come from the network or scheduler, and mean nothing.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// The first number of connections in a trace.
const ONLY: u32 = 1;

/// A recorded connection.
pub(super) struct Recording {
    connection: Arc<Connection>,
    file: Option<TraceFile>,
    /// The client's first bytes, until the file exists.
    head: Vec<u8>,
    /// Once the client's head is complete: what it asks for has frames.
    has_frames: Option<bool>,
    /// The frames of either side.
    client: Framer,
    server: Framer,
    /// Lines not yet in the file, and how many of them are steps.
    waiting: String,
    waiting_steps: u64,
    last: SystemTime,
    /// Steps dropped before they reached this thread, and steps that could not be written.
    missing: u64,
    dropped: u64,
    is_whole: bool,
    /// No more steps follow.
    pub(super) has_ended: bool,
    /// The file is final.
    is_finished: bool,
}

impl Recording {
    pub(super) fn new(connection: &Arc<Connection>) -> Self {
        Self {
            connection: Arc::clone(connection),
            file: None,
            head: Vec::new(),
            has_frames: None,
            client: Framer::default(),
            server: Framer::default(),
            waiting: String::new(),
            waiting_steps: 0,
            last: connection.since,
            missing: 0,
            dropped: 0,
            is_whole: true,
            has_ended: false,
            is_finished: false,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.connection.number
    }

    /// Adds a step; returns how many more bytes wait to be written.
    pub(super) fn add(&mut self, entry: Entry) -> usize {
        let before = self.waiting.len();
        if !self.is_finished {
            self.take(entry);
        }
        self.waiting.len() - before
    }

    /// Whether its head is complete, so that its kind is known.
    pub(super) fn is_worth_a_file(&self) -> bool {
        self.file.is_some()
            || self.head.len() > MAX_HEAD_BYTES
            || self.head.windows(4).any(|window| window == b"\r\n\r\n")
    }

    pub(super) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Bytes waiting to be written.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether something has yet to be written. A file without steps would not be a trace.
    pub(super) fn has_work(&self) -> bool {
        let has_lines = self.waiting_steps > 0 || self.file.is_some() && !self.waiting.is_empty();
        !self.is_finished && (has_lines || self.has_ended && self.file.is_some())
    }

    /// Drops pending lines because there are too many; returns the number of bytes.
    pub(super) fn drop_waiting(&mut self) -> usize {
        self.dropped += mem::take(&mut self.waiting_steps);
        self.is_whole &= self.waiting.is_empty();
        mem::take(&mut self.waiting).len()
    }

    /// Stops writing; returns the number of bytes dropped.
    pub(super) fn give_up(&mut self) -> usize {
        self.is_finished = true;
        self.drop_waiting()
    }

    /// Writes pending lines, and the final note if it has ended. On failure the lines stay pending.
    pub(super) fn write(&mut self, options: &RecordOptions) -> io::Result<()> {
        match &mut self.file {
            Some(file) if !self.waiting.is_empty() => file.append(&self.waiting)?,
            Some(_) => {}
            None => {
                let Connection { number, since, .. } = *self.connection;
                let head = self.describe(options);
                self.file = Some(TraceFile::create(&options.folder, number, since, head, &self.waiting)?);
                self.head = Vec::new();
            }
        }
        self.waiting.clear();
        self.waiting_steps = 0;
        if let Some(file) = &self.file
            && self.has_ended
        {
            file.finish(self.is_whole)?;
            self.is_finished = true;
        }
        Ok(())
    }

    fn take(&mut self, Entry { at, what, missing, .. }: Entry) {
        let dropped = mem::take(&mut self.dropped);
        if dropped > 0 {
            self.line(&format_args!("# {dropped} steps are missing here: they could not be written"));
        }
        if missing > self.missing {
            let count = missing - self.missing;
            self.line(&format_args!("# {count} steps are missing here: the disk did not keep up"));
            self.missing = missing;
            self.client.lose_track();
            self.server.lose_track();
            self.is_whole = false;
        }
        let step = match what {
            What::Client(bytes) => {
                if self.file.is_none() {
                    self.head.extend_from_slice(&bytes);
                }
                let has_frames = self.has_frames();
                Step::Client { connection: ONLY, bytes: self.client.split(&bytes, has_frames) }
            }
            What::Server(bytes) => {
                let has_frames = self.has_frames();
                Step::Server { connection: ONLY, bytes: self.server.split(&bytes, has_frames) }
            }
            What::ClientEnd { reset } => Step::ClientEnd { connection: ONLY, reset },
            What::ServerEnd { reset } => Step::ServerEnd { connection: ONLY, reset },
            What::Cut => {
                self.is_whole = false;
                self.has_ended = true;
                self.line(&"# the rest is missing: --record-max-connection-bytes is reached");
                return;
            }
            What::Done => {
                self.has_ended = true;
                return;
            }
            What::Stop => return,
        };
        let pause = at.duration_since(self.last).unwrap_or_default();
        if pause >= MIN_PAUSE {
            self.line(&Step::After(Duration::from_secs(pause.as_secs())));
        }
        self.last = at;
        self.line(&step);
        self.waiting_steps += 1;
    }

    /// Whether the client asks for a protocol that has frames, once that is known.
    fn has_frames(&mut self) -> bool {
        if self.has_frames.is_none() && self.is_worth_a_file() {
            self.has_frames = Some(Protocol::of_request(&self.head).has_frames());
        }
        self.has_frames.unwrap_or_default()
    }

    fn line(&mut self, line: &dyn Display) {
        // Cannot fail: writes to a string.
        let _ = writeln!(self.waiting, "{line}");
    }

    /// A trace without its steps.
    fn describe(&self, options: &RecordOptions) -> Trace {
        let head = Head::new(&self.head);
        let peer = self.connection.peer.map(|peer| format!("peer {peer}"));
        Trace {
            title: head.title(),
            protocol: Protocol::of_request(&self.head),
            section: "field".into(),
            severity: Severity::Field,
            settings: options.settings.clone(),
            client: head.field("user-agent").map(Into::into),
            source: Some(format!(
                "recorded by legacy-websocket {} at {}",
                env!("CARGO_PKG_VERSION"),
                humantime::format_rfc3339_seconds(self.connection.since)
            )),
            notes: peer.into_iter().collect(),
            ..Trace::default()
        }
    }
}

/// The parts of a request's head that name a recording. Interpreting it is up to the engine.
struct Head(String);

impl Head {
    fn new(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
        Self(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    fn title(&self) -> String {
        match self.0.lines().next().map(str::trim).filter(|line| !line.is_empty()) {
            Some(line) => line.chars().flat_map(visible).take(MAX_TITLE).collect(),
            None => "nothing was asked".into(),
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.lines().skip(1).filter_map(|line| line.split_once(':'));
        let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }
}

/// Escapes control characters, and nothing else.
fn visible(character: char) -> impl Iterator<Item = char> {
    let escape = character.is_control().then(|| character.escape_default());
    let plain = escape.is_none().then_some(character);
    escape.into_iter().flatten().chain(plain)
}
