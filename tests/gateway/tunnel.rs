//! RFC 6455 and other upgrades pass as they are.

use std::thread;

use crate::backend::{Backend, Request, Upstream};
use crate::pair::{PROTOCOLS, Pair, start};
use crate::support::admin::{Admin, until};
use crate::support::client::Client;
use crate::support::contains;
use crate::support::hybi::{head_hybi, masked, unmasked};
use crate::support::server::Server;

tests!(
    the_handshake_passes_as_it_came,
    any_bytes_pass_in_both_directions,
    the_first_request_may_come_in_any_two_pieces,
    bytes_behind_the_heads_pass,
    a_refusal_passes,
    each_end_of_a_tunnel_passes,
    a_reset_of_a_tunnel_passes,
    another_protocol_is_not_upgraded_to,
    unknown_versions_are_the_backends_business,
    old_and_new_clients_share_the_port,
    a_tunnel_is_counted,
    a_tunnel_carries_much,
    a_tunnel_may_have_an_idle_timeout,
);

const EXTENSIONS: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-own\r\n\
                          Sec-WebSocket-Protocol: chat, superchat\r\n";

/// Opens a tunnel; returns the client, its connection to the backend, and the request as it arrived.
#[track_caller]
fn open(gateway: &Server, backend: &Backend) -> (Client, Upstream, Request) {
    let mut client = gateway.connect();
    client.send(&head_hybi(13, EXTENSIONS));
    let (upstream, request) = backend.accept_websocket("");
    let answer = client.read_until(b"\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
    (client, upstream, request)
}

fn the_handshake_passes_as_it_came() {
    let (gateway, backend) = start(&[]);
    let mut client = gateway.connect();
    client.send(&head_hybi(13, EXTENSIONS));
    let fields = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\
                  Sec-WebSocket-Protocol: chat\r\nSet-Cookie: a=1\r\n";
    let (_upstream, request) = backend.accept_websocket(fields);
    assert_eq!(request.line, "GET /demo HTTP/1.1");
    for (name, value) in [
        ("Host", "example.com"),
        ("Origin", "http://example.com"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits, x-own"),
        ("Sec-WebSocket-Protocol", "chat, superchat"),
    ] {
        request.expect(name, value);
    }
    assert!(request.field("Upgrade").eq_ignore_ascii_case("websocket"));
    assert!(request.field("Connection").eq_ignore_ascii_case("upgrade"));
    let answer = String::from_utf8(client.read_until(b"\r\n\r\n")).unwrap().to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    for field in [
        "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
        "sec-websocket-extensions: permessage-deflate; server_no_context_takeover",
        "sec-websocket-protocol: chat",
        "set-cookie: a=1",
        "upgrade: websocket",
        "connection: upgrade",
    ] {
        assert!(answer.contains(&format!("\r\n{field}\r\n")), "no {field} in {answer}");
    }
}

fn any_bytes_pass_in_both_directions() {
    let (gateway, backend) = start(&["--max-message-bytes", "10", "--invalid-utf8", "close"]);
    let (mut client, mut upstream, _) = open(&gateway, &backend);
    // Compressed, reserved, too long, invalid: nobody looks.
    let frames = [
        masked(0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00"),
        masked(0xff, b"?"),
        masked(0x81, &[b'x'; 1000]),
        masked(0x81, b"\xc3("),
        b"\0no frame at all\xff\xff\x00".to_vec(),
    ];
    for bytes in &frames {
        client.send(bytes);
        upstream.expect(bytes);
        upstream.send(bytes);
        client.expect(bytes);
    }
}

fn the_first_request_may_come_in_any_two_pieces() {
    let (gateway, backend) = start(&[]);
    let head = head_hybi(13, "");
    let all = [&head[..], &masked(0x81, b"early")].concat();
    for at in 1..all.len() {
        let mut client = gateway.connect();
        client.send(&all[..at]);
        client.wait_until_read();
        client.send(&all[at..]);
        let (mut upstream, request) = backend.accept_websocket("");
        request.expect("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        client.read_until(b"\r\n\r\n");
        upstream.expect(&masked(0x81, b"early"));
        upstream.send(&unmasked(0x81, b"late"));
        client.expect(&unmasked(0x81, b"late"));
    }
}

fn bytes_behind_the_heads_pass() {
    let (gateway, backend) = start(&[]);
    let mut client = gateway.connect();
    client.send(&[head_hybi(13, ""), masked(0x81, b"early")].concat());
    let (mut upstream, request) = backend.accept_request();
    upstream.switch(&request, "");
    upstream.send(&unmasked(0x81, b"right behind"));
    client.read_until(b"\r\n\r\n");
    client.expect(&unmasked(0x81, b"right behind"));
    upstream.expect(&masked(0x81, b"early"));
}

fn a_refusal_passes() {
    let (gateway, backend) = start(&[]);
    let mut client = gateway.connect();
    client.send(&head_hybi(13, ""));
    let (mut upstream, _) = backend.accept_request();
    upstream.respond("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b"who are you?");
    let head = client.read_until(b"\r\n\r\n").to_ascii_lowercase();
    assert!(head.starts_with(b"http/1.1 401 "), "{}", head.escape_ascii());
    assert!(contains(&head, b"\r\nwww-authenticate: basic realm=\"x\"\r\n"), "{}", head.escape_ascii());
    client.expect(b"who are you?");
}

fn each_end_of_a_tunnel_passes() {
    let (gateway, backend) = start(&[]);
    let (mut client, mut upstream, _) = open(&gateway, &backend);
    client.send(b"last words");
    client.finish();
    upstream.expect(b"last words");
    upstream.expect_end();
    // The other direction is still open.
    upstream.send(b"and the answer");
    client.expect(b"and the answer");
    upstream.finish();
    client.expect_end();
    let (mut client, mut upstream, _) = open(&gateway, &backend);
    upstream.send(b"last words");
    upstream.finish();
    client.expect(b"last words");
    client.expect_end();
    client.send(b"and the answer");
    upstream.expect(b"and the answer");
    client.finish();
    upstream.expect_end();
}

fn a_reset_of_a_tunnel_passes() {
    let (gateway, backend) = start(&["--metrics", "0"]);
    let admin = Admin::of(&gateway);
    let (mut client, upstream, _) = open(&gateway, &backend);
    upstream.reset();
    client.read_until_gone();
    let (client, mut upstream, _) = open(&gateway, &backend);
    client.reset();
    upstream.read_until_gone();
    drop(upstream);
    until(&admin, |metrics| metrics["legacy_websocket_gateway_tunnels"] == 0.0);
}

fn another_protocol_is_not_upgraded_to() {
    let (gateway, backend) = start(&[]);
    let mut client = gateway.connect();
    client.send(b"GET /x HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    let (mut upstream, request) = backend.accept_request();
    request.lacks("Upgrade");
    upstream.respond("200 OK", "", b"as it was");
    client.read_until(b"\r\n\r\n");
    client.expect(b"as it was");
}

fn unknown_versions_are_the_backends_business() {
    let (gateway, backend) = start(&[]);
    for version in [1, 6, 12, 14, 99] {
        let mut client = gateway.connect();
        client.send(&head_hybi(version, ""));
        let (mut upstream, request) = backend.accept_request();
        request.expect("Sec-WebSocket-Version", &version.to_string());
        upstream.respond("426 Upgrade Required", "Sec-WebSocket-Version: 13\r\nConnection: close\r\n", b"");
        let answer = client.read_until(b"\r\n\r\n");
        assert!(answer.starts_with(b"HTTP/1.1 426 "), "{}", answer.escape_ascii());
    }
}

fn old_and_new_clients_share_the_port() {
    let (gateway, backend) = start(&[]);
    let mut pairs = PROTOCOLS.map(|protocol| Pair::open(protocol, &gateway, &backend));
    let (mut client, mut upstream, _) = open(&gateway, &backend);
    for pair in &mut pairs {
        pair.talk("old");
    }
    client.send(&masked(0x81, b"new"));
    upstream.expect(&masked(0x81, b"new"));
}

fn a_tunnel_is_counted() {
    let (gateway, backend) = start(&["--metrics", "0"]);
    let admin = Admin::of(&gateway);
    let (client, mut upstream, _) = open(&gateway, &backend);
    let metrics = until(&admin, |metrics| metrics["legacy_websocket_gateway_tunnels"] == 1.0);
    assert_eq!(metrics["legacy_websocket_gateway_pairs"], 0.0);
    drop(client);
    upstream.read_until_gone();
    drop(upstream);
    until(&admin, |metrics| metrics["legacy_websocket_gateway_tunnels"] == 0.0);
}

fn a_tunnel_carries_much() {
    let (gateway, backend) = start(&[]);
    let (mut client, mut upstream, _) = open(&gateway, &backend);
    let pieces: Vec<Vec<u8>> =
        (0..200_u32).map(|number| number.to_be_bytes().repeat(25_000 + number as usize)).collect();
    let echoes = thread::spawn({
        let lengths: Vec<_> = pieces.iter().map(Vec::len).collect();
        move || {
            for length in lengths {
                let piece = upstream.read_exact(length);
                upstream.send(&piece);
            }
        }
    });
    let mut writes = client.reader();
    let sent = pieces.clone();
    let sends = thread::spawn(move || sent.iter().for_each(|piece| writes.send(piece)));
    for piece in &pieces {
        assert!(client.read_exact(piece.len()) == *piece, "other bytes");
    }
    sends.join().unwrap();
    echoes.join().unwrap();
}

fn a_tunnel_may_have_an_idle_timeout() {
    let (gateway, backend) = start(&["--tunnel-idle-timeout", "1s"]);
    let mut client = gateway.connect();
    // Right behind the head: the time runs from the 101 on.
    client.send(&[&head_hybi(13, "")[..], b"last words"].concat());
    let (mut upstream, _) = backend.accept_websocket("");
    assert!(client.read_until(b"\r\n\r\n").starts_with(b"HTTP/1.1 101 "));
    upstream.expect(b"last words");
    upstream.expect_end();
    client.expect_end();
}
