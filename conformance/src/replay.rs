//! Replays a trace against a build of the engine in this process.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use legacy_websocket_trace::{Action, Bytes, Connection, Framer, Literal, Part, Protocol, Trace, Variables};

use crate::client::{Received, see};
use crate::plan::{Chunking, Op, plan};
use crate::subject::{Command, Event, Input, Step, Subject, Then};

/// The replay application's answer to plain HTTP.
const NOT_FOUND: &str = "There is nothing here.\n";

/// Maximum output of a trace, in bytes over all connections. A trace may come from an untrusted source.
const MAX_OUTPUT: usize = 64 << 20;

/// The outcome of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what a replay gives")]
pub struct Outcome {
    /// The protocol that the clients speak.
    pub protocol: Protocol,
    /// By turn and connection.
    pub turns: Vec<BTreeMap<Connection, Turn>>,
    /// What the clients see: connection, turn, item.
    pub seen: Vec<(Connection, u32, String)>,
    /// The replay stopped early because the output exceeded the maximum.
    pub stopped: bool,
}

/// The outcome of one turn on one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what a replay gives")]
pub struct Turn {
    /// The events for the application, in order.
    pub events: Vec<String>,
    /// What the shell got of a connection that was given back to it, joined.
    pub passed: Vec<u8>,
    /// The bytes written, joined.
    pub bytes: Vec<u8>,
    /// How the writing ended.
    pub then: Then,
}

/// Replays traces one after the other against the same subject; their connections are independent.
#[derive(Debug)]
pub struct Replayer<S> {
    subject: S,
    now: u64,
    next_id: u64,
}

impl<S: Subject> Replayer<S> {
    /// Creates a replayer with a fresh subject.
    pub fn new(subject: S) -> Self {
        Self { subject, now: 0, next_id: 1 }
    }

    /// Replays a trace. The application echoes messages and answers plain HTTP with 404.
    pub fn replay(&mut self, trace: &Trace, variables: &Variables, chunking: Chunking) -> Outcome {
        let mut run = Run {
            subject: &mut self.subject,
            now: &mut self.now,
            base: self.next_id,
            turns: vec![BTreeMap::new()],
            sent: BTreeMap::new(),
            resets: BTreeMap::new(),
            passed: BTreeSet::new(),
            output: 0,
        };
        let mut ops = plan(trace, variables, chunking);
        // The last turn lasts until everything has ended.
        ops.pop();
        for op in ops {
            run.op(op);
        }
        let Run { turns, sent, resets, output, .. } = run;
        let mut seen = Vec::new();
        for (connection, sent) in &sent {
            let mut received: Vec<_> = turns
                .iter()
                .map(|turn| turn.get(connection).map(Turn::received).unwrap_or_default())
                .collect();
            if let Some(turn) = resets.get(connection) {
                received.truncate(*turn);
                received.push(Received::reset());
            }
            let url = trace.url.as_deref().map(|url| variables.fill(url));
            let news = see(trace.protocol, url.as_deref(), false, sent, &received);
            seen.extend(news.into_iter().map(|(turn, what)| (*connection, turn, what)));
        }
        for connection in sent.keys() {
            self.subject.input(self.now, Input::Reset(self.next_id + u64::from(*connection)));
        }
        let last = sent.keys().max().copied().unwrap_or_default();
        self.next_id += u64::from(last) + 1;
        Outcome { protocol: trace.protocol, turns, seen, stopped: output > MAX_OUTPUT }
    }
}

impl Turn {
    fn received(&self) -> Received {
        Received { bytes: self.bytes.clone(), end: self.then != Then::Keep }
    }
}

struct Run<'a, S> {
    subject: &'a mut S,
    now: &'a mut u64,
    /// The id of connection 0, which does not exist.
    base: u64,
    turns: Vec<BTreeMap<Connection, Turn>>,
    sent: BTreeMap<Connection, Vec<u8>>,
    /// The turn, from 0, in which the client reset the connection.
    resets: BTreeMap<Connection, usize>,
    /// Connections that were given back to the shell.
    passed: BTreeSet<Connection>,
    /// Bytes written so far, or to be written.
    output: usize,
}

