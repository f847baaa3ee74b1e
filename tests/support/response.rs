//! Plain HTTP, as a client of HTTP/1.1 speaks it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::client::Client;

const SOCKETS: usize = 50;
const REQUESTS: usize = 1000;
const CLIENTS: usize = 10;

/// A request with more fields, each ended by CRLF.
pub(crate) fn request(method: &str, path: &str, fields: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n").into_bytes()
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    request("GET", path, "")
}

/// A thousand requests for `/bytes/N` of the site are answered, and beside them 50 clients are echoed in order.
pub(crate) fn requests_beside_sockets(address: SocketAddr) {
    let done = AtomicBool::new(false);
    let echoes = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (done, echoes) = (&done, &echoes);
        for number in 0..SOCKETS {
            scope.spawn(move || {
                let mut client =
                    if number % 2 == 0 { Client::open75(address) } else { Client::open76(address) };
                for message in 0.. {
                    client.echo(&format!("{number}: {message}"));
                    echoes.fetch_add(1, Ordering::Relaxed);
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        let asking: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(move || ask(address))).collect();
        asking.into_iter().for_each(|client| client.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    assert!(echoes.load(Ordering::Relaxed) >= SOCKETS);
}

fn ask(address: SocketAddr) {
    let mut client = Client::connect(address);
    for number in 0..REQUESTS / CLIENTS {
        let bytes = number * 1000;
        client.send(&get(&format!("/bytes/{bytes}")));
        let (head, body) = client.read_response();
        assert!(head.starts_with("HTTP/1.1 200 ") && body.len() == bytes, "{head}");
    }
}

impl Client {
    /// Reads a response with a known length or chunks: its head, and its body.
    #[track_caller]
    pub(crate) fn read_response(&mut self) -> (String, Vec<u8>) {
        let head = String::from_utf8(self.read_until(b"\r\n\r\n")).unwrap();
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
        let body = match length {
            Some(length) => self.read_exact(length.parse().unwrap()),
            None if lower.contains("\r\ntransfer-encoding: chunked\r\n") => {
                let mut body = Vec::new();
                while let Some(chunk) = self.read_chunk() {
                    body.extend(chunk);
                }
                body
            }
            None => panic!("no length in {head}"),
        };
        (head, body)
    }

    /// Reads a chunk (RFC 9112 section 7.1); `None` for the last, with its trailers.
    #[track_caller]
    pub(crate) fn read_chunk(&mut self) -> Option<Vec<u8>> {
        let line = String::from_utf8(self.read_until(b"\r\n")).unwrap();
        let length =
            usize::from_str_radix(line.trim_end(), 16).unwrap_or_else(|_| panic!("{line:?} as length"));
        if length == 0 {
            while self.read_until(b"\r\n") != b"\r\n" {}
            return None;
        }
        let chunk = self.read_exact(length);
        self.expect(b"\r\n");
        Some(chunk)
    }
}
