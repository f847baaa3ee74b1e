//! What clients may do, and how much of it.

use std::error::Error;
use std::num::ParseIntError;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use legacy_websocket::{InvalidUtf8, Limits, Options, Options as EngineOptions, Server, Version};

use crate::file::read_text;
use crate::options::ShellOptions;
use crate::wasm::sandbox::Budget;

#[derive(Debug, Args)]
#[command(next_help_heading = "Protocol")]
pub(super) struct Protocol {
    /// Which drafts are accepted.
    #[arg(long, value_enum, default_value_t = ProtocolArg::Auto)]
    protocol: ProtocolArg,

    /// Accepted Origin as browsers send it, http://example.com:8000 (repeatable). Applies to opening handshakes, and to
    /// requests other than GET and HEAD that carry one. Any other is refused with 403. "*": any, or none.
    #[arg(long, value_name = "ORIGIN", default_value = "*")]
    origin: Vec<String>,

    /// Accepted subprotocol (repeatable). By default any is accepted and named in the answer, because these clients
    /// fail without. Once one is listed, a client that asks only for others is refused with 403.
    #[arg(long, value_name = "NAME")]
    subprotocol: Vec<String>,

    /// Accepted Host of opening handshakes and requests, with or without a port (repeatable). By default any.
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,

    /// The server's URL as clients see it behind a TLS terminator or proxy, as wss://example.com/path. By default the
    /// location is built from Host.
    #[arg(long, value_name = "URL", value_parser = public_url)]
    public_url: Option<String>,

    /// Trust X-Forwarded-Proto, -Ssl, -Host, -Port and -For, and Forwarded (RFC 7239). Only behind a proxy that sets or
    /// removes all of them.
    #[arg(long)]
    trust_forwarded: bool,

    /// Require a PROXY header (version 1 or 2) at the start of every connection, and trust it. Only where the proxy
    /// alone can connect.
    #[arg(long)]
    proxy_protocol: bool,

    /// Skip frames of reserved types, as the drafts' own algorithm does, instead of closing the connection.
    #[arg(long)]
    skip_reserved_frames: bool,

    /// What to do with text that is not UTF-8: put U+FFFD in its place, or close the connection.
    #[arg(long, value_enum, default_value_t = InvalidUtf8Arg::Replace)]
    invalid_utf8: InvalidUtf8Arg,

    /// Policy file for Flash's <policy-file-request/>. By default that is refused.
    #[arg(long, value_name = "FILE")]
    flash_policy: Option<PathBuf>,

    /// Path for load balancers: answered with 200 without asking the application, with 503 while the server stops.
    /// OPTIONS /, HAProxy's default, is answered in any case.
    #[arg(long, value_name = "PATH")]
    health_path: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits (sizes in bytes, times as 500ms, 10s, 5m)")]
pub(super) struct LimitArgs {
    /// Head of a request, blank line included. More: 431.
    #[arg(long, value_name = "BYTES", default_value_t = 16_384, value_parser = at_least_one::<u32>)]
    max_head_bytes: u32,

    /// Fields in a head. More: 431.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one::<u32>)]
    max_fields: u32,

    /// One message, or the body of a request. More: closed (413).
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = at_least_one::<u32>)]
    max_message_bytes: u32,

    /// Incomplete heads, bodies and messages of all connections of a worker together. More: of the connections that
    /// hold much, the slowest sender is closed.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20, value_parser = at_least_one::<u64>)]
    max_buffered_bytes: u64,

    /// Output waiting for one peer. More: closed as a slow reader. A single message or response may be longer, where
    /// nothing else waits: up to an eighth of --max-total-queue-bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20, value_parser = at_least_one::<usize>)]
    max_queue_bytes: usize,

    /// Memory for the output waiting for all peers together. More: the connections holding the most are closed as slow
    /// readers.
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 20, value_parser = at_least_one::<usize>)]
    max_total_queue_bytes: usize,

    /// Connections at once. More are refused with 503.
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = value_parser!(u32).range(1..))]
    pub(super) max_connections: u32,

    /// Connections at once of one address, or of one /64 in IPv6. More: 429. 0: no limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_connections_per_peer: u32,

    /// New connections a second of one address, or of one /64 in IPv6. More: 429. 0: no limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_handshakes_per_peer: u32,

    /// Memory of the engine's component, and of the application's, of each worker.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30, value_parser = at_least_one::<usize>)]
    max_memory_bytes: usize,

    /// From accept to the end of the opening handshake (a PROXY header and TLS have as much before it); also a plain
    /// request, and between two.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = some_time)]
    handshake_timeout: Duration,

    /// A connected client with nothing received or sent. 0s: never.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time_or_never)]
    idle_timeout: Duration,

    /// From the first byte of a message to its last. 0s: no limit.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    message_timeout: Duration,

    /// For the peer's answer to our closing handshake, and for its end of TCP after ours. Our FIN follows the closing
    /// frame after 250ms: some browsers react to nothing else.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = some_time)]
    close_timeout: Duration,

    /// Waiting output that makes no progress. More: closed as a slow reader.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = some_time)]
    pub(super) write_timeout: Duration,

    /// One call into the engine's component or the application. More: the instance and its connections are lost, and a
    /// fresh instance takes over.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = some_time)]
    call_timeout: Duration,

    /// After SIGINT or SIGTERM: for connections to close. A second signal ends it at once.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(super) drain_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProtocolArg {
    Auto,
    Draft75,
    Draft76,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InvalidUtf8Arg {
    Replace,
    Close,
}