impl<S: Subject> Run<'_, S> {
    fn op(&mut self, op: Op) {
        if let Op::Application(Action::Broadcast(_), text) = &op {
            let all = text.len().saturating_mul(self.sent.len());
            if self.output.saturating_add(all) > MAX_OUTPUT {
                self.output = usize::MAX;
            }
        }
        if self.output > MAX_OUTPUT {
            return;
        }
        match op {
            Op::Open(connection) => {
                self.sent.insert(connection, Vec::new());
                self.input(Input::Open(self.id(connection)));
            }
            Op::Bytes(connection, bytes) => {
                self.sent.entry(connection).or_default().extend_from_slice(&bytes);
                if self.passed.contains(&connection) {
                    return self.pass(connection, &bytes);
                }
                self.input(Input::Bytes(self.id(connection), &bytes));
            }
            Op::End { connection, reset: true } => {
                self.resets.insert(connection, self.turns.len() - 1);
                self.input(Input::Reset(self.id(connection)));
            }
            Op::End { connection, reset: false } => self.input(Input::Fin(self.id(connection))),
            Op::After(time) => {
                let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                *self.now = self.now.saturating_add(time);
                self.input(Input::Time);
            }
            Op::Application(action, bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let base = self.base;
                let id = |connection| base + u64::from(connection);
                self.input(Input::Commands(&[Command::from_action(&action, id, &bytes, &text)]));
            }
            Op::Wait => self.turns.push(BTreeMap::new()),
        }
    }

    fn id(&self, connection: Connection) -> u64 {
        self.base + u64::from(connection)
    }

    /// The shell goes on with a connection that was given back to it.
    fn pass(&mut self, connection: Connection, bytes: &[u8]) {
        if let Some(turn) = self.turns.last_mut() {
            turn.entry(connection).or_default().passed.extend_from_slice(bytes);
        }
    }

    /// Passes in one input, and handles its consequences.
    fn input(&mut self, input: Input<'_>) {
        let mut step = self.subject.input(*self.now, input);
        loop {
            let (answers, due) = self.note(step);
            if answers.is_empty() && !due {
                return;
            }
            let commands: Vec<_> = answers.iter().map(|(id, answer)| answer.command(*id)).collect();
            let input = if commands.is_empty() { Input::Time } else { Input::Commands(&commands) };
            step = self.subject.input(*self.now, input);
        }
    }

    /// Records a step. Returns the application's answers, and whether the engine's deadline has passed.
    fn note(&mut self, step: Step) -> (Vec<(u64, Answer)>, bool) {
        let mut answers = Vec::new();
        let base = self.base;
        let Some(turn) = self.turns.last_mut() else {
            return (answers, false);
        };
        // Lower ids belong to earlier traces, whose end is irrelevant.
        let connection = |id: u64| id.checked_sub(base).and_then(|id| Connection::try_from(id).ok());
        for (id, event) in step.events {
            let Some(connection) = connection(id) else { continue };
            let text = match event {
                Event::Message(text) => {
                    let line = format!("message {}", Literal::from(text.as_bytes()));
                    answers.push((id, Answer::Echo(text)));
                    line
                }
                Event::Binary(bytes) => {
                    let line = format!("binary message {}", Literal::from(bytes.as_slice()));
                    answers.push((id, Answer::EchoBinary(bytes)));
                    line
                }
                Event::Request(what) => {
                    answers.push((id, Answer::NotFound));
                    format!("request: {what}")
                }
                Event::Passed(bytes) => {
                    self.passed.insert(connection);
                    turn.entry(connection).or_default().passed.extend(bytes);
                    continue;
                }
                Event::Other(text) => text,
            };
            turn.entry(connection).or_default().events.push(text);
        }
        for write in step.writes {
            let Some(connection) = connection(write.id) else { continue };
            let turn = turn.entry(connection).or_default();
            self.output = self.output.saturating_add(write.bytes.len());
            turn.bytes.extend_from_slice(&write.bytes);
            if write.then != Then::Keep {
                turn.then = write.then;
            }
        }
        (answers, step.next_timeout.is_some_and(|at| at <= *self.now))
    }
}

