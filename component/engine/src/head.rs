//! The head of a request: request line, fields, blank line (draft 76 section 5.1, draft 75 section 5.2).

mod reader;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::Refusal;
use crate::options::Limits;

pub(crate) use reader::HeadReader;

/// The head of a request, as received: an opening handshake or plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The whole head, known to be well-formed.
    raw: Box<[u8]>,
    method_end: usize,
    /// After the method's space, or after the host of an absolute-form target.
    path_start: usize,
    target_end: usize,
    line_end: usize,
    /// The path was empty; its slash is ours.
    added_slash: bool,
}

impl Head {
    /// Takes a head off the start of `input`; None, and nothing taken, while it is incomplete. A
    /// [`Server`](crate::Server) does this itself.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::HeadTooLong`], [`Refusal::TooManyFields`].
    pub fn parse(input: &mut &[u8], limits: &Limits) -> Result<Option<Self>, Refusal> {
        let mut rest = *input;
        let head = HeadReader::default().read(&mut rest, limits, usize::MAX)?;
        if head.is_some() {
            *input = rest;
        }
        Ok(head)
    }

    /// `GET` in every opening handshake.
    #[must_use]
    pub fn method(&self) -> &str {
        self.raw.get(..self.method_end).and_then(|method| str::from_utf8(method).ok()).unwrap_or_default()
    }

    /// The request target, the drafts' "resource name" with its query, as received: browsers of the time send raw
    /// UTF-8, some clients send bytes that are not valid UTF-8. For an absolute-form target (`http://example.com/path`,
    /// RFC 9112 section 3.2.2), the path and query.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.raw.get(self.path_start..self.target_end).unwrap_or_default()
    }

    /// [`target`](Self::target) as text, with U+FFFD for invalid UTF-8.
    #[must_use]
    pub fn target_text(&self) -> String {
        String::from_utf8_lossy(self.target()).into_owned()
    }

    /// Every field in the order received: the name as received, and the bytes after the colon and one space.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let fields = self.raw.get(self.line_end..).unwrap_or_default();
        lines(fields).filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            let name = str::from_utf8(line.get(..colon)?).ok()?;
            let value = line.get(colon.saturating_add(1)..)?;
            Some((name, value.strip_prefix(b" ").unwrap_or(value)))
        })
    }

    /// The values of the fields with this name, ignoring ASCII case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of the first field with this name.
    #[must_use]
    pub fn value<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// The cookies in order, name and value as received; U+FFFD for invalid UTF-8.
    pub fn cookies(&self) -> impl Iterator<Item = (String, String)> {
        self.values("Cookie").flat_map(|value| value.split(|byte| *byte == b';')).filter_map(|pair| {
            let pair = String::from_utf8_lossy(pair);
            let (name, value) = pair.split_once('=')?;
            let [name, value] = [name, value].map(|text| text.trim_matches([' ', '\t']));
            Some((name.into(), value.into()))
        })
    }

    /// What follows the target in the request line, usually `HTTP/1.1`.
    pub(crate) fn version(&self) -> &[u8] {
        let end = self.line_end.saturating_sub(2);
        self.raw.get(self.target_end.saturating_add(1)..end).unwrap_or_default()
    }

    /// Whether any field of this name lists `token` (comma-separated, ignoring ASCII case).
    pub(crate) fn lists(&self, name: &str, token: &str) -> bool {
        self.values(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|item| trim(item).eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The value of a field that may appear at most once.
    pub(crate) fn single<'a>(&'a self, name: &'a str) -> Result<Option<&'a [u8]>, Refusal> {
        let mut values = self.values(name);
        let first = values.next();
        if values.next().is_some() { Err(Refusal::DuplicateField) } else { Ok(first) }
    }

    /// The host and port that the client asked for: those of an absolute-form target, or of the first Host (RFC 9112
    /// section 3.2.2).
    #[must_use]
    pub fn host(&self) -> Option<&[u8]> {
        self.authority().or_else(|| self.value("Host"))
    }

    /// The host and port of an absolute-form target.
    pub(crate) fn authority(&self) -> Option<&[u8]> {
        let prefix = self.raw.get(self.method_end.saturating_add(1)..self.path_start)?;
        prefix.splitn(3, |byte| *byte == b'/').nth(2)
    }

    /// The head as it was received.
    pub(crate) fn received(&self) -> Vec<u8> {
        let (before, path) = self.raw.split_at_checked(self.path_start).unwrap_or((&self.raw, &[]));
        let mut received = before.to_vec();
        received.extend_from_slice(path.get(usize::from(self.added_slash)..).unwrap_or_default());
        received
    }

    /// Takes a complete head that [`HeadReader`] accepted.
    fn new(mut raw: Vec<u8>) -> Self {
        let after = |at: usize, byte| {
            let found = raw.get(at..).and_then(|rest| memchr::memchr(byte, rest));
            found.map_or(raw.len(), |found| at.saturating_add(found))
        };
        let method_end = after(0, b' ');
        let target_start = method_end.saturating_add(1);
        let mut target_end = after(target_start, b' ');
        let mut line_end = after(target_end, b'\n').saturating_add(1);
        let prefix = raw.get(target_start..target_end).map_or(0, absolute_prefix);
        let path_start = target_start.saturating_add(prefix);
        let added_slash = prefix != 0 && raw.get(path_start) != Some(&b'/');
        if added_slash {
            // "http://example.com?query": an empty path counts as "/".
            raw.insert(path_start.min(raw.len()), b'/');
            target_end = target_end.saturating_add(1);
            line_end = line_end.saturating_add(1);
        }
        Self { raw: raw.into(), method_end, path_start, target_end, line_end, added_slash }
    }
}

/// The length of the scheme and host of an absolute-form target; 0 for any other form.
fn absolute_prefix(target: &[u8]) -> usize {
    let begins =
        |scheme: &&[u8]| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let Some(scheme) = [&b"http://"[..], b"https://"].into_iter().find(begins) else {
        return 0;
    };
    let rest = target.get(scheme.len()..).unwrap_or_default();
    scheme.len().saturating_add(memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len()))
}

