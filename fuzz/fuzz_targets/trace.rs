//! Traces: whatever can be read is printed as something that is read as the same.

#![no_main]

use legacy_websocket_trace::{Literal, Trace};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(trace) = str::from_utf8(data).ok().and_then(|text| text.parse::<Trace>().ok()) {
        let printed = trace.to_string();
        let again: Trace = printed.parse().unwrap_or_else(|error| panic!("{error}\n{printed}"));
        assert_eq!(again.to_string(), printed);
    }
    // Any bytes can be written down.
    let literal = Literal::from(data);
    let text = format!(
        "legacy-websocket-trace 2\ntitle: a\nprotocol: draft75\nsection: field\nseverity: MAY\n\nC {}\n",
        literal.strings().join("\n+ ")
    );
    let trace: Trace = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    let [legacy_websocket_trace::Step::Client { bytes, .. }] = trace.steps.as_slice() else {
        panic!("{text}")
    };
    assert_eq!(bytes.bytes(&Default::default()), data);
});
