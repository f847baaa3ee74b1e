//! Large bodies, and many requests: byte for byte.

use std::thread;

use crate::backend::{Backend, Upstream};
use crate::pair::start;
use crate::support::client::Client;
use crate::support::server::Server;

tests!(
    a_download_of_100_mb_arrives,
    an_upload_of_100_mb_arrives,
    a_chunked_download_arrives,
    both_bodies_may_flow_at_once,
    a_thousand_requests_may_be_kept_on_one_connection,
    a_thousand_requests_may_be_pipelined,
    a_client_that_does_not_read_stops_the_download,
    a_backend_that_does_not_read_stops_the_upload,
);

const LENGTH: usize = 100_000_000;

/// Not a divisor of any buffer's size.
const PIECE: usize = 99_991;

/// The bytes at a position: no shift of them is the same.
fn pattern(from: usize, length: usize) -> Vec<u8> {
    (from..from + length)
        .map(|at| {
            let word = (at / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            word.to_le_bytes()[at % 8]
        })
        .collect()
}

fn pieces(length: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..length).step_by(PIECE).map(move |from| (from, PIECE.min(length - from)))
}

fn write_pattern(to: &mut Client, length: usize) {
    for (from, length) in pieces(length) {
        to.send(&pattern(from, length));
    }
}

#[track_caller]
fn expect_pattern(from: &mut Client, length: usize) {
    for (at, length) in pieces(length) {
        assert!(from.read_exact(length) == pattern(at, length), "other bytes within {length} from {at}");
    }
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n\r\n").into_bytes()
}

fn post(length: usize) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

#[track_caller]
fn ask(gateway: &Server, backend: &Backend, request: &[u8]) -> (Client, Upstream) {
    let mut client = gateway.connect();
    client.send(request);
    (client, backend.accept_request().0)
}

fn a_download_of_100_mb_arrives() {
    let (gateway, backend) = start(&[]);
    let (mut client, mut upstream) = ask(&gateway, &backend, &get("/"));
    let sends = thread::spawn(move || {
        upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes());
        write_pattern(&mut upstream, LENGTH);
    });
    client.read_until(b"\r\n\r\n");
    expect_pattern(&mut client, LENGTH);
    sends.join().unwrap();
}

fn an_upload_of_100_mb_arrives() {
    let (gateway, backend) = start(&[]);
    let (mut client, mut upstream) = ask(&gateway, &backend, &post(LENGTH));
    let sends = thread::spawn(move || {
        write_pattern(&mut client, LENGTH);
        client
    });
    expect_pattern(&mut upstream, LENGTH);
    upstream.respond("200 OK", "", b"all");
    let mut client = sends.join().unwrap();
    client.read_until(b"\r\n\r\nall");
}

fn a_chunked_download_arrives() {
    const LENGTH: usize = 5_000_000;
    let (gateway, backend) = start(&[]);
    let (mut client, mut upstream) = ask(&gateway, &backend, &get("/"));
    let sends = thread::spawn(move || {
        upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (from, length) in pieces(LENGTH) {
            upstream.send(format!("{length:X}\r\n").as_bytes());
            upstream.send(&pattern(from, length));
            upstream.send(b"\r\n");
        }
        upstream.send(b"0\r\n\r\n");
    });
    client.read_until(b"\r\n\r\n");
    let mut read = 0;
    loop {
        let line = String::from_utf8(client.read_until(b"\r\n")).unwrap();
        let length = usize::from_str_radix(line.trim_end(), 16).unwrap();
        assert!(
            client.read_exact(length) == pattern(read, length),
            "other bytes within {length} from {read}"
        );
        client.expect(b"\r\n");
        if length == 0 {
            break;
        }
        read += length;
    }
    assert_eq!(read, LENGTH);
    sends.join().unwrap();
}

fn both_bodies_may_flow_at_once() {
    const LENGTH: usize = 20_000_000;
    let (gateway, backend) = start(&[]);
    let (mut client, mut upstream) = ask(&gateway, &backend, &post(LENGTH));
    // The backend sends back what it reads, as it reads it.
    let echoes = thread::spawn(move || {
        upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes());
        for (_, length) in pieces(LENGTH) {
            let piece = upstream.read_exact(length);
            upstream.send(&piece);
        }
    });
    let mut reads = client.reader();
    let sends = thread::spawn(move || write_pattern(&mut client, LENGTH));
    reads.read_until(b"\r\n\r\n");
    expect_pattern(&mut reads, LENGTH);
    sends.join().unwrap();
    echoes.join().unwrap();
}

/// Answers each request with its line, until the connection ends.
fn answer_with_lines(backend: Backend, count: usize) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut upstream = backend.accept();
        for _ in 0..count {
            let line = upstream.read_request().line;
            upstream.respond("200 OK", "", line.as_bytes());
        }
    })
}

#[track_caller]
fn expect_line(client: &mut Client, number: usize) {
    client.read_until(b"\r\n\r\n");
    client.expect(format!("GET /{number:04} HTTP/1.1").as_bytes());
}

fn a_thousand_requests_may_be_kept_on_one_connection() {
    let (gateway, backend) = start(&[]);
    let answers = answer_with_lines(backend, 1000);
    let mut client = gateway.connect();
    for number in 0..1000 {
        client.send(&get(&format!("/{number:04}")));
        expect_line(&mut client, number);
    }
    answers.join().unwrap();
}

fn a_thousand_requests_may_be_pipelined() {
    let (gateway, backend) = start(&[]);
    let answers = answer_with_lines(backend, 1000);
    let mut client = gateway.connect();
    let all: Vec<_> = (0..1000).flat_map(|number| get(&format!("/{number:04}"))).collect();
    let mut writes = client.reader();
    let sends = thread::spawn(move || writes.send(&all));
    for number in 0..1000 {
        expect_line(&mut client, number);
    }
    sends.join().unwrap();
    answers.join().unwrap();
}

const FLOOD: usize = 96 << 20;

#[track_caller]
fn expect_held(gateway: &Server, before: u64, written: usize) {
    assert!(written < FLOOD, "the gateway takes everything");
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{} MiB more than before", grown >> 20);
}

fn a_client_that_does_not_read_stops_the_download() {
    let (gateway, backend) = start(&["--write-timeout", "1h"]);
    let (mut client, mut upstream) = ask(&gateway, &backend, &get("/"));
    let before = gateway.resident_bytes();
    upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {FLOOD}\r\n\r\n").as_bytes());
    let written = upstream.write_until_full(&pattern(0, PIECE), FLOOD);
    expect_held(&gateway, before, written);
    client.read_until(b"\r\n\r\n");
    client.read_exact(written);
}

fn a_backend_that_does_not_read_stops_the_upload() {
    let (gateway, backend) = start(&[]);
    let (mut client, mut upstream) = ask(&gateway, &backend, &post(FLOOD));
    let before = gateway.resident_bytes();
    let written = client.write_until_full(&pattern(0, PIECE), FLOOD);
    expect_held(&gateway, before, written);
    upstream.read_exact(written);
}
