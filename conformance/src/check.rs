//! Checks the corpus against a running server, over real sockets.

mod application;
mod lenient;
mod needs;
mod socket;
mod taken;
mod target;
mod tls;

use std::collections::BTreeMap;
use std::io;

use legacy_websocket_trace::{Action, Connection, Step};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::application::Application;
use self::lenient::{lenient, without_closing, without_responses};
pub use self::needs::is_exclusive;
use self::needs::{is_driven, why_not};
use self::socket::{News, Sockets};
pub use self::target::Target;
pub use self::tls::Tls;
use crate::client::{self, Received, see};
use crate::corpus::Case;
use crate::expectation;
use crate::plan::{Chunking, Op, bounded, plan};
use crate::report::{self, Kind, Seen, Side, Verdict};
use crate::transcript::Transcript;

/// Maximum writes, each followed by a pause, of a head, and of the bytes after it in each turn; the last write has the
/// rest.
const MAX_WRITES: usize = 100;

/// Checks one case. `snapshot` is the text of its snapshot.
///
/// # Errors
/// The server cannot be connected to, or no longer.
pub async fn check(case: &Case, snapshot: &str, target: &Target) -> io::Result<report::Case> {
    let expected: Vec<Sight> =
        expectation::read(snapshot).into_iter().map(|expected| lenient(case, expected)).collect();
    let none = Vec::new();
    let mut report = report::Case {
        id: case.id.clone(),
        title: case.trace.title.clone(),
        protocol: case.trace.protocol,
        section: case.trace.section.clone(),
        severity: case.trace.severity,
        requirements: case.trace.requirements.clone(),
        verdict: Verdict::NotApplicable,
        reason: String::new(),
        cause: String::new(),
        chunking: None,
        known: None,
        expected: lines(expected.first().unwrap_or(&none)),
        seen: Vec::new(),
        transcript: Vec::new(),
    };
    let says = expected.iter().flatten().any(|(_, _, what)| client::is_message(what));
    if let Some(why_not) = why_not(case, says, target) {
        report.reason = why_not;
        return Ok(report);
    }
    let mut last = Vec::new();
    for chunking in target.chunkings.of(case, target.seed) {
        let ops = bounded(plan(&case.trace, &target.variables, chunking), MAX_WRITES);
        if ops == last {
            continue;
        }
        run(case, target, &expected, &ops, &mut report).await?;
        if case.trace.steps.contains(&Step::Application(Action::Shutdown)) {
            // Wait until the server serves again.
            probe_application(target).await?;
        }
        if report.verdict != Verdict::Pass {
            if report.verdict != Verdict::NotApplicable && chunking != Chunking::Written {
                report.reason.push_str(&format!(" ({chunking})"));
                report.cause.push_str(", where it is cut");
                report.chunking = Some(chunking.to_string());
            }
            break;
        }
        last = ops;
    }
    Ok(report)
}

/// Runs a case with its bytes split in one way, and records the outcome in the report.
async fn run(
    case: &Case,
    target: &Target,
    expected: &[Sight],
    ops: &[Op],
    report: &mut report::Case,
) -> io::Result<()> {
    let mut run = Run::new(case, target, expected);
    if let Some(address) = target.application.filter(|_| is_driven(case, target)) {
        run.application = Some(Application::connect(address).await?);
    }
    for op in ops {
        run.op(op).await?;
        if let Some(excuse) = run.excuse {
            report.verdict = Verdict::NotApplicable;
            report.reason = excuse;
            return Ok(());
        }
    }
    let counts = run.counts();
    let as_good = run.expected.contains(&counts);
    report.verdict = if as_good { Verdict::Pass } else { Verdict::of_difference(case.trace.severity) };
    report.seen = lines(&run.seen());
    (report.reason, report.cause) =
        if as_good { Default::default() } else { difference(&report.expected, &lines(&counts)) };
    if !as_good {
        run.notes.iter().for_each(|note| report.reason.push_str(&format!("; {note}")));
    }
    report.transcript = run.transcript.entries();
    Ok(())
}

