//! The thread that writes recordings.

use std::collections::HashMap;
use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, SystemTime};

use legacy_websocket_trace::{Draft, Literal, Severity, Step, Trace};
use tracing::{error, warn};

use super::file::TraceFile;
use super::{Connection, Entry, RecordOptions, Shared, What};

/// What a file takes on a disk at the least.
const MIN_FILE_BYTES: u64 = 4096;

/// More than this of a head is not waited for before a file begins.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Shorter pauses are those of networks and schedulers, and mean nothing.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// Connections are numbered from 1 within a trace.
const ONLY: u32 = 1;

pub(super) struct Writer {
    options: RecordOptions,
    shared: Arc<Shared>,
    open: HashMap<u64, Recording>,
    written: u64,
}

impl Writer {
    pub(super) fn new(options: RecordOptions, shared: Arc<Shared>) -> Self {
        Self { options, shared, open: HashMap::new(), written: 0 }
    }

    pub(super) fn run(mut self, entries: &Receiver<Entry>) {
        for entry in entries {
            self.shared.queued_bytes.fetch_sub(entry.what.bytes(), Ordering::Relaxed);
            if entry.what == What::Stop {
                break;
            }
            self.take(entry);
        }
        // What is still open remains incomplete, and says so.
        for (_, mut recording) in std::mem::take(&mut self.open) {
            self.write(&mut recording);
        }
    }

    fn take(&mut self, entry: Entry) {
        if self.shared.full.load(Ordering::Relaxed) {
            return;
        }
        let number = entry.connection.number;
        let recording = self.open.remove(&number);
        let mut recording = recording.unwrap_or_else(|| Recording::new(&entry.connection));
        let over = matches!(entry.what, What::Done | What::Cut);
        recording.add(entry);
        if over || recording.is_worth_a_file() {
            self.write(&mut recording);
        }
        if !over {
            self.open.insert(number, recording);
        } else if let Some(file) = &recording.file
            && let Err(error) = file.finish(recording.is_whole())
        {
            self.give_up(&error);
        }
    }

    fn write(&mut self, recording: &mut Recording) {
        let needed =
            recording.waiting.len() as u64 + if recording.file.is_none() { MIN_FILE_BYTES } else { 0 };
        if self.written + needed > self.options.max_bytes {
            if !self.shared.full.swap(true, Ordering::Relaxed) {
                warn!(bytes = self.written, "nothing more is recorded: --record-max-bytes is reached");
            }
            return;
        }
        self.written += needed;
        if let Err(error) = recording.write(&self.options) {
            self.give_up(&error);
        }
    }

    fn give_up(&self, why: &io::Error) {
        if !self.shared.full.swap(true, Ordering::Relaxed) {
            error!(folder = %self.options.folder.display(), "nothing more is recorded: {why}");
        }
    }
}

/// One connection.
struct Recording {
    connection: Arc<Connection>,
    file: Option<TraceFile>,
    /// The client's first bytes, until the file has begun.
    head: Vec<u8>,
    /// Steps that are not in the file yet.
    waiting: String,
    last: SystemTime,
    missing: u64,
    cut: bool,
}

impl Recording {
    fn new(connection: &Arc<Connection>) -> Self {
        Self {
            connection: Arc::clone(connection),
            file: None,
            head: Vec::new(),
            waiting: String::new(),
            last: connection.since,
            missing: 0,
            cut: false,
        }
    }

    fn add(&mut self, Entry { at, what, missing, .. }: Entry) {
        if missing > self.missing {
            let count = missing - self.missing;
            self.line(&format_args!("# {count} steps are missing here: the disk did not keep up"));
            self.missing = missing;
        }
        let step = match what {
            What::Client(bytes) => {
                if self.file.is_none() {
                    self.head.extend_from_slice(&bytes);
                }
                Step::Client { connection: ONLY, bytes: Literal::from(bytes.as_slice()) }
            }
            What::Server(bytes) => Step::Server { connection: ONLY, bytes: Literal::from(bytes.as_slice()) },
            What::ClientEnd { reset } => Step::ClientEnd { connection: ONLY, reset },
            What::ServerEnd { reset } => Step::ServerEnd { connection: ONLY, reset },
            What::Cut => {
                self.cut = true;
                self.line(&"# the rest is missing: --record-max-connection-bytes is reached");
                return;
            }
            What::Done | What::Stop => return,
        };
        let pause = at.duration_since(self.last).unwrap_or_default();
        if pause >= MIN_PAUSE {
            self.line(&Step::After(Duration::from_secs(pause.as_secs())));
        }
        self.last = at;
        self.line(&step);
    }

    fn line(&mut self, line: &dyn std::fmt::Display) {
        // Writing to a string does not fail.
        let _ = writeln!(self.waiting, "{line}");
    }

    /// Its head has come, so that it is known what it is.
    fn is_worth_a_file(&self) -> bool {
        self.file.is_some()
            || self.head.len() > MAX_HEAD_BYTES
            || self.head.windows(4).any(|window| window == b"\r\n\r\n")
    }

    fn is_whole(&self) -> bool {
        self.missing == 0 && !self.cut
    }

    fn write(&mut self, options: &RecordOptions) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let head = std::mem::take(&mut self.head);
                let Connection { number, since, .. } = *self.connection;
                TraceFile::create(&options.folder, number, since, self.describe(&head, options))?
            }
        };
        file.append(&self.waiting)?;
        self.waiting.clear();
        self.file = Some(file);
        Ok(())
    }

    /// A trace without its steps.
    fn describe(&self, head: &[u8], options: &RecordOptions) -> Trace {
        let head = Head::new(head);
        let peer = self.connection.peer.map(|peer| format!("peer {peer}"));
        Trace {
            title: head.title(),
            draft: head.draft(),
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

/// The head of a request, as far as it names a recording. What it means is the engine's to judge.
struct Head(String);

impl Head {
    fn new(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
        Self(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    fn title(&self) -> String {
        match self.0.lines().next().map(str::trim).filter(|line| !line.is_empty()) {
            Some(line) => line.chars().take(100).collect(),
            None => "nothing was asked".into(),
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.lines().skip(1).filter_map(|line| line.split_once(':'));
        let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }

    fn draft(&self) -> Draft {
        let has = |name| self.field(name).is_some();
        if has("sec-websocket-version") || has("sec-websocket-key") || !has("upgrade") {
            Draft::Neither
        } else if has("sec-websocket-key1") || has("sec-websocket-key2") {
            Draft::Draft76
        } else {
            Draft::Draft75
        }
    }
}
