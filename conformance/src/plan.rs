//! A trace as the inputs of a server, cut up in one way or another.

use std::collections::HashMap;
use std::time::Duration;

use legacy_websocket_trace::{Action, Connection, Step, Trace, Variables};

/// One thing for the runner to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// The client connects.
    Open(Connection),
    /// The client writes, and the server reads just this.
    Bytes(Connection, Vec<u8>),
    /// The client ends its side, or resets the connection.
    End { connection: Connection, reset: bool },
    /// Time passes.
    After(Duration),
    /// The application acts; the bytes are those of the action's literal.
    Application(Action, Vec<u8>),
    /// The end of a turn: the client waits for what the server has to say.
    Wait,
}

/// How what the client writes is cut into reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the harness tries them all")]
pub enum Chunking {
    /// As the trace has it.
    Written,
    /// All that is written in one turn is one read.
    Whole,
    /// One byte a read.
    Bytes,
    /// The first connection's bytes are cut once, behind so many of them; else as [`Chunking::Whole`].
    Split(usize),
    /// Cut at random, by this seed.
    Random(u64),
}

/// What is to be done, in order. Ends with [`Op::Wait`].
pub(crate) fn plan(trace: &Trace, variables: &Variables, chunking: Chunking) -> Vec<Op> {
    let mut ops = written(trace, variables);
    if chunking != Chunking::Written {
        join(&mut ops);
    }
    match chunking {
        Chunking::Written | Chunking::Whole => ops,
        Chunking::Bytes => cut(ops, |_, _, _| 1),
        Chunking::Split(at) => {
            cut(
                ops,
                |connection, start, left| {
                    if connection == 1 && start < at && at - start < left { at - start } else { left }
                },
            )
        }
        Chunking::Random(seed) => {
            let mut random = fastrand::Rng::with_seed(seed);
            cut(ops, |_, _, _| random.usize(1..=24))
        }
    }
}

fn written(trace: &Trace, variables: &Variables) -> Vec<Op> {
    let mut ops = Vec::new();
    let mut open = Vec::new();
    for step in &trace.steps {
        if let Step::Client { connection, .. } | Step::ClientEnd { connection, .. } = step
            && !open.contains(connection)
        {
            open.push(*connection);
            ops.push(Op::Open(*connection));
        }
        match step {
            Step::Client { connection, bytes } => ops.push(Op::Bytes(*connection, bytes.bytes(variables))),
            Step::ClientEnd { connection, reset } => {
                ops.push(Op::End { connection: *connection, reset: *reset });
            }
            Step::Server { .. } | Step::ServerEnd { .. } | Step::Wait => ops.push(Op::Wait),
            Step::After(time) => ops.push(Op::After(*time)),
            Step::Application(action) => {
                let text = match action {
                    Action::Send(_, text)
                    | Action::Broadcast(text)
                    | Action::Accept(_, Some(text))
                    | Action::Reject(_, _, text) => text.bytes(variables),
                    Action::Close(_) | Action::Accept(_, None) | Action::Shutdown => Vec::new(),
                };
                ops.push(Op::Application(action.clone(), text));
            }
        }
    }
    ops.push(Op::Wait);
    // A server that spoke twice in a row was waited for once.
    ops.dedup_by(|later, earlier| *later == Op::Wait && *earlier == Op::Wait);
    ops.retain(|op| !matches!(op, Op::Bytes(_, bytes) if bytes.is_empty()));
    ops
}

/// Joins writes that follow each other on a connection.
fn join(ops: &mut Vec<Op>) {
    ops.dedup_by(|later, earlier| match (later, earlier) {
        (Op::Bytes(this, more), Op::Bytes(that, bytes)) if this == that => {
            bytes.append(more);
            true
        }
        _ => false,
    });
}

/// Cuts each write into parts: `length` is asked with the connection, how much of it came before, and how much is
/// left of the write.
fn cut(ops: Vec<Op>, mut length: impl FnMut(Connection, usize, usize) -> usize) -> Vec<Op> {
    let mut out = Vec::new();
    let mut starts = HashMap::new();
    for op in ops {
        let Op::Bytes(connection, bytes) = op else {
            out.push(op);
            continue;
        };
        let start = starts.entry(connection).or_insert(0);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(length(connection, *start, rest.len()).clamp(1, rest.len()));
            out.push(Op::Bytes(connection, part.to_vec()));
            *start += part.len();
            rest = behind;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(chunking: Chunking) -> Vec<String> {
        let text = "legacy-websocket-trace 1\ntitle: t\ndraft: 75\nsection: s\nseverity: MAY\n\
                    C \"ab\"\nC \"cd\"\nS \"x\"\nS \"y\"\nC \"ef\"\nC2 \"gh\"\nC fin\n";
        let ops = plan(&text.parse().unwrap(), &Variables::default(), chunking);
        let name = |op: &Op| match op {
            Op::Open(connection) => format!("open{connection}"),
            Op::Bytes(_, bytes) => String::from_utf8(bytes.clone()).unwrap(),
            Op::End { .. } => "end".into(),
            Op::Wait => "|".into(),
            other => format!("{other:?}"),
        };
        ops.iter().map(name).collect()
    }

    #[test]
    fn each_chunking_cuts_in_its_way() {
        for (chunking, expected) in [
            (Chunking::Written, "open1 ab cd | ef open2 gh end |"),
            (Chunking::Whole, "open1 abcd | ef open2 gh end |"),
            (Chunking::Bytes, "open1 a b c d | e f open2 g h end |"),
            (Chunking::Split(1), "open1 a bcd | ef open2 gh end |"),
            (Chunking::Split(4), "open1 abcd | ef open2 gh end |"),
            (Chunking::Split(5), "open1 abcd | e f open2 gh end |"),
            (Chunking::Split(9), "open1 abcd | ef open2 gh end |"),
        ] {
            assert_eq!(parts(chunking).join(" "), expected, "{chunking:?}");
        }
        let random = parts(Chunking::Random(7));
        assert_eq!(random.concat(), "open1abcd|efopen2ghend|");
        assert_eq!(random, parts(Chunking::Random(7)));
    }
}
