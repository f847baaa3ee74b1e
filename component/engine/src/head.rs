//! The head of a request: request line, fields, blank line (draft 76 section 5.1, draft 75 section 5.2).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{MalformedHead, Refusal};
use crate::frame::hold;
use crate::options::Limits;

/// The head of a request, as it came: an opening handshake or plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The whole head, known to be well-formed.
    raw: Box<[u8]>,
    method_end: usize,
    target_end: usize,
    line_end: usize,
}

impl Head {
    /// `GET` in every opening handshake.
    #[must_use]
    pub fn method(&self) -> &str {
        self.raw.get(..self.method_end).and_then(|method| str::from_utf8(method).ok()).unwrap_or_default()
    }

    /// The request target, a draft's "resource name" with its query, as it came: browsers of the time send
    /// raw UTF-8, some clients bytes that are no UTF-8 at all.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.raw.get(self.method_end.saturating_add(1)..self.target_end).unwrap_or_default()
    }

    /// [`target`](Self::target) as text, with U+FFFD for what is not UTF-8.
    #[must_use]
    pub fn target_text(&self) -> String {
        String::from_utf8_lossy(self.target()).into_owned()
    }

    /// Every field in the order in which they came: the name as it came, and the bytes behind the colon
    /// and one space.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let fields = self.raw.get(self.line_end..).unwrap_or_default();
        lines(fields).filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            let name = str::from_utf8(line.get(..colon)?).ok()?;
            let value = line.get(colon.saturating_add(1)..)?;
            Some((name, value.strip_prefix(b" ").unwrap_or(value)))
        })
    }

    /// The values of the fields of this name, compared without regard to ASCII case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of the first field of this name.
    #[must_use]
    pub fn value<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// The cookies in order, name and value as they came; U+FFFD for what is not UTF-8.
    pub fn cookies(&self) -> impl Iterator<Item = (String, String)> {
        self.values("Cookie").flat_map(|value| value.split(|byte| *byte == b';')).filter_map(|pair| {
            let pair = String::from_utf8_lossy(pair);
            let (name, value) = pair.split_once('=')?;
            Some((name.trim().into(), value.trim().into()))
        })
    }

    /// What follows the target in the request line, usually `HTTP/1.1`.
    pub(crate) fn version(&self) -> &[u8] {
        let end = self.line_end.saturating_sub(2);
        self.raw.get(self.target_end.saturating_add(1)..end).unwrap_or_default()
    }

    /// Whether any field of this name lists `token` (comma-separated, without regard to ASCII case).
    pub(crate) fn lists(&self, name: &str, token: &str) -> bool {
        self.values(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The value of a field that may be there at most once.
    pub(crate) fn single<'a>(&'a self, name: &'a str) -> Result<Option<&'a [u8]>, Refusal> {
        let mut values = self.values(name);
        let first = values.next();
        if values.next().is_some() { Err(Refusal::DuplicateField) } else { Ok(first) }
    }

    fn parse(raw: &[u8]) -> Result<Self, MalformedHead> {
        let line = lines(raw).next().ok_or(MalformedHead::RequestLine)?;
        let method_end = memchr::memchr(b' ', line).ok_or(MalformedHead::RequestLine)?;
        let rest = line.get(method_end.saturating_add(1)..).unwrap_or_default();
        let target = memchr::memchr(b' ', rest).ok_or(MalformedHead::RequestLine)?;
        let method = line.get(..method_end).unwrap_or_default();
        if method.is_empty() || !method.iter().copied().all(is_token) || target == 0 || !is_text(line) {
            return Err(MalformedHead::RequestLine);
        }
        let line_end = line.len().saturating_add(2);
        for field in lines(raw.get(line_end..).unwrap_or_default()) {
            let colon = memchr::memchr(b':', field).ok_or(MalformedHead::FieldName)?;
            let (name, value) = field.split_at_checked(colon).unwrap_or_default();
            if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
                return Err(MalformedHead::FieldName);
            }
            if !is_text(value) {
                return Err(MalformedHead::FieldValue);
            }
        }
        let target_end = method_end.saturating_add(1).saturating_add(target);
        Ok(Self { raw: raw.into(), method_end, target_end, line_end })
    }
}

/// Collects a head at any chunking, within the limits.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HeadReader {
    held: Vec<u8>,
    /// Bytes of the current line so far, its CR included.
    line: usize,
    lines: usize,
}

