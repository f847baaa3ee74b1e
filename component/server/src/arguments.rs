//! The command line: the host's options where they make sense here.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::str::FromStr;

use legacy_websocket::{InvalidUtf8, Limits, Options, Version};
use legacy_websocket_shell::QueueLimits;

/// What was asked for.
pub(crate) enum Parsed {
    Serve(Box<Arguments>),
    /// Print this, no more.
    Print(String),
}

/// How to serve.
pub(crate) struct Arguments {
    pub(crate) listen: Vec<SocketAddr>,
    /// In milliseconds.
    pub(crate) tcp_keepalive: u64,
    pub(crate) engine: Options,
    pub(crate) shell: ShellOptions,
    pub(crate) drain_timeout: u64,
    pub(crate) stop_on_stdin_end: bool,
    pub(crate) debug: bool,
}

/// What the shell itself watches over. Times are in milliseconds.
pub(crate) struct ShellOptions {
    pub(crate) max_connections: usize,
    pub(crate) queue: QueueLimits,
    pub(crate) write_timeout: u64,
    pub(crate) linger_timeout: u64,
}

/// Reads the arguments behind the program's name.
pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Parsed, String> {
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        if word == "--help" || word == "-h" {
            return Ok(Parsed::Print(help()));
        }
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) => (name, Some(String::from(value))),
            None => (word.as_str(), None),
        };
        let known = OPTIONS.iter().find(|option| name.strip_prefix("--") == Some(option.name));
        let Some(option) = known else {
            return Err(format!("unexpected argument '{word}'"));
        };
        let value = match (option.value, inline) {
            ("", None) => String::new(),
            ("", Some(_)) => return Err(format!("--{} takes no value", option.name)),
            (_, Some(value)) => value,
            (_, None) => words.next().ok_or_else(|| format!("--{} needs a value", option.name))?,
        };
        (option.set)(&mut arguments, &value)
            .map_err(|error| format!("invalid value '{value}' for --{}: {error}", option.name))?;
    }
    let QueueLimits { per_connection, total } = arguments.shell.queue;
    if total < per_connection {
        return Err(format!(
            "--max-total-queue-bytes {total} is less than --max-queue-bytes {per_connection}, which is for one peer"
        ));
    }
    if arguments.listen.is_empty() {
        arguments.listen.push(SocketAddr::from(([127, 0, 0, 1], 8000)));
    }
    Ok(Parsed::Serve(Box::new(arguments)))
}

struct Flag {
    name: &'static str,
    /// What the value is called; empty for a switch.
    value: &'static str,
    default: &'static str,
    help: &'static str,
    set: fn(&mut Arguments, &str) -> Result<(), String>,
}

