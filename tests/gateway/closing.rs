//! How the end of one side becomes the end of the other.

use std::thread;

use crate::pair::{PROTOCOLS, Pair, Protocol, start};
use crate::support::CLOSING;
use crate::support::admin::{Admin, until};
use crate::support::hybi::{CLOSE, TEXT, close, masked, unmasked};

tests!(
    the_closing_frame_of_draft_76_is_1000,
    the_end_of_draft_75_is_1000,
    the_end_of_draft_76_without_a_closing_frame_is_1001,
    code_and_reason_of_a_hybi_client_reach_the_backend,
    a_hybi_close_without_a_code_stays_one,
    a_reset_drops_the_backends_connection,
    what_the_client_said_last_arrives_before_the_close,
    what_comes_with_the_opening_handshake_arrives_before_the_close,
    what_the_backend_said_last_arrives_before_the_close,
    a_close_in_one_piece_with_the_last_message_is_answered,
    a_backend_that_breaks_the_protocol_is_told,
    a_code_that_rfc_6455_reserves_is_left_out,
    the_backends_close_reaches_the_client,
    the_backends_close_without_a_code_reaches_the_client,
    the_backends_code_is_logged_and_counted,
    the_backends_end_without_a_close_ends_the_client,
    both_sides_may_close_at_once,
    a_backend_that_does_not_answer_the_close_is_dropped,
    a_client_that_does_not_answer_the_close_is_dropped,
    a_gateway_that_stops_closes_both_sides,
);

fn the_closing_frame_of_draft_76_is_1000() {
    let (gateway, backend) = start(&[]);
    let mut pair = Pair::open(Protocol::Draft76, &gateway, &backend);
    pair.client.send(CLOSING);
    pair.upstream.expect_close(&close(1000, ""));
    pair.client.expect(CLOSING);
    pair.client.expect_end();
    pair.upstream.finish();
    pair.upstream.expect_end();
}

fn the_end_of_draft_75_is_1000() {
    let (gateway, backend) = start(&[]);
    let mut pair = Pair::open(Protocol::Draft75, &gateway, &backend);
    pair.client.finish();
    pair.upstream.expect_close(&close(1000, ""));
    pair.client.expect_end();
    pair.upstream.finish();
    pair.upstream.expect_end();
}

fn the_end_of_draft_76_without_a_closing_frame_is_1001() {
    let (gateway, backend) = start(&[]);
    let mut pair = Pair::open(Protocol::Draft76, &gateway, &backend);
    pair.client.finish();
    pair.upstream.expect_close_code(1001);
    pair.client.read_until_gone();
}

fn code_and_reason_of_a_hybi_client_reach_the_backend() {
    let (gateway, backend) = start(&[]);
    for version in [7, 8] {
        for (code, reason) in [(1000, ""), (1001, "going"), (1003, ""), (4001, "h\u{e9}llo \u{20ac}")] {
            let mut pair = Pair::open(Protocol::Hybi(version), &gateway, &backend);
            pair.client.send(&masked(CLOSE, &close(code, reason)));
            pair.upstream.expect_close(&close(code, reason));
            let answer = pair.client.read_frame();
            assert_eq!((answer.first, &answer.payload[..2]), (CLOSE, &code.to_be_bytes()[..]));
            pair.client.expect_end();
        }
    }
}

fn a_hybi_close_without_a_code_stays_one() {
    let (gateway, backend) = start(&[]);
    let mut pair = Pair::open(Protocol::Hybi(8), &gateway, &backend);
    pair.client.send(&masked(CLOSE, b""));
    pair.upstream.expect_close(b"");
    assert_eq!(pair.client.read_frame().first, CLOSE);
    pair.client.expect_end();
}

fn a_reset_drops_the_backends_connection() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let Pair { client, mut upstream, .. } = Pair::open(protocol, &gateway, &backend);
        client.reset();
        assert_eq!(upstream.read_until_gone().escape_ascii().to_string(), "");
    }
}

fn what_the_client_said_last_arrives_before_the_close() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        let texts: Vec<_> = (0..100).map(|number| format!("{number}")).collect();
        let mut all: Vec<u8> = texts.iter().flat_map(|text| protocol.text(text)).collect();
        match protocol {
            Protocol::Draft75 => {}
            Protocol::Draft76 => all.extend(CLOSING),
            Protocol::Hybi(_) => all.extend(masked(CLOSE, &close(1000, ""))),
        }
        pair.client.send(&all);
        if protocol == Protocol::Draft75 {
            pair.client.finish();
        }
        for text in texts {
            pair.upstream.expect_message(1, text.as_bytes());
        }
        pair.upstream.expect_close(&close(1000, ""));
    }
}

fn what_the_backend_said_last_arrives_before_the_close() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        for number in 0..100 {
            pair.upstream.send_frame(0x81, format!("{number}").as_bytes());
        }
        pair.upstream.send_frame(CLOSE, &close(1000, ""));
        for number in 0..100 {
            protocol.expect_text(&mut pair.client, &number.to_string());
        }
        protocol.expect_closed(&mut pair.client, 1000, "");
    }
}

/// The engine tells of all of it as soon as it has accepted the client.
fn what_comes_with_the_opening_handshake_arrives_before_the_close() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        for _ in 0..20 {
            let mut client = gateway.connect();
            let closing = match protocol {
                Protocol::Draft75 => Vec::new(),
                Protocol::Draft76 => CLOSING.to_vec(),
                Protocol::Hybi(_) => masked(CLOSE, &close(1000, "")),
            };
            client.send(&[protocol.request(""), protocol.text("bye"), closing].concat());
            let (mut upstream, _) = backend.accept_websocket("");
            if protocol == Protocol::Draft75 {
                // Any earlier it would be gone before the backend has accepted.
                protocol.read_answer(&mut client);
                client.finish();
            }
            upstream.expect_message(TEXT, b"bye");
            upstream.expect_close(&close(1000, ""));
        }
    }
}

