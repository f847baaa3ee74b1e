//! The corpus against a running server, over real sockets.

mod application;
mod socket;
mod taken;
mod tls;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use legacy_websocket_trace::{Action, Connection, Draft, Setting, Step, Variables};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::application::Application;
use self::socket::{News, Sockets};
pub use self::tls::Tls;
use crate::chunking::Chunkings;
use crate::client::{self, Received, see};
use crate::corpus::Case;
use crate::expectation;
use crate::plan::{Chunking, Op, bounded, plan};
use crate::report::{self, Kind, Seen, Side, Verdict};
use crate::transcript::Transcript;

/// A server to be checked, and what is known of it.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by callers")]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// TLS, where it is `wss://`.
    pub tls: Option<Tls>,
    /// What it is to be asked for, and by whom.
    pub variables: Variables,
    /// The only draft that it speaks, if that is so.
    pub draft: Option<Draft>,
    /// It sends every message back.
    pub echo: bool,
    /// The settings that it has. Only cases with just these apply to it.
    pub settings: Vec<Setting>,
    /// How long something expected is waited for.
    pub patience: Duration,
    /// How long a case may make us wait altogether, as its steps say.
    pub longest_pause: Duration,
    /// How long nothing must come for us to believe that nothing will.
    pub quiet: Duration,
    /// How what clients write is cut. Each chunking is a run of the case, up to the first that does not pass.
    pub chunkings: Chunkings,
    /// Where the seeds of random chunkings begin.
    pub seed: u64,
    /// How long the server has to read what was written before more is: without it the kernel joins what was cut.
    pub pause: Duration,
    /// Where its application takes orders, if it can be driven.
    pub application: Option<SocketAddr>,
}

/// Of a head, and of what is behind it in each turn, so many writes take time; the last has the rest.
const MAX_WRITES: usize = 100;

