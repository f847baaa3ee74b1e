//! A backend that does just what a test tells it.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};
use socket2::SockRef;

use crate::support::DEADLINE;
use crate::support::client::Client;
use crate::support::hybi::{CLOSE, Frame, unmasked};

/// One that listens. Dropping it makes the system refuse further connections.
#[derive(Debug)]
pub(crate) struct Backend {
    listener: TcpListener,
    address: SocketAddr,
    /// Connections that have been seen waiting.
    waiting: Mutex<VecDeque<TcpStream>>,
}

impl Backend {
    pub(crate) fn start() -> Self {
        Self::start_on(([127, 0, 0, 1], 0).into())
    }

    /// On the address of one that has been dropped.
    pub(crate) fn start_on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        // Linux applies this to `accept`.
        SockRef::from(&listener).set_read_timeout(Some(DEADLINE)).unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address, waiting: Mutex::default() }
    }

    /// The address of one that is not there.
    pub(crate) fn dead() -> SocketAddr {
        Self::start().address
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Accepts a connection.
    #[track_caller]
    pub(crate) fn accept(&self) -> Upstream {
        let waiting = self.waiting.lock().unwrap().pop_front();
        match waiting.map_or_else(|| self.listener.accept().map(|(stream, _)| stream), Ok) {
            Ok(stream) => Upstream(Client::with(stream)),
            Err(error) => panic!("the gateway does not connect: {error}"),
        }
    }

    /// Accepts a connection and reads a request's head from it.
    #[track_caller]
    pub(crate) fn accept_request(&self) -> (Upstream, Request) {
        let mut upstream = self.accept();
        let request = upstream.read_request();
        (upstream, request)
    }

    /// Accepts a connection and its opening handshake, answering with these fields, each ended by CRLF.
    #[track_caller]
    pub(crate) fn accept_websocket(&self, fields: &str) -> (Upstream, Request) {
        let (mut upstream, request) = self.accept_request();
        upstream.switch(&request, fields);
        (upstream, request)
    }

    /// Whether somebody is waiting to be accepted.
    pub(crate) fn is_waited_for(&self) -> bool {
        let mut waiting = self.waiting.lock().unwrap();
        self.listener.set_nonblocking(true).unwrap();
        waiting.extend(self.listener.accept().map(|(stream, _)| stream));
        self.listener.set_nonblocking(false).unwrap();
        !waiting.is_empty()
    }

    /// The connection on which the next request comes: this one, or a new one.
    #[track_caller]
    pub(crate) fn next(&self, upstream: Upstream) -> Upstream {
        let end = Instant::now() + DEADLINE;
        loop {
            if self.is_waited_for() {
                return self.accept();
            }
            if upstream.is_readable() {
                return upstream;
            }
            assert!(Instant::now() < end, "no request comes");
            thread::yield_now();
        }
    }
}

/// A connection of the gateway to the backend.
#[derive(Debug)]
pub(crate) struct Upstream(Client);

impl Upstream {
    #[track_caller]
    pub(crate) fn read_request(&mut self) -> Request {
        Request::parse(&self.read_until(b"\r\n\r\n"))
    }

    /// Accepts an opening handshake (RFC 6455 section 4.2.2).
    #[track_caller]
    pub(crate) fn switch(&mut self, request: &Request, fields: &str) {
        self.send(switching(request, fields).as_bytes());
    }

    /// Answers with a body.
    #[track_caller]
    pub(crate) fn respond(&mut self, status: &str, fields: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
        self.send(&[head.as_bytes(), body].concat());
    }

    #[track_caller]
    pub(crate) fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.send(&unmasked(first, payload));
    }

    /// Expects a masked frame, as from a client. Pings are left to the tests that are about them.
    #[track_caller]
    pub(crate) fn expect_masked(&mut self, first: u8, payload: &[u8]) {
        let frame = self.read_frame();
        let expected = Frame { first, is_masked: true, payload: payload.into() };
        assert!(frame == expected, "{} instead of {}", show(&frame), show(&expected));
    }

    /// Expects a whole message, however it is cut into frames.
    #[track_caller]
    pub(crate) fn expect_message(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = self.read_frame();
        let mut whole = frame.payload;
        assert_eq!(frame.first & 0x0f, opcode & 0x0f, "{}", whole.escape_ascii());
        while frame.first & 0x80 == 0 {
            frame = self.read_frame();
            assert!(frame.is_masked && frame.first & 0x7f == 0, "{}", show(&frame));
            whole.extend_from_slice(&frame.payload);
        }
        assert!(whole == payload, "{} instead of {}", whole.escape_ascii(), payload.escape_ascii());
    }

    /// Expects a close frame, and answers it as a server does: with the same code, and by ending TCP.
    #[track_caller]
    pub(crate) fn expect_close(&mut self, payload: &[u8]) {
        self.expect_masked(CLOSE, payload);
        self.send_frame(CLOSE, &payload[..payload.len().min(2)]);
    }

    /// Expects a close frame with this code, whatever its reason.
    #[track_caller]
    pub(crate) fn expect_close_code(&mut self, code: u16) {
        let frame = self.read_frame();
        assert!(frame.first == CLOSE && frame.payload.starts_with(&code.to_be_bytes()), "{}", show(&frame));
        self.send_frame(CLOSE, &code.to_be_bytes());
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        self.0.into_stream()
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        self.0.reset();
    }
}

impl Deref for Upstream {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl DerefMut for Upstream {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.0
    }
}

/// The head of a request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    fields: Vec<(String, String)>,
}

impl Request {
    #[track_caller]
    pub(crate) fn parse(head: &[u8]) -> Self {
        // Bytes that are not ASCII stand for themselves.
        let head: String = head.iter().map(|&byte| char::from(byte)).collect();
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line:?} in {head}"));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        Self { line, fields: fields.collect() }
    }

    /// The values of a field, in order, joined by commas.
    pub(crate) fn find(&self, name: &str) -> Option<String> {
        let name = name.to_ascii_lowercase();
        let values: Vec<_> =
            self.fields.iter().filter(|field| field.0 == name).map(|field| field.1.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> String {
        self.find(name).unwrap_or_else(|| panic!("no {name} in {self:#?}"))
    }

    #[track_caller]
    pub(crate) fn expect(&self, name: &str, value: &str) {
        assert_eq!(self.field(name), value, "{name} in {self:#?}");
    }

    #[track_caller]
    pub(crate) fn lacks(&self, name: &str) {
        assert_eq!(self.find(name), None, "{name} in {self:#?}");
    }
}

/// The answer that accepts an opening handshake, with these fields.
pub(crate) fn switching(request: &Request, fields: &str) -> String {
    let accept = accept(request.field("Sec-WebSocket-Key"));
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{fields}\r\n"
    )
}

/// The answer to a key (section 4.2.2, step 5).
pub(crate) fn accept(key: String) -> String {
    let digest = Sha1::digest(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64_STANDARD.encode(digest)
}

fn show(frame: &Frame) -> String {
    let masked = if frame.is_masked { "masked" } else { "unmasked" };
    format!("{:#x} {masked} \"{}\"", frame.first, frame.payload.escape_ascii())
}
