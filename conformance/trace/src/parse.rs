//! Text as a trace.

use std::str::FromStr;
use std::time::Duration;

use crate::frame;
use crate::parse_error::{ParseError, Problem};
use crate::string::{MAX_REPEATED_BYTES, literal, push};
use crate::{
    Action, Bytes, Connection, HEADER, Literal, OLD_HEADER, Part, Piece, Protocol, Setting, Severity, Step,
    Trace,
};

impl FromStr for Trace {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        let is_old = match lines.next() {
            Some((_, HEADER)) => false,
            Some((_, OLD_HEADER)) => true,
            _ => return Err(ParseError { line: 1, problem: Problem::Header }),
        };
        let mut parser = Parser { is_old, ..Parser::default() };
        let mut last = 1;
        for (at, line) in lines {
            last = at;
            parser.line(line).map_err(|problem| ParseError { line: at, problem })?;
        }
        parser.finish().map_err(|problem| ParseError { line: last, problem })
    }
}

#[derive(Default)]
struct Parser {
    trace: Trace,
    /// It has the old header.
    is_old: bool,
    seen: Vec<&'static str>,
    /// Bytes of repetitions so far.
    repeated: usize,
}

/// Fields that may be repeated.
const REPEATABLE: [&str; 3] = ["setting", "variant", "note"];
const FIELDS: [&str; 11] = [
    "title",
    "protocol",
    "section",
    "severity",
    "requirements",
    "url",
    "client",
    "source",
    "setting",
    "variant",
    "note",
];
const REQUIRED: [&str; 4] = ["title", "protocol", "section", "severity"];

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), Problem> {
        if line.trim().is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if let Some((name, value)) = line.split_once(": ").or_else(|| Some((line.strip_suffix(':')?, "")))
            && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_lowercase())
        {
            return self.field(name, value.trim());
        }
        if let Some(more) = line.strip_prefix("+ ") {
            let more = literal(more)?;
            self.count(&more)?;
            return self.continuation(more);
        }
        if let Some(part) = line.strip_prefix("& ") {
            let part = part_of_bytes(part)?;
            self.count(part.literal())?;
            let Some(Step::Client { bytes, .. } | Step::Server { bytes, .. }) = self.trace.steps.last_mut()
            else {
                return Err(Problem::NothingToContinue);
            };
            bytes.0.push(part);
            return Ok(());
        }
        let mut step = step(line)?;
        if let Some(literal) = step.literal_mut() {
            self.count(literal)?;
        }
        self.trace.steps.push(step);
        Ok(())
    }

    fn field(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        let current = if self.is_old && name == "draft" { "protocol" } else { name };
        let Some(name) = FIELDS.into_iter().find(|field| *field == current) else {
            return Err(Problem::UnknownField(name.into()));
        };
        if !self.trace.steps.is_empty() || (self.seen.contains(&name) && !REPEATABLE.contains(&name)) {
            return Err(Problem::MisplacedField(name.into()));
        }
        self.seen.push(name);
        let wrong = || Problem::FieldValue(name.into(), value.into());
        if value.is_empty() || value.contains(char::is_control) {
            return Err(wrong());
        }
        let trace = &mut self.trace;
        match name {
            "title" => trace.title = value.into(),
            "protocol" => {
                let old = self.is_old.then(|| old_protocol(value)).flatten();
                trace.protocol = old.or_else(|| Protocol::named(value)).ok_or_else(wrong)?;
            }
            "section" => trace.section = value.into(),
            "severity" => {
                let all = [Severity::Must, Severity::Should, Severity::May, Severity::Field];
                trace.severity =
                    all.into_iter().find(|severity| severity.name() == value).ok_or_else(wrong)?;
            }
            "requirements" => {
                trace.requirements = value.split(',').map(|id| id.trim().into()).collect();
            }
            "url" => trace.url = Some(value.into()),
            "client" => trace.client = Some(value.into()),
            "source" => trace.source = Some(value.into()),
            "setting" => trace.settings.push(setting(value, self.is_old)),
            "variant" => trace.variants.push(setting(value, self.is_old)),
            _ => trace.notes.push(value.into()),
        }
        Ok(())
    }

    fn count(&mut self, literal: &Literal) -> Result<(), Problem> {
        for piece in &literal.0 {
            if let Piece::Bytes(bytes, times @ 2..) = piece {
                self.repeated = self.repeated.saturating_add(bytes.len().saturating_mul(*times));
            }
        }
        if self.repeated > MAX_REPEATED_BYTES { Err(Problem::TooLong) } else { Ok(()) }
    }

    fn continuation(&mut self, more: Literal) -> Result<(), Problem> {
        let bytes = self.trace.steps.last_mut().and_then(Step::literal_mut);
        let bytes = bytes.ok_or(Problem::NothingToContinue)?;
        for piece in more.0 {
            push(bytes, piece);
        }
        Ok(())
    }

    fn finish(self) -> Result<Trace, Problem> {
        if let Some(missing) = REQUIRED.into_iter().find(|name| !self.seen.contains(name)) {
            return Err(Problem::MissingField(missing));
        }
        if self.trace.steps.is_empty() { Err(Problem::NoSteps) } else { Ok(self.trace) }
    }
}