fn a_close_in_one_piece_with_the_last_message_is_answered() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        pair.upstream.send(&[unmasked(0x81, b"bye"), unmasked(CLOSE, &close(1000, ""))].concat());
        protocol.expect_text(&mut pair.client, "bye");
        assert_eq!(pair.upstream.read_frame().first, CLOSE);
        protocol.expect_closed(&mut pair.client, 1000, "");
    }
}

fn a_backend_that_breaks_the_protocol_is_told() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        // A reserved opcode.
        pair.upstream.send(&unmasked(0x83, b""));
        pair.upstream.expect_close_code(1002);
        pair.client.read_until_gone();
    }
}

fn a_code_that_rfc_6455_reserves_is_left_out() {
    let (gateway, backend) = start(&["--metrics", "0"]);
    let admin = Admin::of(&gateway);
    for version in [7, 8] {
        let mut pair = Pair::open(Protocol::Hybi(version), &gateway, &backend);
        pair.client.send(&masked(CLOSE, &close(1004, "too large")));
        pair.upstream.expect_close(b"");
        until(&admin, |metrics| metrics.get("legacy_websocket_gateway_pairs") == Some(&0.0));
    }
}

fn the_backends_close_reaches_the_client() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        for (code, reason) in [(1000, "done"), (1001, ""), (4002, "h\u{e9}llo")] {
            let mut pair = Pair::open(protocol, &gateway, &backend);
            pair.upstream.send_frame(CLOSE, &close(code, reason));
            let answer = pair.upstream.read_frame();
            assert_eq!((answer.first, &answer.payload[..2]), (CLOSE, &code.to_be_bytes()[..]));
            protocol.expect_closed(&mut pair.client, code, reason);
            pair.upstream.finish();
            pair.upstream.expect_end();
        }
    }
}

fn the_backends_close_without_a_code_reaches_the_client() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        pair.upstream.send_frame(CLOSE, b"");
        assert_eq!(pair.upstream.read_frame().first, CLOSE);
        match protocol {
            Protocol::Draft75 => pair.client.expect_end(),
            Protocol::Draft76 => pair.client.expect(CLOSING),
            Protocol::Hybi(_) => assert_eq!(pair.client.read_frame().first, CLOSE),
        }
    }
}

fn the_backends_code_is_logged_and_counted() {
    let (gateway, backend) = start(&["--metrics", "0"]);
    let admin = Admin::of(&gateway);
    let mut pair = Pair::open(Protocol::Draft76, &gateway, &backend);
    let peer = pair.client.address().to_string();
    pair.upstream.send_frame(CLOSE, &close(4003, "the reason"));
    pair.client.expect(CLOSING);
    gateway.wait_for_log(&["4003", "the reason", &peer, &backend.address().to_string()]);
    until(&admin, |metrics| {
        metrics.get("legacy_websocket_gateway_backend_closes_total{code=\"4003\"}") == Some(&1.0)
    });
}

fn the_backends_end_without_a_close_ends_the_client() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        pair.hear("last words");
        drop(pair.upstream);
        let end = pair.client.read_until_gone();
        match protocol {
            Protocol::Draft75 => assert_eq!(end, b""),
            Protocol::Draft76 => assert_eq!(end, CLOSING),
            Protocol::Hybi(_) => assert_eq!(end.first(), Some(&CLOSE), "{}", end.escape_ascii()),
        }
    }
}

fn both_sides_may_close_at_once() {
    let (gateway, backend) = start(&["--metrics", "0"]);
    let admin = Admin::of(&gateway);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        pair.upstream.send_frame(CLOSE, &close(1000, ""));
        match protocol {
            Protocol::Draft75 => pair.client.finish(),
            Protocol::Draft76 => pair.client.send(CLOSING),
            Protocol::Hybi(_) => pair.client.send(&masked(CLOSE, &close(1000, ""))),
        }
        pair.client.read_until_gone();
        pair.upstream.finish();
        pair.upstream.read_until_gone();
    }
    until(&admin, |metrics| metrics["legacy_websocket_gateway_pairs"] == 0.0);
}

fn a_backend_that_does_not_answer_the_close_is_dropped() {
    let (gateway, backend) = start(&["--close-timeout", "300ms"]);
    let mut pair = Pair::open(Protocol::Draft76, &gateway, &backend);
    pair.client.send(CLOSING);
    pair.upstream.expect_masked(CLOSE, &close(1000, ""));
    pair.upstream.read_until_gone();
    pair.client.expect(CLOSING);
    pair.client.expect_end();
}

fn a_client_that_does_not_answer_the_close_is_dropped() {
    let (gateway, backend) = start(&["--close-timeout", "300ms"]);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        pair.upstream.send_frame(CLOSE, &close(1000, ""));
        pair.client.read_until_gone();
        pair.upstream.finish();
        pair.upstream.read_until_gone();
    }
}

fn a_gateway_that_stops_closes_both_sides() {
    let (gateway, backend) = start(&[]);
    let mut pairs = PROTOCOLS.map(|protocol| Pair::open(protocol, &gateway, &backend));
    let stopping = thread::spawn(move || gateway.stop());
    for pair in &mut pairs {
        pair.upstream.expect_close_code(1001);
        let end = pair.client.read_until_gone();
        match pair.protocol {
            Protocol::Draft75 => assert_eq!(end, b""),
            Protocol::Draft76 => assert_eq!(end, CLOSING),
            Protocol::Hybi(_) => assert_eq!((end[0], &end[2..4]), (CLOSE, &close(1001, "")[..])),
        }
    }
    stopping.join().unwrap();
}