const OPTIONS: &[Flag] = &[
    Flag {
        name: "listen",
        value: "ADDRESS:PORT",
        default: "127.0.0.1:8000",
        help: "Address to listen on (repeatable). Port 0 lets the system choose; the chosen one is printed.",
        set: |arguments, value| {
            arguments.listen.push(from_str(value)?);
            Ok(())
        },
    },
    Flag {
        name: "tcp-keepalive",
        value: "TIME",
        default: "60s",
        help: "Silence after which a client is asked by TCP whether it is still there; one that does not answer for as \
               long again is gone. 0s: never.",
        set: |arguments, value| put(&mut arguments.tcp_keepalive, time(value)),
    },
    Flag {
        name: "protocol",
        value: "auto|draft75|draft76",
        default: "auto",
        help: "Which drafts are accepted.",
        set: |arguments, value| {
            arguments.engine.version = match value {
                "auto" => Version::Auto,
                "draft75" => Version::Draft75,
                "draft76" => Version::Draft76,
                _ => return Err("possible values: auto, draft75, draft76".into()),
            };
            Ok(())
        },
    },
    Flag {
        name: "origin",
        value: "ORIGIN",
        default: "*",
        help: "Accepted Origin as browsers send it, http://example.com:8000 (repeatable), of opening handshakes, and of \
               requests other than GET and HEAD that have one. Any other is refused with 403. \"*\": any, also none.",
        set: |arguments, value| {
            arguments.engine.origins.push(value.into());
            Ok(())
        },
    },
    Flag {
        name: "subprotocol",
        value: "NAME",
        default: "",
        help: "Accepted subprotocol (repeatable). By default any that a client asks for; once one is listed, a \
               client that asks for others only is refused with 403.",
        set: |arguments, value| {
            arguments.engine.subprotocols.push(value.into());
            Ok(())
        },
    },
    Flag {
        name: "host",
        value: "HOST",
        default: "",
        help: "Accepted Host of opening handshakes and requests, with or without a port (repeatable). By default any.",
        set: |arguments, value| {
            arguments.engine.hosts.push(value.into());
            Ok(())
        },
    },
    Flag {
        name: "public-url",
        value: "URL",
        default: "",
        help: "What clients see when a TLS terminator or proxy stands before the server, as \
               wss://example.com/path. By default the location is made from Host.",
        set: |arguments, value| {
            arguments.engine.public_url = Some(value.into());
            Ok(())
        },
    },
    Flag {
        name: "trust-forwarded",
        value: "",
        default: "",
        help: "Believe X-Forwarded-Proto, -Ssl, -Host, -Port and -For, and Forwarded (RFC 7239). Only behind a proxy that \
               sets or removes all of them.",
        set: |arguments, _| {
            arguments.engine.trust_forwarded = true;
            Ok(())
        },
    },
    Flag {
        name: "skip-reserved-frames",
        value: "",
        default: "",
        help: "Skip frames of reserved types, as the drafts' own algorithm does, instead of closing the connection.",
        set: |arguments, _| {
            arguments.engine.skip_reserved_frames = true;
            Ok(())
        },
    },
    Flag {
        name: "invalid-utf8",
        value: "replace|close",
        default: "replace",
        help: "What to do with text that is not UTF-8: put U+FFFD in its place, or close the connection.",
        set: |arguments, value| {
            arguments.engine.invalid_utf8 = match value {
                "replace" => InvalidUtf8::Replace,
                "close" => InvalidUtf8::Close,
                _ => return Err("possible values: replace, close".into()),
            };
            Ok(())
        },
    },
    Flag {
        name: "health-path",
        value: "PATH",
        default: "",
        help: "Path that is answered with 200 before the application is asked, for load balancers. OPTIONS / always is.",
        set: |arguments, value| {
            arguments.engine.health_path = Some(value.into());
            Ok(())
        },
    },
    Flag {
        name: "max-head-bytes",
        value: "BYTES",
        default: "16384",
        help: "Head of a request, blank line included. More: 431.",
        set: |arguments, value| put(&mut arguments.engine.limits.max_head_bytes, number(value)),
    },
    Flag {
        name: "max-fields",
        value: "N",
        default: "100",
        help: "Fields in a head. More: 431.",
        set: |arguments, value| put(&mut arguments.engine.limits.max_fields, number(value)),
    },
    Flag {
        name: "max-message-bytes",
        value: "BYTES",
        default: "1048576",
        help: "One message, or the body of a request. More: closed (413).",
        set: |arguments, value| put(&mut arguments.engine.limits.max_message_bytes, number(value)),
    },
    Flag {
        name: "max-buffered-bytes",
        value: "BYTES",
        default: "67108864",
        help: "Incomplete heads, bodies and messages of all connections together. More: the one that holds the \
               most is closed.",
        set: |arguments, value| put(&mut arguments.engine.limits.max_buffered_bytes, number(value)),
    },
    Flag {
        name: "max-queue-bytes",
        value: "BYTES",
        default: "4194304",
        help: "Output waiting for one peer. More: closed as a slow reader. A single message or response may be \
               longer, where nothing else waits: up to an eighth of --max-total-queue-bytes.",
        set: |arguments, value| put(&mut arguments.shell.queue.per_connection, number(value)),
    },
    Flag {
        name: "max-total-queue-bytes",
        value: "BYTES",
        default: "268435456",
        help: "Memory for the output waiting for all peers together. More: those holding the most are closed as \
               slow readers.",
        set: |arguments, value| put(&mut arguments.shell.queue.total, number(value)),
    },
    Flag {
        name: "max-connections",
        value: "N",
        default: "16384",
        help: "Connections at once. More are refused with 503.",
        set: |arguments, value| put(&mut arguments.shell.max_connections, some(number(value))),
    },
    Flag {
        name: "handshake-timeout",
        value: "TIME",
        default: "10s",
        help: "From accept to the end of the opening handshake; also a plain request, and between two.",
        set: |arguments, value| put(&mut arguments.engine.limits.handshake_timeout, some(time(value))),
    },
    Flag {
        name: "idle-timeout",
        value: "TIME",
        default: "0s",
        help: "A connected client with nothing received or sent. 0s: never.",
        set: |arguments, value| put(&mut arguments.engine.limits.idle_timeout, time(value)),
    },
    Flag {
        name: "message-timeout",
        value: "TIME",
        default: "60s",
        help: "From the first byte of a message to its last. 0s: no limit.",
        set: |arguments, value| put(&mut arguments.engine.limits.message_timeout, time(value)),
    },
    Flag {
        name: "close-timeout",
        value: "TIME",
        default: "2s",
        help: "For the peer's answer to our closing handshake, and for its end of TCP after ours. Our FIN follows the \
               closing frame after 250ms: some browsers react to nothing else.",
        set: |arguments, value| {
            put(&mut arguments.engine.limits.close_timeout, some(time(value)))?;
            arguments.shell.linger_timeout = arguments.engine.limits.close_timeout;
            Ok(())
        },
    },
    Flag {
        name: "write-timeout",
        value: "TIME",
        default: "30s",
        help: "Waiting output that makes no progress. More: closed as a slow reader.",
        set: |arguments, value| put(&mut arguments.shell.write_timeout, some(time(value))),
    },
    Flag {
        name: "drain-timeout",
        value: "TIME",
        default: "10s",
        help: "After --stop-on-stdin-end: for connections to close.",
        set: |arguments, value| put(&mut arguments.drain_timeout, time(value)),
    },
    Flag {
        name: "stop-on-stdin-end",
        value: "",
        default: "",
        help: "End every connection properly and then the program when standard input ends: WASI 0.2 has no signals.",
        set: |arguments, _| {
            arguments.stop_on_stdin_end = true;
            Ok(())
        },
    },
    Flag {
        name: "debug",
        value: "",
        default: "",
        help: "Log every connection, state and close, too.",
        set: |arguments, _| {
            arguments.debug = true;
            Ok(())
        },
    },
];

