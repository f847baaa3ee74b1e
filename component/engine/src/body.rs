//! The body of a plain request (RFC 9112 sections 6 and 7.1): by Content-Length, or in chunks.

use alloc::vec::Vec;
use core::mem;

use crate::error::{FrameError, MalformedBody, MalformedHead, Refusal};
use crate::frame::hold;
use crate::head::{Head, trim};
use crate::http;
use crate::options::Limits;

/// Hexadecimal digits of a chunk's size: as many as 64 bits need.
const MAX_SIZE_DIGITS: u8 = 16;

/// Collects a body at any chunking, within the limits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BodyReader {
    body: Vec<u8>,
    /// Bytes of chunk extensions and trailers read so far.
    discarded: usize,
    /// Lines of trailers read so far.
    trailers: usize,
    at: At,
}

/// The next part of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Body bytes of a known length; holds the number left.
    Rest(usize),
    /// The size of a chunk; holds its value and number of digits so far.
    Size { size: usize, digits: u8 },
    /// Blanks after a size.
    SizeBlanks { size: usize },
    /// An extension, which is discarded.
    Extension { size: usize },
    /// The LF that ends the line of a size.
    SizeFeed { size: usize },
    /// Bytes of a chunk; holds the number left, at least one.
    Chunk(usize),
    /// The CR after a chunk.
    ChunkReturn,
    /// The LF after a chunk.
    ChunkFeed,
    /// A trailer line, which is discarded; holds whether it has any bytes yet.
    Trailer { blank: bool },
    /// The LF at the end of a trailer line.
    TrailerFeed { blank: bool },
    /// The body is complete.
    End,
}

/// Why a body cannot be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    Refused(Refusal),
    /// [`FrameError::NoRoom`].
    NoRoom(FrameError),
}

impl From<Refusal> for BodyError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl BodyReader {
    /// Reads the body that a head announces, which may be empty.
    pub(crate) fn new(head: &Head, limits: &Limits) -> Result<Self, Refusal> {
        let at = if head.value("Transfer-Encoding").is_some() {
            check_chunked(head)?;
            At::Size { size: 0, digits: 0 }
        } else {
            match http::content_length(head)? {
                None | Some(0) => At::End,
                Some(length) if length > limits.max_message_bytes => return Err(Refusal::BodyTooLong),
                Some(length) => At::Rest(length),
            }
        };
        Ok(Self { body: Vec::new(), discarded: 0, trailers: 0, at })
    }

    /// Whether the body is complete.
    pub(crate) fn is_whole(&self) -> bool {
        self.at == At::End
    }

    /// Buffered bytes.
    pub(crate) fn held(&self) -> usize {
        self.body.len()
    }

    /// Takes bytes off `input`, up to the end of the body; returns the body once it is complete. Buffers at most
    /// `room` bytes.
    pub(crate) fn read(
        &mut self,
        input: &mut &[u8],
        limits: &Limits,
        room: usize,
    ) -> Result<Option<Vec<u8>>, BodyError> {
        while !self.is_whole() && !input.is_empty() {
            match self.at {
                At::Rest(left) => {
                    let left = self.take(input, left, room)?;
                    self.at = if left == 0 { At::End } else { At::Rest(left) };
                }
                At::Chunk(left) => {
                    let left = self.take(input, left, room)?;
                    self.at = if left == 0 { At::ChunkReturn } else { At::Chunk(left) };
                }
                _ => self.take_framing(input, limits)?,
            }
        }
        Ok(self.is_whole().then(|| mem::take(&mut self.body)))
    }

    /// Takes up to `left` bytes of the body. Returns how many are still missing.
    fn take(&mut self, input: &mut &[u8], left: usize, room: usize) -> Result<usize, BodyError> {
        let (mut part, rest) = input.split_at_checked(left).unwrap_or((*input, &[]));
        *input = rest;
        let left = left.saturating_sub(part.len());
        self.body = hold(mem::take(&mut self.body), &mut part, room).map_err(BodyError::NoRoom)?;
        Ok(left)
    }

