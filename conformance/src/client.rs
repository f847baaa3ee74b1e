//! How a client of the time would interpret a server's bytes: the client's side of both drafts (draft 76 sections 4.1
//! and 4.2, draft 75 sections 4.1 and 4.2) and of RFC 6455 (sections 4.1, 5 and 7), written independently of the
//! engine.

mod frames;
mod request;

use legacy_websocket_trace::Protocol;
use md5::{Digest, Md5};

use self::frames::{Frames, Item};
use self::request::{Request, fields, values};

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
    protocol: Protocol,
    url: Option<&str>,
    secure: bool,
    sent: &[u8],
    turns: &[Received],
) -> Vec<(u32, String)> {
    let mut client = Client {
        request: Request::read(protocol, url, secure, sent),
        state: State::Head,
        frames: Frames::new(protocol),
        rest: Vec::new(),
    };
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

/// A closing frame. The close frames of later protocols follow it with code and reason.
pub(crate) const CLOSING: &str = "closing";

/// A refusal.
const REFUSED: &str = "refused";

/// TCP has ended.
pub const END: &str = "end";

/// Whether this is a message: a server that does not echo sends none.
#[must_use]
pub fn is_message(what: &str) -> bool {
    what.starts_with("message ") || what.starts_with("binary message ")
}

/// Treats an incorrect 101 as a correct one, and a refusal that tells more as one that does not.
pub(crate) fn forgive(what: &mut String) {
    if what.starts_with("101, wrong: ") {
        what.truncate("101".len());
    }
    if what.starts_with(REFUSED) {
        what.truncate(REFUSED.len());
    }
}

/// Drops what the server need not choose as ours does: a subprotocol.
pub(crate) fn forget_subprotocol(what: &mut String) {
    if what.starts_with("101, subprotocol ") {
        what.truncate("101".len());
    }
}

/// Drops the reason of a closing frame, and the code too unless that counts.
pub(crate) fn forget_reason(what: &mut String, code_counts: bool) {
    let mut words = what.splitn(3, ' ');
    if words.next() == Some(CLOSING) {
        let code = words.next().filter(|_| code_counts);
        *what = code.map_or_else(|| CLOSING.into(), |code| format!("{CLOSING} {code}"));
    }
}

struct Client {
    request: Request,
    state: State,
    frames: Frames,
    rest: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The head of the response.
    Head,
    /// The 16 bytes of draft 76.
    Answer,
    Frames,
    /// After the closing frame.
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
            State::Frames if self.request.protocol.has_frames() => match self.frames.next(&mut self.rest)? {
                Item::Seen(what) => Some(what),
                Item::Closing(what) => {
                    self.state = State::Closed;
                    Some(what)
                }
                Item::Wrong(what) => {
                    self.state = State::Other;
                    Some(what)
                }
            },
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
            State::Head if self.request.protocol != Protocol::None => Some(REFUSED.into()),
            State::Head if !self.rest.is_empty() => Some("bytes that are no response".into()),
            State::Answer => Some("no answer to the keys".into()),
            State::Frames if !self.rest.is_empty() => Some("part of a frame".into()),
            State::Frames if self.frames.is_in_message() => Some("part of a message".into()),
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
                if self.request.protocol == Protocol::None {
                    return Some(RESPONSE.into());
                }
                self.state = State::Other;
                let names_versions = self.request.names_other_versions(&fields);
                return Some(if names_versions {
                    format!("{REFUSED}, versions named")
                } else {
                    REFUSED.into()
                });
            }
        }
        self.state = match self.request.protocol {
            Protocol::Draft76 => State::Answer,
            Protocol::None => State::Other,
            _ => State::Frames,
        };
        let faults = self.request.faults(&head, &fields);
        let subprotocol = values(&fields, "sec-websocket-protocol").next();
        Some(match subprotocol.filter(|_| self.request.protocol.has_frames()) {
            _ if !faults.is_empty() => format!("101, wrong: {}", faults.join(", ")),
            Some(subprotocol) => format!("101, subprotocol {subprotocol:?}"),
            None => "101".into(),
        })
    }

    fn frame(&mut self) -> Option<String> {
        match self.rest.as_slice() {
            [0x00, ..] => {
                let end = self.rest.iter().position(|byte| *byte == 0xff)?;
                let frame = take(&mut self.rest, end + 1)?;
                Some(format!("message {}", text(&frame[1..end])))
            }
            [0xff, 0x00, ..] if self.request.protocol == Protocol::Draft76 => {
                drop(take(&mut self.rest, 2));
                self.state = State::Closed;
                Some(CLOSING.into())
            }
            [0xff] if self.request.protocol == Protocol::Draft76 => None,
            [kind, ..] => {
                let what = format!("frame of type {kind:02x}");
                self.state = State::Other;
                Some(what)
            }
            [] => None,
        }
    }
}

