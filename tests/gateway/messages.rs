//! Messages in both directions.

use std::thread;

use crate::backend::Backend;
use crate::pair::{PROTOCOLS, Pair, Protocol, gateway, start};
use crate::support::admin::{Admin, until};
use crate::support::hybi::{BINARY, CLOSE, PING, PONG, TEXT, close, masked, unmasked};
use crate::support::server::Server;
use crate::support::{CLOSING, contains, frame};

tests!(
    text_arrives_in_both_directions,
    each_form_of_the_length_arrives,
    ten_thousand_messages_arrive_in_order,
    invalid_utf8_of_a_client_is_replaced,
    invalid_utf8_of_a_client_closes_if_so_configured,
    invalid_utf8_of_a_backend_is_never_sent_on,
    binary_to_a_hixie_client_closes,
    binary_to_a_hixie_client_may_be_base64,
    binary_to_a_hixie_client_may_be_dropped,
    subprotocol_base64_carries_binary,
    what_is_not_base64_is_not_sent_on,
    binary_of_hybi_clients_stays_binary,
    a_backends_ping_is_answered,
    a_clients_ping_is_answered,
    the_backend_is_pinged_if_so_configured,
    a_backends_fragments_are_joined,
    a_clients_fragments_are_joined,
    a_clients_message_over_the_limit_closes_both_sides,
    a_backends_message_over_the_limit_closes_both_sides,
    fragments_over_the_limit_close_both_sides,
    a_backend_that_is_still_writing_is_told,
    frames_right_behind_the_answer_arrive,
    a_client_that_does_not_read_stops_the_backend,
    a_slow_client_is_not_the_backends_fault,
    a_backend_that_does_not_read_stops_the_client,
);

const MIB: u64 = 1 << 20;

fn text_arrives_in_both_directions() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        for text in
            ["hello", "", "h\u{e9}llo \u{20ac} \u{1f600}", "\u{0}\u{7f}\u{80}\u{7ff}\u{ffff}\u{10ffff}"]
        {
            pair.talk(text);
        }
        pair.close();
    }
}

fn each_form_of_the_length_arrives() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        for length in [1, 125, 126, 127, 128, 16_383, 16_384, 65_535, 65_536, 200_000] {
            pair.talk(&"x".repeat(length));
        }
    }
}

fn ten_thousand_messages_arrive_in_order() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let Pair { mut client, mut upstream, .. } = Pair::open(protocol, &gateway, &backend);
        let mut hears = client.reader();
        let echo = thread::spawn(move || {
            for _ in 0..10_000 {
                let read = upstream.read_frame();
                assert_eq!(read.first, TEXT);
                upstream.send_frame(TEXT, &read.payload);
            }
        });
        let says = thread::spawn(move || {
            for number in 0..10_000 {
                client.send(&protocol.text(&format!("{number} \u{20ac}")));
            }
            client
        });
        for number in 0..10_000 {
            protocol.expect_text(&mut hears, &format!("{number} \u{20ac}"));
        }
        says.join().unwrap();
        echo.join().unwrap();
    }
}

fn invalid_utf8_of_a_client_is_replaced() {
    let (gateway, backend) = start(&[]);
    for protocol in [Protocol::Draft75, Protocol::Draft76] {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        pair.client.send(b"\0h\xc3(\xe2\x82\xff");
        pair.upstream.expect_message(TEXT, "h\u{fffd}(\u{fffd}".as_bytes());
        pair.talk("goes on");
    }
}

fn invalid_utf8_of_a_client_closes_if_so_configured() {
    let (gateway, backend) = start(&["--invalid-utf8", "close"]);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        pair.client.send(&match protocol {
            Protocol::Hybi(_) => masked(TEXT, b"h\xc3("),
            _ => b"\0h\xc3(\xff".to_vec(),
        });
        pair.upstream.expect_close_code(1007);
        let end = pair.client.read_until_gone();
        match protocol {
            Protocol::Draft75 => assert_eq!(end, b""),
            // A connection that breaks the rules needs no closing handshake.
            Protocol::Draft76 => assert!(end.is_empty() || end == CLOSING, "{}", end.escape_ascii()),
            Protocol::Hybi(_) => {
                assert_eq!((end[0], &end[2..4]), (CLOSE, &close(1007, "")[..]), "{}", end.escape_ascii());
            }
        }
    }
}

