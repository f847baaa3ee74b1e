//! A trace as its author wrote it: comments, blank lines and all. What clients hear is compared and put in.

use std::collections::BTreeMap;

use legacy_websocket_trace::{Connection, ParseError, Step, Trace, Variables};

/// A trace, and its lines.
pub(super) struct Script<'t> {
    pub(super) trace: Trace,
    lines: Vec<Line<'t>>,
}

enum Line<'t> {
    /// A step's first line: its place among the steps, and its number.
    Step(usize, usize, &'t str),
    /// Another line of the step.
    More(usize, &'t str),
    /// A field, a comment, a blank line.
    Other(&'t str),
}

impl<'t> Script<'t> {
    pub(super) fn parse(text: &'t str) -> Result<Self, ParseError> {
        let trace: Trace = text.parse()?;
        let mut next = 0;
        let line = |(at, line): (usize, &'t str)| {
            let word = line.split_once(' ').map_or(line, |(word, _)| word);
            let begins = line.starts_with(['A', 'C', 'S']) || matches!(word, "after" | "wait");
            if begins {
                next += 1;
                return Line::Step(next - 1, at + 1, line);
            }
            let continues = line.starts_with(['+', '&']);
            if continues { Line::More(next - 1, line) } else { Line::Other(line) }
        };
        let lines = text.lines().enumerate().map(line).collect();
        Ok(Self { trace, lines })
    }

    /// The number of the line of a step.
    pub(super) fn line_of(&self, step: usize) -> usize {
        let number = |line: &Line<'_>| match line {
            Line::Step(found, number, _) => (*found == step).then_some(*number),
            _ => None,
        };
        self.lines.iter().find_map(number).unwrap_or_default()
    }

    /// The number of the line of a setting.
    pub(super) fn line_of_setting(&self, setting: &str) -> usize {
        let is_it = |line: &Line<'_>| match line {
            Line::Other(line) => line.strip_prefix("setting:").is_some_and(|value| value.trim() == setting),
            _ => false,
        };
        self.lines.iter().position(is_it).map_or(0, |at| at + 1)
    }

    /// Whether it says what clients hear.
    pub(super) fn expects(&self) -> bool {
        self.trace.steps.iter().any(is_servers)
    }

    /// Whether clients hear what it says.
    pub(super) fn is_right(&self, heard: &[Vec<Step>]) -> bool {
        self.wrong(heard).is_empty()
    }

    /// The text with what clients hear. `heard` has, for each step, what follows from it. What the trace says rightly
    /// stays as it is written.
    pub(super) fn with_heard(&self, heard: &[Vec<Step>]) -> String {
        let wrong = self.wrong(heard);
        let mut out = String::new();
        // The server's steps come behind all lines of theirs.
        let mut due: &[Step] = &[];
        for line in &self.lines {
            if !matches!(line, Line::More(..)) {
                push_steps(std::mem::take(&mut due), &mut out);
            }
            match line {
                Line::Step(step, _, text) => {
                    if wrong.contains(step) {
                        due = heard.get(*step).map_or(&[], Vec::as_slice);
                        if self.trace.steps.get(*step).is_some_and(is_servers) {
                            continue;
                        }
                    }
                    push_line(text, &mut out);
                }
                Line::More(step, text) => {
                    let is_dropped =
                        wrong.contains(step) && self.trace.steps.get(*step).is_some_and(is_servers);
                    if !is_dropped {
                        push_line(text, &mut out);
                    }
                }
                Line::Other(text) => push_line(text, &mut out),
            }
        }
        push_steps(due, &mut out);
        out
    }

    /// The steps of the groups in which clients hear something else than the trace says. A group is what clients do in
    /// a row, and what they then wait for and hear.
    fn wrong(&self, heard: &[Vec<Step>]) -> Vec<usize> {
        let steps = &self.trace.steps;
        if !self.expects() {
            return (0..steps.len()).collect();
        }
        let mut wrong = Vec::new();
        let mut start = 0;
        for end in 1..=steps.len() {
            let waits = |at: usize| steps.get(at).is_some_and(|step| is_servers(step) || *step == Step::Wait);
            let is_between = waits(end - 1) && !waits(end);
            if end < steps.len() && !is_between {
                continue;
            }
            let expected =
                sum(steps.get(start..end).unwrap_or_default().iter().filter(|step| is_servers(step)));
            if expected != sum(heard.get(start..end).unwrap_or_default().iter().flatten()) {
                wrong.extend(start..end);
            }
            start = end;
        }
        wrong
    }
}

fn is_servers(step: &Step) -> bool {
    matches!(step, Step::Server { .. } | Step::ServerEnd { .. })
}

/// The bytes on each connection, and how it ended.
fn sum<'s>(steps: impl Iterator<Item = &'s Step>) -> BTreeMap<Connection, (Vec<u8>, Option<bool>)> {
    let mut all: BTreeMap<_, (Vec<u8>, Option<bool>)> = BTreeMap::new();
    for step in steps {
        match step {
            Step::Server { connection, bytes } => {
                all.entry(*connection).or_default().0.extend(bytes.bytes(&Variables::default()));
            }
            Step::ServerEnd { connection, reset } => all.entry(*connection).or_default().1 = Some(*reset),
            _ => {}
        }
    }
    all
}

fn push_steps(steps: &[Step], out: &mut String) {
    steps.iter().for_each(|step| push_line(&step.to_string(), out));
}

fn push_line(line: &str, out: &mut String) {
    out.push_str(line);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "legacy-websocket-trace 2\ntitle: t\nprotocol: draft75\nsection: s\nseverity: MAY\n\n";

    fn heard(connection: Connection, text: &str) -> Step {
        Step::Server { connection, bytes: text.as_bytes().into() }
    }

    #[test]
    fn what_clients_hear_is_put_in() {
        let text = format!("{HEAD}# Anna\nC \"a\"\n+ \"b\"\n\nC2 fin\n");
        let script = Script::parse(&text).unwrap();
        let heard =
            [vec![heard(1, "x")], vec![heard(1, "y"), Step::ServerEnd { connection: 2, reset: false }]];
        let expected = format!("{HEAD}# Anna\nC \"a\"\n+ \"b\"\nS \"x\"\n\nC2 fin\nS \"y\"\nS2 fin\n");
        assert_eq!(script.with_heard(&heard), expected);
        assert_eq!((script.line_of(0), script.line_of(1)), (8, 11));
    }

    #[test]
    fn only_what_is_wrong_is_replaced() {
        // The first group is right, though it is written in other pieces and behind both steps.
        let text = format!(
            "{HEAD}C \"a\"\nC2 \"b\"\nwait\nS2 \"q\"\nS \"x\"\n& \"y\"\n# why\nC \"c\"\nS \"old\"\n+ \"er\"\n"
        );
        let script = Script::parse(&text).unwrap();
        let mut all = vec![Vec::new(); 8];
        all[0] = vec![heard(1, "xy")];
        all[1] = vec![heard(2, "q")];
        all[5] = vec![heard(1, "older")];
        assert_eq!((script.with_heard(&all), script.is_right(&all)), (text.clone(), true));
        all[5] = vec![heard(1, "new")];
        assert_eq!(script.with_heard(&all), text.replace("S \"old\"\n+ \"er\"\n", "S \"new\"\n"));
        all[1].clear();
        let expected = format!("{HEAD}C \"a\"\nS \"xy\"\nC2 \"b\"\nwait\n# why\nC \"c\"\nS \"new\"\n");
        assert_eq!(script.with_heard(&all), expected);
    }
}
