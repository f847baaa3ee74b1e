//! Backends that fail in every way.

use std::thread;
use std::time::Instant;

use crate::backend::Backend;
use crate::pair::{PROTOCOLS, Pair, Protocol, start};
use crate::support::admin::{Admin, until};
use crate::support::hybi::{CLOSE, TEXT, head_hybi, masked};
use crate::support::server::Server;
use crate::support::{CLOSING, DEADLINE};

tests!(
    a_backend_killed_in_mid_message_ends_the_client,
    a_backend_that_is_reset_ends_the_client,
    a_backend_killed_in_mid_head_is_502,
    a_backend_killed_in_mid_body_ends_the_client,
    a_backend_that_restarts_is_used_again,
    a_backend_that_accepts_and_says_nothing_ends_with_504,
    garbage_is_502,
    a_101_without_being_asked_is_502,
    a_wrong_101_is_502,
    an_endless_head_is_502,
    an_endless_refusal_is_bounded,
    broken_frames_end_the_client,
    masked_frames_of_a_backend_end_the_client,
    a_silent_backend_is_idle,
    a_thousand_clients_are_closed_when_the_backend_dies,
    failures_are_logged_and_counted,
);

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n\r\n").into_bytes()
}

/// The client is closed, and has heard nothing of the message that was cut.
#[track_caller]
fn expect_ended(pair: &mut Pair) {
    let end = pair.client.read_until_gone();
    match pair.protocol {
        Protocol::Draft75 => assert_eq!(end.escape_ascii().to_string(), ""),
        Protocol::Draft76 => assert!(end.is_empty() || end == CLOSING, "{}", end.escape_ascii()),
        Protocol::Hybi(_) => {
            assert!(end.is_empty() || end.first() == Some(&CLOSE), "{}", end.escape_ascii());
        }
    }
}

fn a_backend_killed_in_mid_message_ends_the_client() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        for part in [&[TEXT][..], &[TEXT, 126, 1], &[TEXT, 126, 1, 0, b'x', b'y'], &[0x01, 2, b'x', b'y']] {
            let mut pair = Pair::open(protocol, &gateway, &backend);
            pair.hear("whole");
            pair.upstream.send(part);
            pair.upstream.finish();
            expect_ended(&mut pair);
        }
    }
}

fn a_backend_that_is_reset_ends_the_client() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let Pair { client, upstream, request, answer, .. } = Pair::open(protocol, &gateway, &backend);
        upstream.reset();
        // Any other, so that the pair is whole again.
        let upstream = Pair::open(protocol, &gateway, &backend).upstream;
        expect_ended(&mut Pair { protocol, client, upstream, request, answer });
    }
}

fn a_backend_killed_in_mid_head_is_502() {
    let (gateway, backend) = start(&[]);
    for part in ["", "HTTP/1.1 ", "HTTP/1.1 101 Switching Protocols\r\nUpgr", "HTTP/1.1 200 OK\r\n"] {
        for request in requests() {
            let mut client = gateway.connect();
            client.send(&request);
            let (mut upstream, _) = backend.accept_request();
            upstream.send(part.as_bytes());
            upstream.finish();
            expect_status(&client.read_until_gone(), "502");
        }
    }
}

/// One of each kind: mapped, tunnelled, passed.
fn requests() -> Vec<Vec<u8>> {
    let websockets = PROTOCOLS.iter().map(|protocol| protocol.request(""));
    let close = "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";
    websockets.chain([head_hybi(13, ""), close.into()]).collect()
}

#[track_caller]
fn expect_status(answer: &[u8], status: &str) {
    let expected = format!("HTTP/1.1 {status} ");
    assert!(answer.starts_with(expected.as_bytes()), "{status} instead of {}", answer.escape_ascii());
}

fn a_backend_killed_in_mid_body_ends_the_client() {
    let (gateway, backend) = start(&[]);
    for (fields, part) in
        [("Content-Length: 10\r\n", "hello"), ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n")]
    {
        let mut client = gateway.connect();
        client.send(&get("/"));
        let (mut upstream, _) = backend.accept_request();
        upstream.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n{part}").as_bytes());
        upstream.finish();
        client.read_until(b"\r\n\r\n");
        let rest = client.read_until_gone();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "a body that was cut looks whole: {}", rest.escape_ascii());
    }
}

