//! A browser engine of the period, WebKit 534.34, on the page that the server serves.

mod support;

use std::path::Path;
use std::process::ExitCode;

use support::browser::{Browser, TEXT, chat_with_draft75};
use support::optional::{install, trial};
use support::recorder::{Record, Recorder};
use support::server::Server;
use support::{CLOSING, contains, frame};

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let phantomjs = install("install-phantomjs");
    let trials = vec![
        trial("the_page_opens_sends_spams_and_closes_with_the_component", &phantomjs, |phantomjs| {
            tour(phantomjs, "component");
        }),
        trial("the_page_opens_sends_spams_and_closes_with_the_native_engine", &phantomjs, |phantomjs| {
            tour(phantomjs, "native");
        }),
        trial("the_page_sees_the_server_close", &phantomjs, server_closes),
        trial("the_page_chats_with_a_draft_75_client", &phantomjs, chat),
        trial("the_chat_keeps_the_name_after_a_reconnect_and_shows_lines_once", &phantomjs, chat_again),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn tour(phantomjs: &Path, engine: &str) {
    let server = Server::start(&["--engine", engine, "--debug"]);
    let recorder = Recorder::start(server.address());
    let mut browser = Browser::start(phantomjs, &recorder, "tour");
    let saw = browser.read_until("STATE closed");
    browser.expect_success();

    let url = format!("ws://{}/echo", recorder.address());
    assert_eq!(saw[..3], [&format!("open {url}"), "opened", "STATE open"]);
    for line in [format!("> {TEXT}"), format!("< {TEXT}"), "spam: 10000 messages".into(), "close".into()] {
        assert!(saw.contains(&line), "{line:?} is not among {saw:#?}");
    }
    let done = saw.iter().find(|line| line.starts_with("spam done: ")).unwrap();
    assert!(done.starts_with("spam done: 10000 echoed, ") && done.ends_with(", all in order"), "{done}");
    assert!(!saw.iter().any(|line| line == "error"), "{saw:#?}");

    let record = recorder.wait_for_websocket();
    let expected: Vec<u8> = frame(TEXT)
        .into_iter()
        .chain((0..10_000).flat_map(|number| frame(&format!("spam {number}"))))
        .collect();
    let (theirs, ours) = split(&record, &url);
    assert_same(theirs, &expected);
    // This engine closes TCP without sending FF 00, and so does the server then.
    assert_same(ours, &expected);
    server.wait_for_log(&["closed", if record.client.reset { "reset" } else { "end-of-stream" }]);
}

fn server_closes(phantomjs: &Path) {
    let server = Server::start(&[]);
    let recorder = Recorder::start(server.address());
    let mut browser = Browser::start(phantomjs, &recorder, "wait");
    browser.read_until("STATE open");
    server.stop();
    let saw = browser.read_until("STATE closed");
    browser.expect_success();
    assert!(!saw.iter().any(|line| line == "error"), "{saw:#?}");

    let record = recorder.wait_for_websocket();
    let (theirs, ours) = split(&record, &format!("ws://{}/echo", recorder.address()));
    assert_eq!(theirs, b"", "this engine does not answer a closing handshake");
    assert_eq!(ours, CLOSING);
}

fn chat(phantomjs: &Path) {
    chat_with_draft75(phantomjs, &Server::start(&[&chat_file("browser-chat.wasm")]));
}

fn chat_again(phantomjs: &Path) {
    let server = Server::start(&[&chat_file("browser-chat-again.wasm"), "--idle-timeout", "5s"]);
    let mut browser = Browser::start(phantomjs, &Recorder::start(server.address()), "again");
    browser.read_until("* guest 2 is now Pip");
    browser.expect_success();
}

fn chat_file(name: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, test_components::CHAT).unwrap();
    path.to_str().unwrap().into()
}

/// Compares long byte strings and shows only where they differ.
#[track_caller]
fn assert_same(bytes: &[u8], expected: &[u8]) {
    let same = bytes.iter().zip(expected).take_while(|(left, right)| left == right).count();
    let show =
        |bytes: &[u8]| bytes[same..].iter().take(50).copied().collect::<Vec<_>>().escape_ascii().to_string();
    assert_eq!(show(bytes), show(expected), "from byte {same} on");
}

/// Checks the draft 76 opening handshake and returns what each side sent after it.
#[track_caller]
fn split<'a>(record: &'a Record, url: &str) -> (&'a [u8], &'a [u8]) {
    let (request, theirs) = head_and_rest(&record.client.bytes);
    for part in ["GET /echo HTTP/1.1\r\n", "\r\nSec-WebSocket-Key1: ", "\r\nSec-WebSocket-Key2: "] {
        assert!(contains(request, part.as_bytes()), "{}", request.escape_ascii());
    }
    let (answer, ours) = head_and_rest(&record.server.bytes);
    assert!(
        answer.starts_with(b"HTTP/1.1 101 WebSocket Protocol Handshake\r\n"),
        "{}",
        answer.escape_ascii()
    );
    let location = format!("\r\nSec-WebSocket-Location: {url}\r\n");
    assert!(contains(answer, location.as_bytes()), "{}", answer.escape_ascii());
    // Skips key3 and its answer, which the browser has checked.
    (&theirs[8..], &ours[16..])
}

#[track_caller]
fn head_and_rest(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    bytes.split_at(end.unwrap_or_else(|| panic!("no head in {}", bytes.escape_ascii())) + 4)
}
