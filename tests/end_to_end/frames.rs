//! Messages, the closing handshake and reserved frames.

use crate::support::on_both_engines;
use crate::support::server::Server;
use crate::support::{CLOSING, frame};

on_both_engines!(
    a_closing_handshake_in_two_writes_is_answered,
    nothing_is_answered_after_a_closing_handshake,
    draft_75_has_no_closing_handshake,
    a_closing_frame_on_draft_75_closes_cleanly,
    a_reserved_frame_closes_and_is_logged,
    reserved_frames_are_skipped_if_configured,
    invalid_utf8_is_replaced,
    invalid_utf8_closes_if_configured,
    a_long_message_is_echoed_whole,
    a_message_over_the_limit_closes,
    messages_in_one_write_are_echoed_in_order,
);

fn start(engine: &str, options: &[&str]) -> Server {
    Server::start(&[&["--engine", engine], options].concat())
}

fn a_closing_handshake_in_two_writes_is_answered(engine: &str) {
    let server = start(engine, &["--debug"]);
    let mut client = server.open76();
    client.send(&CLOSING[..1]);
    client.send(&CLOSING[1..]);
    client.expect(CLOSING);
    client.expect_end();
    server.wait_for_log(&["closed", &client.address().to_string(), "by-peer"]);
}

fn nothing_is_answered_after_a_closing_handshake(engine: &str) {
    let server = start(engine, &[]);
    let mut client = server.open76();
    client.send(&[&frame("before"), CLOSING, &frame("after")].concat());
    client.expect(&frame("before"));
    client.expect(CLOSING);
    client.expect_end();
}

fn draft_75_has_no_closing_handshake(engine: &str) {
    let server = start(engine, &["--debug", "--skip-reserved-frames"]);
    let mut client = server.open75();
    // Just an empty frame of length 0.
    client.send(CLOSING);
    client.echo("still open");
    client.finish();
    client.expect_end();
    server.wait_for_log(&["closed", &client.address().to_string(), "end-of-stream"]);
}

fn a_closing_frame_on_draft_75_closes_cleanly(engine: &str) {
    let server = start(engine, &["--debug"]);
    let mut client = server.open75();
    client.send(&[&frame("last"), CLOSING].concat());
    client.expect(&frame("last"));
    // Not answered: in draft 75 the answer would be an ordinary frame.
    client.expect_end();
    server.wait_for_log(&["DEBUG", "closed", &client.address().to_string()]);
}

fn a_reserved_frame_closes_and_is_logged(engine: &str) {
    let server = start(engine, &[]);
    for mut client in [server.open75(), server.open76()] {
        client.send(b"\x01text\xff");
        client.expect_end();
        server.wait_for_log(&["closed", &client.address().to_string(), "0x01"]);
    }
}

fn reserved_frames_are_skipped_if_configured(engine: &str) {
    let server = start(engine, &["--skip-reserved-frames"]);
    for mut client in [server.open75(), server.open76()] {
        client.send(b"\x01text\xff\x80\x03\x00\xff\x00\xff\x01z");
        client.echo("read on");
    }
}

fn invalid_utf8_is_replaced(engine: &str) {
    let server = start(engine, &[]);
    let mut client = server.open76();
    // A lone surrogate, as WebKit 534 sends it: three bytes, none of which starts a valid sequence.
    client.send(b"\0a\xed\xa0\x80z\xff");
    client.expect(&frame("a\u{fffd}\u{fffd}\u{fffd}z"));
    client.send(b"\0cut \xe2\x82\xff");
    client.expect(&frame("cut \u{fffd}"));
}

fn invalid_utf8_closes_if_configured(engine: &str) {
    let server = start(engine, &["--invalid-utf8", "close"]);
    for mut client in [server.open75(), server.open76()] {
        client.echo("h\u{e9}");
        client.send(b"\0\xc3\x28\xff");
        client.expect_end();
        server.wait_for_log(&["closed", &client.address().to_string(), "bad-text"]);
    }
}

fn a_long_message_is_echoed_whole(engine: &str) {
    let server = start(engine, &[]);
    // Shorter than the limit of 1 MiB, longer than a single read.
    let text = "\u{20ac}".repeat(300_000);
    let mut client = server.open76();
    client.echo(&text);
    client.close76();
}

fn a_message_over_the_limit_closes(engine: &str) {
    let server = start(engine, &["--max-message-bytes", "10"]);
    for mut client in [server.open75(), server.open76()] {
        client.echo("0123456789");
        client.send(&frame("0123456789+"));
        client.expect_end();
        server.wait_for_log(&["closed", &client.address().to_string(), "message-limit"]);
    }
}

fn messages_in_one_write_are_echoed_in_order(engine: &str) {
    let server = start(engine, &[]);
    let many: Vec<u8> = (0..1000).flat_map(|number| frame(&format!("message {number}"))).collect();
    let mut client = server.open75();
    client.send(&many);
    client.expect(&many);
}
