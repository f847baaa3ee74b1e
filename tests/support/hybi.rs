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

/// A frame from a client (section 5.2), masked. `first` is its first byte; the payload is at most 125 bytes.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = unmasked(first, &[]);
    frame[1] = 0x80 | u8::try_from(payload.len()).expect("short");
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// The same from a server.
pub(crate) fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("short");
    assert!(length < 126, "a longer frame has another header");
    [&[first, length], payload].concat()
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