impl Step {
    /// The last string of a step that has one.
    fn literal_mut(&mut self) -> Option<&mut Literal> {
        match self {
            Self::Client { bytes, .. } | Self::Server { bytes, .. } => {
                bytes.0.last_mut().map(Part::literal_mut)
            }
            Self::Application(
                Action::Send(_, text)
                | Action::SendBinary(_, text)
                | Action::Broadcast(text)
                | Action::Close(_, Some((_, text)))
                | Action::Accept(_, Some(text))
                | Action::Reject(_, _, text),
            ) => Some(text),
            _ => None,
        }
    }
}

/// The values of the field `draft`.
fn old_protocol(name: &str) -> Option<Protocol> {
    match name {
        "75" => Some(Protocol::Draft75),
        "76" => Some(Protocol::Draft76),
        "neither" => Some(Protocol::None),
        _ => None,
    }
}

fn setting(value: &str, is_old: bool) -> Setting {
    let (name, value) = value.split_once(' ').unwrap_or((value, ""));
    let name = if is_old && name == "version" { "protocol" } else { name };
    Setting { name: name.into(), value: value.into() }
}

fn step(line: &str) -> Result<Step, Problem> {
    let unknown = || Problem::UnknownStep(line.into());
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "wait" if rest.is_empty() => return Ok(Step::Wait),
        "after" => return Ok(Step::After(duration(rest).ok_or_else(unknown)?)),
        _ => {}
    }
    let (letter, number) = word.split_at_checked(1).ok_or_else(unknown)?;
    let connection = match number {
        "" => 1,
        number => number.parse().ok().filter(|number| *number > 1).ok_or_else(unknown)?,
    };
    let end = match rest {
        "fin" => Some(false),
        "reset" => Some(true),
        _ => None,
    };
    match (letter, end) {
        ("C", Some(reset)) => Ok(Step::ClientEnd { connection, reset }),
        ("S", Some(reset)) => Ok(Step::ServerEnd { connection, reset }),
        ("C", None) => Ok(Step::Client { connection, bytes: Bytes(vec![part_of_bytes(rest)?]) }),
        ("S", None) => Ok(Step::Server { connection, bytes: Bytes(vec![part_of_bytes(rest)?]) }),
        ("A", _) => Ok(Step::Application(action(connection, rest).ok_or_else(unknown)??)),
        _ => Err(unknown()),
    }
}

/// A string or a frame.
fn part_of_bytes(text: &str) -> Result<Part, Problem> {
    match text.strip_prefix("frame ") {
        Some(rest) => Ok(Part::Frame(frame::parse(rest)?)),
        None => Ok(Part::Literal(literal(text)?)),
    }
}

