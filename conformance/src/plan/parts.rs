//! The positions at which splitting a client's bytes exposes a reader that loses state between reads.

use std::collections::BTreeMap;

use legacy_websocket_trace::{Frame, Protocol};

/// Maximum splits per kind of position; a connection with thousands of frames reveals no more.
const OF_A_KIND: usize = 2;

/// A kind of position in frames.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// After the type of a frame.
    Type,
    /// Inside a text, and before the FF that ends it.
    Text,
    /// Inside a character.
    Character,
    /// Inside or after a length, and inside the bytes that it counts.
    Length,
    /// Inside a masking key.
    Mask,
    /// Between FF and 00.
    Closing,
}

/// The offsets of the splits, ascending. `handshake`: split the opening handshake too.
pub(super) fn cuts(sent: &[u8], protocol: Protocol, handshake: bool) -> Vec<usize> {
    let mut cuts = Cuts { kinds: BTreeMap::new(), places: Vec::new() };
    let Some(end) = sent.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4) else {
        // An incomplete head, or no head.
        return if handshake && sent.len() > 1 { vec![sent.len() / 2] } else { Vec::new() };
    };
    if handshake {
        // Inside the first line, a field, and the blank line.
        let line = sent.iter().position(|byte| *byte == b'\r').unwrap_or(end);
        cuts.places.extend([line / 2, line.midpoint(end), end - 2]);
    }
    let mut at = end;
    if protocol == Protocol::Draft76 {
        at = sent.len().min(end + 8);
        if handshake {
            cuts.places.extend([end, end + 3]);
        }
    }
    while let Some(frame) = sent.get(at..).filter(|rest| !rest.is_empty()) {
        at += if protocol.has_frames() { cuts.masked_frame(at, frame) } else { cuts.frame(at, frame) };
    }
    let mut places = cuts.places;
    places.retain(|place| (1..sent.len()).contains(place));
    places.sort_unstable();
    places.dedup();
    places
}

struct Cuts {
    kinds: BTreeMap<Place, usize>,
    places: Vec<usize>,
}

impl Cuts {
    fn add(&mut self, kind: Place, places: &[usize]) {
        let count = self.kinds.entry(kind).or_default();
        if *count < OF_A_KIND {
            *count += 1;
            self.places.extend_from_slice(places);
        }
    }

    /// Splits the frame of RFC 6455 at the start of `frame`, which begins at offset `at`. Returns its length.
    fn masked_frame(&mut self, at: usize, frame: &[u8]) -> usize {
        let Some((header, size)) = Frame::size(frame) else {
            self.add(Place::Type, &[at + 1]);
            return frame.len();
        };
        let end = usize::try_from(size).unwrap_or(usize::MAX).min(frame.len());
        let is_long = frame.get(1).is_some_and(|second| second & 0x7f > 125);
        self.add(Place::Type, &[at + 1]);
        if is_long {
            self.add(Place::Length, &[at + 3, at + header.midpoint(end)]);
        }
        self.add(Place::Mask, &[at + header - 1, at + header]);
        if end > header + 1 {
            self.add(Place::Text, &[at + header + 1, at + header + 2, at + end - 1]);
        }
        self.add(Place::Closing, &[at + end]);
        end
    }

    /// Splits the frame at the start of `bytes`, which begin at offset `at`. Returns its length.
    fn frame(&mut self, at: usize, frame: &[u8]) -> usize {
        match frame {
            [0xff, 0x00, ..] => {
                self.add(Place::Closing, &[at + 1]);
                2
            }
            [0x80..=0xff, length @ ..] => {
                let digits =
                    length.iter().position(|byte| *byte < 0x80).map_or(length.len(), |last| last + 1);
                let length = length.iter().take(digits).fold(0_usize, |length, byte| {
                    length.saturating_mul(128).saturating_add(usize::from(byte & 0x7f))
                });
                let data = 1 + digits;
                self.add(Place::Type, &[at + 1]);
                self.add(Place::Length, &[at + digits.max(2), at + data + length.min(frame.len()) / 2]);
                data.saturating_add(length).min(frame.len())
            }
            _ => {
                let end = frame.iter().position(|byte| *byte == 0xff).unwrap_or(frame.len());
                self.add(Place::Type, &[at + 1]);
                self.add(Place::Text, &[at + end.midpoint(1), at + end]);
                if let Some(character) = frame.iter().take(end).position(|byte| *byte >= 0xc0) {
                    self.add(Place::Character, &[at + character + 1]);
                }
                end + 1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes sent, with a bar at each split.
    fn cut(sent: &[u8], protocol: Protocol, handshake: bool) -> String {
        let mut out = String::new();
        let mut from = 0;
        for place in cuts(sent, protocol, handshake) {
            out.push_str(&format!("{}|", sent[from..place].escape_ascii()));
            from = place;
        }
        out + &sent[from..].escape_ascii().to_string()
    }

    #[test]
    fn every_part_is_split() {
        let frames = b"GET / x\r\na: b\r\n\r\n12345678\0h\xc3\xa9!\xff\x81\x80\x03xxx\xff\0";
        let expected = r"GET / x\r\na: b\r\n\r\n12345678\x00|h\xc3|\xa9!|\xff\x81|\x80|\x03x|xx\xff|\x00";
        assert_eq!(cut(frames, Protocol::Draft76, false), expected);
        let handshake = b"GET / x\r\na: b\r\n\r\n12345678\xff\0";
        assert_eq!(cut(handshake, Protocol::Draft76, true), r"GET| / x\r\na: |b\r\n|\r\n|123|45678\xff|\x00");
    }

    #[test]
    fn masked_frames_are_split_in_their_parts() {
        let frames = b"GET / x\r\n\r\n\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x88\x80\0\0\0\0\x81";
        let expected = r"GET / x\r\n\r\n\x81|\x857\xfa!|=|\x7f|\x9f|MQ|X|\x88|\x80\x00\x00\x00|\x00|\x81";
        assert_eq!(cut(frames, Protocol::Rfc6455, false), expected);
    }

    #[test]
    fn input_without_a_head_is_split_once() {
        assert_eq!(cut(b"\x16\x03\x01\0", Protocol::None, true), r"\x16\x03|\x01\x00");
        assert_eq!(cut(b"\x16\x03\x01\0", Protocol::None, false), r"\x16\x03\x01\x00");
        assert_eq!(cut(b"x", Protocol::None, true), "x");
        assert_eq!(cut(b"GET\r\n\r\n\xff\xff\xff", Protocol::Draft75, false), r"GET\r\n\r\n\xff|\xff|\xff");
        assert_eq!(cut(b"GET\r\n\r\n\0", Protocol::Draft75, false), r"GET\r\n\r\n\x00");
        let many = [&b"GET\r\n\r\n"[..], &b"\0ab\xff".repeat(100)].concat();
        assert_eq!(cuts(&many, Protocol::Draft75, false).len(), 6);
    }
}
