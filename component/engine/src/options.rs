//! How a server behaves.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::InvalidOptions;
use crate::protocol::Protocols;

/// A length of time, or a point in time counted from an origin that the caller chooses, in milliseconds.
pub type Millis = u64;

/// What to do with text from a client that is not valid UTF-8 (draft 76 section 5.4 leaves it open). In
/// hybi and RFC 6455 the connection always ends, with close code 1007.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "mirrors the WIT enum, which cannot grow either")]
pub enum InvalidUtf8 {
    /// U+FFFD for each maximal ill-formed part: real browsers send lone surrogates.
    #[default]
    Replace,
    /// End the connection instead.
    Close,
}

/// How a [`Server`](crate::Server) behaves. The default accepts every protocol from any page.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "made with struct update syntax")]
pub struct Options {
    /// Which protocols are accepted. At least one.
    pub protocols: Protocols,
    /// Accepted `Origin` values (draft 76 section 5.1; `Sec-WebSocket-Origin` in hybi-07 to -12) as browsers send them,
    /// `http://example.com:8000`, compared ignoring ASCII case. Empty, or with `*`: any, even none. `null` must be
    /// listed like any other. Some libraries send host and port without a scheme: `example.com:8000` is accepted for
    /// these. They apply to opening handshakes, and to requests that carry an Origin and are not GET or HEAD: POSTs
    /// from foreign pages.
    pub origins: Vec<String>,
    /// Accepted subprotocols (draft 76 and RFC 6455 section 1.9), compared exactly. Empty, or with `*`: any. Otherwise
    /// a client that asks only for others is refused; a client that asks for none is accepted. A client may ask for a
    /// list, separated by commas or spaces: it is accepted if one of its items is, and named whole in the answer; in
    /// later protocols the first of its items that is accepted is.
    pub subprotocols: Vec<String>,
    /// Accepted `Host` values (draft 76 section 5.1: DNS rebinding), with or without a port, ignoring ASCII case; IPv6
    /// addresses with or without brackets. Empty, or with `*`: any. If forwarded fields are trusted, the forwarded host
    /// is checked. They apply to opening handshakes and to every request except health checks.
    pub hosts: Vec<String>,
    /// The URL that clients see when a TLS terminator or proxy is in front of the server (draft 76 section 5.2, step
    /// 2): `wss://example.com`, `ws://example.com:8080/prefix`.
    pub public_url: Option<String>,
    /// Trust `X-Forwarded-Proto`, `-Ssl`, `-Host`, `-Port` and `-For`, each field's last value; what they leave open
    /// comes from the last element of `Forwarded` (RFC 7239). Only behind a proxy that sets or removes all of them.
    pub trust_forwarded: bool,
    /// Ask the application before an opening handshake is answered: [`Event::Handshake`](crate::Event).
    pub authorise: bool,
    /// Give back every connection whose request is not an opening handshake for this server, with all its bytes:
    /// [`Event::Passed`](crate::Event). Opening handshakes of the hixie drafts and of hybi-07 to -12 are this server's,
    /// whichever [`protocols`](Self::protocols) are accepted; those of RFC 6455 and of versions that nobody speaks are
    /// if it is one of them. Everything else is given back unchecked (see [`check_request`](Self::check_request)),
    /// except for requests of [`health_path`](Self::health_path) and what cannot be the head of a request. For
    /// gateways.
    pub pass_through: bool,
    /// Echo every message, without [`Event::Message`](crate::Event). For trying out clients.
    pub echo: bool,
    /// Skip and discard frames of reserved types (sections 5.3) within the message limit, instead of
    /// ending the connection. In draft 75 this includes FF 00, an empty frame; by default FF 00 ends the connection.
    pub skip_reserved_frames: bool,
    /// What to do with text that is not valid UTF-8.
    pub invalid_utf8: InvalidUtf8,
    /// The policy file sent in answer to Flash's `<policy-file-request/>`. None: the request is refused as malformed.
    pub flash_policy: Option<String>,
    /// A path whose GET, HEAD and OPTIONS are answered with 200 before the application is asked: for load balancers.
    /// [`hosts`](Self::hosts) does not apply to it, since they connect by address. `OPTIONS /`, HAProxy's default
    /// check, is always answered this way, except for a browser's preflight, and with
    /// [`pass_through`](Self::pass_through).
    pub health_path: Option<String>,
    /// What a peer can make the server hold or wait for.
    pub limits: Limits,
}

/// What a peer can make the server buffer or wait for. Each limit is checked before anything is buffered.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made with struct update syntax")]
pub struct Limits {
    /// The head of a request in bytes, blank line included. Default 16,384: four times the longest that a
    /// browser of the time sends (4 kB of cookies).
    pub max_head_bytes: usize,
    /// Fields in a head. Default 100: the browsers send under 15, proxies add a few.
    pub max_fields: usize,
    /// One message in bytes of its UTF-8, and the body of a plain request. Default 1 MiB: more than pages of the time
    /// send, and a thousand peers at this limit still fit a small machine.
    pub max_message_bytes: usize,
    /// Memory for the incomplete heads, bodies and messages of all connections together, in bytes; at least
    /// [`max_message_bytes`](Self::max_message_bytes). Default 64 MiB. Before it is exceeded, a connection is closed:
    /// among those that hold much, the one that has received most slowly.
    pub max_buffered_bytes: usize,
    /// From accept to connected, and for each further request on a kept-alive connection, in milliseconds. Default
    /// 10,000.
    pub handshake_timeout: Millis,
    /// How long a connected client may neither send nor receive anything, in milliseconds; 0 (the default): forever,
    /// because the hixie drafts have no ping by which a client could show that it is alive. In later protocols a pong
    /// counts as sent.
    pub idle_timeout: Millis,
    /// With nothing received from a connected client for this many milliseconds, it is sent a ping (RFC 6455 section
    /// 5.5.2); if nothing is received for as long again, the connection ends. 0 (the default): no pings. The hixie
    /// drafts have none.
    pub ping_interval: Millis,
    /// From the first byte of a message to its last, in milliseconds; 0: no limit. Default 60,000: 1 MiB at 18 kB/s,
    /// and no peer can hold a part of `max_buffered_bytes` for longer.
    pub message_timeout: Millis,
    /// From our close frame to the peer's, or to its FIN, in milliseconds. Default 2,000. WebKit's draft 76 never
    /// answers FF 00, and learns of the close only when TCP ends: there our FIN follows after 250 ms.
    pub close_timeout: Millis,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_head_bytes: 16_384,
            max_fields: 100,
            max_message_bytes: 1 << 20,
            max_buffered_bytes: 64 << 20,
            handshake_timeout: 10_000,
            idle_timeout: 0,
            ping_interval: 0,
            message_timeout: 60_000,
            close_timeout: 2_000,
        }
    }
}

impl Limits {
    pub(crate) fn validate(&self) -> Result<(), InvalidOptions> {
        for (name, zero) in [
            ("max_head_bytes", self.max_head_bytes == 0),
            ("max_fields", self.max_fields == 0),
            ("max_message_bytes", self.max_message_bytes == 0),
            ("max_buffered_bytes", self.max_buffered_bytes == 0),
            ("handshake_timeout", self.handshake_timeout == 0),
            ("close_timeout", self.close_timeout == 0),
        ] {
            if zero {
                return Err(InvalidOptions::ZeroLimit(name));
            }
        }
        if self.max_message_bytes > self.max_buffered_bytes {
            return Err(InvalidOptions::MessageBeyondBuffer);
        }
        Ok(())
    }
}
