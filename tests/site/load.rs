//! Many requests beside many sockets.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::serve;
use crate::support::client::Client;
use crate::support::response::{get, requests_beside_sockets};
use crate::support::{CLOSING, contains, frame};

tests!(
    a_thousand_requests_beside_sockets,
    everybody_ends_cleanly_under_load,
    a_response_has_the_drain_timeout
);

const CLIENTS: usize = 10;
const LONG_BYTES: usize = 32 << 20;

fn a_thousand_requests_beside_sockets(site: &str) {
    requests_beside_sockets(serve(site, &["--workers", "2"]).address());
}

fn everybody_ends_cleanly_under_load(site: &str) {
    let server = serve(site, &["--workers", "2"]);
    let address = server.address();
    let downloads = AtomicUsize::new(0);
    thread::scope(|scope| {
        let downloads = &downloads;
        for _ in 0..CLIENTS {
            scope.spawn(move || echo_until_closed(Client::open76(address)));
            scope.spawn(move || download_until_closed(Client::connect(address), downloads));
        }
        let mut long = Client::connect(address);
        long.send(&get(&format!("/bytes/{LONG_BYTES}")));
        long.read_until(b"\r\n\r\n");
        while downloads.load(Ordering::Relaxed) < 50 {
            thread::yield_now();
        }
        server.signal("TERM");
        server.wait_for_log(&[" stopping "]);
        assert_eq!(long.read_exact(LONG_BYTES).len(), LONG_BYTES);
        long.expect_end();
    });
    let (status, log) = server.wait();
    assert!(status.success() && !log.contains("drain timeout expired"), "{status}\n{log}");
}

fn echo_until_closed(mut client: Client) {
    for number in 0.. {
        let text = frame(&number.to_string());
        client.send(&text);
        let answer = client.read_until(b"\xff");
        if answer == CLOSING[..1] {
            client.expect(&CLOSING[1..]);
            client.send(CLOSING);
            return client.expect_end();
        }
        assert_eq!(answer, text);
    }
}

/// Every response that has begun is whole; between two of them the connection may end.
fn download_until_closed(mut client: Client, downloads: &AtomicUsize) {
    loop {
        let request = get("/bytes/100000");
        if client.flood(&request, request.len()) || client.is_at_end() {
            return;
        }
        let (head, body) = client.read_response();
        assert!(head.starts_with("HTTP/1.1 200 ") && body.len() == 100_000, "{head}");
        downloads.fetch_add(1, Ordering::Relaxed);
        if contains(head.to_ascii_lowercase().as_bytes(), b"\r\nconnection: close\r\n") {
            return client.expect_end();
        }
    }
}

fn a_response_has_the_drain_timeout(site: &str) {
    let server = serve(site, &["--drain-timeout", "300ms"]);
    let mut client = server.connect();
    client.send(&get("/events"));
    client.read_until(b"data: 1\n\n");
    server.signal("TERM");
    let rest = client.read_until_gone();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "a response that was cut looks whole");
    let (status, log) = server.wait();
    assert!(status.success() && log.contains("drain timeout expired"), "{status}\n{log}");
}
