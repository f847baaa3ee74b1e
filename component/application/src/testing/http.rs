//! Responses, as a client reads them.

use std::borrow::Cow;
use std::{error, fmt};

/// An HTTP response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// 101 for a client that was let in; 0 if there is no response (yet): see
    /// [`ClientBuilder::connect`](super::ClientBuilder::connect).
    pub status: u16,
    /// Names and values, in the order received.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text, with U+FFFD for what is not UTF-8.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The value of the first field with that name, in any case, as text.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        let found = self.fields.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| String::from_utf8_lossy(value))
    }

    /// The response at the start of `bytes`, and how many of them it is; `None` if it is not complete. `to_head`: it
    /// answers HEAD.
    pub(super) fn read(bytes: &[u8], to_head: bool) -> Option<(Self, usize)> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let mut lines = bytes.get(..end)?.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let status = lines.next()?.split(|byte| *byte == b' ').nth(1)?;
        let status = std::str::from_utf8(status).ok()?.parse().ok()?;
        let fields = lines.filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at(at);
            Some((String::from_utf8_lossy(name).into_owned(), value.get(1..)?.trim_ascii().to_vec()))
        });
        let head = Self { status, fields: fields.collect(), body: Vec::new() };
        let has_body = !(to_head || matches!(status, 101 | 204 | 304));
        let length = head.field("Content-Length").filter(|_| has_body);
        let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        let body = bytes.get(end + 4..)?.get(..length)?.to_vec();
        Some((Self { body, ..head }, end + 4 + length))
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.text().trim_end())
    }
}

/// So that a test may end with the refusal of a client: `connect()?`.
impl error::Error for Response {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_read_when_it_is_complete() {
        let bytes = b"HTTP/1.1 404 No\r\nContent-Length: 2\r\nA:  b \r\n\r\nhix";
        for end in 0..bytes.len() - 1 {
            assert_eq!(Response::read(&bytes[..end], false), None);
        }
        let (response, end) = Response::read(bytes, false).unwrap();
        assert_eq!((response.status, &*response.text(), end), (404, "hi", bytes.len() - 1));
        assert_eq!(response.field("a").as_deref(), Some("b"));
        assert_eq!(Response::read(bytes, true).unwrap().0.body, b"");
        assert_eq!(response.to_string(), "404 hi");
    }
}
