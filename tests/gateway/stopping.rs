//! SIGTERM, under load.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::pair::{PROTOCOLS, Protocol, gateway, start};
use crate::service::{Service, body};
use crate::support::client::Client;
use crate::support::hybi::{CLOSE, TEXT, close, head_hybi, masked};
use crate::support::{CLOSING, DEADLINE, contains};

tests!(everybody_ends_cleanly_under_load, a_tunnel_has_the_drain_timeout, a_response_has_the_drain_timeout);

/// Of each kind.
const CLIENTS: usize = 5;

/// What is done before the signal comes.
const ECHOES: usize = 2000;
const DOWNLOADS: usize = 50;
const DOWNLOAD_BYTES: usize = 300_000;

/// More than the buffers of the kernel on both ways hold.
const LONG_BYTES: usize = 32 << 20;

fn everybody_ends_cleanly_under_load() {
    let service = Service::start();
    let gateway = gateway(&service.url(), &["--workers", "2"]);
    let address = gateway.address();
    let (echoes, downloads, stops) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let echoes = &echoes;
        for protocol in PROTOCOLS {
            for _ in 0..CLIENTS {
                scope.spawn(move || echo_until_closed(protocol, Client::connect(address), echoes));
            }
        }
        for _ in 0..CLIENTS {
            scope.spawn(|| tunnel_until(Client::connect(address), echoes, &stops));
            scope.spawn(|| download_until_closed(Client::connect(address), &downloads));
        }
        let mut long = Client::connect(address);
        long.send(&get(LONG_BYTES));
        long.read_until(b"\r\n\r\n");
        until(|| echoes.load(Ordering::SeqCst) >= ECHOES && downloads.load(Ordering::SeqCst) >= DOWNLOADS);
        gateway.signal("TERM");
        gateway.wait_for_log(&[" stopping "]);
        stops.store(true, Ordering::SeqCst);
        assert!(long.read_exact(LONG_BYTES) == body(LONG_BYTES), "a long response is not whole");
        long.expect_end();
    });
    let (status, log) = gateway.wait();
    assert!(status.success() && !log.contains("drain timeout expired"), "{status}\n{log}");
    let mut closes = service.closes();
    closes.sort_unstable();
    let old = PROTOCOLS.len() * CLIENTS;
    assert_eq!(closes, [vec![1000; CLIENTS], vec![1001; old]].concat());
}

fn until(is_so: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "no progress");
        thread::yield_now();
    }
}

fn get(length: usize) -> Vec<u8> {
    format!("GET /{length} HTTP/1.1\r\nHost: example.com\r\n\r\n").into_bytes()
}

/// Every text comes back until the gateway closes.
fn echo_until_closed(protocol: Protocol, mut client: Client, echoes: &AtomicUsize) {
    client.send(&protocol.request(""));
    protocol.read_answer(&mut client);
    for number in 0_u32.. {
        let text = number.to_string();
        client.send(&protocol.text(&text));
        if client.is_at_end() {
            return assert_eq!(protocol, Protocol::Draft75, "no closing handshake");
        }
        match protocol {
            Protocol::Draft75 | Protocol::Draft76 => {
                let frame = client.read_until(b"\xff");
                if frame == CLOSING[..1] {
                    client.expect(&CLOSING[1..]);
                    client.send(CLOSING);
                    return client.expect_end();
                }
                assert_eq!(frame, protocol.text(&text));
            }
            Protocol::Hybi(_) => {
                let frame = client.read_frame();
                if frame.first == CLOSE {
                    assert_eq!(frame.payload[..2], close(1001, ""));
                    client.send(&masked(CLOSE, &close(1001, "")));
                    return client.expect_end();
                }
                assert_eq!((frame.first, &frame.payload[..]), (TEXT, text.as_bytes()));
            }
        }
        echoes.fetch_add(1, Ordering::SeqCst);
    }
}

/// A tunnel goes on when the gateway stops.
fn tunnel_until(mut client: Client, echoes: &AtomicUsize, stops: &AtomicBool) {
    client.send(&head_hybi(13, ""));
    client.read_until(b"\r\n\r\n");
    let mut echo = |text: &str| {
        client.send(&masked(TEXT, text.as_bytes()));
        client.expect_frame(TEXT, text.as_bytes());
        echoes.fetch_add(1, Ordering::SeqCst);
    };
    while !stops.load(Ordering::SeqCst) {
        echo("before");
    }
    echo("after");
    client.send(&masked(CLOSE, &close(1000, "")));
    client.expect_frame(CLOSE, &close(1000, ""));
    client.expect_end();
}

/// Every response that has begun is whole; between two of them the connection may end.
fn download_until_closed(mut client: Client, downloads: &AtomicUsize) {
    loop {
        let request = get(DOWNLOAD_BYTES);
        if client.flood(&request, request.len()) || client.is_at_end() {
            return;
        }
        let head = client.read_until(b"\r\n\r\n");
        assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", head.escape_ascii());
        assert!(client.read_exact(DOWNLOAD_BYTES) == body(DOWNLOAD_BYTES), "a response is not whole");
        downloads.fetch_add(1, Ordering::SeqCst);
        if contains(&head.to_ascii_lowercase(), b"\r\nconnection: close\r\n") {
            return client.expect_end();
        }
    }
}

fn a_tunnel_has_the_drain_timeout() {
    let (gateway, backend) = start(&["--drain-timeout", "300ms"]);
    let mut client = gateway.connect();
    client.send(&head_hybi(13, ""));
    let (mut upstream, _) = backend.accept_websocket("");
    client.read_until(b"\r\n\r\n");
    gateway.signal("TERM");
    client.read_until_gone();
    upstream.read_until_gone();
    let (status, log) = gateway.wait();
    assert!(status.success() && log.contains("drain timeout expired"), "{status}\n{log}");
}

fn a_response_has_the_drain_timeout() {
    let (gateway, backend) = start(&["--drain-timeout", "300ms"]);
    let mut client = gateway.connect();
    client.send(&get(1));
    let (mut upstream, _) = backend.accept_request();
    upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    client.read_until(b"hello");
    gateway.signal("TERM");
    let rest = client.read_until_gone();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "a response that was cut looks whole");
    upstream.read_until_gone();
    let (status, log) = gateway.wait();
    assert!(status.success() && log.contains("drain timeout expired"), "{status}\n{log}");
}
