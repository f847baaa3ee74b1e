//! Frames of RFC 6455 (section 5.2) as text: right ones, and wrong ones.

use std::fmt::Write;

use crate::opcode::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};
use crate::parse_error::Problem;
use crate::string::{literal, push};
use crate::{Literal, Piece, Variables};

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// The opcodes that have names.
const NAMES: [(u8, &str); 6] = [
    (CONTINUATION, "continuation"),
    (TEXT, "text"),
    (BINARY, "binary"),
    (CLOSE, "close"),
    (PING, "ping"),
    (PONG, "pong"),
];

/// A frame, as one side writes it. What is wrong with it is written, too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by whoever records")]
pub struct Frame {
    /// It is the last of its message.
    pub fin: bool,
    /// The reserved bits as one number: RSV1 is 4, RSV2 is 2, RSV3 is 1.
    pub rsv: u8,
    /// 0 to 15.
    pub opcode: u8,
    /// The masking key; `None` if the frame is not masked.
    pub mask: Option<[u8; 4]>,
    /// At least as many bits have the length.
    pub bits: LengthBits,
    /// The payload's length as the header has it, in bytes, if that is wrong.
    pub length: Option<u64>,
    /// The payload before it is masked.
    pub payload: Literal,
}

/// The three forms of a length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "the three of RFC 6455")]
pub enum LengthBits {
    /// In the second byte, up to 125.
    #[default]
    Seven,
    /// In two bytes of their own.
    Sixteen,
    /// In eight bytes of their own.
    SixtyFour,
}

impl Frame {
    /// Appends its bytes, with the variables filled in.
    pub fn encode(&self, variables: &Variables, out: &mut Vec<u8>) {
        let payload = self.payload.bytes(variables);
        let length = self.length.unwrap_or(payload.len() as u64);
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        out.push(if self.fin { FIN } else { 0 } | (self.rsv & 7) << 4 | self.opcode & 0xf);
        match (self.bits.max(LengthBits::shortest(length)), length.to_be_bytes()) {
            (LengthBits::Seven, [.., last]) => out.push(masked | last),
            (LengthBits::Sixteen, [.., first, last]) => out.extend_from_slice(&[masked | 126, first, last]),
            (LengthBits::SixtyFour, all) => {
                out.push(masked | 127);
                out.extend_from_slice(&all);
            }
        }
        match self.mask {
            Some(key) => {
                out.extend_from_slice(&key);
                out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
            }
            None => out.extend_from_slice(&payload),
        }
    }

    /// The frame at the start of `bytes`, and how many of them it is; `None` if it is not complete in them.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let header = Header::read(bytes)?;
        let length = usize::try_from(header.length).ok()?;
        let end = header.size.checked_add(length)?;
        let payload = bytes.get(header.size..end)?;
        let payload: Vec<u8> = match header.mask {
            Some(key) => payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect(),
            None => payload.to_vec(),
        };
        let Header { first, mask, bits, .. } = header;
        let (fin, rsv, opcode) = (first & FIN != 0, first >> 4 & 7, first & 0xf);
        let payload = payload.as_slice().into();
        Some((Self { fin, rsv, opcode, mask, bits, length: None, payload }, end))
    }

    /// How many bytes the header at the start of `bytes` has, and how many its whole frame; `None` if the header is not
    /// complete.
    #[must_use]
    pub fn size(bytes: &[u8]) -> Option<(usize, u64)> {
        let Header { size, length, .. } = Header::read(bytes)?;
        Some((size, length.saturating_add(size as u64)))
    }

    /// The form in a trace file: the first string begins with `frame`, the others continue its payload.
    pub(crate) fn strings(&self) -> Vec<String> {
        let mut line = String::from("frame ");
        // Cannot fail: writes to a string.
        let _ = match NAMES.into_iter().find(|(opcode, _)| *opcode == self.opcode) {
            Some((_, name)) => write!(line, "{name}"),
            None => write!(line, "opcode={:x}", self.opcode),
        };
        if !self.fin {
            line.push_str(" fin=0");
        }
        if self.rsv != 0 {
            let _ = write!(line, " rsv={}", self.rsv);
        }
        if let Some(mask) = self.mask {
            let _ = write!(line, " mask={:08x}", u32::from_be_bytes(mask));
        }
        match self.bits {
            LengthBits::Seven => {}
            LengthBits::Sixteen => line.push_str(" bits=16"),
            LengthBits::SixtyFour => line.push_str(" bits=64"),
        }
        if let Some(length) = self.length {
            let _ = write!(line, " length={length}");
        }
        let (code, rest) = self.code();
        if let Some(code) = code {
            let _ = write!(line, " {code}");
        }
        if rest.0.is_empty() {
            return vec![line];
        }
        let mut strings = rest.strings();
        if let Some(first) = strings.first_mut() {
            *first = format!("{line} {first}");
        }
        strings
    }

    /// The code of a close frame, and the rest of its payload.
    fn code(&self) -> (Option<u16>, Literal) {
        let mut rest = self.payload.clone();
        if self.opcode == CLOSE
            && let Some(Piece::Bytes(bytes, 1)) = rest.0.first_mut()
            && let Some((code, behind)) = bytes.split_first_chunk()
        {
            let code = u16::from_be_bytes(*code);
            *bytes = behind.to_vec();
            if bytes.is_empty() {
                rest.0.remove(0);
            }
            return (Some(code), rest);
        }
        (None, rest)
    }
}