fn action(connection: Connection, text: &str) -> Option<Result<Action, Problem>> {
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    Some(match (verb, rest) {
        ("close", "") => Ok(Action::Close(connection, None)),
        ("close", rest) => {
            let (code, reason) = rest.split_once(' ').unwrap_or((rest, "\"\""));
            let code = code.parse().ok()?;
            literal(reason).map(|reason| Action::Close(connection, Some((code, reason))))
        }
        ("accept", "") => Ok(Action::Accept(connection, None)),
        ("shutdown", "") => Ok(Action::Shutdown),
        ("send", rest) => literal(rest).map(|text| Action::Send(connection, text)),
        ("send-binary", rest) => literal(rest).map(|bytes| Action::SendBinary(connection, bytes)),
        ("broadcast", rest) => literal(rest).map(Action::Broadcast),
        ("accept", rest) => literal(rest).map(|name| Action::Accept(connection, Some(name))),
        ("reject" | "respond", rest) => {
            let (status, text) = rest.split_once(' ')?;
            let status = status.parse().ok()?;
            literal(text).map(|text| match verb {
                "reject" => Action::Reject(connection, status, text),
                _ => Action::Respond(connection, status, text),
            })
        }
        _ => return None,
    })
}

fn duration(text: &str) -> Option<Duration> {
    if let Some(millis) = text.strip_suffix("ms") {
        return millis.parse().ok().map(Duration::from_millis);
    }
    text.strip_suffix('s')?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Variables;

    const FIELDS: &str = "title: t\nprotocol: draft76\nsection: 76 s5.3\nseverity: MUST\n";

    fn parse(steps: &str) -> Result<Trace, ParseError> {
        format!("{HEADER}\n{FIELDS}\n{steps}").parse()
    }

    #[test]
    fn every_step_and_field_round_trips() {
        let more = "requirements: a, b\nsetting: origin http://a\nsetting: authorise\nvariant: skip-reserved-frames\n\
                    url: wss://a/b\nclient: c 1\nsource: s\nnote: n\nnote: m\n";
        let steps = "C \"a\\r\\n\"\n+ \"b\\x00${host}\\$\\\\\\\"\"\n+ \"x\"*100\n+ \"yz\"*3\nS \"ok\"\nwait\n\
                     C2 fin\nC3 reset\nS2 fin\nS reset\nafter 10s\nafter 1500ms\nA send \"t\"\nA broadcast \"t\"\n\
                     A2 close\nA accept\nA accept \"p\"\nA reject 403 \"no\"\nA shutdown\n\
                     A respond 401 \"who?\"\n\
                     A send-binary \"\\x00\"\nA close 4000\nA2 close 4000 \"bye\"\n";
        let text = format!("{HEADER}\n{FIELDS}{more}\n{steps}");
        let trace: Trace = text.parse().unwrap();
        assert_eq!(trace.steps.len(), 20);
        assert_eq!(trace.to_string(), text);
    }

    #[test]
    fn any_field_round_trips() {
        for value in ["", " ", "\x01\x02", "\n", "# a", "a: b", "\u{85}\u{feff}", "C \"x\""] {
            let mut trace = parse("C fin\n").unwrap();
            (trace.title, trace.section) = (value.into(), value.into());
            (trace.client, trace.notes) = (Some(value.into()), vec![value.into()]);
            let again: Trace = trace.to_string().parse().unwrap_or_else(|error| panic!("{value:?}: {error}"));
            assert_eq!(again.to_string(), trace.to_string());
        }
    }

    #[test]
    fn each_error_is_reported_with_its_line() {
        let after_fields = 7;
        for (steps, problem) in [
            ("C \"a", Problem::NotAString("\"a".into())),
            ("C a", Problem::NotAString("a".into())),
            ("C \"\u{e9}\"", Problem::NotAString("\"\u{e9}\"".into())),
            ("C \"a\"b", Problem::NotAString("\"a\"b".into())),
            ("C \"\\q\"", Problem::Escape("\\q\"".into())),
            ("C \"\\xg0\"", Problem::Escape("\\xg0".into())),
            ("C \"${port}\"", Problem::Escape("${port}".into())),
            ("C \"x\"*99999999999", Problem::TooLong),
            ("C1 \"a\"", Problem::UnknownStep("C1 \"a\"".into())),
            ("X \"a\"", Problem::UnknownStep("X \"a\"".into())),
            ("after soon", Problem::UnknownStep("after soon".into())),
            ("A dance", Problem::UnknownStep("A dance".into())),
            ("+ \"a\"", Problem::NothingToContinue),
            ("& \"a\"", Problem::NothingToContinue),
            ("wait\n& frame ping", Problem::NothingToContinue),
            ("C frame poke", Problem::NotAFrame("poke".into())),
            ("A close often", Problem::UnknownStep("A close often".into())),
            ("draft: 76", Problem::UnknownField("draft".into())),
            ("colour: red", Problem::UnknownField("colour".into())),
            ("title: again", Problem::MisplacedField("title".into())),
            ("note:", Problem::FieldValue("note".into(), String::new())),
            ("note: a\0b", Problem::FieldValue("note".into(), "a\0b".into())),
        ] {
            let line = after_fields + steps.matches('\n').count();
            assert_eq!(parse(steps), Err(ParseError { line, problem }), "{steps}");
        }
        assert_eq!(parse("").unwrap_err().problem, Problem::NoSteps);
        assert_eq!("".parse::<Trace>().unwrap_err().problem, Problem::Header);
        let without = format!("{HEADER}\ntitle: t\nC fin\n");
        assert_eq!(without.parse::<Trace>().unwrap_err().problem, Problem::MissingField("protocol"));
    }

    #[test]
    fn traces_from_before_the_later_protocols_are_read() {
        let fields = "title: t\ndraft: 76\nsection: s\nseverity: MUST\nsetting: version draft76\n";
        let old: Trace = format!("{OLD_HEADER}\n{fields}\nC fin\n").parse().unwrap();
        assert_eq!((old.protocol, old.settings[0].name.as_str()), (Protocol::Draft76, "protocol"));
        assert!(old.to_string().starts_with(&format!("{HEADER}\ntitle: t\nprotocol: draft76\n")));
        let neither = format!("{OLD_HEADER}\n{}\nC fin\n", fields.replace("76\nsection", "neither\nsection"));
        assert_eq!(neither.parse::<Trace>().unwrap().protocol, Protocol::None);
        let both =
            format!("{OLD_HEADER}\n{fields}protocol: draft76\n\nC fin\n").parse::<Trace>().unwrap_err();
        assert_eq!(both.problem, Problem::MisplacedField("protocol".into()));
    }

    #[test]
    fn repetitions_are_bounded_in_total() {
        let line = format!("C \"x\"*{}\n", MAX_REPEATED_BYTES / 2);
        assert!(parse(&line.repeat(2)).is_ok());
        let third = parse(&format!("{}C \"xx\"*1\nA send \"xy\"*2\n", line.repeat(2))).unwrap_err();
        assert_eq!((third.line, third.problem), (10, Problem::TooLong));
        let more = parse(&format!("C \"\"\n{}", line.repeat(3).replace('C', "+"))).unwrap_err();
        assert_eq!((more.line, more.problem), (10, Problem::TooLong));
    }

    #[test]
    fn any_bytes_round_trip() {
        let config = proptest::test_runner::Config { failure_persistence: None, ..Default::default() };
        proptest::proptest!(config, |(bytes: Vec<u8>, run in 60_usize..70)| {
            let bytes = [bytes, vec![b'"'; run], b"${host}\n\n".to_vec()].concat();
            let step = Step::Client { connection: 2, bytes: bytes.as_slice().into() };
            let trace = parse(&step.to_string()).unwrap();
            let [Step::Client { connection: 2, bytes: read }] = trace.steps.as_slice() else {
                panic!("{trace:?}");
            };
            assert_eq!(read.bytes(&Variables::default()), bytes);
        });
    }
}