impl HeadReader {
    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes bytes up to the head's end off `input`; None when they do not reach it.
    pub(crate) fn read(
        &mut self,
        input: &mut &[u8],
        limits: &Limits,
        room: usize,
    ) -> Result<Option<Head>, Refusal> {
        if self.held.is_empty() && input.first().is_some_and(|byte| !is_token(*byte)) {
            return Err(MalformedHead::RequestLine.into());
        }
        let end = self.scan(input, limits)?;
        let free = limits.max_head_bytes.saturating_sub(self.held.len());
        let Some((mut part, rest)) = end.and_then(|end| input.split_at_checked(end)) else {
            if input.len() >= free {
                return Err(Refusal::HeadTooLong);
            }
            self.held =
                hold(core::mem::take(&mut self.held), input, room).map_err(|_| Refusal::HeadTooLong)?;
            return Ok(None);
        };
        *input = rest;
        if part.len() > free {
            return Err(Refusal::HeadTooLong);
        }
        if self.held.is_empty() {
            return Ok(Some(Head::parse(part)?));
        }
        let held = core::mem::take(self).held;
        let raw = hold(held, &mut part, usize::MAX).map_err(|_| Refusal::HeadTooLong)?;
        Ok(Some(Head::parse(&raw)?))
    }

    /// Where the head ends in `input`. Lines are counted and checked as they come, so that what can only be
    /// refused is refused before it is whole.
    fn scan(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        let mut start = 0_usize;
        for feed in memchr::memchr_iter(b'\n', input) {
            let before = match feed.checked_sub(1) {
                Some(at) => input.get(at),
                None => self.held.last(),
            };
            if before != Some(&b'\r') {
                return Err(MalformedHead::BareLineFeed.into());
            }
            let line = self.line.saturating_add(feed.saturating_sub(start));
            start = feed.saturating_add(1);
            self.line = 0;
            if line == 1 {
                return Ok(Some(start));
            }
            self.lines = self.lines.saturating_add(1);
            if self.lines > limits.max_fields.saturating_add(1) {
                return Err(Refusal::TooManyFields);
            }
        }
        self.line = self.line.saturating_add(input.len().saturating_sub(start));
        Ok(None)
    }
}

/// The lines before the blank one, without their CR LF.
fn lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    raw.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .take_while(|line| !line.is_empty())
}

/// A character of a method (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// No CR, LF, NUL.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    memchr::memchr3(b'\r', b'\n', 0, bytes).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Head>, Refusal> {
        HeadReader::default().read(&mut &*bytes, &Limits::default(), usize::MAX)
    }

    #[test]
    fn runs_of_spaces_survive_and_one_belongs_to_the_syntax() {
        let head = read(b"GET /\xff?a  HTTP/1.1\r\nKey:  a  b \r\nNone:x\r\n\r\n").unwrap().unwrap();
        assert_eq!(head.target(), b"/\xff?a");
        assert_eq!(head.target_text(), "/\u{fffd}?a");
        assert_eq!(head.version(), b" HTTP/1.1");
        assert_eq!(head.fields().collect::<Vec<_>>(), [("Key", &b" a  b "[..]), ("None", b"x")]);
    }

    #[test]
    fn cookies_come_in_order_from_all_fields() {
        let head = read(b"GET / x\r\nCookie: a=1; b=2=3;junk\r\ncookie: c=\r\n\r\n").unwrap().unwrap();
        let cookies: Vec<_> = head.cookies().collect();
        assert_eq!(cookies, [("a", "1"), ("b", "2=3"), ("c", "")].map(|(n, v)| (n.into(), v.into())));
    }

    #[test]
    fn each_malformed_head_has_its_own_reason() {
        for (bytes, why) in [
            (&b"\x16\x03\x01"[..], MalformedHead::RequestLine),
            (b"GET /\r\n\r\n", MalformedHead::RequestLine),
            (b"GET  HTTP/1.1\r\n\r\n", MalformedHead::RequestLine),
            (b"\r\n", MalformedHead::RequestLine),
            (b"GET / HTTP/1.1\n", MalformedHead::BareLineFeed),
            (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", MalformedHead::FieldName),
            (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", MalformedHead::FieldName),
            (b"GET / HTTP/1.1\r\nA: b\r\n folded: c\r\n\r\n", MalformedHead::FieldName),
            (b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", MalformedHead::FieldValue),
            (b"GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", MalformedHead::FieldValue),
        ] {
            assert_eq!(read(bytes), Err(Refusal::Malformed(why)), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn limits_hold_before_the_head_is_whole() {
        let limits = Limits { max_head_bytes: 32, max_fields: 2, ..Limits::default() };
        let read = |bytes: &[u8]| HeadReader::default().read(&mut &*bytes, &limits, usize::MAX);
        assert_eq!(read(&[b'a'; 31]), Ok(None));
        assert_eq!(read(&[b'a'; 32]), Err(Refusal::HeadTooLong));
        assert_eq!(read(b"GET / HTTP/1.1\r\na:\r\nb:\r\n\r\n").map(|head| head.is_some()), Ok(true));
        assert_eq!(read(b"GET / HTTP/1.1\r\na:\r\nb:\r\nc:\r\n"), Err(Refusal::TooManyFields));
    }
}
