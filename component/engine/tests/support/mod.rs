//! Drives a server with one connection and records the result.
#![allow(dead_code, unreachable_pub, reason = "shared by tests that need not all of it")]

pub mod hybi;

use std::fmt::Write;

use legacy_websocket::{ConnectionId, Destination, Event, Options, Peer, Server, Transmission};

pub const ID: ConnectionId = ConnectionId(1);

pub const KEYS: &str =
    "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n";
pub const KEY3: &[u8] = b"^n:ds[4U";
pub const ANSWER: &[u8] = b"8jKS'y:G*Co,Wxa-";

/// The request of draft 76's example, with further fields, without key3.
pub fn head76(more: &str) -> Vec<u8> {
    format!("{}{KEYS}{more}\r\n", head_start()).into_bytes()
}

/// The request of draft 75's example, with further fields.
pub fn head75(more: &str) -> Vec<u8> {
    format!("{}{more}\r\n", head_start()).into_bytes()
}

/// A request of hybi-07 to RFC 6455, with further fields.
pub fn head_hybi(version: u16, more: &str) -> Vec<u8> {
    format!(
        "{}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: {version}\r\n{more}\r\n",
        head_start()
    )
    .into_bytes()
}

fn head_start() -> &'static str {
    "GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: example.com\r\n\
     Origin: http://example.com\r\n"
}

/// A server with one connection.
pub struct Driver {
    pub server: Server,
    /// The bytes written to the peer.
    pub bytes: Vec<u8>,
    /// The number of writes.
    pub writes: usize,
    /// Finish or abort; set once.
    pub end: Option<String>,
    pub events: Vec<String>,
    /// What the shell got of the connection once it was given back.
    pub passed: Option<Vec<u8>>,
}

impl Driver {
    pub fn new(options: Options) -> Self {
        let mut server = Server::new(options).unwrap();
        server.open(ID, Peer { address: "peer".into(), secure: false }).unwrap();
        let mut driver =
            Self { server, bytes: Vec::new(), writes: 0, end: None, events: Vec::new(), passed: None };
        driver.drain();
        driver
    }

    /// Runs one turn: the input, its effects, and the end that waits for the application's answers.
    pub fn receive(&mut self, input: &[u8]) {
        self.receive_and_answer(input, |_| ());
    }

    /// The same with an application.
    pub fn receive_and_answer(&mut self, input: &[u8], answer: impl FnOnce(&mut Self)) {
        if let Some(passed) = &mut self.passed {
            return passed.extend_from_slice(input);
        }
        self.server.advance(0);
        let events: Vec<_> = self.server.receive(ID, input).map(|event| show(&event)).collect();
        self.events.extend(events);
        answer(self);
        self.drain();
        self.server.advance(0);
        self.drain();
    }

    /// Takes the pending output.
    pub fn drain(&mut self) {
        while let Some(event) = self.server.poll_event() {
            self.events.push(show(&event));
            if let Event::Passed { bytes, .. } = event {
                self.passed = Some(bytes);
            }
        }
        while let Some(Transmission { to, bytes, then }) = self.server.poll_transmit() {
            assert_eq!(to, Destination::One(ID));
            assert_eq!(self.end, None, "something is written behind the end");
            self.writes += usize::from(!bytes.is_empty());
            self.bytes.extend(bytes);
            if then.is_end() {
                self.end = Some(format!("{then:?}"));
            }
        }
    }

    /// The events, without state changes.
    pub fn news(&self) -> Vec<&str> {
        self.events.iter().map(String::as_str).filter(|event| !event.starts_with("state")).collect()
    }
}

/// Like a server's `receive`, but takes messages together where possible.
pub fn receive_at_once(server: &mut Server, input: &[u8]) -> Vec<String> {
    let mut shown = Vec::new();
    // Appends to existing text.
    let (mut text, mut ends) = (String::from("before"), vec![6]);
    let mut events = server.receive(ID, input);
    loop {
        let before = ends.len();
        events.take_messages(usize::MAX, &mut text, &mut ends);
        for pair in ends[before - 1..].windows(2) {
            shown.push(format!("message {:?}", &text[pair[0] as usize..pair[1] as usize]));
        }
        assert_eq!(ends.last().copied(), u32::try_from(text.len()).ok());
        match events.next() {
            Some(event) => shown.push(show(&event)),
            None => return shown,
        }
    }
}

/// Formats events, one per line.
pub fn show(event: &Event<'_>) -> String {
    let mut line = String::new();
    let written = match event {
        Event::StateChanged { old, new, .. } => write!(line, "state {old:?} -> {new:?}"),
        Event::Handshake { protocol, subprotocol, .. } => {
            write!(line, "handshake {protocol:?} {subprotocol:?}")
        }
        Event::Connected { protocol, subprotocol, head, .. } => {
            write!(line, "connected {protocol:?} {} {subprotocol:?}", head.target_text())
        }
        Event::Message { text, .. } => write!(line, "message {text:?}"),
        Event::Binary { bytes, .. } => write!(line, "binary {}", bytes.escape_ascii()),
        Event::Closed { cause, code: None, .. } => write!(line, "closed {cause:?}"),
        Event::Closed { cause, code: Some(code), reason, .. } => {
            write!(line, "closed {cause:?} {code} {reason:?}")
        }
        Event::Rejected { status, reason, .. } => write!(line, "rejected {status} {reason}"),
        Event::Request { head, body, .. } => {
            write!(line, "request {} {} {}", head.method(), head.target_text(), body.escape_ascii())
        }
        Event::Passed { .. } => write!(line, "passed"),
        other => write!(line, "{other:?}"),
    };
    written.unwrap();
    line
}
