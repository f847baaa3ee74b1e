//! The command `try`: a trace of the conformance suite's format against an application, without sockets.

mod rehearsal;
mod script;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use legacy_websocket_shell::Settings;
use legacy_websocket_trace::{Bytes, Connection, Framer, Literal, Part, Protocol, Step, Variables};
use similar::TextDiff;

use self::rehearsal::{Rehearsal, Written};
use self::script::Script;
use super::environment::parse_variable;
use super::server::budget;
use crate::application::{ApplicationFactory, ApplicationOptions};
use crate::file::read_text;
use crate::shell::Lost;

#[derive(Debug, Args)]
pub(super) struct Try {
    /// The application: a component of world `application`.
    #[arg(value_name = "APPLICATION.WASM")]
    application: PathBuf,

    /// What clients do, and what they are to hear: a trace in the format of conformance/README.md, or as `serve
    /// --record` writes it. Without any S step, it is printed with what they hear.
    #[arg(value_name = "SCRIPT.TRACE")]
    script: PathBuf,

    /// Write what clients hear into the trace, instead of checking or printing it.
    #[arg(long)]
    bless: bool,

    /// Environment variable for the application, which gets no others (repeatable). Without a value it is copied from
    /// the environment of this command.
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = parse_variable)]
    env: Vec<(String, String)>,
}

impl Try {
    /// Fails if clients hear something else than the trace says.
    pub(super) fn run(&self) -> Result<ExitCode, Box<dyn Error>> {
        let path = &self.script;
        let text = read_text(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let script = Script::parse(&text)
            .map_err(|error| format!("{}:{}: {}", path.display(), error.line, error.problem))?;
        let heard = self.rehearse(&script)?;
        let after = script.with_heard(&heard);
        if self.bless {
            fs::write(path, after).map_err(|error| format!("{}: {error}", path.display()))?;
            writeln!(stdout(), "wrote {}", path.display())?;
            return Ok(ExitCode::SUCCESS);
        }
        if !script.expects() {
            write!(stdout(), "{after}")?;
            return Ok(ExitCode::SUCCESS);
        }
        if script.is_right(&heard) {
            writeln!(stdout(), "{}: ok", path.display())?;
            return Ok(ExitCode::SUCCESS);
        }
        let diff = TextDiff::from_lines(text.as_str(), after.as_str());
        let mut diff = diff.unified_diff();
        write!(stdout(), "{}", diff.context_radius(2).header(&self.name(), "what clients hear"))?;
        Ok(ExitCode::FAILURE)
    }

    /// What clients hear, for each step that it follows from.
    fn rehearse(&self, script: &Script<'_>) -> Result<Vec<Vec<Step>>, Box<dyn Error>> {
        let trace = &script.trace;
        let mut settings = Settings::default();
        for setting in &trace.settings {
            let set = settings.set_traced(&setting.name, &setting.value);
            set.map_err(|why| {
                self.at(script.line_of_setting(&setting.to_string()), &format!("{setting}: {why}"))
            })?;
        }
        if settings.engine.pass_through {
            return Err(self
                .at(script.line_of_setting("pass-through"), "pass-through is for gateways")
                .into());
        }
        let options = ApplicationOptions { budget: budget(&settings), environment: self.env.clone() };
        let application = ApplicationFactory::from_file(&self.application, &options)?;
        let secure = trace.url.as_ref().is_some_and(|url| url.starts_with("wss:"));
        let mut rehearsal = Rehearsal::start(application, &settings.engine, secure)?;
        let mut listeners = Listeners::default();
        let mut heard = Vec::new();
        for (at, step) in trace.steps.iter().enumerate() {
            let done = match step {
                Step::Client { connection, bytes } => {
                    let bytes = bytes.bytes(&Variables::default());
                    listeners.sent(*connection, &bytes);
                    rehearsal.receive(*connection, bytes)
                }
                Step::ClientEnd { connection, reset } => rehearsal.end(*connection, *reset),
                Step::After(time) => rehearsal.advance(*time),
                Step::Server { .. } | Step::ServerEnd { .. } | Step::Wait => Ok(()),
                Step::Application(_) => {
                    let why = "the application acts by itself: A steps are for the conformance suite";
                    return Err(self.at(script.line_of(at), why).into());
                }
            };
            done.map_err(|lost: Lost| self.at(script.line_of(at), &lost.to_string()))?;
            heard.push(listeners.hear(rehearsal.take_written()));
        }
        Ok(heard)
    }

    fn at(&self, line: usize, why: &str) -> String {
        format!("{}:{line}: {why}", self.name())
    }

    fn name(&self) -> String {
        self.script.display().to_string()
    }
}

/// Clients, which know what they asked for.
#[derive(Default)]
struct Listeners(BTreeMap<Connection, Listener>);

#[derive(Default)]
struct Listener {
    sent: Vec<u8>,
    framer: Framer,
}

impl Listeners {
    fn sent(&mut self, connection: Connection, bytes: &[u8]) {
        self.0.entry(connection).or_default().sent.extend_from_slice(bytes);
    }

    /// As steps of a trace.
    fn hear(&mut self, written: BTreeMap<Connection, Written>) -> Vec<Step> {
        let mut steps = Vec::new();
        for (connection, Written { pieces, end }) in written {
            let Listener { sent, framer } = self.0.entry(connection).or_default();
            let bytes = if Protocol::of_request(sent).has_frames() {
                framer.split(&pieces.concat(), true)
            } else {
                Bytes(pieces.iter().flat_map(|piece| messages(piece)).collect())
            };
            if !bytes.0.is_empty() {
                steps.push(Step::Server { connection, bytes });
            }
            steps.extend(end.map(|reset| Step::ServerEnd { connection, reset }));
        }
        steps
    }
}

/// One part for each message of drafts 75 and 76, so that each has its line.
fn messages(piece: &[u8]) -> Vec<Part> {
    let part = |bytes: &[u8]| Part::Literal(Literal::from(bytes));
    if piece.first() != Some(&0) {
        return vec![part(piece)];
    }
    piece.split_inclusive(|byte| *byte == 0xff).map(part).collect()
}
