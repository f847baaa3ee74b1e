//! The options themselves: those shared by the host and the server component, and the protocol's limits and rules that
//! only one of them has.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use legacy_websocket::InvalidUtf8;

use super::spec::Kind::{Choice, File, List, Number, Protocols, Switch, Text, Time};
use super::spec::{OptionSpec, Shell, Word, Zero};

/// Options that the help shows under one heading.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "made here")]
pub struct Section {
    /// `None` for the first options.
    pub heading: Option<&'static str>,
    /// In the order of the help.
    pub options: &'static [OptionSpec],
}

/// The default listen address.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

/// All options.
pub static SECTIONS: &[Section] = &[
    Section { heading: None, options: GENERAL },
    Section { heading: Some("Protocol"), options: PROTOCOL },
    Section { heading: Some("Limits (sizes in bytes, times as 500ms, 10s, 5m)"), options: LIMITS },
];

const HOST: &[Shell] = &[Shell::Host];
const SERVER: &[Shell] = &[Shell::Server];
const NO_SHELL: &[Shell] = &[];

const GENERAL: &[OptionSpec] = &[
    OptionSpec::new(
        "tcp-keepalive",
        Time(Zero::Means("never"), |settings| &mut settings.tcp_keepalive),
        "Idle time before TCP keepalive probes; a client that does not answer for as long again is closed.",
    )
    .host_help("So is one that acknowledges nothing for twice this time."),
    OptionSpec::new(
        "stop-on-stdin-end",
        Switch(|settings| &mut settings.stop_on_stdin_end),
        "Shut down gracefully when standard input ends, because WASI 0.2 has no signals.",
    )
    .only(SERVER),
    OptionSpec::new(
        "debug",
        Switch(|settings| &mut settings.debug),
        "Also log every connection, state change and close.",
    )
    .host_help("RUST_LOG takes precedence."),
];

const PROTOCOL: &[OptionSpec] = &[
    OptionSpec::new(
        "protocol",
        Protocols,
        "Accepted protocol: draft75, draft76, hybi7, hybi8 or rfc6455 (repeatable). A client of another is refused with \
         426. hybi8 is drafts 08 to 12.",
    )
    .setting("protocol"),
    OptionSpec::new(
        "origin",
        List("ORIGIN", |settings| &mut settings.engine.origins),
        "Accepted Origin as browsers send it, http://example.com:8000 (repeatable). Applies to opening handshakes, and \
         to requests other than GET and HEAD that carry one. Any other is refused with 403. \"*\": any, even none.",
    )
    .setting("origin"),
    OptionSpec::new(
        "host",
        List("HOST", |settings| &mut settings.engine.hosts),
        "Accepted Host of opening handshakes and requests, with or without a port (repeatable). \"*\": any.",
    )
    .setting("host"),
    OptionSpec::new(
        "subprotocol",
        List("NAME", |settings| &mut settings.engine.subprotocols),
        "Accepted subprotocol (repeatable). \"*\": any; the answer names the requested one, as clients require, or the \
         first of a list. If any is listed, a client that requests only others is refused with 403.",
    )
    .setting("subprotocol"),
    OptionSpec::new(
        "public-url",
        Text("URL", |settings| &mut settings.engine.public_url),
        "The server's URL as clients see it behind a TLS terminator or proxy, as wss://example.com/path. By default \
         the location is built from Host. A gateway tells its backends, too.",
    )
    .setting("public-url"),
    OptionSpec::new(
        "flash-policy",
        File(|settings| &mut settings.engine.flash_policy),
        "Policy file for Flash's <policy-file-request/>. By default the request is refused.",
    )
    .only(HOST)
    .setting("flash-policy"),
    OptionSpec::new(
        "health-path",
        Text("PATH", |settings| &mut settings.engine.health_path),
        "Health-check path for load balancers: answered with 200 without asking the application or a backend, with \
         503 while the server is stopping. OPTIONS /, HAProxy's default, is always answered, except by a gateway.",
    )
    .setting("health-path"),
    OptionSpec::new(
        "trust-forwarded",
        Switch(|settings| &mut settings.engine.trust_forwarded),
        "Trust X-Forwarded-Proto, -Ssl, -Host, -Port and -For, and Forwarded (RFC 7239). Safe only behind a proxy \
         that sets or removes all of them.",
    )
    .setting("trust-forwarded"),
    OptionSpec::new(
        "proxy-protocol",
        Switch(|settings| &mut settings.proxy_protocol),
        "Require a PROXY header (version 1 or 2) at the start of every connection, and trust it. Safe only if \
         nothing but the proxy can connect.",
    )
    .only(HOST),
    OptionSpec::new(
        "authorise",
        Switch(|settings| &mut settings.engine.authorise),
        "Ask the application before an opening handshake is answered.",
    )
    .only(NO_SHELL)
    .setting("authorise"),
    OptionSpec::new(
        "pass-through",
        Switch(|settings| &mut settings.engine.pass_through),
        "Give back every connection whose request is not an opening handshake for this server.",
    )
    .only(NO_SHELL)
    .setting("pass-through"),
    OptionSpec::new(
        "skip-reserved-frames",
        Switch(|settings| &mut settings.engine.skip_reserved_frames),
        "Skip frames of reserved types in drafts 75 and 76, as their own algorithm does, instead of closing the \
         connection.",
    )
    .setting("skip-reserved-frames"),
    OptionSpec::new(
        "invalid-utf8",
        Choice("ACTION", INVALID_UTF8),
        "What to do with text that is not UTF-8 in drafts 75 and 76: replace it with U+FFFD, or close the connection. \
         Later protocols always close it.",
    )
    .setting("invalid-utf8"),
];

