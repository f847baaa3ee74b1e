//! A readable transcript of what went over the wire.

use std::time::Instant;

use legacy_websocket_trace::Draft;

use crate::report::{Entry, Kind, Side};

/// The entries of one case, in order.
#[derive(Debug)]
pub(crate) struct Transcript {
    started: Instant,
    draft: Draft,
    /// The state of each side, by connection.
    sides: Vec<(u32, Splitter, Splitter)>,
    entries: Vec<Entry>,
}

impl Transcript {
    pub(crate) fn new(draft: Draft) -> Self {
        Self { started: Instant::now(), draft, sides: Vec::new(), entries: Vec::new() }
    }

    pub(crate) fn entries(self) -> Vec<Entry> {
        self.entries
    }

    /// Bytes that one side wrote at once.
    pub(crate) fn bytes(&mut self, connection: u32, from: Side, bytes: &[u8]) {
        if !self.sides.iter().any(|side| side.0 == connection) {
            let challenge = |length| if self.draft == Draft::Draft76 { length } else { 0 };
            self.sides.push((connection, Splitter::new(challenge(8)), Splitter::new(challenge(16))));
        }
        let at = self.started.elapsed();
        let Some((_, client, server)) = self.sides.iter_mut().find(|side| side.0 == connection) else {
            return;
        };
        let splitter = if from == Side::Client { client } else { server };
        for (kind, part) in splitter.split(bytes) {
            self.entries.push(Entry::new(at, connection, from, kind, part));
        }
    }

    /// An action of the server's application, or of its clock.
    pub(crate) fn action(&mut self, action: &str) {
        let at = self.started.elapsed();
        self.entries.push(Entry::new(at, 1, Side::Server, Kind::Application, action.as_bytes()));
    }

    /// An event without bytes.
    pub(crate) fn note(&mut self, connection: u32, from: Side, kind: Kind) {
        self.entries.push(Entry::new(self.started.elapsed(), connection, from, kind, &[]));
    }
}

/// Splits one side's bytes into parts.
#[derive(Debug)]
struct Splitter {
    next: Next,
    /// The number of bytes between head and frames.
    challenge: usize,
    /// The last bytes of the head received so far.
    tail: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    Head,
    Challenge(usize),
    /// At a frame's first byte, or inside a frame of this kind.
    Frame(Option<Kind>),
}

impl Splitter {
    fn new(challenge: usize) -> Self {
        Self { next: Next::Head, challenge, tail: Vec::new() }
    }

    fn split<'b>(&mut self, mut bytes: &'b [u8]) -> Vec<(Kind, &'b [u8])> {
        let mut parts = Vec::new();
        while !bytes.is_empty() {
            let (kind, length) = self.first(bytes);
            let (part, rest) = bytes.split_at(length.clamp(1, bytes.len()));
            parts.push((kind, part));
            bytes = rest;
        }
        parts
    }

    /// The kind and length of the part at the start of the bytes.
    fn first(&mut self, bytes: &[u8]) -> (Kind, usize) {
        match self.next {
            Next::Head => {
                let known = self.tail.len();
                self.tail.extend_from_slice(bytes);
                let Some(end) = self.tail.windows(4).position(|window| window == b"\r\n\r\n") else {
                    self.tail.drain(..self.tail.len().saturating_sub(3));
                    return (Kind::Head, bytes.len());
                };
                self.next =
                    if self.challenge > 0 { Next::Challenge(self.challenge) } else { Next::Frame(None) };
                (Kind::Head, end + 4 - known)
            }
            Next::Challenge(left) => {
                let length = left.min(bytes.len());
                self.next = if length < left { Next::Challenge(left - length) } else { Next::Frame(None) };
                (Kind::Challenge, length)
            }
            Next::Frame(open) => {
                let kind = open.unwrap_or(match bytes {
                    [0x00, ..] => Kind::Text,
                    [0xff, 0x00, ..] | [0xff] => Kind::Closing,
                    _ => Kind::Reserved,
                });
                if kind == Kind::Closing {
                    self.next = Next::Frame((open.is_none() && bytes.len() == 1).then_some(kind));
                    return (kind, if open.is_some() { 1 } else { 2 });
                }
                if kind == Kind::Reserved && open.is_none() && bytes[0] >= 0x80 {
                    // Its length is not worth distinguishing from its data.
                    return (kind, bytes.len());
                }
                let end = bytes.iter().position(|byte| *byte == 0xff);
                self.next = Next::Frame(if end.is_none() { Some(kind) } else { None });
                (kind, end.map_or(bytes.len(), |end| end + 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_reported_at_any_split() {
        let all = b"GET / x\r\na: b\r\n\r\n12345678\0hi\xff\x01x\xff\xff\0";
        for cut in 1..all.len() {
            let mut splitter = Splitter::new(8);
            let mut told: Vec<(Kind, Vec<u8>)> = Vec::new();
            for part in [&all[..cut], &all[cut..]] {
                for (kind, bytes) in splitter.split(part) {
                    match told.last_mut() {
                        Some((last, held)) if *last == kind => held.extend_from_slice(bytes),
                        _ => told.push((kind, bytes.to_vec())),
                    }
                }
            }
            let kinds: Vec<_> = told.iter().map(|(kind, bytes)| (*kind, bytes.len())).collect();
            let expected = [
                (Kind::Head, 17),
                (Kind::Challenge, 8),
                (Kind::Text, 4),
                (Kind::Reserved, 3),
                (Kind::Closing, 2),
            ];
            assert_eq!(kinds, expected, "{cut}");
        }
    }
}
