//! Opening handshakes of drafts 75 and 76.

use crate::support::client::Client;
use crate::support::on_both_engines;
use crate::support::server::Server;
use crate::support::{ANSWER, CLOSING, KEY3, answer75, answer76, contains, frame, head75, head76};

on_both_engines!(
    draft_76_opens_and_echoes,
    draft_76_is_answered_before_key3_is_sent,
    key3_may_come_in_pieces,
    a_message_after_key3_in_the_same_write_is_echoed,
    a_whole_session_may_come_in_one_write,
    draft_75_opens_byte_for_byte_and_echoes,
    a_head_may_come_byte_by_byte,
    the_resource_name_is_returned_byte_for_byte,
    a_single_key_is_refused,
);

const LOCATION: &str = "ws://example.com/demo";

fn draft_76_opens_and_echoes(engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut client = server.open76();
    for text in ["", "plain", "h\u{e9}", "\u{20ac}", "\u{1f600}", "h\u{e9} \u{20ac} \u{1f600}"] {
        client.echo(text);
    }
    client.close76();
}

fn draft_76_is_answered_before_key3_is_sent(engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut client = server.connect();
    client.send(&head76(""));
    client.expect(&answer76(LOCATION, ""));
    client.send(KEY3);
    client.expect(ANSWER);
    client.echo("in");
}

fn key3_may_come_in_pieces(engine: &str) {
    let server = Server::start(&["--engine", engine]);
    for cut in 1..KEY3.len() {
        let mut client = server.connect();
        client.send(&[&head76(""), &KEY3[..cut]].concat());
        client.expect(&answer76(LOCATION, ""));
        for byte in &KEY3[cut..] {
            client.send(&[*byte]);
        }
        client.expect(ANSWER);
        client.echo("in");
    }
}

fn a_message_after_key3_in_the_same_write_is_echoed(engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut client = server.connect();
    client.send(&[&head76(""), KEY3, &frame("early")].concat());
    client.expect(&answer76(LOCATION, ""));
    client.expect(ANSWER);
    client.expect(&frame("early"));
}

fn a_whole_session_may_come_in_one_write(engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut client = server.connect();
    client.send(&[&head76(""), KEY3, &frame("all"), &frame("at once"), CLOSING].concat());
    client.expect(&answer76(LOCATION, ""));
    client.expect(ANSWER);
    client.expect(&[frame("all"), frame("at once"), CLOSING.to_vec()].concat());
    client.expect_end();
}

fn draft_75_opens_byte_for_byte_and_echoes(engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut client = server.connect();
    client.send(&head75(""));
    client.expect(&answer75(LOCATION, ""));
    for text in ["", "plain", "h\u{e9} \u{20ac} \u{1f600}"] {
        client.echo(text);
    }
    client.finish();
    client.expect_end();
}

fn a_head_may_come_byte_by_byte(engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut client = server.connect();
    for byte in [&head76(""), KEY3, &frame("\u{20ac}")].concat() {
        client.send(&[byte]);
    }
    client.expect(&answer76(LOCATION, ""));
    client.expect(ANSWER);
    client.expect(&frame("\u{20ac}"));
}

fn the_resource_name_is_returned_byte_for_byte(engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut client = server.connect();
    let head = head75("");
    let path = b"/caf\xc3\xa9\xff?q=%E2%82%AC";
    client.send(&[&b"GET "[..], path, &head[b"GET /demo".len()..]].concat());
    let answer = client.read_until(b"\r\n\r\n");
    let field = [b"\r\nWebSocket-Location: ws://example.com", &path[..], b"\r\n"].concat();
    assert!(contains(&answer, &field), "{}", answer.escape_ascii());
    client.echo("in");
}

fn a_single_key_is_refused(engine: &str) {
    let server = Server::start(&["--engine", engine]);
    for key in ["Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n", "Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n"]
    {
        Client::connect(server.address()).refused(&head75(key), "400");
    }
}
