//! A gateway, a backend behind it, and pairs of connections through it.

use crate::backend::{Backend, Request, Upstream};
use crate::support::client::Client;
use crate::support::hybi::{BINARY, CLOSE, TEXT, close, head_hybi, masked};
use crate::support::server::{Server, program};
use crate::support::{ANSWER, CLOSING, KEY3, answer75, answer76, frame, head75, head76};

/// What the gateway maps.
pub(crate) const PROTOCOLS: [Protocol; 4] =
    [Protocol::Draft75, Protocol::Draft76, Protocol::Hybi(7), Protocol::Hybi(8)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Draft75,
    Draft76,
    Hybi(u8),
}

impl Protocol {
    /// A whole opening handshake, with more fields, each ended by CRLF.
    pub(crate) fn request(self, fields: &str) -> Vec<u8> {
        match self {
            Self::Draft75 => head75(fields),
            Self::Draft76 => [&head76(fields), KEY3].concat(),
            Self::Hybi(version) => head_hybi(version, fields),
        }
    }

    /// Reads the answer that accepts [`Self::request`]; returns its head.
    #[track_caller]
    pub(crate) fn read_answer(self, client: &mut Client) -> String {
        let head = String::from_utf8(client.read_until(b"\r\n\r\n")).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        if self == Self::Draft76 {
            client.expect(ANSWER);
        }
        head
    }

    pub(crate) fn text(self, text: &str) -> Vec<u8> {
        match self {
            Self::Draft75 | Self::Draft76 => frame(text),
            Self::Hybi(_) => masked(TEXT, text.as_bytes()),
        }
    }

    #[track_caller]
    pub(crate) fn expect_text(self, client: &mut Client, text: &str) {
        match self {
            Self::Draft75 | Self::Draft76 => client.expect(&frame(text)),
            Self::Hybi(_) => client.expect_frame(TEXT, text.as_bytes()),
        }
    }

    /// Expects the end, after a closing handshake if the protocol has one; with this code, if it has codes.
    #[track_caller]
    pub(crate) fn expect_closed(self, client: &mut Client, code: u16, reason: &str) {
        match self {
            Self::Draft75 => {}
            Self::Draft76 => {
                client.expect(CLOSING);
                client.send(CLOSING);
            }
            Self::Hybi(_) => {
                let payload = close(code, reason);
                client.expect_frame(CLOSE, &payload);
                client.send(&masked(CLOSE, &payload[..2]));
            }
        }
        client.expect_end();
    }
}

/// Starts a gateway in front of one backend.
#[track_caller]
pub(crate) fn start(options: &[&str]) -> (Server, Backend) {
    let backend = Backend::start();
    (gateway(&backend.url(), options), backend)
}

/// Starts a gateway in front of `to`.
#[track_caller]
pub(crate) fn gateway(to: &str, options: &[&str]) -> Server {
    gateway_with(&[&["--to", to], options].concat())
}

/// Starts a gateway with options that say where to.
#[track_caller]
pub(crate) fn gateway_with(options: &[&str]) -> Server {
    let mut command = program();
    command.args(["gateway", "--listen", "127.0.0.1:0", "--debug"]).args(options);
    Server::start_command(command, 1)
}

/// A client and the connection to the backend that is its own.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) protocol: Protocol,
    pub(crate) client: Client,
    pub(crate) upstream: Upstream,
    /// What the gateway asked the backend.
    pub(crate) request: Request,
    /// The head of the answer to the client.
    pub(crate) answer: String,
}

impl Pair {
    #[track_caller]
    pub(crate) fn open(protocol: Protocol, gateway: &Server, backend: &Backend) -> Self {
        Self::open_with(protocol, gateway, backend, "", "")
    }

    /// With more fields in the client's request and in the backend's answer, each ended by CRLF.
    #[track_caller]
    pub(crate) fn open_with(
        protocol: Protocol,
        gateway: &Server,
        backend: &Backend,
        asks: &str,
        answers: &str,
    ) -> Self {
        let mut client = gateway.connect();
        client.send(&protocol.request(asks));
        let (upstream, request) = backend.accept_websocket(answers);
        let answer = protocol.read_answer(&mut client);
        Self { protocol, client, upstream, request, answer }
    }

    /// A text in each direction arrives.
    #[track_caller]
    pub(crate) fn talk(&mut self, text: &str) {
        self.say(text);
        self.hear(text);
    }

    /// The client sends a text, which arrives.
    #[track_caller]
    pub(crate) fn say(&mut self, text: &str) {
        self.client.send(&self.protocol.text(text));
        self.upstream.expect_message(TEXT, text.as_bytes());
    }

    /// The backend sends a text, which arrives.
    #[track_caller]
    pub(crate) fn hear(&mut self, text: &str) {
        self.upstream.send_frame(TEXT, text.as_bytes());
        self.protocol.expect_text(&mut self.client, text);
    }

    /// Binary from the backend arrives as such.
    #[track_caller]
    pub(crate) fn hear_binary(&mut self, bytes: &[u8]) {
        self.upstream.send_frame(BINARY, bytes);
        self.client.expect_frame(BINARY, bytes);
    }

    /// The client closes with 1000, and the backend answers.
    #[track_caller]
    pub(crate) fn close(mut self) {
        match self.protocol {
            Protocol::Draft75 => self.client.finish(),
            Protocol::Draft76 => self.client.send(CLOSING),
            Protocol::Hybi(_) => self.client.send(&masked(CLOSE, &close(1000, ""))),
        }
        self.upstream.expect_close(&close(1000, ""));
        self.client.read_until_gone();
        self.upstream.finish();
        self.upstream.read_until_gone();
    }
}

/// The answers that draft 75 and draft 76 clients compare byte for byte.
pub(crate) fn plain_answer(protocol: Protocol) -> Option<Vec<u8>> {
    match protocol {
        Protocol::Draft75 => Some(answer75("ws://example.com/demo", "")),
        Protocol::Draft76 => Some(answer76("ws://example.com/demo", "")),
        Protocol::Hybi(_) => None,
    }
}
