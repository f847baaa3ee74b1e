//! A client's side of a connection: what it reads, and what it answers by itself.

use legacy_websocket_trace::opcode::{BINARY, CLOSE, PING, PONG, TEXT};
use legacy_websocket_trace::{Frame, Variables};

use super::wire::{ANSWER, CLOSING, close_frame, pong};
use super::{Client, Response};
use crate::Protocol;

/// How a connection ended, as its client sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Close {
    /// The code in the server's close frame. `None` if there was no code, or no close frame, and always in drafts 75
    /// and 76.
    pub code: Option<u16>,
    /// The reason in the server's close frame.
    pub reason: String,
    /// There was a closing handshake. (Draft 75 has none.)
    pub was_clean: bool,
}

/// A client.
#[derive(Debug)]
pub(super) struct Peer {
    /// `None`: plain HTTP.
    pub(super) protocol: Option<Protocol>,
    pub(super) texts: Vec<String>,
    pub(super) binaries: Vec<Vec<u8>>,
    pub(super) pongs: Vec<Vec<u8>>,
    pub(super) response: Option<Response>,
    is_head: bool,
    /// Read, and not understood yet.
    ahead: Vec<u8>,
    is_connected: bool,
    /// It has sent its closing frame.
    has_closed: bool,
    close: Close,
    is_over: bool,
}

impl Peer {
    /// A client that has sent its opening handshake.
    pub(super) fn client(protocol: Protocol) -> Self {
        Self {
            protocol: Some(protocol),
            texts: Vec::new(),
            binaries: Vec::new(),
            pongs: Vec::new(),
            response: None,
            is_head: false,
            ahead: Vec::new(),
            is_connected: false,
            has_closed: false,
            close: Close::default(),
            is_over: false,
        }
    }

    /// A client that has sent a request.
    pub(super) fn http(method: &str) -> Self {
        Self { protocol: None, is_head: method == "HEAD", ..Self::client(Protocol::Rfc6455) }
    }

    /// Its opening handshake was complete.
    pub(super) fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// The client, if its connection is not over.
    #[track_caller]
    pub(super) fn open(&self, client: Client) -> Client {
        assert!(!self.is_over, "this client's connection is over");
        client
    }

    /// It sends its closing frame. Returns whether it is the first.
    pub(super) fn begin_close(&mut self) -> bool {
        !std::mem::replace(&mut self.has_closed, true)
    }

    /// How it ended; `None` if it has not.
    pub(super) fn closed(&self) -> Option<&Close> {
        self.is_over.then_some(&self.close)
    }

    /// The connection is over. Returns whether it was not.
    pub(super) fn end(&mut self) -> bool {
        !std::mem::replace(&mut self.is_over, true)
    }

    /// Reads bytes, and returns those that the client answers by itself.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.ahead.extend_from_slice(bytes);
        let mut answers = Vec::new();
        if !self.is_connected && !self.read_response() {
            return answers;
        }
        match self.protocol {
            None => {}
            Some(protocol @ (Protocol::Draft75 | Protocol::Draft76)) => {
                while self.read_hixie(protocol, &mut answers) {}
            }
            Some(protocol) => while self.read_frame(protocol, &mut answers) {},
        }
        answers
    }

    /// Returns whether frames follow.
    fn read_response(&mut self) -> bool {
        let Some((response, end)) = Response::read(&self.ahead, self.is_head) else { return false };
        let behind = self.ahead.get(end..).unwrap_or_default();
        let is_draft76 = response.status == 101 && self.protocol == Some(Protocol::Draft76);
        let answer = if is_draft76 { ANSWER } else { b"" };
        if behind.len() < answer.len() {
            return false;
        }
        assert!(behind.starts_with(answer), "the answer to the challenge is wrong");
        self.ahead.drain(..end + answer.len());
        self.is_connected = response.status == 101;
        self.response = Some(response);
        self.is_connected
    }

    /// Reads a frame of drafts 75 and 76. Returns whether there was one.
    fn read_hixie(&mut self, protocol: Protocol, answers: &mut Vec<u8>) -> bool {
        if self.ahead.starts_with(CLOSING) {
            self.ahead.drain(..CLOSING.len());
            if protocol == Protocol::Draft76 {
                self.close.was_clean = true;
                if self.begin_close() {
                    answers.extend_from_slice(CLOSING);
                }
            }
            return true;
        }
        let Some(end) = self.ahead.iter().position(|byte| *byte == 0xff) else { return false };
        if end == 0 {
            return false;
        }
        let frame: Vec<u8> = self.ahead.drain(..=end).collect();
        let text = frame.get(1..end).unwrap_or_default();
        self.texts.push(String::from_utf8_lossy(text).into_owned());
        true
    }

    /// Reads a frame of RFC 6455. Returns whether there was one. (The engine does not fragment.)
    fn read_frame(&mut self, protocol: Protocol, answers: &mut Vec<u8>) -> bool {
        let Some((frame, end)) = Frame::read(&self.ahead) else { return false };
        self.ahead.drain(..end);
        let payload = frame.payload.bytes(&Variables::default());
        match frame.opcode {
            TEXT => self.texts.push(String::from_utf8_lossy(&payload).into_owned()),
            BINARY => self.binaries.push(payload),
            PING => answers.extend(pong(protocol, &payload).unwrap_or_default()),
            PONG => self.pongs.push(payload),
            CLOSE if !self.close.was_clean => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                let reason = payload.get(2..).map(String::from_utf8_lossy).unwrap_or_default();
                self.close = Close { code, reason: reason.into_owned(), was_clean: true };
                if self.begin_close() {
                    let echo = payload.get(..2).unwrap_or_default();
                    answers.extend(close_frame(protocol, echo).unwrap_or_default());
                }
            }
            _ => {}
        }
        true
    }
}