/// The longest message that is shown in full, in bytes.
const LONGEST: usize = 80;

/// A message as a line: short ones in full, long ones by length and checksum.
fn text(bytes: &[u8]) -> String {
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

    fn saw(protocol: Protocol, sent: &[u8], received: &[&[u8]], end: bool) -> Vec<String> {
        let last = received.len() - 1;
        let turn = |(at, bytes): (usize, &&[u8])| Received { bytes: bytes.to_vec(), end: end && at == last };
        let turns: Vec<_> = received.iter().enumerate().map(turn).collect();
        see(protocol, None, false, sent, &turns)
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
            saw(Protocol::Draft76, &sent, &[&head, frames, b"\0x"], true),
            [
                "1 101",
                "2 answer",
                "2 message \"a\"",
                "3 closing",
                "3 bytes behind the closing frame",
                "3 end"
            ]
        );
        assert_eq!(saw(Protocol::Draft76, &sent, &[&head, &[b'x'; 16]], false), ["1 101", "2 wrong answer"]);
        assert_eq!(saw(Protocol::Draft76, &sent, &[&head], true)[1], "1 no answer to the keys");
    }

    #[test]
    fn each_fault_of_a_101_is_named() {
        let sent = request(KEYS);
        let head = response76("Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n: x\r\n");
        assert_eq!(
            saw(Protocol::Draft76, &sent, &[&head], false),
            ["1 101, wrong: Upgrade, Connection, fields"]
        );
        let sent = request("Sec-WebSocket-Protocol: a b\r\n");
        let head = response76(UPGRADE);
        assert_eq!(saw(Protocol::Draft76, &sent, &[&head], false), ["1 101, wrong: subprotocol"]);
        let sent = request("");
        assert_eq!(
            saw(Protocol::Draft75, &sent, &[&head], false),
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
            see(Protocol::Draft76, None, true, &sent, &[Received { bytes: head, end: false }]).remove(0).1
        };
        assert_eq!(saw("wss://example.com:80/demo"), "101");
        assert_eq!(saw("ws://example.com/demo"), "101, wrong: location");
        let given = Request::read(Protocol::Draft76, Some("ws://a/b"), true, &sent).location;
        assert_eq!(given.as_deref(), Some("wss://a/b"));
    }

    #[test]
    fn a_refusal_is_a_response_or_an_eof() {
        let response = b"HTTP/1.1 400 no\r\nContent-Length: 2\r\n\r\nno".as_slice();
        assert_eq!(saw(Protocol::Draft76, &request(KEYS), &[response], true), ["1 refused", "1 end"]);
        assert_eq!(saw(Protocol::Draft76, &request(KEYS), &[b""], true), ["1 refused", "1 end"]);
        let two = response.repeat(2);
        assert_eq!(
            saw(Protocol::None, b"GET / HTTP/1.1\r\n\r\n", &[&two], false),
            ["1 response", "1 response"]
        );
        let continued = [b"HTTP/1.1 100 Continue\r\n\r\n", response].concat();
        assert_eq!(saw(Protocol::None, b"", &[&continued], false), ["1 response"]);
        assert_eq!(saw(Protocol::None, b"", &[b"<x/>\0"], true), ["1 bytes that are no response", "1 end"]);
    }

    #[test]
    fn forbidden_frames_are_detected() {
        let sent = request("");
        let head =
            b"HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
            WebSocket-Origin: http://example.com\r\nWebSocket-Location: ws://example.com/demo\r\n\r\n";
        let saw = |bytes: &[u8]| saw(Protocol::Draft75, &sent, &[head, bytes], true)[1..].join(" ");
        assert_eq!(saw(b"\xff\0"), "2 frame of type ff 2 end");
        assert_eq!(saw(b"\0a\xff\0b"), "2 message \"a\" 2 part of a frame 2 end");
        assert_eq!(saw(b"\0\xe9\xff"), "2 message that is not UTF-8: \\xe9 2 end");
        assert!(saw(&[&[0][..], &[b'x'; 100], &[0xff]].concat()).starts_with("2 message of 100 bytes, MD5 "));
    }

    const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: soap, chat\r\nSec-WebSocket-Version: 13\r\n\r\n";

    /// What a client of RFC 6455 sees of a head that ends with these fields.
    fn saw6455(head: &str) -> String {
        let received = format!("HTTP/1.1 {head}\r\n");
        saw(Protocol::Rfc6455, REQUEST.as_bytes(), &[received.as_bytes()], false).join("; ")
    }

    const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

    #[test]
    fn an_answer_of_rfc_6455_is_compared() {
        let right = format!("101 x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n{ACCEPT}");
        assert_eq!(saw6455(&right), "1 101");
        assert_eq!(
            saw6455(&format!("{right}Sec-WebSocket-Protocol: chat\r\n")),
            "1 101, subprotocol \"chat\""
        );
        for (more, fault) in [
            ("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: soap\r\n", "Sec-WebSocket-Protocol"),
            ("Sec-WebSocket-Protocol: soap, chat\r\n", "Sec-WebSocket-Protocol"),
            ("Sec-WebSocket-Protocol: x\r\n", "Sec-WebSocket-Protocol"),
            ("Sec-WebSocket-Extensions: permessage-deflate\r\n", "Sec-WebSocket-Extensions"),
            ("Upgrade: websocket\r\n", "Upgrade"),
        ] {
            assert_eq!(saw6455(&format!("{right}{more}")), format!("1 101, wrong: {fault}"));
        }
        assert_eq!(saw6455("101 x\r\n"), "1 101, wrong: Upgrade, Connection, Sec-WebSocket-Accept");
        let other = right.replace("s3pP", "S3pP");
        assert_eq!(saw6455(&other), "1 101, wrong: Sec-WebSocket-Accept");
    }

    #[test]
    fn a_refusal_may_name_other_versions() {
        for (fields, seen) in [
            ("", "1 refused"),
            ("Sec-WebSocket-Version: 8, 7\r\n", "1 refused, versions named"),
            ("Sec-WebSocket-Version: 8\r\nSec-WebSocket-Version: 13\r\n", "1 refused"),
        ] {
            assert_eq!(saw6455(&format!("426 x\r\nContent-Length: 0\r\n{fields}")), seen);
        }
    }

    #[test]
    fn what_does_not_count_is_forgotten() {
        for (what, code, left) in [
            ("closing 1000 \"a b\"", true, "closing 1000"),
            ("closing 1000 \"a b\"", false, "closing"),
            ("closing 1000", true, "closing 1000"),
            ("closing", true, "closing"),
            ("message \"closing 1000\"", false, "message \"closing 1000\""),
        ] {
            let mut what = what.to_owned();
            forget_reason(&mut what, code);
            assert_eq!(what, left);
        }
    }
}
