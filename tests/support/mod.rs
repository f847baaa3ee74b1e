//! Shared by the end-to-end tests: the program as a user runs it, and clients that send raw bytes.
#![allow(dead_code, unused_imports, unused_macros, reason = "each of the test programs uses a part of it")]

pub(crate) mod admin;
pub(crate) mod browser;
pub(crate) mod chat;
pub(crate) mod chromium;
pub(crate) mod client;
pub(crate) mod hosts;
pub(crate) mod hybi;
pub(crate) mod optional;
pub(crate) mod peer;
pub(crate) mod recorder;
pub(crate) mod response;
pub(crate) mod server;
pub(crate) mod third_party;
pub(crate) mod tls;

use std::time::Duration;

/// A test's name, and the test, which takes the engine's name.
pub(crate) type Test = (&'static str, fn(&str));

/// Makes each function a test on both engines, and lists them for `tests/wasi_hosts.rs`.
macro_rules! on_both_engines {
    ($($test:ident),* $(,)?) => {
        #[allow(dead_code, reason = "for `tests/wasi_hosts.rs`")]
        pub(crate) const TESTS: &[crate::support::Test] = &[$((stringify!($test), $test)),*];

        mod component {
            $(#[test] fn $test() { super::$test("component"); })*
        }
        mod native {
            $(#[test] fn $test() { super::$test("native"); })*
        }
    };
}
pub(crate) use on_both_engines;

/// Nothing on loopback takes this long; a test that waits longer fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The key3 of draft 76's first example (section 1.2), and the answer that the draft prints.
pub(crate) const KEY3: &[u8] = b"^n:ds[4U";
pub(crate) const ANSWER: &[u8] = b"8jKS'y:G*Co,Wxa-";

/// The closing frame.
pub(crate) const CLOSING: &[u8] = b"\xff\x00";

/// The head of draft 76's first example, with more fields, each ended by CRLF.
pub(crate) fn head76(fields: &str) -> Vec<u8> {
    format!(
        "GET /demo HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nUpgrade: WebSocket\r\n\
         Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nOrigin: http://example.com\r\n{fields}\r\n"
    )
    .into_bytes()
}

/// The head of draft 75's example, with more fields.
pub(crate) fn head75(fields: &str) -> Vec<u8> {
    format!(
        "GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: example.com\r\n\
         Origin: http://example.com\r\n{fields}\r\n"
    )
    .into_bytes()
}

/// The server's answer to [`head76`] without the last 16 bytes.
pub(crate) fn answer76(location: &str, fields: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Origin: http://example.com\r\nSec-WebSocket-Location: {location}\r\n{fields}\r\n"
    )
    .into_bytes()
}

/// The server's answer to [`head75`], which clients compare byte for byte.
pub(crate) fn answer75(location: &str, fields: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
         WebSocket-Origin: http://example.com\r\nWebSocket-Location: {location}\r\n{fields}\r\n"
    )
    .into_bytes()
}

/// A message as a frame.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    [b"\0", text.as_bytes(), b"\xff"].concat()
}

/// Whether `bytes` contain `part`.
pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