fn invalid_utf8_of_a_backend_is_never_sent_on() {
    for option in ["replace", "close"] {
        let (gateway, backend) = start(&["--invalid-utf8", option]);
        for protocol in PROTOCOLS {
            let mut pair = Pair::open(protocol, &gateway, &backend);
            pair.upstream.send_frame(TEXT, b"h\xc3(\xe2\x82");
            pair.upstream.send_frame(CLOSE, &close(1000, ""));
            let end = pair.client.read_until_gone();
            assert!(!contains(&end, b"\xc3("), "{}", end.escape_ascii());
        }
    }
}

fn binary_to_a_hixie_client_closes() {
    let (gateway, backend) = start(&[]);
    for protocol in [Protocol::Draft75, Protocol::Draft76] {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        pair.hear("text");
        pair.upstream.send_frame(BINARY, b"\x00\x01");
        pair.upstream.expect_close_code(1003);
        let end = pair.client.read_until_gone();
        assert_eq!(end, if protocol == Protocol::Draft76 { CLOSING } else { b"" });
    }
}

fn binary_to_a_hixie_client_may_be_base64() {
    let (gateway, backend) = start(&["--binary", "base64"]);
    for protocol in [Protocol::Draft75, Protocol::Draft76] {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        pair.upstream.send_frame(BINARY, b"\x00\x01\xfe\xff");
        pair.client.expect(&frame("AAH+/w=="));
        pair.upstream.send_frame(BINARY, b"");
        pair.client.expect(&frame(""));
        pair.client.send(&frame("AAH+/w=="));
        pair.upstream.expect_message(BINARY, b"\x00\x01\xfe\xff");
    }
}

fn binary_to_a_hixie_client_may_be_dropped() {
    let (gateway, backend) = start(&["--binary", "drop", "--metrics", "0"]);
    let admin = Admin::of(&gateway);
    for protocol in [Protocol::Draft75, Protocol::Draft76] {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        pair.upstream.send_frame(BINARY, b"\x00\x01");
        pair.talk("goes on");
    }
    until(&admin, |metrics| metrics["legacy_websocket_gateway_binary_dropped_total"] == 2.0);
}

fn subprotocol_base64_carries_binary() {
    let (gateway, backend) = start(&[]);
    let asks = "Sec-WebSocket-Protocol: base64\r\n";
    let mut pair = Pair::open_with(Protocol::Draft76, &gateway, &backend, asks, "");
    pair.client.send(&frame("aGkA"));
    pair.upstream.expect_message(BINARY, b"hi\0");
    pair.upstream.send_frame(BINARY, b"hi\0");
    pair.client.expect(&frame("aGkA"));
}

fn what_is_not_base64_is_not_sent_on() {
    let (gateway, backend) = start(&["--binary", "base64"]);
    let mut pair = Pair::open(Protocol::Draft76, &gateway, &backend);
    pair.client.send(&frame("not base64!"));
    assert_eq!(pair.upstream.read_frame().first, CLOSE);
}

fn binary_of_hybi_clients_stays_binary() {
    for option in ["close", "base64", "drop"] {
        let (gateway, backend) = start(&["--binary", option]);
        for version in [7, 8] {
            let mut pair = Pair::open(Protocol::Hybi(version), &gateway, &backend);
            pair.hear_binary(b"\x00\x01\xfe\xff");
            pair.client.send(&masked(BINARY, b"\xff\x00"));
            pair.upstream.expect_message(BINARY, b"\xff\x00");
            // A gateway that decodes base64 would make this binary.
            pair.talk("aGkA");
        }
    }
}

