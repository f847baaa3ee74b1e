//! Clients that go away in each phase: the backend is told, and nothing is left behind.

use std::thread;

use crate::backend::{Backend, Upstream};
use crate::faults::expect_descriptors;
use crate::pair::{PROTOCOLS, Pair, Protocol, start};
use crate::support::admin::{Admin, until};
use crate::support::client::Client;
use crate::support::hybi::{TEXT, head_hybi, masked};
use crate::support::server::Server;
use crate::support::{KEY3, head76};

tests!(
    in_the_head,
    before_the_backend_answers,
    before_key3,
    in_a_message,
    while_the_backend_sends,
    in_an_upload,
    in_a_download,
    while_a_plain_answer_is_awaited,
    while_events_are_awaited,
    after_the_backends_close,
    while_the_backend_does_not_read,
);

/// Runs `leave` with a client for each protocol and each way to go, and expects that nothing is left.
#[track_caller]
fn each(options: &[&str], leave: impl Fn(&Server, &Backend, Protocol, fn(Client))) {
    let (gateway, backend) = start(&[options, &["--metrics", "0"]].concat());
    let admin = Admin::of(&gateway);
    Pair::open(Protocol::Draft76, &gateway, &backend).close();
    is_empty(&admin);
    let before = gateway.descriptors();
    let ways: [fn(Client); 2] = [Client::reset, drop];
    for protocol in PROTOCOLS {
        for go in ways {
            leave(&gateway, &backend, protocol, go);
        }
    }
    is_empty(&admin);
    expect_descriptors(&gateway, before);
    // It serves others.
    let mut pair = Pair::open(Protocol::Draft76, &gateway, &backend);
    pair.talk("still here");
}

#[track_caller]
fn is_empty(admin: &Admin) {
    until(admin, |metrics| {
        let connections = |name: &&String| name.starts_with("legacy_websocket_backend_connections{");
        metrics["legacy_websocket_gateway_pairs"] == 0.0
            && metrics["legacy_websocket_gateway_tunnels"] == 0.0
            && metrics.keys().filter(connections).all(|name| metrics[name] == 0.0)
    });
}

fn in_the_head() {
    each(&[], |gateway, backend, protocol, go| {
        let mut client = gateway.connect();
        client.send(&protocol.request("")[..40]);
        client.wait_until_read();
        go(client);
        assert!(!backend.is_waited_for());
    });
}

fn before_the_backend_answers() {
    each(&[], |gateway, backend, protocol, go| {
        let mut client = gateway.connect();
        client.send(&protocol.request(""));
        let (mut upstream, request) = backend.accept_request();
        go(client);
        // It may be told at once, or when it answers.
        if !upstream.is_readable() {
            upstream.switch(&request, "");
        }
        upstream.read_until_gone();
    });
}

fn before_key3() {
    each(&[], |gateway, backend, _, go| {
        let mut client = gateway.connect();
        client.send(&[&head76("")[..], &KEY3[..4]].concat());
        let (mut upstream, _) = backend.accept_websocket("");
        client.read_until(b"\r\n\r\n");
        go(client);
        upstream.read_until_gone();
    });
}

fn in_a_message() {
    each(&[], |gateway, backend, protocol, go| {
        let mut pair = Pair::open(protocol, gateway, backend);
        let text = protocol.text("a whole text");
        pair.client.send(&text[..text.len() - 3]);
        go(pair.client);
        expect_gone(pair.upstream);
    });
}

/// A close frame, perhaps, but no message; then the end.
#[track_caller]
fn expect_gone(mut upstream: Upstream) {
    let end = upstream.read_until_gone();
    assert!(end.is_empty() || end[0] == 0x88, "{}", end.escape_ascii());
}

fn while_the_backend_sends() {
    each(&[], |gateway, backend, protocol, go| {
        let mut pair = Pair::open(protocol, gateway, backend);
        for _ in 0..100 {
            pair.upstream.send_frame(TEXT, &[b'x'; 1000]);
        }
        protocol.expect_text(&mut pair.client, &"x".repeat(1000));
        go(pair.client);
        expect_gone(pair.upstream);
    });
}

fn in_an_upload() {
    each(&[], |gateway, backend, _, go| {
        let mut client = gateway.connect();
        client.send(b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1000\r\n\r\nonly this");
        let (mut upstream, _) = backend.accept_request();
        upstream.expect(b"only this");
        go(client);
        upstream.read_until_gone();
    });
}

fn in_a_download() {
    each(&[], |gateway, backend, _, go| {
        let mut client = gateway.connect();
        client.send(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
        let (mut upstream, _) = backend.accept_request();
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        upstream.send(&[b'x'; 1000]);
        client.read_until(b"xxx");
        go(client);
        assert!(upstream.flood(&[b'x'; 65_536], 1 << 30), "the gateway reads what nobody wants");
    });
}

fn while_a_plain_answer_is_awaited() {
    each(&[], |gateway, backend, _, go| {
        for request in [b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n".to_vec(), head_hybi(13, "")] {
            let mut client = gateway.connect();
            client.send(&request);
            let (mut upstream, _) = backend.accept_request();
            go(client);
            upstream.read_until_gone();
        }
    });
}

fn while_events_are_awaited() {
    each(&[], |gateway, backend, _, go| {
        let mut client = gateway.connect();
        client.send(b"GET /events HTTP/1.1\r\nHost: example.com\r\n\r\n");
        let (mut upstream, _) = backend.accept_request();
        upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n");
        client.read_until(b"data: 1\n");
        go(client);
        // The next event may be hours away.
        upstream.read_until_gone();
    });
}

fn after_the_backends_close() {
    each(&["--close-timeout", "1s"], |gateway, backend, protocol, go| {
        let mut pair = Pair::open(protocol, gateway, backend);
        pair.upstream.send(&[0x88, 2, 0x03, 0xe8]);
        assert_eq!(pair.upstream.read_frame().first, 0x88);
        if let Protocol::Hybi(_) = protocol {
            // What comes after a close is not read.
            pair.client.send(&masked(TEXT, b"too late"));
        }
        go(pair.client);
        pair.upstream.finish();
        pair.upstream.read_until_gone();
    });
}

/// What it has sent last is lost, which is told, and the backend's connection ends.
fn while_the_backend_does_not_read() {
    thread::scope(|scope| {
        for protocol in PROTOCOLS {
            scope.spawn(move || leave_a_backend_that_does_not_read(protocol));
        }
    });
}

#[track_caller]
fn leave_a_backend_that_does_not_read(protocol: Protocol) {
    // Long enough for the client to go first.
    let (gateway, backend) = start(&["--close-timeout", "300ms", "--write-timeout", "5s", "--metrics", "0"]);
    let admin = Admin::of(&gateway);
    let text = protocol.text(&"x".repeat(60_000));
    for (go, failures) in ([Client::reset, drop] as [fn(Client); 2]).into_iter().zip(1..) {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        assert!(pair.client.write_until_full(&text, 64 << 20) < 64 << 20, "the gateway takes everything");
        assert_eq!(admin.metrics()["legacy_websocket_gateway_pairs"], 1.0);
        go(pair.client);
        is_empty(&admin);
        let is_failure = |name: &&String| name.contains("backend_failures_total{");
        until(&admin, |metrics| {
            metrics.keys().filter(is_failure).map(|name| metrics[name]).sum::<f64>() == f64::from(failures)
        });
        pair.upstream.read_until_gone();
    }
}
