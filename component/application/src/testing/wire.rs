//! What clients send. Keys and masks are those of the specifications' examples.

use legacy_websocket_trace::opcode::{BINARY, CLOSE, PING, PONG, TEXT};
use legacy_websocket_trace::{Frame, LengthBits, Literal, Variables};

use super::builder::Head;
use crate::Protocol;

/// Draft 76 section 1.2.
const KEYS: &str = "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n";
const KEY3: &[u8] = b"^n:ds[4U";

/// The answer to them, as the draft prints it.
pub(super) const ANSWER: &[u8] = b"8jKS'y:G*Co,Wxa-";

/// RFC 6455 section 1.3, and section 5.7.
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Draft 76's closing frame.
pub(super) const CLOSING: &[u8] = b"\xff\x00";

/// An opening handshake, to the first byte after which the client waits.
pub(super) fn handshake(protocol: Protocol, subprotocol: Option<&str>, head: &Head) -> Vec<u8> {
    let (keys, version, subprotocol_field, key3) = match protocol {
        Protocol::Draft75 => ("", None, "WebSocket-Protocol", &b""[..]),
        Protocol::Draft76 => (KEYS, None, "Sec-WebSocket-Protocol", KEY3),
        Protocol::Hybi7 => (KEY, Some(7), "Sec-WebSocket-Protocol", &b""[..]),
        Protocol::Hybi8 => (KEY, Some(8), "Sec-WebSocket-Protocol", &b""[..]),
        Protocol::Rfc6455 => (KEY, Some(13), "Sec-WebSocket-Protocol", &b""[..]),
    };
    let origin = if matches!(version, Some(7 | 8)) { "Sec-WebSocket-Origin" } else { "Origin" };
    let mut text = format!("GET {} HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n", head.target);
    push_default(&mut text, head, "Host", "Host", "example.com");
    push_default(&mut text, head, "Origin", origin, "http://example.com");
    text.push_str(keys);
    if let Some(version) = version {
        text.push_str(&format!("Sec-WebSocket-Version: {version}\r\n"));
    }
    if let Some(subprotocol) = subprotocol {
        text.push_str(&format!("{subprotocol_field}: {subprotocol}\r\n"));
    }
    push_others(&mut text, head, &["Host", "Origin"]);
    [text.as_bytes(), key3].concat()
}

/// A request, the last one on its connection.
pub(super) fn request(method: &str, head: &Head, body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {} HTTP/1.1\r\nConnection: close\r\n", head.target);
    push_default(&mut text, head, "Host", "Host", "example.com");
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    push_others(&mut text, head, &["Host"]);
    [text.as_bytes(), body].concat()
}

/// A text message.
pub(super) fn text(protocol: Protocol, text: &str) -> Vec<u8> {
    frame(protocol, TEXT, text.as_bytes()).unwrap_or_else(|| [b"\0", text.as_bytes(), b"\xff"].concat())
}

/// A binary message. `None` if the protocol has none.
pub(super) fn binary(protocol: Protocol, bytes: &[u8]) -> Option<Vec<u8>> {
    frame(protocol, BINARY, bytes)
}

/// A ping. `None` if the protocol has none.
pub(super) fn ping(protocol: Protocol, payload: &[u8]) -> Option<Vec<u8>> {
    frame(protocol, PING, payload)
}

/// The answer to a ping.
pub(super) fn pong(protocol: Protocol, payload: &[u8]) -> Option<Vec<u8>> {
    frame(protocol, PONG, payload)
}

/// A closing frame. `None` if the protocol has no closing handshake.
pub(super) fn close(protocol: Protocol, code: u16, reason: &str) -> Option<Vec<u8>> {
    match protocol {
        Protocol::Draft75 => None,
        Protocol::Draft76 => Some(CLOSING.into()),
        _ => close_frame(protocol, &[&code.to_be_bytes(), reason.as_bytes()].concat()),
    }
}

/// A close frame with this payload. `None` if the protocol has none.
pub(super) fn close_frame(protocol: Protocol, payload: &[u8]) -> Option<Vec<u8>> {
    frame(protocol, CLOSE, payload)
}

fn frame(protocol: Protocol, opcode: u8, payload: &[u8]) -> Option<Vec<u8>> {
    if matches!(protocol, Protocol::Draft75 | Protocol::Draft76) {
        return None;
    }
    let (mask, bits, payload) = (Some(MASK), LengthBits::Seven, Literal::from(payload));
    let mut bytes = Vec::new();
    let frame = Frame { fin: true, rsv: 0, opcode, mask, bits, length: None, payload };
    frame.encode(&Variables::default(), &mut bytes);
    Some(bytes)
}

/// A field that every head has: the given ones of that name, or else the default, under the name that the protocol has
/// for it.
fn push_default(text: &mut String, head: &Head, name: &str, sent: &str, default: &str) {
    let given = head.fields.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
    let given: Vec<_> = given.map(|(_, value)| value.as_str()).collect();
    for value in if given.is_empty() { vec![default] } else { given } {
        text.push_str(&format!("{sent}: {value}\r\n"));
    }
}

/// The other fields, and the end of the head. Cookies are one field, as browsers send them.
fn push_others(text: &mut String, head: &Head, pushed: &[&str]) {
    let is = |name: &str, other: &str| name.eq_ignore_ascii_case(other);
    let (cookies, others): (Vec<_>, Vec<_>) = head.fields.iter().partition(|(name, _)| is(name, "Cookie"));
    let others = others.into_iter().filter(|(name, _)| !pushed.iter().any(|pushed| is(name, pushed)));
    others.for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
    if !cookies.is_empty() {
        let cookies: Vec<_> = cookies.into_iter().map(|(_, value)| value.as_str()).collect();
        text.push_str(&format!("Cookie: {}\r\n", cookies.join("; ")));
    }
    text.push_str("\r\n");
}
