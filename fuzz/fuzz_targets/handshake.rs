//! Heads of requests, with whatever is behind them: any chunking gives the same, and a challenge that is answered is
//! answered as a naive reading of draft 76 does.

#![no_main]

use legacy_websocket_fuzz::support::Driver;
use legacy_websocket_fuzz::{Input, answer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::new(data) else { return };
    let whole = run(&input, input.bytes.len().max(1));
    let cut = run(&input, input.chunk);
    assert_eq!(whole.events, cut.events);
    assert_eq!(whole.bytes, cut.bytes);
    assert_eq!(whole.end, cut.end);
    if whole.news().iter().any(|event| event.starts_with("connected Draft76")) {
        let (key1, key2, key3) = challenge(input.bytes).expect("whoever connects has sent a challenge");
        let answer = answer(key1, key2, key3).expect("whoever connects has sent good keys");
        let end =
            whole.bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("the end of our head");
        assert_eq!(whole.bytes[end + 4..][..16], answer);
    }
});

fn run(input: &Input<'_>, chunk: usize) -> Driver {
    let mut driver = Driver::new(input.options());
    for part in input.bytes.chunks(chunk) {
        driver.receive_and_answer(part, |driver| {
            // Refused where there is nothing to accept.
            let _ = driver.server.accept(legacy_websocket_fuzz::support::ID, None, &[]);
        });
    }
    driver
}

/// Finds the challenge by looking for it. The connecting request is the first, or there was none before it.
fn challenge(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut keys = (None, None);
    let mut rest = bytes;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if let (Some(key1), Some(key2)) = keys {
                return Some((key1, key2, rest.get(..8)?));
            }
            keys = (None, None);
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let value = &line[colon + 1..];
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match line[..colon].to_ascii_lowercase().as_slice() {
            b"sec-websocket-key1" => keys.0 = Some(value),
            b"sec-websocket-key2" => keys.1 = Some(value),
            _ => {}
        }
    }
}
