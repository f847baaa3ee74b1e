//! How a client of the time would interpret a server's bytes: the client's side of both drafts (draft 76 sections 4.1
//! and 4.2, draft 75 sections 4.1 and 4.2), written independently of the engine.

use legacy_websocket_trace::Draft;
use md5::{Digest, Md5};

/// The server's output in one turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by runners")]
pub struct Received {
    /// The bytes that arrived in this turn.
    pub bytes: Vec<u8>,
    /// The server ended TCP in this turn, after the bytes.
    pub end: bool,
}

impl Received {
    /// The client reset the connection in this turn, and ignores anything received in it.
    pub(crate) fn reset() -> Self {
        Self { bytes: Vec::new(), end: true }
    }
}

/// What a client sees on one connection, each item with the turn, from 1, in which it arrived.
///
/// `sent` is everything the client sends on the connection; `url` is the URL that it opened, if it differs from the
/// one formed by Host, the resource name and `secure` (whether it is `wss://`).
#[must_use]
pub fn see(
    draft: Draft,
    url: Option<&str>,
    secure: bool,
    sent: &[u8],
    turns: &[Received],
) -> Vec<(u32, String)> {
    let mut client =
        Client { request: Request::read(draft, url, secure, sent), state: State::Head, rest: Vec::new() };
    let mut seen = Vec::new();
    for (turn, received) in (1..).zip(turns) {
        client.rest.extend_from_slice(&received.bytes);
        while let Some(what) = client.next() {
            seen.push((turn, what));
        }
        if received.end {
            seen.extend(client.end().map(|what| (turn, what)));
            seen.push((turn, END.into()));
            break;
        }
    }
    seen
}

/// A plain HTTP response.
pub(crate) const RESPONSE: &str = "response";

/// A closing frame.
pub(crate) const CLOSING: &str = "closing";

/// TCP has ended.
pub const END: &str = "end";

/// Whether this is a message: a server that does not echo sends none.
#[must_use]
pub fn is_message(what: &str) -> bool {
    what.starts_with("message ")
}

/// Treats an incorrect 101 as a correct one.
pub(crate) fn forgive(what: &mut String) {
    if what.starts_with("101, wrong: ") {
        what.truncate("101".len());
    }
}

struct Client {
    request: Request,
    state: State,
    rest: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The head of the response.
    Head,
    /// The 16 bytes of draft 76.
    Answer,
    Frames,
    /// After FF 00.
    Closed,
    /// Not WebSocket: the rest is ignored.
    Other,
}

impl Client {
    fn next(&mut self) -> Option<String> {
        match self.state {
            State::Head => self.head(),
            State::Answer => {
                let answer = take(&mut self.rest, 16)?;
                self.state = State::Frames;
                let right = self.request.answer.as_deref() == Some(answer.as_slice());
                Some(if right { "answer" } else { "wrong answer" }.into())
            }
            State::Frames => self.frame(),
            State::Closed => {
                let behind = std::mem::take(&mut self.rest);
                (!behind.is_empty()).then(|| "bytes behind the closing frame".into())
            }
            State::Other => None,
        }
    }

    /// The remainder when TCP ends.
    fn end(&mut self) -> Option<String> {
        match self.state {
            State::Head if self.request.draft != Draft::Neither => Some("refused".into()),
            State::Head if !self.rest.is_empty() => Some("bytes that are no response".into()),
            State::Answer => Some("no answer to the keys".into()),
            State::Frames if !self.rest.is_empty() => Some("part of a frame".into()),
            _ => None,
        }
    }