fn a_backend_that_restarts_is_used_again() {
    let (gateway, backend) = start(&["--retry-after", "0"]);
    let mut pair = Pair::open(Protocol::Draft76, &gateway, &backend);
    let address = backend.address();
    drop(backend);
    drop(pair.upstream);
    pair.client.read_until_gone();
    for request in requests() {
        let mut client = gateway.connect();
        client.send(&request);
        expect_status(&client.read_until_gone(), "502");
    }
    let backend = Backend::start_on(address);
    for protocol in PROTOCOLS {
        Pair::open(protocol, &gateway, &backend).talk("back again");
    }
}

fn a_backend_that_accepts_and_says_nothing_ends_with_504() {
    let (gateway, backend) = start(&["--backend-timeout", "300ms"]);
    let clients: Vec<_> = requests()
        .into_iter()
        .map(|request| {
            let mut client = gateway.connect();
            client.send(&request);
            (client, backend.accept_request().0)
        })
        .collect();
    for (mut client, mut upstream) in clients {
        expect_status(&client.read_until_gone(), "504");
        upstream.read_until_gone();
    }
}

fn garbage_is_502() {
    let (gateway, backend) = start(&[]);
    for garbage in
        [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"SSH-2.0-OpenSSH_9.9\r\n", b"<html>\r\n\r\n", &[0; 1000]]
    {
        for request in requests() {
            let mut client = gateway.connect();
            client.send(&request);
            let (mut upstream, _) = backend.accept_request();
            upstream.send(garbage);
            upstream.finish();
            expect_status(&client.read_until_gone(), "502");
        }
    }
}

fn a_101_without_being_asked_is_502() {
    let (gateway, backend) = start(&[]);
    let mut client = gateway.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n");
    let (mut upstream, _) = backend.accept_request();
    upstream
        .send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbytes");
    expect_status(&client.read_until_gone(), "502");
}

fn a_wrong_101_is_502() {
    let (gateway, backend) = start(&[]);
    let heads = [
        // No accept value, another one, no upgrade; what nobody asked for.
        "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        "Sec-WebSocket-Accept: {accept}\r\n",
        "Upgrade: x-own\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\
         Sec-WebSocket-Protocol: unasked\r\n",
    ];
    for protocol in PROTOCOLS {
        for head in heads {
            let mut client = gateway.connect();
            client.send(&protocol.request(""));
            let (mut upstream, request) = backend.accept_request();
            let head = head.replace("{accept}", &crate::backend::accept(request.field("Sec-WebSocket-Key")));
            upstream.send(format!("HTTP/1.1 101 Switching Protocols\r\n{head}\r\n").as_bytes());
            let answer = client.read_until_gone();
            assert!(answer.starts_with(b"HTTP/1.1 502 "), "{head}: {}", answer.escape_ascii());
        }
    }
}

fn an_endless_head_is_502() {
    let (gateway, backend) = start(&[]);
    let before = gateway.resident_bytes();
    for request in requests() {
        for filler in ["X-More: and more\r\n", "x"] {
            let mut client = gateway.connect();
            client.send(&request);
            let (mut upstream, _) = backend.accept_request();
            upstream.send(b"HTTP/1.1 200 OK\r\nX-First: ");
            let filler = filler.repeat(65_536 / filler.len());
            let is_gone = upstream.flood(filler.as_bytes(), 1 << 30);
            assert!(is_gone, "the gateway reads a head of a gigabyte");
            expect_status(&client.read_until_gone(), "502");
        }
    }
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{} MiB more than before", grown >> 20);
}