    /// Takes one byte of the syntax between and after chunks.
    fn take_framing(&mut self, input: &mut &[u8], limits: &Limits) -> Result<(), Refusal> {
        let Some((&byte, rest)) = input.split_first() else {
            return Ok(());
        };
        *input = rest;
        self.at = match (self.at, byte) {
            (At::Size { size, digits }, digit) if digit.is_ascii_hexdigit() => {
                let size = self.add_digit(size, digits, digit, limits)?;
                At::Size { size, digits: digits.saturating_add(1) }
            }
            (At::Size { digits: 0, .. }, _) => return Err(MalformedBody::ChunkSize.into()),
            (At::Size { size, .. } | At::SizeBlanks { size } | At::Extension { size }, b'\r') => {
                At::SizeFeed { size }
            }
            (At::Size { size, .. } | At::SizeBlanks { size }, b' ' | b'\t') => {
                self.discard(limits)?;
                At::SizeBlanks { size }
            }
            (At::Size { size, .. } | At::SizeBlanks { size }, b';') => At::Extension { size },
            (At::Size { .. } | At::SizeBlanks { .. }, _) => return Err(MalformedBody::ChunkSize.into()),
            (At::Extension { .. }, b'\n' | 0) => return Err(MalformedBody::ChunkExtension.into()),
            (At::Extension { size }, _) => {
                self.discard(limits)?;
                At::Extension { size }
            }
            (At::SizeFeed { size: 0 }, b'\n') => At::Trailer { blank: true },
            (At::SizeFeed { size }, b'\n') => At::Chunk(size),
            (At::SizeFeed { .. }, _) => return Err(MalformedBody::ChunkSize.into()),
            (At::ChunkReturn, b'\r') => At::ChunkFeed,
            (At::ChunkFeed, b'\n') => At::Size { size: 0, digits: 0 },
            (At::ChunkReturn | At::ChunkFeed, _) => return Err(MalformedBody::ChunkEnd.into()),
            (At::Trailer { blank }, b'\r') => At::TrailerFeed { blank },
            (At::Trailer { .. }, b'\n' | 0) => return Err(MalformedBody::Trailer.into()),
            (At::Trailer { .. }, _) => {
                self.discard(limits)?;
                At::Trailer { blank: false }
            }
            (At::TrailerFeed { blank: true }, b'\n') => At::End,
            (At::TrailerFeed { blank: false }, b'\n') => {
                self.trailers = self.trailers.saturating_add(1);
                if self.trailers > limits.max_fields {
                    return Err(Refusal::TooManyFields);
                }
                At::Trailer { blank: true }
            }
            (At::TrailerFeed { .. }, _) => return Err(MalformedBody::Trailer.into()),
            (whole @ (At::Rest(_) | At::Chunk(_) | At::End), _) => whole,
        };
        Ok(())
    }

    /// The size with one more digit, if a body may be that long.
    fn add_digit(&self, size: usize, digits: u8, digit: u8, limits: &Limits) -> Result<usize, Refusal> {
        if digits >= MAX_SIZE_DIGITS {
            return Err(MalformedBody::ChunkSize.into());
        }
        let value = char::from(digit).to_digit(16).and_then(|value| usize::try_from(value).ok());
        let size = value.and_then(|value| size.checked_mul(16)?.checked_add(value));
        let free = limits.max_message_bytes.saturating_sub(self.body.len());
        size.filter(|size| *size <= free).ok_or(Refusal::BodyTooLong)
    }

    /// Counts a discarded byte, so that a body cannot consist of nothing else.
    fn discard(&mut self, limits: &Limits) -> Result<(), Refusal> {
        self.discarded = self.discarded.saturating_add(1);
        if self.discarded > limits.max_head_bytes { Err(Refusal::ChunkFieldsTooLong) } else { Ok(()) }
    }
}