    fn head(&mut self) -> Option<String> {
        let end = find(&self.rest, b"\r\n\r\n")? + 4;
        if !self.rest.starts_with(b"HTTP/") {
            return None;
        }
        let head = take(&mut self.rest, end)?;
        let fields = fields(&head);
        match head.split(|byte| *byte == b' ').nth(1) {
            Some(b"101") => {}
            // Interim responses before the final one.
            Some([b'1', ..]) => return self.head(),
            _ => {
                let length = values(&fields, "content-length").next().and_then(|value| value.parse().ok());
                match length {
                    Some(length) if self.rest.len() >= length => drop(take(&mut self.rest, length)),
                    // The body ends with TCP; if it is truncated, that is the end as well.
                    _ => self.state = State::Other,
                }
                if self.request.draft == Draft::Neither {
                    return Some(RESPONSE.into());
                }
                self.state = State::Other;
                return Some("refused".into());
            }
        }
        self.state = match self.request.draft {
            Draft::Draft75 => State::Frames,
            Draft::Draft76 => State::Answer,
            Draft::Neither => State::Other,
        };
        let faults = self.request.faults(&head, &fields);
        Some(if faults.is_empty() { "101".into() } else { format!("101, wrong: {}", faults.join(", ")) })
    }

    fn frame(&mut self) -> Option<String> {
        match self.rest.as_slice() {
            [0x00, ..] => {
                let end = self.rest.iter().position(|byte| *byte == 0xff)?;
                let frame = take(&mut self.rest, end + 1)?;
                Some(format!("message {}", text(&frame[1..end])))
            }
            [0xff, 0x00, ..] if self.request.draft == Draft::Draft76 => {
                drop(take(&mut self.rest, 2));
                self.state = State::Closed;
                Some(CLOSING.into())
            }
            [0xff] if self.request.draft == Draft::Draft76 => None,
            [kind, ..] => {
                let what = format!("frame of type {kind:02x}");
                self.state = State::Other;
                Some(what)
            }
            [] => None,
        }
    }
}

/// The client's request, with which it compares the answer.
struct Request {
    draft: Draft,
    origin: Option<String>,
    location: Option<String>,
    subprotocol: Option<String>,
    answer: Option<Vec<u8>>,
}

impl Request {
    fn read(draft: Draft, url: Option<&str>, secure: bool, sent: &[u8]) -> Self {
        let end = find(sent, b"\r\n\r\n").map_or(sent.len(), |end| end + 4);
        let (head, body) = sent.split_at(end);
        let fields = fields(head);
        let first = |name| values(&fields, name).next().map(str::to_owned);
        let given = url.map(|url| match url.strip_prefix("ws://") {
            Some(rest) if secure => format!("wss://{rest}"),
            _ => url.to_owned(),
        });
        let location = given.or_else(|| {
            let target = head.split(|byte| *byte == b' ').nth(1)?;
            let host = first("host")?.trim().to_ascii_lowercase();
            let (scheme, port) = if secure { ("wss", ":443") } else { ("ws", ":80") };
            let host = host.strip_suffix(port).unwrap_or(&host);
            Some(format!("{scheme}://{host}{}", latin1(target)))
        });
        let plain = first("websocket-protocol");
        let subprotocol = match draft {
            // A library of the time asks with draft 75's field name and expects the answer with draft 76's.
            Draft::Draft76 => first("sec-websocket-protocol").or(plain),
            _ => plain,
        };
        let keys = [first("sec-websocket-key1"), first("sec-websocket-key2")];
        let answer = match keys {
            [Some(key1), Some(key2)] => {
                number(&key1).zip(number(&key2)).zip(body.get(..8)).map(|((number1, number2), key3)| {
                    let challenge = [&number1.to_be_bytes()[..], &number2.to_be_bytes()[..], key3].concat();
                    Md5::digest(challenge).to_vec()
                })
            }
            _ => None,
        };
        Self { draft, origin: first("origin"), location, subprotocol, answer }
    }