/// What the engine is told.
pub(super) fn engine_options(
    protocol: &Protocol,
    limits: &LimitArgs,
) -> Result<EngineOptions, Box<dyn Error>> {
    let Protocol { origin, subprotocol, host, public_url, trust_forwarded, .. } = protocol;
    limits.check()?;
    let flash_policy = match &protocol.flash_policy {
        Some(path) => {
            Some(read_text(path).map_err(|error| format!("--flash-policy {}: {error}", path.display()))?)
        }
        None => None,
    };
    Ok(EngineOptions {
        version: match protocol.protocol {
            ProtocolArg::Auto => Version::Auto,
            ProtocolArg::Draft75 => Version::Draft75,
            ProtocolArg::Draft76 => Version::Draft76,
        },
        origins: origin.clone(),
        subprotocols: subprotocol.clone(),
        hosts: host.clone(),
        public_url: public_url.clone(),
        trust_forwarded: *trust_forwarded,
        authorise: false,
        echo: true,
        skip_reserved_frames: protocol.skip_reserved_frames,
        invalid_utf8: match protocol.invalid_utf8 {
            InvalidUtf8Arg::Replace => InvalidUtf8::Replace,
            InvalidUtf8Arg::Close => InvalidUtf8::Close,
        },
        flash_policy,
        health_path: protocol.health_path.clone(),
        limits: Limits {
            max_head_bytes: wide(limits.max_head_bytes),
            max_fields: wide(limits.max_fields),
            max_message_bytes: wide(limits.max_message_bytes),
            max_buffered_bytes: usize::try_from(limits.max_buffered_bytes).unwrap_or(usize::MAX),
            handshake_timeout: millis(limits.handshake_timeout),
            idle_timeout: millis(limits.idle_timeout),
            message_timeout: millis(limits.message_timeout),
            close_timeout: millis(limits.close_timeout),
        },
    })
}

/// What the shell watches over.
pub(super) fn shell_options(protocol: &Protocol, limits: &LimitArgs) -> ShellOptions {
    ShellOptions {
        max_connections: usize::try_from(limits.max_connections).unwrap_or(usize::MAX),
        max_connections_per_peer: limits.max_connections_per_peer,
        max_handshakes_per_peer: limits.max_handshakes_per_peer,
        proxy_protocol: protocol.proxy_protocol,
        max_queue_bytes: limits.max_queue_bytes,
        max_total_queue_bytes: limits.max_total_queue_bytes,
        write_timeout: limits.write_timeout,
        linger_timeout: limits.close_timeout,
        handshake_timeout: limits.handshake_timeout,
        ..ShellOptions::default()
    }
}

impl LimitArgs {
    pub(super) fn budget(&self) -> Budget {
        Budget { call_timeout: self.call_timeout, max_memory_bytes: self.max_memory_bytes }
    }

    /// Whether they go together.
    fn check(&self) -> Result<(), String> {
        let Self { max_queue_bytes, max_total_queue_bytes, .. } = self;
        if max_total_queue_bytes < max_queue_bytes {
            return Err(format!(
                "--max-total-queue-bytes {max_total_queue_bytes} is less than --max-queue-bytes {max_queue_bytes}, \
                 which is for one peer"
            ));
        }
        Ok(())
    }
}

/// A number that is not 0.
fn at_least_one<T: FromStr<Err = ParseIntError> + Default + PartialEq>(text: &str) -> Result<T, String> {
    match text.parse() {
        Ok(number) if number != T::default() => Ok(number),
        Ok(_) => Err("must be at least 1".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// What the engine takes for one.
fn public_url(text: &str) -> Result<String, String> {
    let options = Options { public_url: Some(text.into()), ..Options::default() };
    Server::new(options).map(|_| text.into()).map_err(|error| error.to_string())
}

/// A time that is not 0.
fn some_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.as_millis() > 0 => Ok(time),
        Ok(_) => Err("must be at least 1ms".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// A time, or 0 for never.
fn time_or_never(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if !time.is_zero() && time.as_millis() == 0 => {
            Err("must be 0s, for never, or at least 1ms".into())
        }
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

fn wide(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
