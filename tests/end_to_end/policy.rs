//! Which handshakes the server accepts, and the location it reports.

use crate::support::on_both_engines;
use crate::support::server::Server;
use crate::support::{ANSWER, KEY3, answer75, answer76, head75, head76};

on_both_engines!(
    a_disabled_draft_is_refused,
    only_listed_origins_are_accepted,
    a_requested_subprotocol_is_returned_whole,
    only_listed_subprotocols_are_accepted,
    only_listed_hosts_are_accepted,
    the_public_url_is_the_location,
    forwarded_fields_are_ignored_unless_trusted,
    a_refusal_is_logged_with_the_request,
    control_characters_are_escaped_in_the_log,
);

const LOCATION: &str = "ws://example.com/demo";

fn start(engine: &str, options: &[&str]) -> Server {
    Server::start(&[&["--engine", engine], options].concat())
}

fn a_disabled_draft_is_refused(engine: &str) {
    let server = start(engine, &["--protocol", "draft75"]);
    server.connect().refused(&head76(""), "426");
    server.open75().echo("in");
    let server = start(engine, &["--protocol", "draft76"]);
    server.connect().refused(&head75(""), "426");
    server.open76().echo("in");
}

fn only_listed_origins_are_accepted(engine: &str) {
    let server = start(engine, &["--origin", "http://other.example", "--origin", "http://example.com"]);
    server.open75().echo("in");
    server.open76().echo("in");
    let server = start(engine, &["--origin", "http://other.example"]);
    server.connect().refused(&head75(""), "403");
    server.connect().refused(&head76(""), "403");
    server.wait_for_logs(&["rejected", "403", "Origin"], 2);
}

fn a_requested_subprotocol_is_returned_whole(engine: &str) {
    let server = start(engine, &[]);
    let mut client = server.connect();
    client.send(&[&head76("Sec-WebSocket-Protocol: chat, x y\r\n"), KEY3].concat());
    client.expect(&answer76(LOCATION, "Sec-WebSocket-Protocol: chat, x y\r\n"));
    client.expect(ANSWER);
    let mut client = server.connect();
    client.send(&head75("WebSocket-Protocol: sample\r\n"));
    client.expect(&answer75(LOCATION, "WebSocket-Protocol: sample\r\n"));
}

fn only_listed_subprotocols_are_accepted(engine: &str) {
    let server = start(engine, &["--subprotocol", "other", "--subprotocol", "sample"]);
    let mut client = server.connect();
    client.send(&[&head76("Sec-WebSocket-Protocol: sample\r\n"), KEY3].concat());
    client.expect(&answer76(LOCATION, "Sec-WebSocket-Protocol: sample\r\n"));
    server.open76().echo("requested none, got none");
    // A list that contains an accepted subprotocol is returned whole.
    let mut client = server.connect();
    client.send(&[&head76("Sec-WebSocket-Protocol: else, sample\r\n"), KEY3].concat());
    client.expect(&answer76(LOCATION, "Sec-WebSocket-Protocol: else, sample\r\n"));
    for foreign in ["chat", "chat, else", "SAMPLE"] {
        server.connect().refused(&head76(&format!("Sec-WebSocket-Protocol: {foreign}\r\n")), "403");
        server.connect().refused(&head75(&format!("WebSocket-Protocol: {foreign}\r\n")), "403");
    }
}

fn only_listed_hosts_are_accepted(engine: &str) {
    let server = start(engine, &["--host", "example.com"]);
    server.open75().echo("in");
    server.open76().echo("in");
    let server = start(engine, &["--host", "example.com:8000", "--host", "other.example"]);
    server.connect().refused(&head75(""), "403");
    server.connect().refused(&head76(""), "403");
}

fn the_public_url_is_the_location(engine: &str) {
    let server = start(engine, &["--public-url", "wss://Public.example/prefix"]);
    let mut client = server.connect();
    client.send(&head75(""));
    client.expect(&answer75("wss://public.example/prefix/demo", ""));
    let mut client = server.connect();
    client.send(&head76(""));
    client.expect(&answer76("wss://public.example/prefix/demo", ""));
}

fn forwarded_fields_are_ignored_unless_trusted(engine: &str) {
    let forwarded =
        "X-Forwarded-Proto: https\r\nX-Forwarded-Host: public.example\r\nX-Forwarded-For: 192.0.2.7\r\n";
    let server = start(engine, &["--debug"]);
    let mut client = server.connect();
    client.send(&head75(forwarded));
    client.expect(&answer75(LOCATION, ""));
    server.wait_for_log(&["connected", &client.address().to_string()]);
    let server = start(engine, &["--debug", "--trust-forwarded"]);
    let mut client = server.connect();
    client.send(&head75(forwarded));
    client.expect(&answer75("wss://public.example/demo", ""));
    server.wait_for_log(&["connected", "192.0.2.7"]);
}

fn a_refusal_is_logged_with_the_request(engine: &str) {
    let server = start(engine, &["--origin", "http://other.example", "--subprotocol", "chat"]);
    server.connect().refused(&head75("WebSocket-Protocol: sample\r\nUser-Agent: Old \"one\"\r\n"), "403");
    server.wait_for_log(&[
        "WARN rejected connection=",
        " status=403 reason=\"Origin is not accepted\" method=GET path=/demo host=example.com ",
        r#" origin=http://example.com subprotocol=sample user_agent="Old \"one\"""#,
    ]);
    // No fields are logged for a malformed request.
    server.connect().refused(b"NO REQUEST\r\nOrigin: http://example.com\r\n\r\n", "400");
    let line = server.wait_for_log(&["rejected", "status=400"]);
    assert!(!line.contains("origin="), "{line}");
}

fn control_characters_are_escaped_in_the_log(engine: &str) {
    let server = start(engine, &["--debug", "--trust-forwarded", "--origin", "http://other.example"]);
    let fields = "X-Forwarded-For: \x1b[31m\u{9b}red status=101\r\nUser-Agent: \x1b]0;title\x07\r\n";
    server.connect().refused(&head75(fields), "403");
    server.wait_for_log(&["rejected", r#" peer="\u{1b}[31m\u{9b}red status=101""#, r"\u{1b}]0;title\u{7}"]);
    server.wait_for_log(&["closed", r#" peer="\u{1b}[31m\u{9b}red status=101""#, "cause=refused"]);
    let log = server.log();
    assert!(!log.contains(['\x1b', '\u{9b}', '\x07']), "{log:?}");
}
