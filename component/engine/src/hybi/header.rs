//! The header of a frame (RFC 6455 section 5.2).

use super::mask::Mask;
use crate::error::FrameError;

/// FIN, RSV1 to RSV3, opcode.
const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
/// MASK, payload length.
const MASKED: u8 = 0x80;

/// Bytes of payload that a control frame may have (section 5.5).
pub(super) const MAX_CONTROL_BYTES: usize = 125;

/// Bytes of the longest header: opcode, length, extended length, key.
const MAX_HEADER_BYTES: usize = 14;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
}

impl Opcode {
    /// Whether it may come between the fragments of a message.
    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    fn read(byte: u8) -> Result<Self, FrameError> {
        Ok(match byte & OPCODE {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            other => return Err(FrameError::ReservedOpcode(other)),
        })
    }
}

/// The header of a frame from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) fin: bool,
    pub(super) opcode: Opcode,
    pub(super) mask: Mask,
    /// Bytes of payload behind it.
    pub(super) payload: usize,
}

/// What a header may be where it comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// A message has begun and not ended.
    pub(super) in_message: bool,
    /// How many more bytes that message, or a new one, may have.
    pub(super) max_payload: usize,
}

impl Header {
    /// Takes a header off the start of `input`; None while it is incomplete. Fails at the first offending byte.
    #[inline]
    pub(super) fn parse(input: &mut &[u8], rules: Rules) -> Result<Option<Self>, FrameError> {
        let Some((&first, rest)) = input.split_first() else {
            return Ok(None);
        };
        let fin = first & FIN != 0;
        let opcode = check_first(first, rules.in_message)?;
        let Some((&second, rest)) = rest.split_first() else {
            return Ok(None);
        };
        if second & MASKED == 0 {
            return Err(FrameError::Unmasked);
        }
        let short = usize::from(second & !MASKED);
        if opcode.is_control() && short > MAX_CONTROL_BYTES {
            return Err(FrameError::LongControl);
        }
        let Some((payload, rest)) = read_length(short, rest)? else {
            return Ok(None);
        };
        if !opcode.is_control() && payload > rules.max_payload {
            return Err(FrameError::TooLong);
        }
        let Some((key, rest)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        *input = rest;
        Ok(Some(Self { fin, opcode, mask: Mask::new(*key), payload }))
    }
}

#[inline]
fn check_first(first: u8, in_message: bool) -> Result<Opcode, FrameError> {
    if first & RESERVED != 0 {
        return Err(FrameError::ReservedBit);
    }
    let opcode = Opcode::read(first)?;
    match opcode {
        Opcode::Continuation if !in_message => Err(FrameError::NothingToContinue),
        Opcode::Text | Opcode::Binary if in_message => Err(FrameError::Interleaved),
        _ if opcode.is_control() && first & FIN == 0 => Err(FrameError::FragmentedControl),
        _ => Ok(opcode),
    }
}

/// The length in the second byte, or in the 2 or 8 bytes behind it, and what follows it.
#[inline]
fn read_length(short: usize, rest: &[u8]) -> Result<Option<(usize, &[u8])>, FrameError> {
    let (long, rest, at_least) = match short {
        126 => {
            let Some((bytes, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            (u16::from_be_bytes(*bytes).into(), rest, 126)
        }
        127 => {
            let Some((bytes, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            (u64::from_be_bytes(*bytes), rest, 0x1_0000)
        }
        _ => return Ok(Some((short, rest))),
    };
    if long < at_least || long > i64::MAX.unsigned_abs() {
        return Err(FrameError::LongLength);
    }
    // What does not fit is over any limit.
    Ok(Some((usize::try_from(long).unwrap_or(usize::MAX), rest)))
}

/// The first bytes of a header that is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PartialHeader {
    bytes: [u8; MAX_HEADER_BYTES],
    length: u8,
}

impl PartialHeader {
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// As [`Header::parse`], with what came before `input`; keeps the bytes of one that is incomplete.
    #[inline]
    pub(super) fn parse(&mut self, input: &mut &[u8], rules: Rules) -> Result<Option<Header>, FrameError> {
        if self.is_empty()
            && let Some(header) = Header::parse(input, rules)?
        {
            return Ok(Some(header));
        }
        while let Some((&next, rest)) = input.split_first() {
            *input = rest;
            let length = usize::from(self.length);
            if let Some(byte) = self.bytes.get_mut(length) {
                *byte = next;
            }
            self.length = self.length.saturating_add(1);
            if let Some(header) = Header::parse(&mut self.bytes.get(..=length).unwrap_or_default(), rules)? {
                *self = Self::default();
                return Ok(Some(header));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const KEY: [u8; 4] = [1, 2, 3, 4];

    fn rules() -> Rules {
        Rules { in_message: false, max_payload: usize::MAX }
    }

    /// At every cut alike.
    fn parse(bytes: &[u8], rules: Rules) -> Result<Option<Header>, FrameError> {
        let whole = Header::parse(&mut &*bytes, rules);
        for size in 1..=bytes.len().max(1) {
            let mut partial = PartialHeader::default();
            let run = bytes.chunks(size).find_map(|part| partial.parse(&mut &*part, rules).transpose());
            assert_eq!(run.transpose(), whole, "{size} bytes a read: {}", bytes.escape_ascii());
        }
        whole
    }

    fn masked(start: &[u8]) -> Vec<u8> {
        [start, &KEY[..]].concat()
    }

    #[test]
    fn each_length_has_one_form() {
        for (start, payload) in [
            (&[0x82, 0x80][..], 0),
            (&[0x82, 0x80 | 125], 125),
            (&[0x82, 0xfe, 0, 126], 126),
            (&[0x82, 0xfe, 0xff, 0xff], 65_535),
            (&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0], 65_536),
            (
                &[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                usize::try_from(i64::MAX).unwrap(),
            ),
        ] {
            let header = parse(&masked(start), rules()).unwrap().unwrap();
            assert_eq!(header, Header { fin: true, opcode: Opcode::Binary, mask: Mask::new(KEY), payload });
        }
        for start in [
            &[0x82, 0xfe, 0, 0][..],
            &[0x82, 0xfe, 0, 125],
            &[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            &[0x82, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0],
        ] {
            assert_eq!(parse(start, rules()), Err(FrameError::LongLength), "{start:x?}");
        }
    }

    #[test]
    fn the_limit_counts_before_the_key_has_come() {
        let rules = Rules { max_payload: 126, ..rules() };
        assert!(parse(&masked(&[0x82, 0xfe, 0, 126]), rules).unwrap().is_some());
        assert_eq!(parse(&[0x82, 0xfe, 0, 127], rules), Err(FrameError::TooLong));
        let none = Rules { max_payload: 0, ..rules };
        assert_eq!(parse(&[0x82, 0x81], none), Err(FrameError::TooLong));
        assert!(parse(&masked(&[0x89, 0x81]), none).unwrap().is_some());
    }

    #[test]
    fn the_first_byte_says_whether_the_frame_may_come_here() {
        for first in 0..=u8::MAX {
            for in_message in [false, true] {
                let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
                let expected = match opcode {
                    _ if first & 0x70 != 0 => Err(FrameError::ReservedBit),
                    3..=7 | 0xb..=0xf => Err(FrameError::ReservedOpcode(opcode)),
                    8..=0xa if !fin => Err(FrameError::FragmentedControl),
                    0 if !in_message => Err(FrameError::NothingToContinue),
                    1 | 2 if in_message => Err(FrameError::Interleaved),
                    _ => Ok(fin),
                };
                let header = parse(&masked(&[first, 0x80]), Rules { in_message, ..rules() });
                assert_eq!(header.map(|header| header.unwrap().fin), expected, "{first:#x}");
                let alone = parse(&[first], Rules { in_message, ..rules() });
                assert_eq!(alone, expected.map(|_| None));
            }
        }
    }

    #[test]
    fn clients_mask_and_control_frames_are_short() {
        assert_eq!(parse(&[0x81, 0x05], rules()), Err(FrameError::Unmasked));
        assert_eq!(parse(&[0x89, 0x80 | 126], rules()), Err(FrameError::LongControl));
        assert_eq!(parse(&[0x88, 0x80 | 127], rules()), Err(FrameError::LongControl));
        assert!(parse(&masked(&[0x8a, 0x80 | 125]), rules()).unwrap().is_some());
    }
}