impl LengthBits {
    fn shortest(length: u64) -> Self {
        match length {
            0..126 => Self::Seven,
            126..0x1_0000 => Self::Sixteen,
            _ => Self::SixtyFour,
        }
    }
}

/// What is before a payload.
pub(crate) struct Header {
    first: u8,
    mask: Option<[u8; 4]>,
    /// The form of the length, if it is not the shortest.
    bits: LengthBits,
    /// Of the payload.
    pub(crate) length: u64,
    /// Of the header itself.
    pub(crate) size: usize,
}

impl Header {
    /// `None` if it is not complete.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let rest = bytes.get(2..)?;
        let (form, length, size) = match second & !MASKED {
            126 => (LengthBits::Sixteen, u16::from_be_bytes(*rest.first_chunk()?).into(), 4),
            127 => (LengthBits::SixtyFour, u64::from_be_bytes(*rest.first_chunk()?), 10),
            short => (LengthBits::Seven, short.into(), 2),
        };
        let bits = if form == LengthBits::shortest(length) { LengthBits::Seven } else { form };
        if second & MASKED == 0 {
            return Some(Self { first, mask: None, bits, length, size });
        }
        let mask = *bytes.get(size..)?.first_chunk()?;
        Some(Self { first, mask: Some(mask), bits, length, size: size + 4 })
    }
}

/// What follows the word `frame`.
pub(crate) fn parse(text: &str) -> Result<Frame, Problem> {
    let wrong = || Problem::NotAFrame(text.into());
    let (head, string) = text.find('"').map_or((text, None), |at| (&text[..at], Some(&text[at..])));
    let mut words = head.split_ascii_whitespace();
    let opcode = words.next().and_then(opcode).ok_or_else(wrong)?;
    let (rsv, bits, payload) = (0, LengthBits::Seven, Literal::default());
    let mut frame = Frame { fin: true, rsv, opcode, mask: None, bits, length: None, payload };
    for word in words {
        let Some((name, value)) = word.split_once('=') else {
            let code: u16 = word.parse().map_err(|_| wrong())?;
            if opcode != CLOSE || !frame.payload.0.is_empty() {
                return Err(wrong());
            }
            push(&mut frame.payload, Piece::Bytes(code.to_be_bytes().into(), 1));
            continue;
        };
        match (name, value) {
            ("fin", "0") if frame.fin => frame.fin = false,
            ("rsv", _) if frame.rsv == 0 => {
                frame.rsv = value.parse().ok().filter(|rsv| (1..8).contains(rsv)).ok_or_else(wrong)?;
            }
            ("mask", _) if frame.mask.is_none() && is_key(value) => {
                frame.mask = Some(u32::from_str_radix(value, 16).map_err(|_| wrong())?.to_be_bytes());
            }
            ("bits", "16") if frame.bits == LengthBits::Seven => frame.bits = LengthBits::Sixteen,
            ("bits", "64") if frame.bits == LengthBits::Seven => frame.bits = LengthBits::SixtyFour,
            ("length", _) if frame.length.is_none() => {
                frame.length = Some(value.parse().map_err(|_| wrong())?);
            }
            _ => return Err(wrong()),
        }
    }
    for piece in string.map(literal).transpose()?.unwrap_or_default().0 {
        push(&mut frame.payload, piece);
    }
    Ok(frame)
}

