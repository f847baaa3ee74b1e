//! Traces: whatever can be read is printed as something that is read as the same.

#![no_main]

use legacy_websocket_trace::{Bytes, Framer, Trace};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(trace) = str::from_utf8(data).ok().and_then(|text| text.parse::<Trace>().ok()) {
        let printed = trace.to_string();
        let again: Trace = printed.parse().unwrap_or_else(|error| panic!("{error}\n{printed}"));
        assert_eq!(again.to_string(), printed);
    }
    // Any bytes can be written down, as strings and as frames, where there are some, in two reads.
    let (first, second) = data.split_at(data.len() / 2);
    let mut framer = Framer::default();
    let head = framer.split(b"\r\n\r\n", true);
    let frames = Bytes([framer.split(first, true).0, framer.split(second, true).0].concat());
    assert_eq!(head.bytes(&Default::default()), b"\r\n\r\n");
    for bytes in [Bytes::from(data), frames] {
        write_and_read(data, &bytes);
    }
});

fn write_and_read(data: &[u8], bytes: &Bytes) {
    let text = format!(
        "legacy-websocket-trace 2\ntitle: a\nprotocol: draft75\nsection: field\nseverity: MAY\n\nC {bytes}\n"
    );
    let trace: Trace = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    let [legacy_websocket_trace::Step::Client { bytes, .. }] = trace.steps.as_slice() else {
        panic!("{text}")
    };
    assert_eq!(bytes.bytes(&Default::default()), data);
}