    /// The client's checks of a 101 (draft 76 section 4.1 steps 28 to 41, draft 75 section 4.1 steps 12 to 23).
    fn faults(&self, head: &[u8], fields: &[(String, String)]) -> Vec<&'static str> {
        let mut faults = Vec::new();
        let mut want = |what, right: bool| {
            if !right {
                faults.push(what);
            }
        };
        let one = |name: &str| {
            let mut values = values(fields, name);
            values.next().filter(|_| values.next().is_none())
        };
        let prefix = match self.draft {
            Draft::Neither => return faults,
            Draft::Draft75 => {
                let start = b"HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\n\
                    Connection: Upgrade\r\n";
                want("first lines", head.starts_with(start));
                "websocket-"
            }
            Draft::Draft76 => {
                want("Upgrade", one("upgrade") == Some("WebSocket"));
                want("Connection", one("connection").is_some_and(|it| it.eq_ignore_ascii_case("upgrade")));
                "sec-websocket-"
            }
        };
        want("fields", fields.iter().all(|(name, _)| !name.is_empty()));
        if let Some(origin) = &self.origin {
            let sent = one(&format!("{prefix}origin"));
            want("origin", sent == Some(origin) || sent == Some(&origin.to_ascii_lowercase()));
        }
        want("location", one(&format!("{prefix}location")) == self.location.as_deref());
        let protocol = format!("{prefix}protocol");
        match &self.subprotocol {
            Some(asked) => want("subprotocol", one(&protocol) == Some(asked)),
            None => want("subprotocol", values(fields, &protocol).next().is_none()),
        }
        faults
    }
}

/// Section 4.1 steps 16 to 22, from the client's side: the numbers it encoded.
fn number(key: &str) -> Option<u32> {
    let digits: String = key.chars().filter(char::is_ascii_digit).collect();
    let spaces = key.bytes().filter(|byte| *byte == b' ').count() as u128;
    let number: u128 = digits.parse().ok()?;
    number.checked_rem(spaces).filter(|rest| *rest == 0)?;
    u32::try_from(number / spaces).ok()
}

/// The fields of a head, names in lower case. Each byte becomes the character with the same number, so that none is
/// lost.
fn fields(head: &[u8]) -> Vec<(String, String)> {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let value = &line[colon + 1..];
            let value = value.strip_prefix(b" ").unwrap_or(value);
            Some((latin1(&line[..colon]).to_ascii_lowercase(), latin1(value)))
        })
        .collect()
}

fn values<'a>(fields: &'a [(String, String)], name: &str) -> impl Iterator<Item = &'a str> {
    fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
}