fn a_backends_ping_is_answered() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        for payload in [&b""[..], b"are you there?", &[0xff; 125]] {
            pair.upstream.send_frame(PING, payload);
            pair.upstream.expect_masked(PONG, payload);
        }
        // One that nobody has asked for.
        pair.upstream.send_frame(PONG, b"unasked");
        pair.talk("and nothing reached the client");
    }
}

fn a_clients_ping_is_answered() {
    let (gateway, backend) = start(&[]);
    for version in [7, 8] {
        let mut pair = Pair::open(Protocol::Hybi(version), &gateway, &backend);
        pair.client.send(&masked(PING, b"are you there?"));
        pair.client.expect_frame(PONG, b"are you there?");
        pair.talk("and nothing reached the backend");
    }
}

fn the_backend_is_pinged_if_so_configured() {
    let (gateway, backend) = start(&["--backend-ping-interval", "1s"]);
    let mut pair = Pair::open(Protocol::Draft76, &gateway, &backend);
    for _ in 0..2 {
        let ping = pair.upstream.read_frame();
        assert_eq!(ping.first, PING);
        pair.upstream.send_frame(PONG, &ping.payload);
    }
    pair.hear("nothing else reached the client");
}

fn a_backends_fragments_are_joined() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        // Cut inside of characters, with a ping between.
        let text = "h\u{e9} \u{20ac} \u{1f600}".as_bytes();
        pair.upstream.send_frame(0x01, &text[..2]);
        pair.upstream.send_frame(PING, b"between");
        pair.upstream.send_frame(0x00, &text[2..5]);
        pair.upstream.send_frame(0x00, b"");
        pair.upstream.send_frame(0x80, &text[5..]);
        pair.upstream.expect_masked(PONG, b"between");
        protocol.expect_text(&mut pair.client, "h\u{e9} \u{20ac} \u{1f600}");
        pair.talk("next");
    }
}

fn a_clients_fragments_are_joined() {
    let (gateway, backend) = start(&[]);
    for version in [7, 8] {
        let mut pair = Pair::open(Protocol::Hybi(version), &gateway, &backend);
        let text = "h\u{e9} \u{20ac}".as_bytes();
        pair.client.send(&[masked(0x01, &text[..2]), masked(PING, b"between")].concat());
        pair.client.expect_frame(PONG, b"between");
        pair.client.send(&masked(0x80, &text[2..]));
        pair.upstream.expect_message(TEXT, text);
        pair.talk("next");
    }
}

/// The limit of these tests.
const LIMITED: &[&str] = &["--max-message-bytes", "1000"];

fn a_clients_message_over_the_limit_closes_both_sides() {
    let (gateway, backend) = start(LIMITED);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        pair.talk(&"x".repeat(1000));
        pair.client.send(&protocol.text(&"x".repeat(1001)));
        pair.upstream.expect_close_code(1009);
        expect_too_big(&mut pair);
    }
}

fn a_backends_message_over_the_limit_closes_both_sides() {
    let (gateway, backend) = start(LIMITED);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        pair.upstream.send_frame(TEXT, &[b'x'; 1001]);
        pair.upstream.expect_close_code(1009);
        expect_too_big(&mut pair);
    }
}

fn fragments_over_the_limit_close_both_sides() {
    let (gateway, backend) = start(LIMITED);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        pair.upstream.send_frame(0x01, &[b'x'; 600]);
        pair.upstream.send_frame(0x80, &[b'x'; 600]);
        pair.upstream.expect_close_code(1009);
        expect_too_big(&mut pair);
    }
}

/// A reset would take the close frame from it.
fn a_backend_that_is_still_writing_is_told() {
    let (gateway, backend) = start(&["--max-message-bytes", "1000"]);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        pair.upstream.send_frame(TEXT, &[b'x'; 16 << 20]);
        pair.upstream.expect_close_code(1009);
        pair.upstream.finish();
        pair.upstream.expect_end();
    }
}

