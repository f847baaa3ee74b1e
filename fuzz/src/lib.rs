//! What the fuzz targets share: how their input is laid out, and models of the drafts as naive as can be.

use legacy_websocket::{InvalidUtf8, Limits, Options};
use md5::{Digest, Md5};

#[path = "../../component/engine/tests/support/mod.rs"]
pub mod support;

/// The input of a target: three bytes of settings, then what the client sends.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub flags: u8,
    pub max_message_bytes: usize,
    /// How many bytes a read gives.
    pub chunk: usize,
    pub bytes: &'a [u8],
}

impl<'a> Input<'a> {
    pub fn new(data: &'a [u8]) -> Option<Self> {
        let (&[flags, max, chunk], bytes) = data.split_first_chunk()?;
        Some(Self {
            flags,
            max_message_bytes: usize::from(max).max(1),
            chunk: usize::from(chunk).max(1),
            bytes,
        })
    }

    pub fn flag(&self, bit: u8) -> bool {
        self.flags & (1 << bit) != 0
    }

    /// Flags 0 to 6 are options of the engine.
    pub fn options(&self) -> Options {
        Options {
            skip_reserved_frames: self.flag(0),
            invalid_utf8: if self.flag(1) { InvalidUtf8::Close } else { InvalidUtf8::Replace },
            echo: self.flag(2),
            authorise: self.flag(3),
            trust_forwarded: self.flag(4),
            flash_policy: self.flag(5).then(|| "<cross-domain-policy/>".into()),
            pass_through: self.flag(6),
            health_path: Some("/healthz".into()),
            limits: Limits { max_message_bytes: self.max_message_bytes, ..Limits::default() },
            ..Options::default()
        }
    }
}

/// How a stream of frames ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has not.
    Open,
    /// By the client's closing frame.
    Closing,
    /// By something that is not allowed, or too long.
    Refused,
}

/// Section 5.3 of both drafts, a byte at a time.
pub fn read_frames(draft76: bool, options: &Options, bytes: &[u8]) -> (Vec<String>, End) {
    let max = options.limits.max_message_bytes;
    let skip = options.skip_reserved_frames;
    let mut messages = Vec::new();
    let mut bytes = bytes.iter().copied().peekable();
    while let Some(kind) = bytes.next() {
        if kind < 0x80 {
            if kind != 0x00 && !skip {
                return (messages, End::Refused);
            }
            let mut text = Vec::new();
            loop {
                match bytes.next() {
                    None => return (messages, End::Open),
                    Some(0xff) => break,
                    Some(byte) => text.push(byte),
                }
                if text.len() > max {
                    return (messages, End::Refused);
                }
            }
            if kind != 0x00 {
                continue;
            }
            match String::from_utf8(text) {
                Ok(text) => messages.push(text),
                Err(_) if options.invalid_utf8 == InvalidUtf8::Close => return (messages, End::Refused),
                Err(error) => messages.push(String::from_utf8_lossy(error.as_bytes()).into_owned()),
            }
            continue;
        }
        if !skip {
            return match (kind, bytes.next()) {
                (0xff, None) => (messages, End::Open),
                (0xff, Some(0x00)) => (messages, End::Closing),
                _ => (messages, End::Refused),
            };
        }
        let mut length = 0_u128;
        let mut length_bytes = 0;
        loop {
            let Some(byte) = bytes.next() else { return (messages, End::Open) };
            length = length * 128 + u128::from(byte & 0x7f);
            length_bytes += 1;
            if length > max as u128 || (byte & 0x80 != 0 && length_bytes == 10) {
                return (messages, End::Refused);
            }
            if byte & 0x80 == 0 {
                break;
            }
        }
        if length == 0 && kind == 0xff && draft76 {
            return (messages, End::Closing);
        }
        for _ in 0..length {
            if bytes.next().is_none() {
                return (messages, End::Open);
            }
        }
    }
    (messages, End::Open)
}

/// Section 5.2, steps 4 to 7 of draft 76, by decimal digits.
pub fn key_part(key: &[u8]) -> Option<u32> {
    let digits: String = key.iter().copied().filter(u8::is_ascii_digit).map(char::from).collect();
    let spaces = key.iter().filter(|byte| **byte == b' ').count() as u128;
    let number: u128 = digits.parse().ok()?;
    if spaces == 0 || number % spaces != 0 {
        return None;
    }
    u32::try_from(number / spaces).ok()
}

/// Steps 8 and 9.
pub fn answer(key1: &[u8], key2: &[u8], key3: &[u8]) -> Option<[u8; 16]> {
    let mut md5 = Md5::new();
    md5.update(key_part(key1)?.to_be_bytes());
    md5.update(key_part(key2)?.to_be_bytes());
    md5.update(key3);
    Some(md5.finalize().into())
}