/// Decodes only chunked. Refuses ambiguous framing: two programs could disagree on where the next request begins (RFC
/// 9112 section 6.3).
fn check_chunked(head: &Head) -> Result<(), Refusal> {
    if head.value("Content-Length").is_some() {
        return Err(Refusal::TwoBodyLengths);
    }
    let are_chunked: Vec<bool> = head
        .values("Transfer-Encoding")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(trim)
        .filter(|coding| !coding.is_empty())
        .map(|coding| coding.eq_ignore_ascii_case(b"chunked"))
        .collect();
    match are_chunked.as_slice() {
        // HTTP/1.0 has no transfer codings.
        _ if head.version() != b"HTTP/1.1" => Err(MalformedHead::TransferEncoding.into()),
        [true] => Ok(()),
        [others @ .., true] if !others.contains(&true) => Err(Refusal::TransferCoding),
        _ => Err(MalformedHead::TransferEncoding.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::HeadReader;
    use alloc::format;

    fn limits() -> Limits {
        Limits { max_head_bytes: 40, max_fields: 2, max_message_bytes: 20, ..Limits::default() }
    }

    fn reader(fields: &str) -> Result<BodyReader, Refusal> {
        let head = format!("POST / HTTP/1.1\r\n{fields}\r\n");
        let head = HeadReader::default().read(&mut head.as_bytes(), &Limits::default(), usize::MAX);
        BodyReader::new(&head.unwrap().unwrap(), &limits())
    }

    /// Returns the body and the input after it, which must be the same for every split.
    fn chunked(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, BodyError> {
        let run = |size: usize| {
            let mut reader = reader("Transfer-Encoding: chunked\r\n").unwrap();
            let mut left = bytes.len();
            for part in bytes.chunks(size) {
                let mut input = part;
                let body = reader.read(&mut input, &limits(), usize::MAX)?;
                left = left.saturating_sub(part.len().saturating_sub(input.len()));
                if let Some(body) = body {
                    return Ok(Some((body, left)));
                }
            }
            Ok(None)
        };
        let whole = run(bytes.len());
        for size in 1..bytes.len() {
            assert_eq!(run(size), whole, "{size} bytes a read: {}", bytes.escape_ascii());
        }
        whole
    }

    #[test]
    fn chunks_are_joined_and_trailing_input_is_left() {
        for (bytes, body, left) in [
            (&b"0\r\n\r\n"[..], &b""[..], 0),
            (b"5\r\nhello\r\n0\r\n\r\nGET", b"hello", 3),
            (b"5\r\nhello\r\n00a\r\n, world\r\n!\r\n000\r\n\r\n", b"hello, world\r\n!", 0),
            (b"3;name=value;x=\"a;b\"\r\nabc\r\n3 \t;y\r\ndef\r\n0;z\r\n\r\n", b"abcdef", 0),
            (b"A\r\n0123456789\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\n", b"0123456789", 0),
        ] {
            assert_eq!(chunked(bytes), Ok(Some((body.to_vec(), left))), "{}", bytes.escape_ascii());
        }
        assert_eq!(chunked(b"5\r\nhello\r\n0\r\n"), Ok(None));
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for (bytes, why) in [
            (&b"\r\n"[..], MalformedBody::ChunkSize),
            (b"-1\r\n", MalformedBody::ChunkSize),
            (b"0x5\r\nhello\r\n", MalformedBody::ChunkSize),
            (b" 5\r\nhello\r\n", MalformedBody::ChunkSize),
            (b"5 5\r\nhello\r\n", MalformedBody::ChunkSize),
            (b"5\nhello\n", MalformedBody::ChunkSize),
            (b"5\rhello\r\n", MalformedBody::ChunkSize),
            (b"00000000000000005\r\n", MalformedBody::ChunkSize),
            (b"5;a\nhello\r\n", MalformedBody::ChunkExtension),
            (b"5;a\0\r\nhello\r\n", MalformedBody::ChunkExtension),
            (b"5\r\nhello0\r\n\r\n", MalformedBody::ChunkEnd),
            (b"5\r\nhello\n0\r\n\r\n", MalformedBody::ChunkEnd),
            (b"5\r\nhello\r0\r\n\r\n", MalformedBody::ChunkEnd),
            (b"0\r\na: b\n\r\n", MalformedBody::Trailer),
            (b"0\r\na: b\rc\r\n\r\n", MalformedBody::Trailer),
            (b"0\r\n\n", MalformedBody::Trailer),
        ] {
            let refused = Err(BodyError::Refused(Refusal::MalformedBody(why)));
            assert_eq!(chunked(bytes), refused, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn limits_are_checked_before_bytes_are_buffered() {
        for (bytes, why) in [
            (&b"15"[..], Refusal::BodyTooLong),
            (b"ffffffffffffffff\r\n", Refusal::BodyTooLong),
            (b"b\r\nhello world\r\na", Refusal::BodyTooLong),
            (&[b"1;", &[b'x'; 41][..]].concat(), Refusal::ChunkFieldsTooLong),
            (&[b"1;", &[b'x'; 30][..], b"\r\na\r\n1;", &[b'x'; 11]].concat(), Refusal::ChunkFieldsTooLong),
            (&[b"0\r\n", &[b'x'; 41][..]].concat(), Refusal::ChunkFieldsTooLong),
            (b"0\r\na:\r\nb:\r\nc:\r\n", Refusal::TooManyFields),
        ] {
            assert_eq!(chunked(bytes), Err(BodyError::Refused(why)), "{}", bytes.escape_ascii());
        }
        let mut reader = reader("Transfer-Encoding: chunked\r\n").unwrap();
        let no_room = Err(BodyError::NoRoom(FrameError::NoRoom));
        assert_eq!(reader.read(&mut &b"5\r\nhello"[..], &limits(), 4), no_room);
    }

    #[test]
    fn an_ambiguous_length_is_refused() {
        let malformed = Refusal::Malformed(MalformedHead::TransferEncoding);
        for (fields, why) in [
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Refusal::TwoBodyLengths),
            ("Content-Length: 5\r\nTransfer-Encoding: gzip\r\n", Refusal::TwoBodyLengths),
            ("Transfer-Encoding: gzip, chunked\r\n", Refusal::TransferCoding),
            ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", Refusal::TransferCoding),
            ("Transfer-Encoding: chunked, gzip\r\n", malformed),
            ("Transfer-Encoding: chunked, chunked\r\n", malformed),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", malformed),
            ("Transfer-Encoding: identity\r\n", malformed),
            ("Transfer-Encoding: \r\n", malformed),
            ("Transfer-Encoding: \x0bchunked\r\n", malformed),
            ("Transfer-Encoding: \"chunked\"\r\n", malformed),
            ("Content-Length: \x0c3\r\n", Refusal::Malformed(MalformedHead::ContentLength)),
            ("Content-Length: +3\r\n", Refusal::Malformed(MalformedHead::ContentLength)),
            ("Content-Length: 21\r\n", Refusal::BodyTooLong),
            ("Content-Length: 3\r\nContent-Length: 3\r\n", Refusal::DuplicateField),
        ] {
            assert_eq!(reader(fields), Err(why), "{fields}");
        }
        for fields in ["Transfer-Encoding:  Chunked\t\r\n", "Transfer-Encoding: ,chunked,\r\n"] {
            assert!(reader(fields).is_ok(), "{fields}");
        }
    }
}
