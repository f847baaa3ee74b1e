//! `conformance replay` and `conformance show`.

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use legacy_websocket_trace::{Bytes, EXTENSION, Part, Step, Trace, Variables};
use tokio::runtime::Builder;

use super::Outcome;
use super::check::{Url, resolve_application};
use crate::check::{Target, check};
use crate::chunking::Chunkings;
use crate::corpus::{self, Case};
use crate::plan::Chunking;
use crate::replay::Replayer;
use crate::report::{Entry, Side};
use crate::subject::Native;
use crate::transcript::one_line;
use crate::{expectation, settings};

#[derive(Debug, Args)]
pub(super) struct Replay {
    #[command(flatten)]
    trace: TraceArg,

    /// A running server: ws://HOST:PORT/PATH. By default the engine in this process, with an echo application.
    #[arg(long, value_parser = Url::parse)]
    against: Option<Url>,

    /// Control address of its application, as for `check`.
    #[arg(long, value_name = "HOST:PORT", requires = "against")]
    application: Option<String>,

    /// How clients' bytes are split into writes. With several ways, stops at the first that does not pass.
    #[arg(long, value_enum, default_value_t = Chunkings::Written)]
    chunking: Chunkings,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    trace: TraceArg,
}

#[derive(Debug, Args)]
struct TraceArg {
    /// The trace: a file, or the name of a case, as `check` prints it.
    #[arg(value_name = "FILE|CASE")]
    trace: PathBuf,
}

impl TraceArg {
    fn path(&self) -> PathBuf {
        let case = corpus::folder().join(format!("{}.{EXTENSION}", self.trace.display()));
        if !self.trace.exists() && case.is_file() { case } else { self.trace.clone() }
    }
}

impl Replay {
    pub(super) fn run(&self) -> Result<Outcome, Box<dyn Error>> {
        let path = self.trace.path();
        let trace = corpus::read(&path)?;
        let options = settings::options(&trace.settings)?;
        let native = Native::new(options).ok_or("the engine refuses the trace's settings")?;
        let mut replayer = Replayer::new(native);
        let case = Case { id: self.trace.trace.display().to_string(), path, trace };
        let chunking = self.chunking.of(&case, 0).into_iter().last().unwrap_or(Chunking::Written);
        let outcome = replayer.replay(&case.trace, &Variables::default(), chunking);
        if outcome.stopped {
            return Err(format!("{}: more comes of it than is replayed", case.path.display()).into());
        }
        let Some(url) = &self.against else {
            anstream::print!("{}", outcome.render());
            return Ok(Outcome::Fine);
        };
        let snapshot = expectation::render(&case, &[outcome]);
        let target = Target {
            address: url.resolve()?,
            tls: url.tls()?,
            variables: url.variables(),
            protocols: Vec::new(),
            echo: true,
            settings: case.trace.settings.clone(),
            patience: Duration::from_secs(2),
            longest_pause: Duration::MAX,
            quiet: Duration::from_millis(300),
            chunkings: self.chunking,
            seed: 0,
            pause: Duration::from_millis(20),
            application: resolve_application(self.application.as_deref())?,
        };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let report = runtime.block_on(check(&case, &snapshot, &target))?;
        report.transcript.iter().for_each(|entry| anstream::println!("{}", line(entry)));
        anstream::println!("the client sees");
        report.seen.iter().for_each(|seen| anstream::println!("  {seen}"));
        if report.reason.is_empty() {
            return Ok(Outcome::Fine);
        }
        anstream::println!("{}", report.reason);
        Ok(Outcome::Failures)
    }
}

impl Show {
    pub(super) fn run(&self) -> Result<Outcome, Box<dyn Error>> {
        anstream::print!("{}", show(&corpus::read(&self.trace.path())?));
        Ok(Outcome::Fine)
    }
}

/// Like the transcript of a run: client on the left, server on the right.
fn show(trace: &Trace) -> String {
    let mut out = format!(
        "{}\n{}, {} ({})\n",
        trace.title,
        trace.protocol.name(),
        trace.section,
        trace.severity.name()
    );
    for line in [&trace.client, &trace.source].into_iter().flatten().chain(&trace.notes) {
        let _ = writeln!(out, "{line}");
    }
    out.push('\n');
    for step in &trace.steps {
        match step {
            Step::Client { connection, bytes } => show_bytes(Side::Client, *connection, bytes, &mut out),
            Step::Server { connection, bytes } => show_bytes(Side::Server, *connection, bytes, &mut out),
            other => {
                let _ = writeln!(out, "{}", text(Side::Client, 0, &format!("({other})")));
            }
        }
    }
    out
}

/// Strings line by line, each frame on one.
fn show_bytes(side: Side, connection: u32, bytes: &Bytes, out: &mut String) {
    for part in &bytes.0 {
        let Part::Literal(literal) = part else {
            let frame = one_line(&Bytes(vec![part.clone()]));
            let _ = writeln!(out, "{}", text(side, connection, &shortened(&frame)));
            continue;
        };
        let bytes = literal.bytes(&Variables::default());
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let _ = writeln!(out, "{}", text(side, connection, &printable(line, bytes.len())));
        }
    }
}

fn line(entry: &Entry) -> String {
    let what = if entry.bytes.is_empty() {
        format!("({:?})", entry.kind).to_lowercase()
    } else if !entry.frame.is_empty() {
        shortened(&entry.frame)
    } else {
        printable(&entry.bytes, entry.length)
    };
    format!("{:>9.1} ms  {}", entry.at, text(entry.from, entry.connection, &what))
}

fn text(side: Side, connection: u32, what: &str) -> String {
    let number = if connection > 1 { format!("{connection} ") } else { String::new() };
    match side {
        Side::Client => format!("{number}> {what}"),
        Side::Server => format!("{number}                < {what}"),
    }
}

/// The maximum shown on a line.
const LONGEST: usize = 200;

fn shortened(line: &str) -> String {
    line.get(..LONGEST).map_or_else(|| line.into(), |start| format!("{start}…"))
}

fn printable(bytes: &[u8], length: usize) -> String {
    let shown = bytes.get(..LONGEST).unwrap_or(bytes).escape_ascii().to_string();
    if bytes.len() > LONGEST { format!("{shown}… ({length} bytes)") } else { shown }
}
