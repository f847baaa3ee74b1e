//! The published and computed vectors: keys, whole handshakes, framing.

mod support;

use legacy_websocket::{Limits, Options};
use serde::Deserialize;
use serde_json::Value;
use support::{Driver, head75, head76};

#[derive(Deserialize)]
struct Handshakes {
    good: Vec<Good>,
    bad_keys: Vec<String>,
}

#[derive(Deserialize)]
struct Good {
    name: String,
    key1: String,
    key2: String,
    key3_hex: String,
    answer_hex: String,
}

#[derive(Deserialize)]
struct Framing {
    name: String,
    bytes_hex: String,
    max_len: Option<usize>,
    draft75_skip: Vec<Value>,
    draft75_strict: Vec<Value>,
    draft76_skip: Vec<Value>,
    draft76_strict: Vec<Value>,
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn request(key1: &str, key2: &str) -> Vec<u8> {
    format!(
        "GET / HTTP/1.1\r\nSec-WebSocket-Key2: {key2}\r\nUpgrade: WebSocket\r\nHost: a\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key1: {key1}\r\nOrigin: http://a\r\n\r\n"
    )
    .into_bytes()
}

#[test]
fn every_challenge_is_answered() {
    let vectors: Handshakes = serde_json::from_str(include_str!("vectors/handshake-vectors.json")).unwrap();
    assert_eq!(vectors.good.len(), 13);
    for vector in vectors.good {
        let mut driver = Driver::new(Options::default());
        driver.receive(&request(&vector.key1, &vector.key2));
        assert!(driver.bytes.ends_with(b"\r\n\r\n"), "{}: the 101 does not wait for key3", vector.name);
        for byte in hex(&vector.key3_hex) {
            driver.receive(&[byte]);
        }
        assert!(driver.bytes.ends_with(&hex(&vector.answer_hex)), "{}", vector.name);
        assert_eq!(driver.news(), ["connected Draft76 / None"], "{}", vector.name);
    }
}

#[test]
fn every_bad_key_is_refused_as_key1_and_as_key2() {
    let vectors: Handshakes = serde_json::from_str(include_str!("vectors/handshake-vectors.json")).unwrap();
    assert_eq!(vectors.bad_keys.len(), 8);
    let good = "4 @1  46546xW%0l 1 5";
    for bad in &vectors.bad_keys {
        for (key1, key2) in [(bad.as_str(), good), (good, bad.as_str())] {
            let mut driver = Driver::new(Options::default());
            driver.receive(&request(key1, key2));
            assert!(driver.bytes.starts_with(b"HTTP/1.1 400 "), "{bad:?}");
            assert_eq!(driver.news().last(), Some(&"closed Refused"), "{bad:?}");
        }
    }
}

#[test]
fn every_framing_vector_holds_whole_and_byte_by_byte() {
    let vectors: Vec<Framing> = serde_json::from_str(include_str!("vectors/framing-vectors.json")).unwrap();
    assert_eq!(vectors.len(), 24);
    for vector in &vectors {
        for (draft76, skip, expected) in [
            (false, true, &vector.draft75_skip),
            (false, false, &vector.draft75_strict),
            (true, true, &vector.draft76_skip),
            (true, false, &vector.draft76_strict),
        ] {
            for chunk in [usize::MAX, 1, 2, 3] {
                let read = read_frames(vector, draft76, skip, chunk);
                assert_eq!(&read, expected, "{} draft76={draft76} skip={skip} chunk={chunk}", vector.name);
            }
        }
    }
}

/// An outcome in the vectors' own notation.
fn read_frames(vector: &Framing, draft76: bool, skip: bool, chunk: usize) -> Vec<Value> {
    let mut limits = Limits::default();
    limits.max_message_bytes = vector.max_len.unwrap_or(limits.max_message_bytes);
    let mut driver = Driver::new(Options { skip_reserved_frames: skip, limits, ..Options::default() });
    if draft76 {
        driver.receive(&head76(""));
        driver.receive(support::KEY3);
    } else {
        driver.receive(&head75(""));
    }
    let bytes = hex(&vector.bytes_hex);
    for part in bytes.chunks(chunk.min(bytes.len())) {
        driver.receive(part);
    }
    let notation = |event: &&str| match event.split_once(' ') {
        Some(("message", text)) => {
            let text: String = unescape(text);
            Some(Value::from(vec![Value::from("message"), Value::from(text)]))
        }
        Some(("closed", "ByPeer")) => Some(Value::from("close")),
        Some(("closed", _)) => Some(Value::from("abort")),
        _ => None,
    };
    driver.news().iter().filter_map(notation).collect()
}

/// The inverse of `{:?}` for the few characters that occur.
fn unescape(text: &str) -> String {
    text.trim_matches('"').replace("\\0", "\0")
}