/// The body of a refusal is held before the client gets it.
fn an_endless_refusal_is_bounded() {
    let (gateway, backend) = start(&[]);
    let before = gateway.resident_bytes();
    for protocol in PROTOCOLS {
        let mut client = gateway.connect();
        client.send(&protocol.request(""));
        let (mut upstream, _) = backend.accept_request();
        upstream.send(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n");
        assert!(upstream.flood(&[b'x'; 65_536], 1 << 30), "the gateway reads a refusal of a gigabyte");
        let answer = client.read_until_gone();
        assert!(answer.starts_with(b"HTTP/1.1 403 ") || answer.starts_with(b"HTTP/1.1 502 "));
    }
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{} MiB more than before", grown >> 20);
}

fn broken_frames_end_the_client() {
    let (gateway, backend) = start(&[]);
    let broken = [
        // Reserved bits, a reserved opcode, a continuation of nothing, a fragmented ping, a long ping, a length with
        // the highest bit.
        &[0xc1, 1, b'x'][..],
        &[0x83, 1, b'x'],
        &[0x80, 1, b'x'],
        &[0x09, 1, b'x'],
        &[0x89, 126, 0, 126],
        &[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        b"\0text\xff",
    ];
    for protocol in PROTOCOLS {
        for frame in broken {
            let mut pair = Pair::open(protocol, &gateway, &backend);
            pair.hear("whole");
            pair.upstream.send(frame);
            expect_ended(&mut pair);
            // A close frame, perhaps, and the end.
            pair.upstream.read_until_gone();
        }
    }
}

/// Section 5.1: a client must close a connection on which it is sent a masked frame.
fn masked_frames_of_a_backend_end_the_client() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        pair.upstream.send(&masked(TEXT, b"masked"));
        expect_ended(&mut pair);
        pair.upstream.read_until_gone();
    }
}

fn a_silent_backend_is_idle() {
    let (gateway, backend) = start(&["--backend-idle-timeout", "300ms"]);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        assert_eq!(pair.upstream.read_frame().first, CLOSE);
        expect_ended(&mut pair);
    }
}

const CLIENTS: usize = 1000;

fn a_thousand_clients_are_closed_when_the_backend_dies() {
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let (gateway, backend) = start(&["--metrics", "0"]);
    gateway.limit(rlimit::Resource::NOFILE, None);
    let admin = Admin::of(&gateway);
    // The first fills what is opened once.
    Pair::open(Protocol::Draft76, &gateway, &backend).close();
    until(&admin, |metrics| metrics["legacy_websocket_gateway_pairs"] == 0.0);
    let before = gateway.descriptors();
    let mut pairs: Vec<_> = (0..CLIENTS)
        .map(|number| Pair::open(PROTOCOLS[number % PROTOCOLS.len()], &gateway, &backend))
        .collect();
    until(&admin, |metrics| metrics["legacy_websocket_gateway_pairs"] == CLIENTS as f64);
    drop(backend);
    let clients: Vec<_> = pairs
        .drain(..)
        .map(|pair| {
            pair.upstream.reset();
            pair.client
        })
        .collect();
    for mut client in clients {
        client.read_until_gone();
    }
    until(&admin, |metrics| metrics["legacy_websocket_gateway_pairs"] == 0.0);
    expect_descriptors(&gateway, before);
}

/// Waits until no more descriptors are open than before.
#[track_caller]
pub(crate) fn expect_descriptors(gateway: &Server, before: usize) {
    let end = Instant::now() + DEADLINE;
    while gateway.descriptors() > before {
        assert!(Instant::now() < end, "{} descriptors instead of {before}", gateway.descriptors());
        thread::yield_now();
    }
}

fn failures_are_logged_and_counted() {
    let (gateway, backend) = start(&["--metrics", "0", "--retry-after", "0"]);
    let admin = Admin::of(&gateway);
    let mut client = gateway.connect();
    client.send(&Protocol::Draft76.request(""));
    let (mut upstream, _) = backend.accept_request();
    upstream.send(b"garbage\r\n\r\n");
    upstream.finish();
    expect_status(&client.read_until_gone(), "502");
    let url = backend.url();
    drop(backend);
    let mut client = gateway.connect();
    client.send(&Protocol::Draft76.request(""));
    expect_status(&client.read_until_gone(), "502");
    let failures = format!("legacy_websocket_backend_failures_total{{backend=\"{url}\",reason=\"");
    until(&admin, |metrics| {
        let ours: Vec<_> = metrics.iter().filter(|(name, _)| name.starts_with(&failures)).collect();
        // Two reasons.
        ours.iter().filter(|(_, value)| **value == 1.0).count() == 2
    });
    gateway.wait_for_logs(&[&url], 2);
}
