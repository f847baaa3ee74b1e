//! Frames of RFC 6455, against tungstenite's reading of them.

#![no_main]

use legacy_websocket_fuzz::Input;
use legacy_websocket_fuzz::support::hybi::{differ, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::new(data) else { return };
    let max = input.max_message_bytes;
    differ(input.bytes, max);
    let whole = run(input.bytes, usize::MAX, max, false);
    for fast in [false, true] {
        assert_eq!(run(input.bytes, input.chunk, max, fast), whole);
    }
});