/// The client is closed, with no part of the message.
#[track_caller]
fn expect_too_big(pair: &mut Pair) {
    let end = pair.client.read_until_gone();
    match pair.protocol {
        Protocol::Draft75 => assert_eq!(end.escape_ascii().to_string(), ""),
        Protocol::Draft76 => assert!(end.is_empty() || end == CLOSING, "{}", end.escape_ascii()),
        Protocol::Hybi(_) => {
            assert_eq!(end.first(), Some(&CLOSE), "{}", end.escape_ascii());
            assert_eq!(end.get(2..4), Some(&1009_u16.to_be_bytes()[..]), "{}", end.escape_ascii());
        }
    }
}

fn frames_right_behind_the_answer_arrive() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let mut client = gateway.connect();
        // A client of these drafts may send before it has the answer, for all the gateway knows.
        client.send(&[protocol.request(""), protocol.text("early")].concat());
        let (mut upstream, request) = backend.accept_request();
        upstream.switch(&request, "");
        upstream.send_frame(TEXT, b"early, too");
        protocol.read_answer(&mut client);
        upstream.expect_message(TEXT, b"early");
        protocol.expect_text(&mut client, "early, too");
    }
}

/// Far more than the buffers of two sockets and a gateway that keeps within its limits.
const FLOOD: usize = 96 << 20;

fn a_client_that_does_not_read_stops_the_backend() {
    let (gateway, backend) = start(&["--write-timeout", "1h"]);
    let mut pair = Pair::open(Protocol::Draft76, &gateway, &backend);
    let before = gateway.resident_bytes();
    let text = "x".repeat(60_000);
    let written = pair.upstream.write_until_full(&unmasked(TEXT, text.as_bytes()), FLOOD);
    expect_held(&gateway, before, written);
    // What was written whole arrives.
    for _ in 0..written / unmasked(TEXT, text.as_bytes()).len() {
        pair.client.expect(&frame(&text));
    }
}

/// From there on, and around.
fn rotated(bytes: &[u8], from: usize) -> Vec<u8> {
    let (before, after) = bytes.split_at(from % bytes.len());
    [after, before].concat()
}

/// What the backend says, and its pongs, wait behind what the client has not read.
fn a_slow_client_is_not_the_backends_fault() {
    for option in ["--backend-ping-interval", "--backend-idle-timeout"] {
        let (gateway, backend) = start(&["--write-timeout", "1h", option, "2s"]);
        let mut pair = Pair::open(Protocol::Draft76, &gateway, &backend);
        let sent = unmasked(TEXT, "x".repeat(60_000).as_bytes());
        let mut written = 0;
        // Each waits for a second; a backend that says nothing for four is gone, even if it answers no pings.
        for _ in 0..5 {
            written += pair.upstream.write_until_full(&rotated(&sent, written), FLOOD);
        }
        let text = frame(&"x".repeat(60_000));
        for _ in 0..written / sent.len() {
            pair.client.expect(&text);
        }
        pair.upstream.send(&sent[written % sent.len()..]);
        pair.client.expect(&text);
        pair.hear("still here");
    }
}

fn a_backend_that_does_not_read_stops_the_client() {
    let backend = Backend::start();
    let gateway = gateway(&backend.url(), &[]);
    let mut pair = Pair::open(Protocol::Draft76, &gateway, &backend);
    let before = gateway.resident_bytes();
    let text = "x".repeat(60_000);
    let written = pair.client.write_until_full(&frame(&text), FLOOD);
    expect_held(&gateway, before, written);
    for _ in 0..written / frame(&text).len() {
        pair.upstream.expect_message(TEXT, text.as_bytes());
    }
}

#[track_caller]
fn expect_held(gateway: &Server, before: u64, written: usize) {
    assert!(written < FLOOD, "the gateway takes everything");
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 32 * MIB, "{} MiB more than before", grown / MIB);
}