/// Connects once, as each case will, and closes the connection.
///
/// # Errors
/// The server is unreachable, or does not speak TLS although it should.
pub async fn probe(target: &Target) -> io::Result<()> {
    let mut sockets = Sockets::new();
    timeout(target.patience, sockets.open(1, target.address, target.tls.as_ref())).await??;
    Ok(())
}

/// Connects to the application once, if there is one, as each case that needs it will.
///
/// # Errors
/// It is unreachable, or does not report that the server is serving.
pub async fn probe_application(target: &Target) -> io::Result<()> {
    match target.application {
        Some(address) => Application::connect(address).await.map(|_| ()),
        None => Ok(()),
    }
}

/// What a client sees, in order of connections: connection, turn, item.
type Sight = Vec<(Connection, u32, String)>;

/// A running case.
struct Run<'a> {
    case: &'a Case,
    target: &'a Target,
    expected: &'a [Sight],
    sockets: Sockets,
    sent: BTreeMap<Connection, Vec<u8>>,
    received: BTreeMap<Connection, Vec<Received>>,
    /// Ended by us: further input is ignored.
    reset: Vec<Connection>,
    turn: usize,
    /// The client has written, or ended its side, in this turn.
    acted: bool,
    transcript: Transcript,
    application: Option<Application>,
    /// What the application failed to do.
    notes: Vec<String>,
    /// Why the case turned out not to apply.
    excuse: Option<String>,
}

impl<'a> Run<'a> {
    fn new(case: &'a Case, target: &'a Target, expected: &'a [Sight]) -> Self {
        Self {
            case,
            target,
            expected,
            sockets: Sockets::new(),
            sent: BTreeMap::new(),
            received: BTreeMap::new(),
            reset: Vec::new(),
            turn: 1,
            acted: false,
            transcript: Transcript::new(case.trace.protocol),
            application: None,
            notes: Vec::new(),
            excuse: None,
        }
    }

    async fn op(&mut self, op: &Op) -> io::Result<()> {
        if !matches!(op, Op::Open(_) | Op::Wait) && std::mem::replace(&mut self.acted, true) {
            sleep(self.target.pause).await;
            self.sockets.taken(Instant::now() + self.target.patience).await;
        }
        match *op {
            Op::Open(connection) => {
                self.sockets.open(connection, self.target.address, self.target.tls.as_ref()).await?;
                self.sent.insert(connection, Vec::new());
                self.introduce(connection).await?;
            }
            Op::Bytes(connection, ref bytes) => {
                self.sent.entry(connection).or_default().extend_from_slice(bytes);
                self.transcript.bytes(connection, Side::Client, bytes);
                self.write(connection, bytes).await;
            }
            Op::End { connection, reset } => {
                let kind = if reset { Kind::Reset } else { Kind::Fin };
                self.transcript.note(connection, Side::Client, kind);
                self.sockets.end(connection, reset).await;
                if reset {
                    *self.received(connection) = Received::reset();
                    self.reset.push(connection);
                }
            }
            Op::Wait => {
                self.wait().await;
                self.transcript.note(1, Side::Client, Kind::Wait);
                self.turn += 1;
                self.acted = false;
            }
            Op::After(time) => self.pass(time).await?,
            Op::Application(ref action, ref text) => self.act(action, text).await?,
        }
        Ok(())
    }

