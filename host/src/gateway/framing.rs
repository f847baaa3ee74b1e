//! Where a request ends on its connection: its head, and its body (RFC 9112 section 6).
//!
//! hyper reads as much as there is; only what is the request's may be given to it.

/// Looks at a head as it grows, at each byte once.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    /// Where the first line that is not complete begins.
    line: usize,
    /// Up to here there is no more end of a line.
    searched: usize,
    has_request_line: bool,
    names_websocket: bool,
    body: BodyScan,
}

/// What comes next on a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Its head is not complete.
    Unknown,
    /// A head of that length.
    Head {
        length: usize,
        /// It names the WebSocket protocol anywhere, however broken: the engine's own rule.
        is_handshake: bool,
        body: BodyScan,
    },
}

impl HeadScan {
    /// `head`: what was read, beginning with what this was given before.
    pub(super) fn next(&mut self, head: &[u8]) -> Next {
        while let Some(at) = head[self.searched..].iter().position(|byte| *byte == b'\n') {
            let end = self.searched + at + 1;
            let line = &head[self.line..end];
            (self.line, self.searched) = (end, end);
            match (self.has_request_line, line.trim_ascii().is_empty()) {
                // Empty lines before a request are allowed (RFC 9112 section 2.2).
                (false, is_empty) => self.has_request_line = !is_empty,
                (true, false) => self.look_at(line),
                (true, true) => {
                    let Self { names_websocket: is_handshake, body, .. } = std::mem::take(self);
                    return Next::Head { length: end, is_handshake, body };
                }
            }
        }
        self.searched = head.len();
        Next::Unknown
    }

    fn look_at(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let begins = |with: &[u8]| name.get(..with.len()).is_some_and(|name| name.eq_ignore_ascii_case(with));
        self.names_websocket |= begins(b"sec-websocket-")
            || begins(b"websocket-")
            || (name.eq_ignore_ascii_case(b"upgrade") && lists_websocket(value));
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // It takes precedence; of the others hyper refuses all.
            self.body = BodyScan::Chunked(Chunked::Size { size: 0, has_ended: false });
        } else if name.eq_ignore_ascii_case(b"content-length") && !matches!(self.body, BodyScan::Chunked(_)) {
            let length = str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            self.body = length.map_or(BodyScan::Unknown, BodyScan::Length);
        }
    }
}

fn lists_websocket(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}

/// What of a body is still to come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyScan {
    /// So many bytes.
    Length(u64),
    Chunked(Chunked),
    /// Whatever comes: the request is not valid, and hyper ends the connection.
    Unknown,
}

/// What comes next in a body of chunks (RFC 9112 section 7.1), read as strictly as by hyper.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    Size {
        size: u64,
        has_ended: bool,
    },
    /// So many bytes, the end of their line included.
    Data(u64),
    TrailerStart,
    Trailer,
    TrailerEnd,
    LastByte,
    Over,
}

impl Default for BodyScan {
    fn default() -> Self {
        Self::Length(0)
    }
}

impl BodyScan {
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked::Over))
    }

    /// How many of these bytes belong to it.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Unknown => bytes.len(),
            Self::Length(left) => take(left, bytes.len()),
            Self::Chunked(_) => {
                let mut taken = 0;
                while taken < bytes.len() && !self.is_over() {
                    taken += self.take_of_chunk(&bytes[taken..]);
                }
                taken
            }
        }
    }

    fn take_of_chunk(&mut self, bytes: &[u8]) -> usize {
        let (Self::Chunked(chunk), Some(byte)) = (&mut *self, bytes.first()) else { return bytes.len() };
        let next = match (&mut *chunk, byte) {
            (Chunked::Data(left), _) => {
                let taken = take(left, bytes.len());
                if *left == 0 {
                    *chunk = Chunked::Size { size: 0, has_ended: false };
                }
                return taken;
            }
            (Chunked::Size { size: 0, .. }, b'\n') => Some(Chunked::TrailerStart),
            (Chunked::Size { size, .. }, b'\n') => size.checked_add(2).map(Chunked::Data),
            (Chunked::Size { size, has_ended }, byte) => match (*has_ended, char::from(*byte).to_digit(16)) {
                (false, Some(digit)) => {
                    let size = size.checked_mul(16).and_then(|size| size.checked_add(digit.into()));
                    size.map(|size| Chunked::Size { size, has_ended: false })
                }
                _ => Some(Chunked::Size { size: *size, has_ended: true }),
            },
            (Chunked::TrailerStart, b'\r') => Some(Chunked::LastByte),
            (Chunked::Trailer, b'\r') => Some(Chunked::TrailerEnd),
            (Chunked::TrailerStart | Chunked::Trailer, _) => Some(Chunked::Trailer),
            (Chunked::TrailerEnd, _) => Some(Chunked::TrailerStart),
            (Chunked::LastByte | Chunked::Over, _) => Some(Chunked::Over),
        };
        *self = next.map_or(Self::Unknown, Self::Chunked);
        1
    }
}

fn take(left: &mut u64, available: usize) -> usize {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
    *left -= taken as u64;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_known_by_its_fields() {
        for field in [
            "Upgrade: WebSocket",
            "upgrade: h2c, websocket",
            "Sec-WebSocket-Key1: 1",
            "WebSocket-Protocol: a",
        ] {
            let head = format!("\r\nGET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
            let mut scan = HeadScan::default();
            for end in 0..head.len() {
                assert_eq!(scan.next(&head.as_bytes()[..end]), Next::Unknown, "{}", &head[..end]);
            }
            let expected =
                || Next::Head { length: head.len(), is_handshake: true, body: BodyScan::default() };
            assert_eq!(scan.next(head.as_bytes()), expected());
            let more = [head.as_bytes(), b"^n:ds[4U"].concat();
            assert_eq!(HeadScan::default().next(&more), expected());
        }
        for field in ["Upgrade: h2c", "X-Upgrade: websocket", "Accept: upgrade: websocket"] {
            let head = format!("GET /?upgrade:websocket HTTP/1.1\nHost: a\n{field}\n\n");
            let more = format!("{head}Upgrade: websocket\n\n");
            let expected = Next::Head { length: head.len(), is_handshake: false, body: BodyScan::default() };
            assert_eq!(HeadScan::default().next(more.as_bytes()), expected);
        }
    }

    #[test]
    fn a_body_ends_where_its_head_tells() {
        for (field, body) in [
            ("Host: a", ""),
            ("content-length: 5", "hello"),
            ("Transfer-Encoding: chunked", "5\r\nhello\r\n1A;x=y\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n"),
            ("Content-Length: 1\r\ntransfer-encoding: Chunked", "0;a\r\nX: y\r\nZ: \r\n\r\n"),
        ] {
            let head = format!("POST / HTTP/1.1\r\n{field}\r\n\r\n");
            for step in [1, 3, 1000] {
                let Next::Head { length, body: mut scan, .. } = HeadScan::default().next(head.as_bytes())
                else {
                    panic!("{head}");
                };
                assert_eq!(length, head.len());
                let all = format!("{body}GET / HTTP/1.1\r\n");
                let mut taken = 0;
                while !scan.is_over() {
                    let end = (taken + step).min(all.len());
                    taken += scan.take(&all.as_bytes()[taken..end]);
                }
                assert_eq!(taken, body.len(), "{field}, {step} at once");
            }
        }
    }
}
