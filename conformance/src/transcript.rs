//! A readable transcript of what went over the wire.

use std::time::Instant;

use legacy_websocket_trace::{Bytes, Frame, Part, Protocol};

use crate::report::{Entry, Kind, Side};

/// How many bytes of a frame are held to show it: what an entry keeps, and the longest header.
const MAX_HELD: usize = Entry::MAX_BYTES + 14;

/// The entries of one case, in order.
#[derive(Debug)]
pub(crate) struct Transcript {
    started: Instant,
    protocol: Protocol,
    /// The state of each side, by connection.
    sides: Vec<(u32, Splitter, Splitter)>,
    entries: Vec<Entry>,
}

impl Transcript {
    pub(crate) fn new(protocol: Protocol) -> Self {
        Self { started: Instant::now(), protocol, sides: Vec::new(), entries: Vec::new() }
    }

    pub(crate) fn entries(self) -> Vec<Entry> {
        self.entries
    }

    /// Bytes that one side wrote at once.
    pub(crate) fn bytes(&mut self, connection: u32, from: Side, bytes: &[u8]) {
        if !self.sides.iter().any(|side| side.0 == connection) {
            let is_draft76 = self.protocol == Protocol::Draft76;
            let side = |length| Splitter {
                next: Next::Head,
                challenge: if is_draft76 { length } else { 0 },
                has_headers: self.protocol.has_frames(),
                tail: Vec::new(),
            };
            self.sides.push((connection, side(8), side(16)));
        }
        let at = self.started.elapsed();
        let Some((_, client, server)) = self.sides.iter_mut().find(|side| side.0 == connection) else {
            return;
        };
        let splitter = if from == Side::Client { client } else { server };
        for (kind, part, frame) in splitter.split(bytes) {
            self.entries.push(Entry { frame, ..Entry::new(at, connection, from, kind, part) });
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
    /// Frames are those of RFC 6455.
    has_headers: bool,
    /// The last bytes of the head received so far.
    tail: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Next {
    Head,
    Challenge(usize),
    /// At a frame's first byte, or inside a frame of this kind.
    Frame(Option<Kind>),
    /// In a frame of RFC 6455: its first bytes, and how many have come; none before it.
    Framed {
        held: Vec<u8>,
        come: u64,
    },
}

impl Next {
    /// Before a frame of RFC 6455.
    const FRAMED: Self = Self::Framed { held: Vec::new(), come: 0 };
}

impl Splitter {
    /// The parts: the kind, the bytes, and a frame of RFC 6455 that ends with them as text.
    fn split<'b>(&mut self, mut bytes: &'b [u8]) -> Vec<(Kind, &'b [u8], String)> {
        let mut parts = Vec::new();
        while !bytes.is_empty() {
            let (kind, length, frame) = self.first(bytes);
            let (part, rest) = bytes.split_at(length.clamp(1, bytes.len()));
            parts.push((kind, part, frame));
            bytes = rest;
        }
        parts
    }

    /// The kind and length of the part at the start of the bytes, and the frame that ends with it.
    fn first(&mut self, bytes: &[u8]) -> (Kind, usize, String) {
        match &mut self.next {
            Next::Head => {
                let known = self.tail.len();
                self.tail.extend_from_slice(bytes);
                let Some(end) = self.tail.windows(4).position(|window| window == b"\r\n\r\n") else {
                    self.tail.drain(..self.tail.len().saturating_sub(3));
                    return (Kind::Head, bytes.len(), String::new());
                };
                self.next = match self.challenge {
                    _ if self.has_headers => Next::FRAMED,
                    0 => Next::Frame(None),
                    length => Next::Challenge(length),
                };
                (Kind::Head, end + 4 - known, String::new())
            }
            Next::Challenge(left) => {
                let length = bytes.len().min(*left);
                let left = *left - length;
                self.next = if left > 0 { Next::Challenge(left) } else { Next::Frame(None) };
                (Kind::Challenge, length, String::new())
            }
            Next::Frame(open) => {
                let open = *open;
                let kind = open.unwrap_or(match bytes {
                    [0x00, ..] => Kind::Text,
                    [0xff, 0x00, ..] | [0xff] => Kind::Closing,
                    _ => Kind::Reserved,
                });
                if kind == Kind::Closing {
                    self.next = Next::Frame((open.is_none() && bytes.len() == 1).then_some(kind));
                    return (kind, if open.is_some() { 1 } else { 2 }, String::new());
                }
                if kind == Kind::Reserved && open.is_none() && bytes[0] >= 0x80 {
                    // Its length is not worth distinguishing from its data.
                    return (kind, bytes.len(), String::new());
                }
                let end = bytes.iter().position(|byte| *byte == 0xff);
                self.next = Next::Frame(if end.is_none() { Some(kind) } else { None });
                (kind, end.map_or(bytes.len(), |end| end + 1), String::new())
            }
            Next::Framed { held, come } => {
                let before = *come;
                held.truncate(usize::try_from(before).unwrap_or(usize::MAX));
                let room = MAX_HELD.saturating_sub(held.len());
                held.extend(bytes.iter().take(room));
                let kind = kind_of(held.first().copied().unwrap_or_default());
                let Some((_, size)) = Frame::size(held) else {
                    *come += bytes.len() as u64;
                    return (kind, bytes.len(), String::new());
                };
                let left = size.saturating_sub(before);
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                if (length as u64) < left {
                    *come += length as u64;
                    return (kind, length, String::new());
                }
                let frame = match Frame::read(held) {
                    Some((frame, _)) => one_line(&Bytes(vec![Part::Frame(frame)])),
                    None => format!("frame of {size} bytes"),
                };
                self.next = Next::FRAMED;
                (kind, length, frame)
            }
        }
    }
}

/// As in a trace, but on one line.
pub(crate) fn one_line(bytes: &Bytes) -> String {
    let lines = bytes.lines();
    lines.iter().map(|line| line.strip_prefix("+ ").unwrap_or(line)).collect::<Vec<_>>().join(" ")
}

/// Of a frame of RFC 6455 that begins with this byte.
fn kind_of(first: u8) -> Kind {
    match first & 0xf {
        0x0 => Kind::Continuation,
        0x1 => Kind::Text,
        0x2 => Kind::Binary,
        0x8 => Kind::Closing,
        0x9 => Kind::Ping,
        0xa => Kind::Pong,
        _ => Kind::Reserved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_reported_at_any_split() {
        let all = b"GET / x\r\na: b\r\n\r\n12345678\0hi\xff\x01x\xff\xff\0";
        let expected = [
            (Kind::Head, 17),
            (Kind::Challenge, 8),
            (Kind::Text, 4),
            (Kind::Reserved, 3),
            (Kind::Closing, 2),
        ];
        each_split_gives(all, (8, false), &expected);
        let all = b"GET / x\r\na: b\r\n\r\n\x01\x81abcdx\x89\0\x80\x81abcdy\x82\x7e\0\x01z\x8a\0\x83\x01x\x88\x02\x03\xe8";
        let expected = [
            (Kind::Head, 17),
            (Kind::Text, 7),
            (Kind::Ping, 2),
            (Kind::Continuation, 7),
            (Kind::Binary, 5),
            (Kind::Pong, 2),
            (Kind::Reserved, 3),
            (Kind::Closing, 4),
        ];
        each_split_gives(all, (0, true), &expected);
    }

    fn each_split_gives(all: &[u8], (challenge, has_headers): (usize, bool), expected: &[(Kind, usize)]) {
        for cut in 1..all.len() {
            let mut splitter = Splitter { next: Next::Head, challenge, has_headers, tail: Vec::new() };
            let mut told: Vec<(Kind, Vec<u8>)> = Vec::new();
            let mut frames = Vec::new();
            for part in [&all[..cut], &all[cut..]] {
                for (kind, bytes, frame) in splitter.split(part) {
                    frames.extend(Some(frame).filter(|frame| !frame.is_empty()));
                    match told.last_mut() {
                        Some((last, held)) if *last == kind => held.extend_from_slice(bytes),
                        _ => told.push((kind, bytes.to_vec())),
                    }
                }
            }
            let kinds: Vec<_> = told.iter().map(|(kind, bytes)| (*kind, bytes.len())).collect();
            assert_eq!(kinds, expected, "{cut}");
            assert_eq!(frames.len(), if has_headers { 7 } else { 0 });
            assert!(!has_headers || frames[0] == "frame text fin=0 mask=61626364 \"\\x19\"", "{frames:?}");
        }
    }
}
