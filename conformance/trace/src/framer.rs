//! Bytes of a connection as frames.

use crate::frame::Header;
use crate::{Bytes, Frame, Part};

/// Splits what one side of a connection sends into frames, read by read. What is no whole frame within a read (the
/// head, the parts of a frame that was split, what follows a refusal) stays a string; no byte is changed.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    at: At,
}

#[derive(Clone, Debug)]
enum At {
    /// In the head of the handshake: its first bytes, and its last.
    Head { first: Vec<u8>, last: Vec<u8> },
    /// Before a frame, or in its header, of which this has come.
    Header(Vec<u8>),
    /// In the payload of a split frame: how much is left.
    Payload(u64),
    /// There are no frames.
    Other,
}

impl Default for At {
    fn default() -> Self {
        Self::Head { first: Vec::new(), last: Vec::new() }
    }
}

/// How a server's answer begins, if frames follow, and what an answer that refuses has instead.
const ANSWER: &[u8] = b"HTTP/1.1 101";
const HTTP: &[u8] = b"HTTP/";

impl Framer {
    /// Bytes are missing here: what follows cannot be told apart, and stays as it is.
    pub fn lose_track(&mut self) {
        self.at = At::Other;
    }

    /// The next bytes. `has_frames` says whether frames follow the head that ends in them.
    pub fn split(&mut self, mut bytes: &[u8], has_frames: bool) -> Bytes {
        let mut parts = Parts::default();
        while !bytes.is_empty() {
            match &mut self.at {
                At::Head { first, last } => {
                    let more = ANSWER.len() - first.len();
                    first.extend(bytes.iter().take(more));
                    let known = last.len();
                    last.extend_from_slice(bytes);
                    let Some(end) = last.windows(4).position(|window| window == b"\r\n\r\n") else {
                        last.drain(..last.len().saturating_sub(3));
                        parts.raw(bytes);
                        break;
                    };
                    let (head, rest) = bytes.split_at(end + 4 - known);
                    parts.raw(head);
                    bytes = rest;
                    let is_refusal = first.starts_with(HTTP) && first != ANSWER;
                    let frames = has_frames && !is_refusal;
                    self.at = if frames { At::Header(Vec::new()) } else { At::Other };
                }
                At::Header(held) if held.is_empty() => match Frame::read(bytes) {
                    Some((frame, end)) => {
                        parts.0.push(Part::Frame(frame));
                        bytes = bytes.get(end..).unwrap_or_default();
                    }
                    None => {
                        parts.raw(bytes);
                        self.at = match Header::read(bytes) {
                            Some(header) => {
                                let come = bytes.len().saturating_sub(header.size) as u64;
                                At::Payload(header.length.saturating_sub(come))
                            }
                            None => At::Header(bytes.to_vec()),
                        };
                        break;
                    }
                },
                At::Header(held) => {
                    let (next, rest) = bytes.split_at(1);
                    held.extend_from_slice(next);
                    parts.raw(next);
                    bytes = rest;
                    match Header::read(held).map(|header| header.length) {
                        Some(0) => self.at = At::Header(Vec::new()),
                        Some(length) => self.at = At::Payload(length),
                        None => {}
                    }
                }
                At::Payload(left) => {
                    let size = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    let (payload, rest) = bytes.split_at(size);
                    parts.raw(payload);
                    bytes = rest;
                    *left = left.saturating_sub(size as u64);
                    if *left == 0 {
                        self.at = At::Header(Vec::new());
                    }
                }
                At::Other => {
                    parts.raw(bytes);
                    break;
                }
            }
        }
        Bytes(parts.0)
    }
}

#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    /// Consecutive strings are one.
    fn raw(&mut self, bytes: &[u8]) {
        if let Some(Part::Literal(literal)) = self.0.last_mut() {
            crate::string::push(literal, crate::Piece::Bytes(bytes.to_vec(), 1));
        } else if !bytes.is_empty() {
            self.0.push(Part::Literal(bytes.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Variables;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nSec-WebSocket-Version: 13\r\n\r\n";
    const FRAMES: &[u8] =
        b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe8";

    #[test]
    fn frames_within_a_read_are_readable() {
        let all = [REQUEST, FRAMES, b"\x81\x85\x01"].concat();
        assert_eq!(
            Framer::default().split(&all, true).lines()[2..],
            [
                "+ \"\\r\\n\"",
                "& frame text mask=37fa213d \"Hello\"",
                "& frame ping mask=00000000",
                "& frame close mask=00000000 1000",
                "& \"\\x81\\x85\\x01\"",
            ]
        );
        assert_eq!(Framer::default().split(&all, false).lines().len(), 4);
    }

    #[test]
    fn no_byte_is_lost_however_it_is_split_and_the_next_frame_is_found() {
        let all = [REQUEST, FRAMES, FRAMES].concat();
        for cut in 1..all.len() {
            let mut framer = Framer::default();
            let (first, second) = all.split_at(cut);
            let parts = [framer.split(first, true), framer.split(second, true)];
            let bytes: Vec<_> = parts.iter().flat_map(|part| part.bytes(&Variables::default())).collect();
            assert_eq!(bytes, all, "{cut}");
            let frames = parts.iter().flat_map(|part| &part.0).filter(|part| matches!(part, Part::Frame(_)));
            assert!(frames.count() >= 5, "{cut}: {parts:?}");
        }
    }

    #[test]
    fn after_a_gap_there_are_no_frames() {
        let mut framer = Framer::default();
        framer.split(&[REQUEST, &FRAMES[..5]].concat(), true);
        framer.lose_track();
        assert_eq!(framer.split(FRAMES, true), Bytes(vec![Part::Literal(FRAMES.into())]));
    }

    #[test]
    fn a_server_that_refuses_sends_no_frames() {
        let answer =
            |status: &str| [format!("HTTP/1.1 {status} x\r\n\r\n").as_bytes(), b"\x81\x02hi"].concat();
        assert_eq!(Framer::default().split(&answer("101"), true).0.len(), 2);
        assert_eq!(Framer::default().split(&answer("426"), true).0.len(), 1);
        assert_eq!(Framer::default().split(b"HTTP/1.1\r\n\r\n\x81\x02hi", true).0.len(), 1);
    }
}
