//! The thread that writes recordings, and its handling of failures.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{io, mem};

use tracing::{error, info, warn};

use super::recording::Recording;
use super::{Entry, RecordOptions, Shared, What};

/// The minimum disk space a file takes.
const MIN_FILE_BYTES: u64 = 4096;

/// How soon a failed write is retried.
const RETRY: Duration = Duration::from_secs(1);

/// Maximum pending bytes of all connections together. The excess is dropped.
const MAX_WAITING_BYTES: usize = 32 << 20;

/// Maximum number of ended connections with unfinished files. More are dropped.
const MAX_UNFINISHED: usize = 4096;

/// The minimum interval between logged failures.
const TELL: Duration = Duration::from_secs(10);

pub(super) struct Writer {
    options: RecordOptions,
    shared: Arc<Shared>,
    open: HashMap<u64, Recording>,
    /// The unfinished files of connections that have ended.
    unfinished: Vec<Recording>,
    /// Bytes written to files.
    written: u64,
    waiting: usize,
    failure: Option<Failure>,
    told: Option<Instant>,
}

/// The current failure to write.
struct Failure {
    retry_at: Instant,
    told: bool,
}

impl Writer {
    pub(super) fn new(options: RecordOptions, shared: Arc<Shared>) -> Self {
        Self {
            options,
            shared,
            open: HashMap::new(),
            unfinished: Vec::new(),
            written: 0,
            waiting: 0,
            failure: None,
            told: None,
        }
    }

    pub(super) fn run(mut self, entries: &Receiver<Entry>) {
        loop {
            match entries.recv_timeout(RETRY) {
                Ok(entry) => {
                    self.shared.queued_bytes.fetch_sub(entry.what.bytes(), Ordering::Relaxed);
                    if entry.what == What::Stop {
                        break;
                    }
                    self.take(entry);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.failure.as_ref().is_some_and(|failure| failure.retry_at <= Instant::now()) {
                self.write_all(Recording::is_worth_a_file);
            }
        }
        // A last attempt. Recordings that are still open remain incomplete, and say so.
        self.failure = None;
        self.write_all(|_| true);
    }

    fn take(&mut self, entry: Entry) {
        if self.shared.full.load(Ordering::Relaxed) {
            return;
        }
        let number = entry.connection.number;
        let recording = self.open.remove(&number);
        let mut recording = recording.unwrap_or_else(|| Recording::new(&entry.connection));
        self.waiting += recording.add(entry);
        let is_crowded = self.waiting > MAX_WAITING_BYTES;
        if recording.has_ended || recording.is_worth_a_file() || is_crowded {
            self.write(&mut recording);
        }
        self.keep(recording);
    }

    /// Writes until everything is in its file.
    fn keep(&mut self, mut recording: Recording) {
        if self.waiting > MAX_WAITING_BYTES {
            self.waiting -= recording.drop_waiting();
        }
        if !recording.has_ended {
            self.open.insert(recording.number(), recording);
        } else if recording.has_work() && self.unfinished.len() < MAX_UNFINISHED && !self.is_full() {
            self.unfinished.push(recording);
        } else {
            self.waiting -= recording.drop_waiting();
        }
    }

    fn write_all(&mut self, is_due: impl Fn(&Recording) -> bool) {
        let ended = mem::take(&mut self.unfinished);
        let due: Vec<_> = self.open.extract_if(|_, recording| is_due(recording)).collect();
        for mut recording in ended.into_iter().chain(due.into_iter().map(|(_, recording)| recording)) {
            self.write(&mut recording);
            self.keep(recording);
        }
    }

    fn write(&mut self, recording: &mut Recording) {
        if !recording.has_work()
            || self.failure.as_ref().is_some_and(|failure| Instant::now() < failure.retry_at)
        {
            return;
        }
        let waiting = recording.waiting();
        let needed = waiting as u64 + if recording.has_file() { 0 } else { MIN_FILE_BYTES };
        if self.written + needed > self.options.max_bytes {
            if !self.shared.full.swap(true, Ordering::Relaxed) {
                warn!(bytes = self.written, "nothing more is recorded: --record-max-bytes is reached");
            }
            return;
        }
        let result = recording.write(&self.options);
        let written = waiting - recording.waiting();
        self.waiting -= written;
        if written > 0 {
            self.written += needed;
        }
        match result {
            Ok(()) => self.succeeded(),
            // Only this file was removed.
            Err(error) if recording.has_file() && error.kind() == io::ErrorKind::NotFound => {
                self.waiting -= recording.give_up();
            }
            Err(error) => self.failed(&error),
        }
    }

    fn is_full(&self) -> bool {
        self.shared.full.load(Ordering::Relaxed)
    }

    fn succeeded(&mut self) {
        if self.failure.take().is_some_and(|failure| failure.told) {
            info!(folder = %self.options.folder.display(), "recordings are written again");
        }
    }

    fn failed(&mut self, why: &io::Error) {
        let now = Instant::now();
        let told_before = self.failure.take().is_some_and(|failure| failure.told);
        let tell = !told_before && self.told.is_none_or(|told| now - told > TELL);
        if tell {
            self.told = Some(now);
            error!(folder = %self.options.folder.display(), "recordings cannot be written; retrying: {why}");
        }
        self.failure = Some(Failure { retry_at: now + RETRY, told: tell || told_before });
    }
}
