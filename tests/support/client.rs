//! A client that speaks raw bytes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use std::{fs, thread};

use socket2::SockRef;
use tokio_rustls::rustls::{ClientConnection, Stream};

use super::{ANSWER, CLOSING, DEADLINE, KEY3, answer75, answer76, contains, frame, head75, head76};

/// A socket and the bytes read ahead from it.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    ahead: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::with(TcpStream::connect(address).expect("connects"))
    }

    /// Over a socket that is connected already.
    pub(crate) fn with(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { stream, tls: None, ahead: Vec::new() }
    }

    /// Connects from another local address.
    pub(crate) fn connect_from(local: [u8; 4], address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((local, 0)).into()).unwrap();
        socket.connect(&address.into()).expect("connects");
        Self::with(socket.into())
    }

    /// Connects and performs the TLS handshake.
    pub(crate) fn connect_tls(address: SocketAddr, tls: ClientConnection) -> io::Result<Self> {
        let mut client = Self::connect(address);
        client.start_tls(tls)?;
        Ok(client)
    }

    pub(crate) fn start_tls(&mut self, mut tls: ClientConnection) -> io::Result<()> {
        while tls.is_handshaking() {
            tls.complete_io(&mut self.stream)?;
        }
        self.tls = Some(Box::new(tls));
        Ok(())
    }

    /// Connects and performs draft 75's opening handshake.
    pub(crate) fn open75(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        client.shake_hands75("ws://example.com/demo");
        client
    }

    /// Connects and performs draft 76's opening handshake.
    pub(crate) fn open76(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        client.shake_hands76("ws://example.com/demo");
        client
    }

    #[track_caller]
    pub(crate) fn shake_hands75(&mut self, location: &str) {
        self.send(&head75(""));
        self.expect(&answer75(location, ""));
    }

    #[track_caller]
    pub(crate) fn shake_hands76(&mut self, location: &str) {
        self.send(&[&head76(""), KEY3].concat());
        self.expect(&answer76(location, ""));
        self.expect(ANSWER);
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// The same connection, for another thread to read from.
    pub(crate) fn reader(&self) -> Self {
        assert!(self.tls.is_none() && self.ahead.is_empty());
        Self { stream: self.stream.try_clone().unwrap(), tls: None, ahead: Vec::new() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.io().write_all(bytes).expect("the server reads it");
    }

    /// Writes the same bytes until the connection is gone; false if `limit` bytes were written first.
    pub(crate) fn flood(&mut self, bytes: &[u8], limit: usize) -> bool {
        let mut written = 0;
        while written < limit {
            match self.io().write(bytes) {
                Ok(count) => written += count,
                Err(error) => {
                    assert!(is_end(error.kind()), "the server neither reads nor closes: {error}");
                    return true;
                }
            }
        }
        false
    }

    /// Waits until the other end, which is on this machine, has read everything: what is sent next comes in another
    /// read.
    #[track_caller]
    pub(crate) fn wait_until_read(&self) {
        let [ours, theirs] = [self.stream.local_addr(), self.stream.peer_addr()].map(|it| row(it.unwrap()));
        let end = Instant::now() + DEADLINE;
        loop {
            let table = fs::read_to_string("/proc/net/tcp").unwrap();
            let queues = table.lines().find_map(|line| {
                let mut columns = line.split_whitespace().skip(1);
                (columns.next() == Some(&theirs) && columns.next() == Some(&ours)).then(|| columns.nth(1))?
            });
            // Bytes written and read; no line: it has closed.
            if queues.is_none_or(|queues| queues.ends_with(":00000000")) {
                return;
            }
            assert!(Instant::now() < end, "nobody reads");
            thread::yield_now();
        }
    }

    /// Whether bytes, or the end, are there to be read.
    pub(crate) fn is_readable(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let is_readable = !self.ahead.is_empty() || self.stream.peek(&mut [0]).is_ok();
        self.stream.set_nonblocking(false).unwrap();
        is_readable
    }

    /// Writes the same bytes until nobody has taken any for a moment; returns how many were written, at most about
    /// `limit`.
    #[track_caller]
    pub(crate) fn write_until_full(&mut self, bytes: &[u8], limit: usize) -> usize {
        self.stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut written = 0;
        while written < limit {
            match self.io().write(&bytes[written % bytes.len()..]) {
                Ok(count) => written += count,
                Err(error) if is_timeout(error.kind()) => break,
                Err(error) => panic!("{error}"),
            }
        }
        self.stream.set_write_timeout(Some(DEADLINE)).unwrap();
        written
    }

    /// Closes our side (FIN).
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Resets the connection (RST).
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Waits for bytes; true if the connection has ended without more of them.
    #[track_caller]
    pub(crate) fn is_at_end(&mut self) -> bool {
        if !self.ahead.is_empty() {
            return false;
        }
        let mut buffer = [0; 4096];
        let read = self.io().read(&mut buffer);
        match read {
            Ok(count) => {
                self.ahead.extend_from_slice(&buffer[..count]);
                count == 0
            }
            Err(error) if is_end(error.kind()) => true,
            Err(error) => panic!("{error}"),
        }
    }

    /// Calls `meanwhile` whenever the server has been silent for a moment, until it answers or closes its side.
    #[track_caller]
    pub(crate) fn wait_for_answer(&mut self, mut meanwhile: impl FnMut(&mut Self)) {
        let moment = Duration::from_millis(100);
        self.stream.set_read_timeout(Some(moment)).unwrap();
        for _ in 0..DEADLINE.as_millis() / moment.as_millis() {
            let mut buffer = [0; 4096];
            let read = self.io().read(&mut buffer);
            match read {
                Ok(count) => {
                    self.ahead.extend_from_slice(&buffer[..count]);
                    self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
                    return;
                }
                Err(error) if is_timeout(error.kind()) => meanwhile(self),
                Err(error) => panic!("{error}"),
            }
        }
        panic!("the server waits forever");
    }

    #[track_caller]
    pub(crate) fn read_exact(&mut self, count: usize) -> Vec<u8> {
        while self.ahead.len() < count {
            assert!(self.read_more(), "closed after {}", self.ahead.escape_ascii());
        }
        self.ahead.drain(..count).collect()
    }

    /// Reads up to and including `end`.
    #[track_caller]
    pub(crate) fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.ahead[searched..].windows(end.len()).position(|window| window == end) {
                return self.ahead.drain(..searched + at + end.len()).collect();
            }
            searched = self.ahead.len().saturating_sub(end.len() - 1);
            assert!(self.read_more(), "closed after {}", self.ahead.escape_ascii());
        }
    }

    /// Reads until the server closes its side cleanly (FIN).
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        while self.read_more() {}
        std::mem::take(&mut self.ahead)
    }

    /// Reads until the connection is closed or reset.
    #[track_caller]
    pub(crate) fn read_until_gone(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        let result = self.io().read_to_end(&mut read);
        self.ahead.append(&mut read);
        if let Err(error) = result {
            assert!(is_end(error.kind()), "still open: {error}");
        }
        std::mem::take(&mut self.ahead)
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, bytes: &[u8]) {
        let read = self.read_exact(bytes.len());
        assert_eq!(read.escape_ascii().to_string(), bytes.escape_ascii().to_string());
    }

    /// Expects the server to close its side without sending anything more.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.read_to_end().escape_ascii().to_string(), "");
    }

    /// Sends a message and expects its echo.
    #[track_caller]
    pub(crate) fn echo(&mut self, text: &str) {
        self.send(&frame(text));
        self.expect(&frame(text));
    }

    /// Draft 76's closing handshake, initiated by the client.
    #[track_caller]
    pub(crate) fn close76(&mut self) {
        self.send(CLOSING);
        self.expect(CLOSING);
        self.expect_end();
    }

    /// Sends a request and expects a final answer with `status`.
    #[track_caller]
    pub(crate) fn refused(&mut self, request: &[u8], status: &str) -> String {
        self.send(request);
        let answer = String::from_utf8(self.read_to_end()).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(contains(answer.as_bytes(), b"\r\nConnection: close\r\n"), "{answer}");
        answer
    }

    fn io(&mut self) -> Box<dyn ReadWrite + '_> {
        match &mut self.tls {
            None => Box::new(&mut self.stream),
            Some(tls) => Box::new(Stream::new(tls.as_mut(), &mut self.stream)),
        }
    }

    #[track_caller]
    fn read_more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        let count = self.io().read(&mut buffer).expect("an answer in time");
        self.ahead.extend_from_slice(&buffer[..count]);
        count > 0
    }
}

trait ReadWrite: Read + Write {}

impl<T: Read + Write> ReadWrite for T {}

/// An address as in `/proc/net/tcp`.
fn row(address: SocketAddr) -> String {
    let IpAddr::V4(ip) = address.ip() else { panic!("{address} is not of IPv4") };
    format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port())
}

fn is_end(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::TimedOut | ErrorKind::WouldBlock)
}