impl Default for Arguments {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            tcp_keepalive: 60_000,
            shell: ShellOptions {
                max_connections: 16_384,
                queue: QueueLimits { per_connection: 4 << 20, total: 256 << 20 },
                write_timeout: 30_000,
                linger_timeout: Limits::default().close_timeout,
            },
            // The application is asked, as `handler` says.
            engine: Options { authorise: true, ..Options::default() },
            drain_timeout: 10_000,
            stop_on_stdin_end: false,
            debug: false,
        }
    }
}

fn help() -> String {
    let mut text = String::from(
        "A server for the WebSocket protocols of 2010 (draft-hixie-75 and draft-hixie-76), with the application \
         that was composed into it.\n\nOptions (sizes in bytes, times as 500ms, 10s, 5m):\n",
    );
    for Flag { name, value, default, help, .. } in OPTIONS {
        let value = if value.is_empty() { String::new() } else { format!(" <{value}>") };
        let default = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
        text.push_str(&format!("  --{name}{value}\n          {help}{default}\n"));
    }
    text.push_str("  -h, --help\n          Print this.\n");
    text
}

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

fn from_str<T: FromStr<Err: core::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| format!("{error}"))
}

fn number<T: FromStr<Err: core::fmt::Display>>(text: &str) -> Result<T, String> {
    from_str(text)
}

/// A number, or a time, that is not 0.
fn some<T: PartialEq + Default>(value: Result<T, String>) -> Result<T, String> {
    value.and_then(|value| if value == T::default() { Err("must not be 0".into()) } else { Ok(value) })
}

/// Milliseconds.
fn time(text: &str) -> Result<u64, String> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(end);
    let unit: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a time is a number and one of ms, s, m, h".into()),
    };
    let count: u64 = from_str(count)?;
    count.checked_mul(unit).ok_or_else(|| "too long".into())
}
