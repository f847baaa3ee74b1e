//! A trace as inputs of a server, split in one way or another.

mod parts;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use legacy_websocket_trace::{Action, Connection, Step, Trace, Variables};

/// One step for the runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// The client connects.
    Open(Connection),
    /// The client writes, and the server reads exactly this.
    Bytes(Connection, Vec<u8>),
    /// The client ends its side, or resets the connection.
    End { connection: Connection, reset: bool },
    /// Time passes.
    After(Duration),
    /// The application acts; the bytes are those of the action's literal.
    Application(Action, Vec<u8>),
    /// The end of a turn: the client waits for the server's output.
    Wait,
}

/// How the client's writes are split into reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the harness tries them all")]
pub enum Chunking {
    /// As in the trace.
    Written,
    /// Everything written in one turn is one read.
    Whole,
    /// One byte per read.
    Bytes,
    /// The first connection's bytes are split once, at this offset; otherwise like [`Chunking::Whole`].
    Split(usize),
    /// Split at random, with this seed.
    Random(u64),
    /// Split inside each part: a frame's type, text, character and length, the closing frame; and, in cases about the
    /// handshake, inside its head and key3.
    Parts {
        /// Split the handshake too.
        handshake: bool,
    },
}

impl fmt::Display for Chunking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written => f.write_str("as written"),
            Self::Whole => f.write_str("in one piece"),
            Self::Bytes => f.write_str("byte by byte"),
            Self::Split(1) => f.write_str("cut after 1 byte"),
            Self::Split(at) => write!(f, "cut after {at} bytes"),
            Self::Random(seed) => write!(f, "cut at random, seed {seed}"),
            Self::Parts { .. } => f.write_str("cut inside each part"),
        }
    }
}

/// The steps, in order. Ends with [`Op::Wait`].
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
        Chunking::Parts { handshake } => {
            let cuts: BTreeMap<_, _> = sent(&ops)
                .into_iter()
                .map(|(connection, sent)| (connection, parts::cuts(&sent, trace.protocol, handshake)))
                .collect();
            cut(ops, |connection, start, left| {
                let cuts = cuts.get(&connection).map_or(&[][..], Vec::as_slice);
                cuts.iter().find(|cut| **cut > start).map_or(left, |cut| cut - start)
            })
        }
    }
}

/// Joins pieces again until at most `most` are left of each connection's head, and of the bytes after it in each turn.
/// Every split takes time, so megabytes are not sent a byte at a time.
pub(crate) fn bounded(ops: Vec<Op>, most: usize) -> Vec<Op> {
    let mut out = Vec::new();
    let mut states: HashMap<Connection, (Vec<u8>, bool, usize)> = HashMap::new();
    for op in ops {
        if let Op::Bytes(connection, bytes) = &op {
            let (tail, behind_head, pieces) = states.entry(*connection).or_default();
            *pieces += 1;
            if *pieces > most
                && let Some(Op::Bytes(before, joined)) = out.last_mut()
                && before == connection
            {
                joined.extend_from_slice(bytes);
            } else {
                out.push(op.clone());
            }
            if !*behind_head {
                tail.extend_from_slice(bytes);
                *behind_head = tail.windows(4).any(|window| window == b"\r\n\r\n");
                if *behind_head {
                    *pieces = 0;
                }
                tail.drain(..tail.len().saturating_sub(3));
            }
        } else {
            if op == Op::Wait {
                states.values_mut().for_each(|(.., pieces)| *pieces = 0);
            }
            out.push(op);
        }
    }
    out
}

/// All bytes sent on each connection.
fn sent(ops: &[Op]) -> BTreeMap<Connection, Vec<u8>> {
    let mut sent: BTreeMap<_, Vec<u8>> = BTreeMap::new();
    for op in ops {
        if let Op::Bytes(connection, bytes) = op {
            sent.entry(*connection).or_default().extend_from_slice(bytes);
        }
    }
    sent
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
                    | Action::SendBinary(_, text)
                    | Action::Broadcast(text)
                    | Action::Close(_, Some((_, text)))
                    | Action::Accept(_, Some(text))
                    | Action::Reject(_, _, text)
                    | Action::Respond(_, _, text) => text.bytes(variables),
                    Action::Close(_, None) | Action::Accept(_, None) | Action::Shutdown => Vec::new(),
                };
                ops.push(Op::Application(action.clone(), text));
            }
        }
    }
    ops.push(Op::Wait);
    // If the server spoke twice in a row, there is only one wait.
    ops.dedup_by(|later, earlier| *later == Op::Wait && *earlier == Op::Wait);
    ops.retain(|op| !matches!(op, Op::Bytes(_, bytes) if bytes.is_empty()));
    ops
}

/// Joins consecutive writes on a connection.
fn join(ops: &mut Vec<Op>) {
    ops.dedup_by(|later, earlier| match (later, earlier) {
        (Op::Bytes(this, more), Op::Bytes(that, bytes)) if this == that => {
            bytes.append(more);
            true
        }
        _ => false,
    });
}

/// Splits each write into parts. `length` gets the connection, the offset of the part on it, and the number of bytes
/// left in the write.
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
        let text = "legacy-websocket-trace 2\ntitle: t\nprotocol: draft75\nsection: s\nseverity: MAY\n\
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
    fn each_chunking_splits_as_documented() {
        for (chunking, expected) in [
            (Chunking::Written, "open1 ab cd | ef open2 gh end |"),
            (Chunking::Whole, "open1 abcd | ef open2 gh end |"),
            (Chunking::Bytes, "open1 a b c d | e f open2 g h end |"),
            (Chunking::Split(1), "open1 a bcd | ef open2 gh end |"),
            (Chunking::Split(4), "open1 abcd | ef open2 gh end |"),
            (Chunking::Split(5), "open1 abcd | e f open2 gh end |"),
            (Chunking::Split(9), "open1 abcd | ef open2 gh end |"),
            (Chunking::Parts { handshake: true }, "open1 abc d | ef open2 g h end |"),
            (Chunking::Parts { handshake: false }, "open1 abcd | ef open2 gh end |"),
        ] {
            assert_eq!(parts(chunking).join(" "), expected, "{chunking:?}");
        }
        let random = parts(Chunking::Random(7));
        assert_eq!(random.concat(), "open1abcd|efopen2ghend|");
        assert_eq!(random, parts(Chunking::Random(7)));
    }

    #[test]
    fn splits_are_bounded_in_the_head_and_after_it() {
        let bytes = |text: &[u8]| text.iter().map(|byte| Op::Bytes(1, vec![*byte])).collect::<Vec<_>>();
        let ops = [bytes(b"abcdef\r\n\r\nghijk"), vec![Op::Wait], bytes(b"lmnop")].concat();
        let name = |op: &Op| match op {
            Op::Bytes(_, bytes) => bytes.escape_ascii().to_string(),
            _ => "|".into(),
        };
        let names: Vec<_> = bounded(ops, 3).iter().map(name).collect();
        assert_eq!(names.join(" "), r"a b cdef\r\n\r\n g h ijk | l m nop");
    }
}