const LIMITS: &[OptionSpec] = &[
    OptionSpec::new(
        "max-head-bytes",
        Number("BYTES", Zero::Invalid, |settings| &mut settings.engine.limits.max_head_bytes),
        "Head of a request, blank line included. More: 431.",
    )
    .setting("max-head-bytes"),
    OptionSpec::new(
        "max-fields",
        Number("N", Zero::Invalid, |settings| &mut settings.engine.limits.max_fields),
        "Fields in a head. More: 431.",
    )
    .setting("max-fields"),
    OptionSpec::new(
        "max-message-bytes",
        Number("BYTES", Zero::Invalid, |settings| &mut settings.engine.limits.max_message_bytes),
        "One message, or the body of a request. More: closed (413).",
    )
    .setting("max-message-bytes"),
    OptionSpec::new(
        "max-buffered-bytes",
        Number("BYTES", Zero::Invalid, |settings| &mut settings.engine.limits.max_buffered_bytes),
        "Incomplete heads, bodies and messages of all connections together. More: the slowest sender among \
         the largest holders is closed.",
    )
    .host_help("Applies to each worker."),
    OptionSpec::new(
        "max-queue-bytes",
        Number("BYTES", Zero::Invalid, |settings| &mut settings.max_queue_bytes),
        "Output pending for one peer. More: closed as a slow reader. A single message or response may be longer if \
         nothing else is pending: up to an eighth of --max-total-queue-bytes.",
    ),
    OptionSpec::new(
        "max-total-queue-bytes",
        Number("BYTES", Zero::Invalid, |settings| &mut settings.max_total_queue_bytes),
        "Memory for the output pending for all peers together. More: the connections holding the most are closed as \
         slow readers.",
    ),
    OptionSpec::new(
        "max-connections",
        Number("N", Zero::Invalid, |settings| &mut settings.max_connections),
        "Concurrent connections. More are refused with 503.",
    ),
    OptionSpec::new(
        "max-connections-per-peer",
        Number("N", Zero::Means("no limit"), |settings| &mut settings.max_connections_per_peer),
        "Concurrent connections from one address, or from one /64 in IPv6. More: 429.",
    )
    .only(HOST),
    OptionSpec::new(
        "max-handshakes-per-peer",
        Number("N", Zero::Means("no limit"), |settings| &mut settings.max_handshakes_per_peer),
        "New connections per second from one address, or from one /64 in IPv6. More: 429.",
    )
    .only(HOST),
    OptionSpec::new(
        "max-memory-bytes",
        Number("BYTES", Zero::Invalid, |settings| &mut settings.max_memory_bytes),
        "Memory of each worker's engine component, and of its application component.",
    )
    .only(HOST),
    OptionSpec::new(
        "handshake-timeout",
        Time(Zero::Invalid, |settings| &mut settings.engine.limits.handshake_timeout),
        "From accept to the end of the opening handshake; also for a plain request, and between two requests.",
    )
    .host_help("A PROXY header and the TLS handshake each have as long before it.")
    .setting("handshake-timeout"),
    OptionSpec::new(
        "idle-timeout",
        Time(Zero::Means("never"), |settings| &mut settings.engine.limits.idle_timeout),
        "How long a connected client may neither send nor receive anything; a pong counts.",
    )
    .setting("idle-timeout"),
    OptionSpec::new(
        "ping-interval",
        Time(Zero::Means("no pings"), |settings| &mut settings.engine.limits.ping_interval),
        "How long a connected client may send nothing before it is sent a ping; after as long again it is closed. \
         Choose more than the longest download takes: meanwhile its answer is not read. Drafts 75 and 76 have no ping.",
    )
    .setting("ping-interval"),
    OptionSpec::new(
        "message-timeout",
        Time(Zero::Means("no limit"), |settings| &mut settings.engine.limits.message_timeout),
        "From the first byte of a message to its last.",
    )
    .setting("message-timeout"),
    OptionSpec::new(
        "close-timeout",
        Time(Zero::Invalid, |settings| &mut settings.engine.limits.close_timeout),
        "How long to wait for the peer's closing frame after ours, and for its FIN after ours. In draft 76 our FIN \
         follows our closing frame after 250ms, because some browsers react to nothing else.",
    )
    .setting("close-timeout"),
    OptionSpec::new(
        "write-timeout",
        Time(Zero::Invalid, |settings| &mut settings.write_timeout),
        "How long pending output may make no progress. More: closed as a slow reader.",
    ),
    OptionSpec::new(
        "call-timeout",
        Time(Zero::Invalid, |settings| &mut settings.call_timeout),
        "Duration of one call into the engine's component or the application. More: the instance and its connections \
         are lost, and a fresh instance takes over.",
    )
    .only(HOST),
    OptionSpec::new(
        "drain-timeout",
        Time(Zero::Means("no wait"), |settings| &mut settings.drain_timeout),
        "How long connections may take to close when the server stops.",
    )
    .host_help("SIGINT and SIGTERM stop it; a second signal ends it at once.")
    .server_help("See --stop-on-stdin-end."),
];

const INVALID_UTF8: &[Word] = &[
    Word {
        word: "replace",
        set: |settings| settings.engine.invalid_utf8 = InvalidUtf8::Replace,
        is_set: |settings| settings.engine.invalid_utf8 == InvalidUtf8::Replace,
    },
    Word {
        word: "close",
        set: |settings| settings.engine.invalid_utf8 = InvalidUtf8::Close,
        is_set: |settings| settings.engine.invalid_utf8 == InvalidUtf8::Close,
    },
];