    /// Writes while reading, because a server may stop reading while we do not read.
    async fn write(&mut self, connection: Connection, mut bytes: &[u8]) {
        let end = Instant::now() + self.target.patience;
        while !bytes.is_empty() {
            match timeout_at(end, self.sockets.write(connection, bytes)).await {
                Ok(Ok(written)) => bytes = &bytes[written..],
                // It has ended; reading will show that.
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// Waits until everything expected of this turn has arrived, or nothing more comes.
    async fn wait(&mut self) {
        let end = Instant::now() + self.target.patience;
        // Silence proves nothing while the server has not read everything.
        self.sockets.taken(end).await;
        let mut quiet_since = Instant::now();
        loop {
            while let Some(news) = self.sockets.try_next() {
                self.take(news);
                quiet_since = Instant::now();
            }
            let quiet = quiet_since + self.target.quiet;
            let until = match self.progress() {
                // Nothing was expected in this turn, or this was the last item: check that nothing more comes.
                Progress::Complete { more: true } => return,
                Progress::Complete { more: false } | Progress::Otherwise => quiet,
                Progress::Partial => end.max(quiet),
            };
            match timeout_at(until, self.sockets.next()).await {
                Ok(Some(news)) => {
                    self.take(news);
                    quiet_since = Instant::now();
                }
                Ok(None) => return,
                Err(_) => {
                    if self.progress() == Progress::Partial {
                        self.transcript.note(1, Side::Client, Kind::Timeout);
                    }
                    return;
                }
            }
        }
    }

    fn take(&mut self, news: News) {
        let (News::Bytes(connection, _) | News::End { connection, .. }) = news;
        if self.reset.contains(&connection) {
            return;
        }
        match news {
            News::Bytes(connection, bytes) => {
                self.transcript.bytes(connection, Side::Server, &bytes);
                self.received(connection).bytes.extend_from_slice(&bytes);
            }
            News::End { connection, reset } => {
                let kind = if reset { Kind::Reset } else { Kind::Fin };
                self.transcript.note(connection, Side::Server, kind);
                self.received(connection).end = true;
            }
        }
    }

    fn received(&mut self, connection: Connection) -> &mut Received {
        let turns = self.received.entry(connection).or_default();
        turns.resize(self.turn, Received::default());
        // There is always at least one turn.
        &mut turns[self.turn - 1]
    }

    fn seen(&self) -> Sight {
        let mut all = Vec::new();
        for (connection, sent) in &self.sent {
            let received = self.received.get(connection).map_or(&[][..], Vec::as_slice);
            let url = self.case.trace.url.as_deref().map(|url| self.target.variables.fill(url));
            let seen =
                see(self.case.trace.protocol, url.as_deref(), self.target.tls.is_some(), sent, received);
            all.extend(seen.into_iter().map(|(turn, what)| (*connection, turn, what)));
        }
        all
    }

    /// The items that count among those seen.
    fn counts(&self) -> Sight {
        let seen = lenient(self.case, self.seen());
        // A server that may end TCP may send a closing frame first, and one that may answer in HTTP may just end TCP.
        let politely = without_closing(&seen);
        let as_good = |expected: &&Sight| **expected == politely || without_responses(expected) == seen;
        self.expected.iter().find(as_good).cloned().unwrap_or(seen)
    }

    /// Compares what was seen so far with what is expected up to this turn.
    fn progress(&self) -> Progress {
        let turn = u32::try_from(self.turn).unwrap_or(u32::MAX);
        let seen = self.counts();
        let mut progress = Progress::Otherwise;
        for expected in self.expected {
            let due: Vec<_> = expected.iter().filter(|(_, when, _)| *when <= turn).collect();
            if due.iter().copied().eq(&seen) {
                let now = due.iter().any(|(_, when, _)| *when == turn);
                let later = due.len() < expected.len();
                return Progress::Complete { more: now && later };
            }
            let begun = self.sent.keys().all(|connection| {
                let of = |(it, _, _): &&(Connection, u32, String)| it == connection;
                let mut due = due.iter().copied().filter(of);
                seen.iter().filter(of).all(|seen| due.next() == Some(seen))
            });
            if begun {
                progress = Progress::Partial;
            }
        }
        progress
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Complete. `more`: some of it arrived in this turn, and a later turn has more expectations.
    Complete { more: bool },
    /// Some is still missing.
    Partial,
    /// Something unexpected arrived.
    Otherwise,
}

fn lines(sight: &Sight) -> Vec<Seen> {
    let line = |(connection, turn, what): &(Connection, u32, String)| Seen {
        connection: *connection,
        turn: *turn,
        what: what.clone(),
    };
    sight.iter().map(line).collect()
}

/// The first difference, in words; and in words that other cases share.
fn difference(expected: &[Seen], seen: &[Seen]) -> (String, String) {
    let at = expected.iter().zip(seen).take_while(|(expected, seen)| expected == seen).count();
    let (expected, seen) = (expected.get(at), seen.get(at));
    let name = |seen: Option<&Seen>| seen.map_or_else(|| "nothing more".into(), ToString::to_string);
    (format!("expected {}; saw {}", name(expected), name(seen)), report::cause(expected, seen))
}