/// The lines before the blank one, without their CR LF.
fn lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    raw.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .take_while(|line| !line.is_empty())
}

/// Strips surrounding spaces and tabs (RFC 9110 section 5.6.3), and nothing else.
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last.saturating_add(1));
    value.get(start..end).unwrap_or_default()
}

/// Whether a value contains no CR, LF or NUL.
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
    fn only_one_leading_space_is_stripped_from_a_value() {
        let head = read(b"GET /\xff?a  HTTP/1.1\r\nKey:  a  b \r\nNone:x\r\n\r\n").unwrap().unwrap();
        assert_eq!(head.target(), b"/\xff?a");
        assert_eq!(head.target_text(), "/\u{fffd}?a");
        assert_eq!(head.version(), b" HTTP/1.1");
        assert_eq!(head.fields().collect::<Vec<_>>(), [("Key", &b" a  b "[..]), ("None", b"x")]);
    }

    #[test]
    fn cookies_of_all_fields_are_returned_in_order() {
        let head = read(b"GET / x\r\nCookie: a=1; b=2=3;junk\r\ncookie: c=\r\n\r\n").unwrap().unwrap();
        let cookies: Vec<_> = head.cookies().collect();
        assert_eq!(cookies, [("a", "1"), ("b", "2=3"), ("c", "")].map(|(n, v)| (n.into(), v.into())));
    }

    #[test]
    fn an_absolute_target_is_reduced_to_its_path() {
        for (target, authority, path) in [
            ("/a?b", None, "/a?b"),
            ("http://example.com/a?b", Some("example.com"), "/a?b"),
            ("HTTPS://example.com:8000/", Some("example.com:8000"), "/"),
            ("http://example.com", Some("example.com"), "/"),
            ("http://example.com?a/b", Some("example.com"), "/?a/b"),
            ("http://", Some(""), "/"),
            ("http:/a", None, "http:/a"),
            ("ws://example.com/", None, "ws://example.com/"),
            ("*", None, "*"),
        ] {
            let head =
                read(alloc::format!("GET {target} HTTP/1.1\r\nA: b\r\n\r\n").as_bytes()).unwrap().unwrap();
            assert_eq!(head.authority(), authority.map(str::as_bytes), "{target}");
            assert_eq!(head.target_text(), path, "{target}");
            assert_eq!(
                (head.method(), head.version(), head.value("A")),
                ("GET", &b"HTTP/1.1"[..], Some(&b"b"[..]))
            );
        }
    }

    #[test]
    fn only_spaces_and_tabs_are_trimmed() {
        for (value, trimmed) in
            [(" \ta b\t ", "a b"), ("\x0c3", "\x0c3"), ("\x0b a", "\x0b a"), (" ", ""), ("", "")]
        {
            assert_eq!(trim(value.as_bytes()), trimmed.as_bytes());
        }
    }
}
