//! A whole connection with an application that answers everything: any chunking gives the same events and bytes, and
//! limits are kept.

#![no_main]

use legacy_websocket_fuzz::Input;
use legacy_websocket_fuzz::support::hybi::pongs_apart;
use legacy_websocket_fuzz::support::{Driver, ID};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::new(data) else { return };
    let whole = run(&input, usize::MAX);
    let cut = run(&input, input.chunk);
    let bytes = run(&input, 1);
    assert_eq!(whole.events, cut.events);
    assert_eq!(whole.events, bytes.events);
    let written = pongs_apart(&whole.bytes);
    assert_eq!(written, pongs_apart(&cut.bytes));
    assert_eq!(written, pongs_apart(&bytes.bytes));
    assert_eq!((&whole.end, &whole.end), (&cut.end, &bytes.end));
    assert_eq!((&whole.passed, &whole.passed), (&cut.passed, &bytes.passed));
});

fn run(input: &Input<'_>, chunk: usize) -> Driver {
    let mut driver = Driver::new(input.options());
    for part in input.bytes.chunks(chunk) {
        let told = driver.events.len();
        driver.receive_and_answer(part, |driver| answer_all(driver, told));
        let limits = &driver.server.options().limits;
        let most = limits.max_head_bytes.max(limits.max_message_bytes) as u64;
        assert!(driver.server.counts().buffered_bytes as u64 <= most + 65_536);
    }
    driver.server.receive_eof(ID);
    driver.drain();
    assert_eq!(driver.server.counts().open, 0);
    driver
}

/// Says every message twice, and yes to every request and handshake.
fn answer_all(driver: &mut Driver, told: usize) {
    for at in told..driver.events.len() {
        if let Some(text) = driver.events[at].strip_prefix("message ") {
            let text = text.repeat(2);
            driver
                .server
                .send(ID, &text)
                .expect("a message can be answered, even if the peer ends behind it");
        }
    }
    driver.drain();
    let told = driver.events.len();
    let accepted = driver.server.accept(ID, None, &[]).is_ok();
    let answered = driver.server.respond(ID, 200, &[], b"ok").is_ok();
    driver.drain();
    if answered || accepted {
        // What came ahead of the answer comes out now.
        answer_all(driver, told);
    }
}
