//! Clients of hybi-07 to -12 and RFC 6455.

use crate::support::client::Client;
use crate::support::hybi::{BINARY, CLOSE, PING, PONG, TEXT, close, head_hybi, masked, unmasked};
use crate::support::server::Server;
use crate::support::{KEY3, head75, head76, on_both_engines};

on_both_engines!(
    every_version_is_echoed,
    a_ping_between_fragments_is_answered_at_once,
    the_peers_close_code_is_answered_and_logged,
    a_violation_is_answered_with_its_code,
    a_message_over_the_limit_is_refused_by_its_header,
    the_first_accepted_subprotocol_is_named,
    a_foreign_origin_is_refused_in_every_version,
    a_protocol_that_is_off_is_refused_naming_those_that_are_on,
    a_silent_client_is_pinged_and_then_closed,
);

const VERSIONS: [u8; 3] = [7, 8, 13];

fn start(engine: &str, options: &[&str]) -> Server {
    Server::start(&[&["--engine", engine], options].concat())
}

fn open(server: &Server) -> Client {
    Client::open_hybi(server.address(), 13)
}

fn every_version_is_echoed(engine: &str) {
    let server = start(engine, &["--debug"]);
    for (version, name) in VERSIONS.into_iter().zip(["hybi7", "hybi8", "rfc6455"]) {
        let mut client = Client::open_hybi(server.address(), version);
        client.send(&[masked(TEXT, "h\u{e9}llo".as_bytes()), masked(BINARY, b"\0\xff")].concat());
        client.expect(&unmasked(TEXT, "h\u{e9}llo".as_bytes()));
        client.expect(&unmasked(BINARY, b"\0\xff"));
        server.wait_for_log(&["connected", &client.address().to_string(), name]);
    }
}

fn a_ping_between_fragments_is_answered_at_once(engine: &str) {
    let server = start(engine, &[]);
    let mut client = open(&server);
    client.send(&[masked(0x01, b"Hel"), masked(PING, b"?")].concat());
    client.expect(&unmasked(PONG, b"?"));
    client.send(&masked(0x80, b"lo"));
    client.expect(&unmasked(TEXT, b"Hello"));
}

fn the_peers_close_code_is_answered_and_logged(engine: &str) {
    let server = start(engine, &["--debug"]);
    let mut client = open(&server);
    client.send(&[masked(TEXT, b"last"), masked(CLOSE, &close(4000, "bye"))].concat());
    client.expect(&unmasked(TEXT, b"last"));
    client.expect(&unmasked(CLOSE, &close(4000, "")));
    client.expect_end();
    server.wait_for_log(&["closed", &client.address().to_string(), "by-peer", "code=4000", "reason=bye"]);
}

fn a_violation_is_answered_with_its_code(engine: &str) {
    let server = start(engine, &[]);
    for (frame, code) in [
        (unmasked(TEXT, b"not masked"), 1002),
        (masked(0xc1, b"a reserved bit"), 1002),
        (masked(0x83, b"a reserved opcode"), 1002),
        (masked(0x80, b"nothing to continue"), 1002),
        (masked(0x09, b"a ping in fragments"), 1002),
        (masked(CLOSE, &close(1005, "")), 1002),
        (masked(TEXT, b"\xff"), 1007),
        // The first byte that cannot be; the message has not ended.
        (masked(0x01, b"\xed\xa0"), 1007),
    ] {
        let mut client = open(&server);
        client.send(&frame);
        let answer = client.read_to_end();
        assert_eq!((answer[0], &answer[2..4]), (CLOSE, &close(code, "")[..]), "{}", answer.escape_ascii());
    }
    let mut client = open(&server);
    client.send(&masked(TEXT, b"still serving"));
    client.expect(&unmasked(TEXT, b"still serving"));
}

fn a_message_over_the_limit_is_refused_by_its_header(engine: &str) {
    let server = start(engine, &["--max-message-bytes", "1000"]);
    let mut client = open(&server);
    client.send(b"\x81\xfe\x03\xe9");
    let answer = client.read_to_end();
    assert_eq!((answer[0], &answer[2..4]), (CLOSE, &close(1009, "")[..]), "{}", answer.escape_ascii());
    server.wait_for_log(&["closed", &client.address().to_string(), "message-limit"]);
}

fn the_first_accepted_subprotocol_is_named(engine: &str) {
    let server = start(engine, &["--subprotocol", "superchat", "--subprotocol", "chat"]);
    let mut client = Client::connect(server.address());
    let answer = client.shake_hands_hybi(13, "Sec-WebSocket-Protocol: other, chat, superchat\r\n");
    assert!(answer.ends_with("\r\nSec-WebSocket-Protocol: chat\r\n\r\n"), "{answer}");
    let other = head_hybi(13, "Sec-WebSocket-Protocol: other\r\n");
    server.connect().refused(&other, "403");
}

fn a_foreign_origin_is_refused_in_every_version(engine: &str) {
    let server = start(engine, &["--origin", "http://elsewhere.example"]);
    for version in VERSIONS {
        server.connect().refused(&head_hybi(version, ""), "403");
    }
}

fn a_protocol_that_is_off_is_refused_naming_those_that_are_on(engine: &str) {
    let server = start(engine, &["--protocol", "draft76", "--protocol", "hybi8"]);
    for head in [head_hybi(7, ""), head_hybi(13, ""), head_hybi(6, "")] {
        let answer = server.connect().refused(&head, "426");
        assert!(answer.contains("\r\nSec-WebSocket-Version: 8\r\n"), "{answer}");
    }
    server.connect().refused(&head75(""), "426");
    drop(Client::open_hybi(server.address(), 8));
    drop(Client::open76(server.address()));

    let server = start(engine, &["--protocol", "draft75"]);
    let mut client = server.connect();
    let answer = client.refused(&head_hybi(13, ""), "426");
    assert!(answer.contains("RFC 6455") && !answer.contains("Sec-WebSocket-Version: "), "{answer}");
    server.wait_for_log(&["rejected", &client.address().to_string(), "426", "RFC 6455"]);
    server.connect().refused(&[&head76("")[..], KEY3].concat(), "426");
}

fn a_silent_client_is_pinged_and_then_closed(engine: &str) {
    let server = start(engine, &["--debug", "--ping-interval", "200ms"]);
    let (mut silent, mut alive) = (open(&server), open(&server));
    let mut draft76 = Client::open76(server.address());
    for _ in 0..3 {
        alive.expect(&unmasked(PING, b""));
        alive.send(&masked(PONG, b""));
    }
    silent.expect(&unmasked(PING, b""));
    let answer = silent.read_to_end();
    assert_eq!((answer[0], &answer[2..4]), (CLOSE, &close(1001, "")[..]), "{}", answer.escape_ascii());
    server.wait_for_log(&["closed", &silent.address().to_string(), "ping-timeout"]);
    draft76.echo("there are no pings here");
}