/// Checks one case. `snapshot` is the text of its snapshot.
///
/// # Errors
/// The server cannot be connected to: it is not there, or not any more.
pub async fn check(case: &Case, snapshot: &str, target: &Target) -> io::Result<report::Case> {
    let expected = expectation::read(snapshot);
    let none = Vec::new();
    let mut report = report::Case {
        id: case.id.clone(),
        title: case.trace.title.clone(),
        draft: case.trace.draft,
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
    if let Some(why_not) = why_not(case, &expected, target) {
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
            // The server serves again before anything else is done.
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

/// Runs a case with its bytes cut in one way, and puts what came of it into the report.
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

/// Connects once, as each case will, and ends the connection.
///
/// # Errors
/// The server is not there, or does not speak TLS where that is asked for.
pub async fn probe(target: &Target) -> io::Result<()> {
    let mut sockets = Sockets::new();
    timeout(target.patience, sockets.open(1, target.address, target.tls.as_ref())).await??;
    Ok(())
}

/// Connects to the application once, as each case that needs it will, if there is one.
///
/// # Errors
/// It is not there, or does not say that the server serves.
pub async fn probe_application(target: &Target) -> io::Result<()> {
    match target.application {
        Some(address) => Application::connect(address).await.map(|_| ()),
        None => Ok(()),
    }
}

/// Whether a case does something to every connection of the server: no other may be under way then.
#[must_use]
pub fn is_exclusive(case: &Case, target: &Target) -> bool {
    let reaches_all =
        |step: &Step| matches!(step, Step::Application(Action::Broadcast(_) | Action::Shutdown));
    advances(case, target) || is_driven(case, target) && case.trace.steps.iter().any(reaches_all)
}

/// What a client sees, in the order of connections: connection, turn, what.
type Sight = Vec<(Connection, u32, String)>;

/// Why a case does not apply to a server, if it does not.
fn why_not(case: &Case, expected: &[Sight], target: &Target) -> Option<String> {
    let trace = &case.trace;
    if target.application.is_none() {
        if acts(case) {
            return Some("needs the server's application to act".into());
        }
        let pauses = pauses(case);
        if pauses > target.longest_pause {
            return Some(format!("needs {} s to pass", pauses.as_secs()));
        }
    }
    let mut settings = [trace.settings.clone(), target.settings.clone()];
    settings.iter_mut().for_each(|settings| settings.sort());
    if settings[0] != settings[1] {
        let names: Vec<_> = trace.settings.iter().map(ToString::to_string).collect();
        return Some(match names.as_slice() {
            [] => "needs a server without settings".into(),
            names => format!("needs a server with: {}", names.join(", ")),
        });
    }
    if target.draft.is_some_and(|only| trace.draft != only && trace.draft != Draft::Neither) {
        return Some(format!("needs a server that speaks draft {}", trace.draft.name()));
    }
    let says = expected.iter().flatten().any(|(_, _, what)| client::is_message(what));
    (says && !target.echo).then(|| "needs a server that echoes".into())
}

/// Whether the server's application acts in a case.
fn acts(case: &Case) -> bool {
    case.trace.steps.iter().any(|step| matches!(step, Step::Application(_)))
}

/// How long a case lets time pass.
fn pauses(case: &Case) -> Duration {
    let pause = |step: &Step| match step {
        Step::After(time) => Some(*time),
        _ => None,
    };
    case.trace.steps.iter().filter_map(pause).fold(Duration::ZERO, Duration::saturating_add)
}

/// Whether the server's clock is to be advanced, for nobody waits so long.
fn advances(case: &Case, target: &Target) -> bool {
    target.application.is_some() && pauses(case) > target.longest_pause
}

/// Whether a case needs a control connection to the server's application.
fn is_driven(case: &Case, target: &Target) -> bool {
    target.application.is_some() && (acts(case) || advances(case, target))
}

/// One case under way.
struct Run<'a> {
    case: &'a Case,
    target: &'a Target,
    expected: &'a [Sight],
    sockets: Sockets,
    sent: BTreeMap<Connection, Vec<u8>>,
    received: BTreeMap<Connection, Vec<Received>>,
    /// By us: what still comes is not looked at.
    reset: Vec<Connection>,
    turn: usize,
    /// The client has written, or ended its side, in this turn.
    acted: bool,
    transcript: Transcript,
    application: Option<Application>,
    /// What the application did not do.
    notes: Vec<String>,
    /// Why the case does not apply after all.
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
            transcript: Transcript::new(case.trace.draft),
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

    /// Writes while it reads, for a server may not read on while we do not.
    async fn write(&mut self, connection: Connection, mut bytes: &[u8]) {
        let end = Instant::now() + self.target.patience;
        while !bytes.is_empty() {
            match timeout_at(end, self.sockets.write(connection, bytes)).await {
                Ok(Ok(written)) => bytes = &bytes[written..],
                // It has ended; that will be read.
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// Waits until all is here that is expected of this turn, or nothing more comes.
    async fn wait(&mut self) {
        let end = Instant::now() + self.target.patience;
        // Silence tells nothing of a server that has not read yet.
        self.sockets.taken(end).await;
        let mut quiet_since = Instant::now();
        loop {
            while let Some(news) = self.sockets.try_next() {
                self.take(news);
                quiet_since = Instant::now();
            }
            let quiet = quiet_since + self.target.quiet;
            let until = match self.progress() {
                // Nothing was to come in this turn, or it was the last: is it really all?
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
        // There is always a turn.
        &mut turns[self.turn - 1]
    }

    fn seen(&self) -> Sight {
        let mut all = Vec::new();
        for (connection, sent) in &self.sent {
            let received = self.received.get(connection).map_or(&[][..], Vec::as_slice);
            let url = self.case.trace.url.as_deref().map(|url| self.target.variables.fill(url));
            let seen = see(self.case.trace.draft, url.as_deref(), self.target.tls.is_some(), sent, received);
            all.extend(seen.into_iter().map(|(turn, what)| (*connection, turn, what)));
        }
        all
    }

    /// What counts of what was seen.
    fn counts(&self) -> Sight {
        let seen = lenient(self.case, self.seen());
        // Where a server may end TCP it may say so first, and where it may answer in HTTP it may just end TCP.
        let politely = without_closing(&seen);
        let as_good = |expected: &&Sight| **expected == politely || without_responses(expected) == seen;
        self.expected.iter().find(as_good).cloned().unwrap_or(seen)
    }

    /// How what was seen so far stands to what is expected up to this turn.
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
    /// All is here. `more`: some of it came in this turn, and something is expected of a later one.
    Complete { more: bool },
    /// Some is still to come.
    Partial,
    /// Something else came.
    Otherwise,
}

/// A fault of the 101 counts in the cases about the opening handshake. Elsewhere the client goes on in spite of it, so
/// that one fault does not hide all others.
fn lenient(case: &Case, mut sight: Sight) -> Sight {
    if !case.id.starts_with("handshake") {
        sight.iter_mut().for_each(|(_, _, what)| client::forgive(what));
    }
    sight
}

/// Without closing frames that are followed by the end of TCP in the same turn.
fn without_closing(sight: &Sight) -> Sight {
    let is_followed = |at: usize| {
        let (connection, turn, what) = &sight[at];
        what == client::CLOSING
            && sight.get(at + 1).is_some_and(|next| *next == (*connection, *turn, client::END.into()))
    };
    (0..sight.len()).filter(|at| !is_followed(*at)).map(|at| sight[at].clone()).collect()
}

/// Without answers of plain HTTP, if TCP ends behind them.
fn without_responses(sight: &Sight) -> Sight {
    let ends = sight.iter().any(|(_, _, what)| what == client::END);
    sight.iter().filter(|(_, _, what)| !ends || what != client::RESPONSE).cloned().collect()
}

fn lines(sight: &Sight) -> Vec<Seen> {
    let line = |(connection, turn, what): &(Connection, u32, String)| Seen {
        connection: *connection,
        turn: *turn,
        what: what.clone(),
    };
    sight.iter().map(line).collect()
}

/// The first thing that is not as it should be, in words; and in words that other cases share.
fn difference(expected: &[Seen], seen: &[Seen]) -> (String, String) {
    let at = expected.iter().zip(seen).take_while(|(expected, seen)| expected == seen).count();
    let (expected, seen) = (expected.get(at), seen.get(at));
    let name = |seen: Option<&Seen>| seen.map_or_else(|| "nothing more".into(), ToString::to_string);
    (format!("expected {}; saw {}", name(expected), name(seen)), report::cause(expected, seen))
}