fn is_key(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn opcode(word: &str) -> Option<u8> {
    if let Some((opcode, _)) = NAMES.into_iter().find(|(_, name)| *name == word) {
        return Some(opcode);
    }
    let digit = word.strip_prefix("opcode=").filter(|digit| digit.len() == 1)?;
    u8::from_str_radix(digit, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        parse(text).unwrap().encode(&Variables::default(), &mut out);
        out
    }

    #[test]
    fn each_part_of_a_frame_can_be_written() {
        for (text, expected) in [
            ("text \"Hello\"", &b"\x81\x05Hello"[..]),
            ("text mask=37fa213d \"Hello\"", b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
            ("text fin=0 \"Hel\"", b"\x01\x03Hel"),
            ("continuation \"lo\"", b"\x80\x02lo"),
            ("opcode=3 rsv=5", b"\xd3\0"),
            ("opcode=0", b"\x80\0"),
            ("ping bits=16 \"a\"", b"\x89\x7e\0\x01a"),
            ("ping bits=64 \"a\"", b"\x89\x7f\0\0\0\0\0\0\0\x01a"),
            ("binary bits=16 length=65536", b"\x82\x7f\0\0\0\0\0\x01\0\0"),
            ("binary mask=00000000 length=3 \"\\xff\"", b"\x82\x83\0\0\0\0\xff"),
            ("close", b"\x88\0"),
            ("close 1000", b"\x88\x02\x03\xe8"),
            ("close 4000 \"bye\"", b"\x88\x05\x0f\xa0bye"),
            ("close \"\\x03\"", b"\x88\x01\x03"),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
        assert_eq!(bytes("binary \"x\"*126")[..4], *b"\x82\x7e\0\x7e");
        for text in [
            "",
            "poke",
            "opcode=10",
            "opcode=g",
            "text fin=1",
            "text fin=0 fin=0",
            "text rsv=8",
            "text rsv=0",
            "text mask=1",
            "text mask=+1234567",
            "text bits=7",
            "text 1000",
            "close 1000 1000",
            "close 70000",
            "text length=-1",
            "text colour=red",
        ] {
            assert_eq!(parse(text), Err(Problem::NotAFrame(text.into())));
        }
    }

    #[test]
    fn what_is_read_gives_the_same_bytes_again_as_text_too() {
        let config = proptest::test_runner::Config { failure_persistence: None, ..Default::default() };
        proptest::proptest!(config, |(start: [u8; 2], rest: Vec<u8>, long in 0_usize..70_000)| {
            let bytes = [&start[..], &rest, &vec![7; long]].concat();
            if let Some((frame, end)) = Frame::read(&bytes) {
                let mut out = Vec::new();
                frame.encode(&Variables::default(), &mut out);
                assert_eq!(out, bytes[..end]);
                let step = crate::Bytes(vec![crate::Part::Frame(frame)]);
                let text = format!(
                    "{}\ntitle: t\nprotocol: rfc6455\nsection: s\nseverity: MAY\nC {step}\n", crate::HEADER
                );
                let trace: crate::Trace = text.parse().unwrap();
                let crate::Step::Client { bytes: again, .. } = &trace.steps[0] else { unreachable!() };
                assert_eq!(again.bytes(&Variables::default()), out);
                assert_eq!(again.to_string(), step.to_string());
            }
        });
    }
}