enum Answer {
    Echo(String),
    EchoBinary(Vec<u8>),
    NotFound,
}

impl Answer {
    fn command(&self, id: u64) -> Command<'_> {
        match self {
            Self::Echo(text) => Command::Send(id, text),
            Self::EchoBinary(bytes) => Command::SendBinary(id, bytes),
            Self::NotFound => Command::Respond(id, 404, NOT_FOUND),
        }
    }
}

impl Outcome {
    /// The form in a snapshot, which is the same for every build and every chunking.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        let mut framers: BTreeMap<Connection, Framer> = BTreeMap::new();
        let many = self.turns.iter().flat_map(BTreeMap::keys).any(|connection| *connection != 1);
        for (number, turn) in (1..).zip(&self.turns) {
            let _ = writeln!(out, "turn {number}");
            for (connection, turn) in turn {
                if many {
                    let _ = writeln!(out, "  connection {connection}");
                }
                turn.render(framers.entry(*connection).or_default(), self.protocol, &mut out);
            }
        }
        out.push_str("the client sees\n");
        out.push_str(&render_seen(&self.seen));
        out
    }
}

/// What clients see, as lines that [`crate::expectation`] reads.
pub(crate) fn render_seen(seen: &[(Connection, u32, String)]) -> String {
    let line =
        |(connection, turn, what): &(Connection, u32, String)| format!("  {connection}.{turn} {what}\n");
    seen.iter().map(line).collect()
}

impl Turn {
    fn render(&self, framer: &mut Framer, protocol: Protocol, out: &mut String) {
        for event in &self.events {
            let _ = writeln!(out, "    {event}");
        }
        if !self.passed.is_empty() {
            let passed = Part::Literal(Literal::from(self.passed.as_slice()));
            render_bytes("passed", passed, out);
        }
        if !self.bytes.is_empty() {
            for part in framer.split(&self.bytes, protocol.has_frames()).0 {
                render_bytes("write", part, out);
            }
        }
        match self.then {
            Then::Keep => {}
            Then::HalfClose => out.push_str("    half-close\n"),
            Then::Finish => out.push_str("    finish\n"),
            Then::Abort => out.push_str("    abort\n"),
        }
    }
}

fn render_bytes(verb: &str, bytes: Part, out: &mut String) {
    for (at, line) in Bytes(vec![bytes]).lines().iter().enumerate() {
        let verb = if at == 0 { verb } else { &" ".repeat(verb.len()) };
        let _ = writeln!(out, "    {verb} {}", line.strip_prefix("+ ").unwrap_or(line));
    }
}

#[cfg(test)]
mod tests {
    use legacy_websocket::Options;

    use super::*;
    use crate::subject::Native;

    fn outcome(steps: &str) -> Outcome {
        let text = format!(
            "legacy-websocket-trace 2\ntitle: t\nprotocol: draft75\nsection: s\nseverity: MAY\n\n{steps}"
        );
        let native = Native::new(Options::default()).unwrap();
        Replayer::new(native).replay(&text.parse().unwrap(), &Variables::default(), Chunking::Written)
    }

    const HEAD: &str = "GET / HTTP/1.1\\r\\nUpgrade: WebSocket\\r\\nConnection: Upgrade\\r\\nHost: a\\r\\n\
        Origin: http://a\\r\\n\\r\\n";

    #[test]
    fn large_connection_numbers_cost_no_memory() {
        let outcome = outcome("C4294967295 \"x\"\nC4294967294 fin\nafter 18446744073709551615s\nafter 1s\n");
        assert_eq!(outcome.seen.len(), 4, "{:?}", outcome.seen);
    }

    #[test]
    fn the_output_of_a_trace_is_bounded() {
        let clients: String = (2..100).map(|number| format!("C{number} \"{HEAD}\"\n")).collect();
        let outcome = outcome(&format!("{clients}A broadcast \"x\"*1000000\n"));
        assert!(outcome.stopped);
        assert!(!self::outcome(&format!("C \"{HEAD}\"\nA broadcast \"x\"*1000000\n")).stopped);
    }
}
