//! Finds the end of a head, and rejects what cannot be one.

use alloc::vec::Vec;
use core::mem;

use super::Head;
use crate::error::{MalformedHead, Refusal};
use crate::frame::hold;
use crate::options::Limits;

/// The first byte of a TLS handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Collects a head at any chunking, within the limits. Invalid input is refused at the first offending byte.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HeadReader {
    held: Vec<u8>,
    at: At,
    fields: usize,
}

impl HeadReader {
    /// Memory held, in bytes; 0 until the first byte arrives.
    pub(crate) fn held(&self) -> usize {
        self.held.capacity()
    }

    /// Takes bytes off `input`, up to the head's end; `None` if the end is not in it.
    pub(crate) fn read(
        &mut self,
        input: &mut &[u8],
        limits: &Limits,
        room: usize,
    ) -> Result<Option<Head>, Refusal> {
        let free = limits.max_head_bytes.saturating_sub(self.held.len());
        let end = self.scan(input.get(..free).unwrap_or(input), limits.max_fields)?;
        if end.is_none() && input.len() >= free {
            return Err(Refusal::HeadTooLong);
        }
        let (mut part, rest) = end.and_then(|end| input.split_at_checked(end)).unwrap_or((*input, &[]));
        *input = rest;
        // A complete head is no longer held.
        let room = if end.is_some() { usize::MAX } else { room };
        self.held = hold(mem::take(&mut self.held), &mut part, room).map_err(|_| Refusal::HeadTooLong)?;
        Ok(end.map(|_| Head::new(mem::take(self).held)))
    }

    /// The offset in `input` at which the head ends.
    fn scan(&mut self, input: &[u8], max_fields: usize) -> Result<Option<usize>, Refusal> {
        let mut rest = input;
        loop {
            if matches!(self.at, At::Version | At::Value) {
                let ordinary = memchr::memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
                rest = rest.get(ordinary..).unwrap_or_default();
            }
            let Some((&byte, behind)) = rest.split_first() else {
                return Ok(None);
            };
            rest = behind;
            self.at = self.at.next(byte)?;
            match self.at {
                At::End => return Ok(Some(input.len().saturating_sub(rest.len()))),
                At::Field => {
                    self.fields = self.fields.saturating_add(1);
                    if self.fields > max_fields {
                        return Err(Refusal::TooManyFields);
                    }
                }
                _ => {}
            }
        }
    }
}

/// The part of the head that the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// The very first byte.
    #[default]
    Start,
    Method,
    /// The first byte of the target.
    Target,
    MoreTarget,
    /// The rest of the request line after the target, on which drafts and HTTP differ.
    Version,
    /// The LF of the request line.
    LineEnd,
    /// The first byte of a field, or of the blank line.
    Line,
    Name,
    Value,
    /// The LF of a field.
    FieldEnd,
    /// Like `Line`, after a field.
    Field,
    /// The LF of the blank line.
    BlankEnd,
    /// The head is complete.
    End,
}

impl At {
    /// Draft 76 sections 1.2 and 5.1; RFC 9112 sections 3 and 5 are stricter about the request line.
    fn next(self, byte: u8) -> Result<Self, MalformedHead> {
        let is_text = !matches!(byte, b'\r' | b'\n' | 0);
        match (self, byte) {
            (Self::Start, TLS_HANDSHAKE) => Err(MalformedHead::Tls),
            (Self::Start | Self::Method, _) if is_token(byte) => Ok(Self::Method),
            (Self::Method, b' ') => Ok(Self::Target),
            (Self::MoreTarget, b' ') => Ok(Self::Version),
            (Self::Target | Self::MoreTarget, _) if is_text && byte != b' ' => Ok(Self::MoreTarget),
            (Self::Version, b'\r') => Ok(Self::LineEnd),
            (Self::Version, _) if is_text => Ok(Self::Version),
            (Self::LineEnd, b'\n') => Ok(Self::Line),
            (Self::Line | Self::Field, b'\r') => Ok(Self::BlankEnd),
            (Self::Line | Self::Field | Self::Name, _) if byte.is_ascii_graphic() && byte != b':' => {
                Ok(Self::Name)
            }
            (Self::Name, b':') => Ok(Self::Value),
            (Self::Value, b'\r') => Ok(Self::FieldEnd),
            (Self::Value, _) if is_text => Ok(Self::Value),
            (Self::FieldEnd, b'\n') => Ok(Self::Field),
            (Self::BlankEnd, b'\n') => Ok(Self::End),
            (Self::Version | Self::Line | Self::Field | Self::Name | Self::Value, b'\n') => {
                Err(MalformedHead::BareLineFeed)
            }
            (Self::Line | Self::Field | Self::Name | Self::BlankEnd | Self::End, _) => {
                Err(MalformedHead::FieldName)
            }
            (Self::Value | Self::FieldEnd, _) => Err(MalformedHead::FieldValue),
            (
                Self::Start | Self::Method | Self::Target | Self::MoreTarget | Self::Version | Self::LineEnd,
                _,
            ) => Err(MalformedHead::RequestLine),
        }
    }
}