/// A message as a line: short ones in full, long ones by length and checksum.
fn text(bytes: &[u8]) -> String {
    const LONGEST: usize = 80;
    if bytes.len() <= LONGEST {
        return match str::from_utf8(bytes) {
            Ok(text) => format!("{text:?}"),
            Err(_) => format!("that is not UTF-8: {}", bytes.escape_ascii()),
        };
    }
    let sum: String = Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("of {} bytes, MD5 {sum}", bytes.len())
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn take(bytes: &mut Vec<u8>, count: usize) -> Option<Vec<u8>> {
    let rest = bytes.get(count..)?.to_vec();
    bytes.truncate(count);
    Some(std::mem::replace(bytes, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str =
        "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n";

    fn request(more: &str) -> Vec<u8> {
        format!(
            "GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: Example.com:80\r\n\
             Origin: http://example.com\r\n{more}\r\n"
        )
        .into_bytes()
    }

    fn response76(fields: &str) -> Vec<u8> {
        format!(
            "HTTP/1.1 101 x y\r\n{fields}Sec-WebSocket-Origin: http://example.com\r\n\
             Sec-WebSocket-Location: ws://example.com/demo\r\n\r\n"
        )
        .into_bytes()
    }

    fn saw(draft: Draft, sent: &[u8], received: &[&[u8]], end: bool) -> Vec<String> {
        let last = received.len() - 1;
        let turn = |(at, bytes): (usize, &&[u8])| Received { bytes: bytes.to_vec(), end: end && at == last };
        let turns: Vec<_> = received.iter().enumerate().map(turn).collect();
        see(draft, None, false, sent, &turns)
            .into_iter()
            .map(|(turn, what)| format!("{turn} {what}"))
            .collect()
    }

    const UPGRADE: &str = "Upgrade: WebSocket\r\nConnection: upgrade\r\n";

    #[test]
    fn a_challenge_response_must_match_to_the_byte() {
        let sent = [request(KEYS), b"^n:ds[4U".to_vec()].concat();
        let head = response76(UPGRADE);
        let frames = b"8jKS'y:G*Co,Wxa-\0a\xff\xff".as_slice();
        assert_eq!(
            saw(Draft::Draft76, &sent, &[&head, frames, b"\0x"], true),
            [
                "1 101",
                "2 answer",
                "2 message \"a\"",
                "3 closing",
                "3 bytes behind the closing frame",
                "3 end"
            ]
        );
        assert_eq!(saw(Draft::Draft76, &sent, &[&head, &[b'x'; 16]], false), ["1 101", "2 wrong answer"]);
        assert_eq!(saw(Draft::Draft76, &sent, &[&head], true)[1], "1 no answer to the keys");
    }

    #[test]
    fn each_fault_of_a_101_is_named() {
        let sent = request(KEYS);
        let head = response76("Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n: x\r\n");
        assert_eq!(
            saw(Draft::Draft76, &sent, &[&head], false),
            ["1 101, wrong: Upgrade, Connection, fields"]
        );
        let sent = request("Sec-WebSocket-Protocol: a b\r\n");
        let head = response76(UPGRADE);
        assert_eq!(saw(Draft::Draft76, &sent, &[&head], false), ["1 101, wrong: subprotocol"]);
        let sent = request("");
        assert_eq!(
            saw(Draft::Draft75, &sent, &[&head], false),
            ["1 101, wrong: first lines, origin, location"]
        );
    }

    #[test]
    fn the_location_is_wss_over_tls() {
        let sent = request(KEYS);
        let saw = |location: &str| {
            let head = response76(UPGRADE).escape_ascii().to_string();
            let head = head.replace("ws://example.com/demo", location);
            let head = head.replace("\\r", "\r").replace("\\n", "\n").into_bytes();
            see(Draft::Draft76, None, true, &sent, &[Received { bytes: head, end: false }]).remove(0).1
        };
        assert_eq!(saw("wss://example.com:80/demo"), "101");
        assert_eq!(saw("ws://example.com/demo"), "101, wrong: location");
        let given = Request::read(Draft::Draft76, Some("ws://a/b"), true, &sent).location;
        assert_eq!(given.as_deref(), Some("wss://a/b"));
    }

    #[test]
    fn a_refusal_is_a_response_or_an_eof() {
        let response = b"HTTP/1.1 400 no\r\nContent-Length: 2\r\n\r\nno".as_slice();
        assert_eq!(saw(Draft::Draft76, &request(KEYS), &[response], true), ["1 refused", "1 end"]);
        assert_eq!(saw(Draft::Draft76, &request(KEYS), &[b""], true), ["1 refused", "1 end"]);
        let two = response.repeat(2);
        assert_eq!(
            saw(Draft::Neither, b"GET / HTTP/1.1\r\n\r\n", &[&two], false),
            ["1 response", "1 response"]
        );
        let continued = [b"HTTP/1.1 100 Continue\r\n\r\n", response].concat();
        assert_eq!(saw(Draft::Neither, b"", &[&continued], false), ["1 response"]);
        assert_eq!(saw(Draft::Neither, b"", &[b"<x/>\0"], true), ["1 bytes that are no response", "1 end"]);
    }

    #[test]
    fn forbidden_frames_are_detected() {
        let sent = request("");
        let head =
            b"HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
            WebSocket-Origin: http://example.com\r\nWebSocket-Location: ws://example.com/demo\r\n\r\n";
        let saw = |bytes: &[u8]| saw(Draft::Draft75, &sent, &[head, bytes], true)[1..].join(" ");
        assert_eq!(saw(b"\xff\0"), "2 frame of type ff 2 end");
        assert_eq!(saw(b"\0a\xff\0b"), "2 message \"a\" 2 part of a frame 2 end");
        assert_eq!(saw(b"\0\xe9\xff"), "2 message that is not UTF-8: \\xe9 2 end");
        assert!(saw(&[&[0][..], &[b'x'; 100], &[0xff]].concat()).starts_with("2 message of 100 bytes, MD5 "));
    }
}
