//! Frames behind an opening handshake of either draft, against a naive reading of the drafts.

#![no_main]

use legacy_websocket::Options;
use legacy_websocket_fuzz::support::{Driver, KEY3, head75, head76};
use legacy_websocket_fuzz::{End, Input, read_frames};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::new(data) else { return };
    let options = Options { echo: false, authorise: false, ..input.options() };
    let draft76 = input.flag(6);
    let mut driver = Driver::new(options.clone());
    if draft76 {
        driver.receive(&[&head76("")[..], KEY3].concat());
    } else {
        driver.receive(&head75(""));
    }
    let told = driver.events.len();
    input.bytes.chunks(input.chunk).for_each(|part| driver.receive(part));

    let (messages, end) = read_frames(draft76, &options, input.bytes);
    let news = driver.events.split_off(told);
    let said = news.iter().filter_map(|event| event.strip_prefix("message "));
    assert!(said.eq(messages.iter().map(|text| format!("{text:?}"))), "{news:?}\n{messages:?}");
    let closed = news.iter().find_map(|event| event.strip_prefix("closed "));
    match end {
        End::Open => assert_eq!((closed, &driver.end), (None, &None)),
        End::Closing => assert_eq!(closed, Some("ByPeer")),
        End::Refused => assert!(closed.is_some_and(|cause| cause != "ByPeer"), "{closed:?}"),
    }
});