/// A character of a method (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Head>, Refusal> {
        HeadReader::default().read(&mut &*bytes, &Limits::default(), usize::MAX)
    }

    #[test]
    fn a_malformed_head_is_refused_at_the_offending_byte() {
        for (bytes, why) in [
            (&b"\x16"[..], MalformedHead::Tls),
            (b"\0", MalformedHead::RequestLine),
            (b" ", MalformedHead::RequestLine),
            (b"\r", MalformedHead::RequestLine),
            (b"GET\r", MalformedHead::RequestLine),
            (b"GET /\r", MalformedHead::RequestLine),
            (b"GET  ", MalformedHead::RequestLine),
            (b"GET / HTTP/1.1\0", MalformedHead::RequestLine),
            (b"GET / HTTP/1.1\r\r", MalformedHead::RequestLine),
            (b"SSH-2.0-OpenSSH_9.2\r", MalformedHead::RequestLine),
            (b"GET / HTTP/1.1\n", MalformedHead::BareLineFeed),
            (b"GET / HTTP/1.1\r\n\n", MalformedHead::BareLineFeed),
            (b"GET / HTTP/1.1\r\nA: b\n", MalformedHead::BareLineFeed),
            (b"GET / HTTP/1.1\r\nno ", MalformedHead::FieldName),
            (b"GET / HTTP/1.1\r\n:", MalformedHead::FieldName),
            (b"GET / HTTP/1.1\r\nno\r", MalformedHead::FieldName),
            (b"GET / HTTP/1.1\r\nHost ", MalformedHead::FieldName),
            (b"GET / HTTP/1.1\r\nA: b\r\n ", MalformedHead::FieldName),
            (b"GET / HTTP/1.1\r\n\rA", MalformedHead::FieldName),
            (b"GET / HTTP/1.1\r\nA: b\rc", MalformedHead::FieldValue),
            (b"GET / HTTP/1.1\r\nA: b\0", MalformedHead::FieldValue),
        ] {
            assert_eq!(read(bytes), Err(Refusal::Malformed(why)), "{}", bytes.escape_ascii());
            let before = bytes.split_last().map_or(&b""[..], |(_, before)| before);
            assert_eq!(read(before), Ok(None), "{}", before.escape_ascii());
        }
    }

    #[test]
    fn limits_apply_to_an_incomplete_head_at_any_chunking() {
        let limits = Limits { max_head_bytes: 32, max_fields: 2, ..Limits::default() };
        let read = |bytes: &[u8], chunk: usize| {
            let mut reader = HeadReader::default();
            bytes
                .chunks(chunk)
                .find_map(|mut part| reader.read(&mut part, &limits, usize::MAX).transpose())
                .transpose()
        };
        let is_whole = |bytes: &[u8]| {
            let whole = read(bytes, bytes.len()).map(|head| head.is_some());
            assert_eq!(read(bytes, 1).map(|head| head.is_some()), whole);
            whole
        };
        assert_eq!(is_whole(&[b'a'; 31]), Ok(false));
        assert_eq!(is_whole(&[b'a'; 32]), Err(Refusal::HeadTooLong));
        assert_eq!(is_whole(&[&[b'a'; 32][..], b"\n"].concat()), Err(Refusal::HeadTooLong));
        assert_eq!(is_whole(b"GET / HTTP/1.1\r\na:\r\nb: 345678\r\n\r\n"), Err(Refusal::HeadTooLong));
        assert_eq!(is_whole(b"GET / HTTP/1.1\r\na:\r\nb: 34567\r\n\r\n"), Ok(true));
        assert_eq!(is_whole(b"GET / HTTP/1.1\r\na:\r\nb:\r\nc:\r\n"), Err(Refusal::TooManyFields));
    }
}
