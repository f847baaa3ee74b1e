//! Clients of hybi and RFC 6455 that send raw bytes.

use std::net::SocketAddr;

use super::client::Client;
use super::contains;

/// The head of the example of RFC 6455 (section 1.3) for a version, with more fields, each ended by CRLF.
pub(crate) fn head_hybi(version: u8, fields: &str) -> Vec<u8> {
    let origin = if version < 13 { "Sec-WebSocket-Origin" } else { "Origin" };
    format!(
        "GET /demo HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{origin}: http://example.com\r\n\
         Sec-WebSocket-Version: {version}\r\n{fields}\r\n"
    )
    .into_bytes()
}

/// A frame from a client (section 5.2), masked. `first` is its first byte.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = header(first, 0x80, payload.len());
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// The same from a server.
pub(crate) fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&header(first, 0, payload.len()), payload].concat()
}

fn header(first: u8, mask: u8, length: usize) -> Vec<u8> {
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..126), _) => vec![first, mask | length],
        (_, Ok(length)) => [&[first, mask | 126][..], &length.to_be_bytes()].concat(),
        _ => [&[first, mask | 127][..], &(length as u64).to_be_bytes()].concat(),
    }
}

/// A frame as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) first: u8,
    pub(crate) is_masked: bool,
    /// Without the masking.
    pub(crate) payload: Vec<u8>,
}

/// The payload of a close frame.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

impl Client {
    #[track_caller]
    pub(crate) fn read_frame(&mut self) -> Frame {
        let [first, second] = self.read_exact(2)[..] else { unreachable!() };
        let length = match second & 0x7f {
            126 => self.read_exact(2),
            127 => self.read_exact(8),
            length => vec![length],
        };
        let length = length.iter().fold(0, |length, &byte| (length << 8) | usize::from(byte));
        let is_masked = second & 0x80 != 0;
        let key = if is_masked { self.read_exact(4) } else { vec![0] };
        let mut payload = self.read_exact(length);
        payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        Frame { first, is_masked, payload }
    }

    /// Expects an unmasked frame.
    #[track_caller]
    pub(crate) fn expect_frame(&mut self, first: u8, payload: &[u8]) {
        let frame = self.read_frame();
        let (seen, expected) = (&frame.payload, payload);
        assert!(
            frame.first == first && !frame.is_masked && seen == expected,
            "{frame:?} instead of {first:#x} {}",
            payload.escape_ascii()
        );
    }

    /// Connects and performs the opening handshake of a version.
    pub(crate) fn open_hybi(address: SocketAddr, version: u8) -> Self {
        let mut client = Self::connect(address);
        client.shake_hands_hybi(version, "");
        client
    }

    /// Returns the answer's head.
    #[track_caller]
    pub(crate) fn shake_hands_hybi(&mut self, version: u8, fields: &str) -> String {
        self.send(&head_hybi(version, fields));
        let answer = self.read_until(b"\r\n\r\n");
        // The value that section 1.3 computes.
        let accept = b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
        assert!(contains(&answer, accept), "{}", answer.escape_ascii());
        String::from_utf8(answer).unwrap()
    }
}
