//! A connection whose end is no failure of the test.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use socket2::SockRef;

use crate::support::DEADLINE;
use crate::support::hybi::Frame;

/// A socket and the bytes read ahead from it. What cannot be read or written any more is `None`, or false.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    ahead: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { stream, ahead: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).inspect_err(Self::expect_end).is_ok()
    }

    /// Reads up to and including `end`.
    pub(crate) fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.ahead[searched..].windows(end.len()).position(|window| window == end) {
                return Some(self.ahead.drain(..searched + at + end.len()).collect());
            }
            searched = self.ahead.len().saturating_sub(end.len() - 1);
            self.more()?;
        }
    }

    pub(crate) fn exact(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.ahead.len() < count {
            self.more()?;
        }
        Some(self.ahead.drain(..count).collect())
    }

    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let [first, second] = self.exact(2)?[..] else { unreachable!() };
        let length = match second & 0x7f {
            126 => self.exact(2)?,
            127 => self.exact(8)?,
            length => vec![length],
        };
        let length = length.iter().fold(0, |length, &byte| (length << 8) | usize::from(byte));
        let is_masked = second & 0x80 != 0;
        let key = if is_masked { self.exact(4)? } else { vec![0] };
        let mut payload = self.exact(length)?;
        payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        Some(Frame { first, is_masked, payload })
    }

    /// Reads until the other side has ended.
    pub(crate) fn drain(&mut self) {
        while self.more().is_some() {
            self.ahead.clear();
        }
    }

    /// Closes our side (FIN).
    pub(crate) fn finish(&self) {
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Resets the connection (RST).
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 16 * 1024];
        let count = self.stream.read(&mut buffer).inspect_err(Self::expect_end).unwrap_or(0);
        self.ahead.extend_from_slice(&buffer[..count]);
        (count > 0).then_some(())
    }

    #[track_caller]
    fn expect_end(error: &std::io::Error) {
        use std::io::ErrorKind::{TimedOut, WouldBlock};
        assert!(!matches!(error.kind(), TimedOut | WouldBlock), "the other side neither speaks nor ends");
    }
}
