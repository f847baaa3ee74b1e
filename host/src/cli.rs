//! The command line.

mod admin;
mod compose;
mod config;
mod record;
mod systemd;
mod tls;

use std::cell::RefCell;
use std::error::Error;
use std::ffi::OsStr;
use std::future::poll_fn;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use std::{env, fs};

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::spawn;
use tokio::time::sleep;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use self::admin::AdminArgs;
use self::compose::ComposeArgs;
use self::record::RecordArgs;
use self::tls::{TlsArgs, reload_on_hangup};
use crate::application::{ApplicationFactory, TestPage};
use crate::engine::{ComponentFactory, EngineFactory};
use crate::options::{EngineOptions, ShellOptions};
use crate::sandbox::Budget;
use crate::server::{Listener, Server, bind};
use crate::tls::Tls;
use crate::watch::{look, watch};
use crate::wit::{InvalidUtf8, Limits, Version};

/// Where to listen if nothing else is said.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let cli: Cli = config::parse(env::args_os().collect()).unwrap_or_else(|error| error.exit());
    let result = match &cli.command {
        Command::Serve(serve) => {
            start_log(serve.debug);
            run(serve)
        }
        Command::Compose(compose) => {
            start_log(false);
            compose.run()
        }
        Command::CheckConfig { file } => check_config(file),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A server for the WebSocket protocols of 2010 (draft-hixie-75 and draft-hixie-76).
#[derive(Debug, Parser)]
#[command(name = "legacy-websocket", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve an application, or an echo and a page to try it with.
    Serve(Box<Serve>),

    /// Make a server of an application: one component that any host of WASI 0.2 runs.
    Compose(ComposeArgs),

    /// Check a configuration file, and the files that it names.
    CheckConfig {
        /// TOML, as for serve --config.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// The application: a component of world `application`. By default an echo over WebSocket, and a page to try
    /// it with over HTTP.
    #[arg(value_name = "APPLICATION.WASM")]
    application: Option<PathBuf>,

    /// Serve the application's new version when its file changes. Connections stay with the one that they began
    /// with.
    #[arg(long, requires = "application")]
    watch: bool,

    /// Read options from a TOML file; its keys are the long names of these here. What is on the command line
    /// counts before what is in the file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Address to listen on (repeatable). Port 0 lets the system choose; the chosen one is printed. The
    /// default is for where there is no --tls-listen and systemd hands no socket over.
    /// [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,

    #[command(flatten)]
    tls: TlsArgs,

    #[command(flatten)]
    protocol: Protocol,

    #[command(flatten)]
    limits: LimitArgs,

    #[command(flatten)]
    admin: AdminArgs,

    /// Where the protocol runs: sandboxed in a component, or compiled into the host.
    #[arg(long, value_enum, default_value_t = EngineKind::Component, help_heading = "Engine")]
    engine: EngineKind,

    /// Another build of the component than the one inside this program.
    #[arg(long, value_name = "FILE", help_heading = "Engine")]
    component: Option<PathBuf>,

    #[command(flatten)]
    record: RecordArgs,

    /// Log every connection, state and close, too. RUST_LOG overrides.
    #[arg(long, help_heading = "Log")]
    debug: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Protocol")]
struct Protocol {
    /// Which drafts are accepted.
    #[arg(long = "version", value_enum, default_value_t = VersionArg::Auto)]
    draft: VersionArg,

    /// Accepted Origin (repeatable). Any other is refused with 403. "*": any, also none.
    #[arg(long, value_name = "ORIGIN", default_value = "*")]
    origin: Vec<String>,

    /// Accepted subprotocol (repeatable). By default any that a client asks for, for these clients fail when
    /// theirs is not named in the answer; once one is listed, any other is refused with 403.
    #[arg(long, value_name = "NAME")]
    subprotocol: Vec<String>,

    /// Accepted Host, with or without a port (repeatable). By default any.
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,

    /// What clients see when a TLS terminator or proxy stands before the server, as wss://example.com/path.
    /// By default the location is made from Host.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,

    /// Believe X-Forwarded-Proto, X-Forwarded-Host and X-Forwarded-For. Only behind a proxy that sets them.
    #[arg(long)]
    trust_forwarded: bool,

    /// Expect a PROXY header (version 1 or 2) before anything else on every connection, and believe it. Only
    /// where nobody but the proxy can connect.
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
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits (sizes in bytes, times as 500ms, 10s, 5m)")]
struct LimitArgs {
    /// Head of a request, blank line included. More: 431.
    #[arg(long, value_name = "BYTES", default_value_t = 16_384)]
    max_head_bytes: u32,

    /// Fields in a head. More: 431.
    #[arg(long, value_name = "N", default_value_t = 100)]
    max_fields: u32,

    /// One message, or the body of a request. More: closed (413).
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    max_message_bytes: u32,

    /// Incomplete heads, bodies and messages of all connections together. More: the one that holds the most
    /// is closed.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    max_buffered_bytes: u64,

    /// Output waiting for one peer. More: closed as a slow reader.
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    max_queue_bytes: usize,

    /// Connections at once. More are refused with 503.
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = value_parser!(u32).range(1..))]
    max_connections: u32,

    /// Connections at once of one address, or of one /64 in IPv6. More: 429. 0: no limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_connections_per_peer: u32,

    /// New connections a second of one address, or of one /64 in IPv6. More: 429. 0: no limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_handshakes_per_peer: u32,

    /// Memory of the engine's component, and of the application's.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30)]
    max_memory_bytes: usize,

    /// From accept to the end of the opening handshake (a PROXY header and TLS have as much before it); also a plain request, and between two.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = some_time)]
    handshake_timeout: Duration,

    /// A connected client with nothing received or sent. 0s: never.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    idle_timeout: Duration,

    /// For the peer's answer to our closing handshake, and for its end of TCP behind ours.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = some_time)]
    close_timeout: Duration,

    /// Waiting output that makes no progress. More: closed as a slow reader.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = some_time)]
    write_timeout: Duration,

    /// One call into the engine's component or the application. More: the instance and its connections are lost, a
    /// fresh one serves on.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = some_time)]
    call_timeout: Duration,

    /// After SIGINT or SIGTERM: for connections to close. A second signal ends it at once.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    drain_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EngineKind {
    Component,
    Native,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum VersionArg {
    Auto,
    Draft75,
    Draft76,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InvalidUtf8Arg {
    Replace,
    Close,
}

impl Serve {
    fn engine_options(&self) -> Result<EngineOptions, Box<dyn Error>> {
        let Protocol { origin, subprotocol, host, public_url, trust_forwarded, .. } = &self.protocol;
        let limits = &self.limits;
        let flash_policy = match &self.protocol.flash_policy {
            Some(path) => {
                Some(fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?)
            }
            None => None,
        };
        Ok(EngineOptions {
            version: match self.protocol.draft {
                VersionArg::Auto => Version::Auto,
                VersionArg::Draft75 => Version::Draft75,
                VersionArg::Draft76 => Version::Draft76,
            },
            origins: origin.clone(),
            subprotocols: subprotocol.clone(),
            hosts: host.clone(),
            public_url: public_url.clone(),
            trust_forwarded: *trust_forwarded,
            authorise: false,
            echo: true,
            skip_reserved_frames: self.protocol.skip_reserved_frames,
            invalid_utf8: match self.protocol.invalid_utf8 {
                InvalidUtf8Arg::Replace => InvalidUtf8::Replace,
                InvalidUtf8Arg::Close => InvalidUtf8::Close,
            },
            flash_policy,
            limits: Limits {
                max_head_bytes: limits.max_head_bytes,
                max_fields: limits.max_fields,
                max_message_bytes: limits.max_message_bytes,
                max_buffered_bytes: limits.max_buffered_bytes,
                handshake_timeout: millis(limits.handshake_timeout),
                idle_timeout: millis(limits.idle_timeout),
                close_timeout: millis(limits.close_timeout),
            },
        })
    }

    fn shell_options(&self) -> ShellOptions {
        ShellOptions {
            max_connections: usize::try_from(self.limits.max_connections).unwrap_or(usize::MAX),
            max_connections_per_peer: self.limits.max_connections_per_peer,
            max_handshakes_per_peer: self.limits.max_handshakes_per_peer,
            measure_turns: self.admin.is_on(),
            proxy_protocol: self.protocol.proxy_protocol,
            max_queue_bytes: self.limits.max_queue_bytes,
            write_timeout: self.limits.write_timeout,
            linger_timeout: self.limits.close_timeout,
            handshake_timeout: self.limits.handshake_timeout,
        }
    }

    fn budget(&self) -> Budget {
        Budget { call_timeout: self.limits.call_timeout, max_memory_bytes: self.limits.max_memory_bytes }
    }

    fn server(&self, factory: EngineFactory, options: EngineOptions) -> Result<Server, Box<dyn Error>> {
        let Some(path) = &self.application else {
            return Ok(Server::new(factory, options, self.shell_options(), Box::new(TestPage))?);
        };
        let served = look(path);
        let application = ApplicationFactory::from_file(path, self.budget())?;
        let server = Server::with_component(factory, options, self.shell_options(), application)?;
        if self.watch {
            spawn(watch(path.clone(), self.budget(), served, server.replacements()));
        }
        Ok(server)
    }

    fn factory(&self) -> Result<EngineFactory, Box<dyn Error>> {
        if self.engine == EngineKind::Native {
            if self.component.is_some() {
                return Err("--component has no meaning with --engine native".into());
            }
            return Ok(EngineFactory::Native);
        }
        let budget = self.budget();
        let factory = match &self.component {
            Some(path) => ComponentFactory::from_file(path, budget)?,
            None => ComponentFactory::embedded(budget)?,
        };
        Ok(EngineFactory::Component(Arc::new(factory)))
    }
}

/// All that `serve` does with it before it listens.
fn check_config(file: &Path) -> Result<(), Box<dyn Error>> {
    let line =
        [OsStr::new("legacy-websocket"), OsStr::new("serve"), OsStr::new("--config"), file.as_os_str()];
    let cli: Cli = config::parse(line.map(Into::into).into()).unwrap_or_else(|error| error.exit());
    if let Command::Serve(serve) = &cli.command {
        start_log(serve.debug);
        serve.tls.load()?;
        serve.factory()?.make(&serve.engine_options()?)?;
        if let Some(application) = &serve.application {
            ApplicationFactory::from_file(application, serve.budget())?;
        }
    }
    writeln!(stdout(), "{}: ok", file.display())?;
    Ok(())
}

fn run(serve: &Serve) -> Result<(), Box<dyn Error>> {
    raise_file_limit(serve.limits.max_connections);
    let factory = serve.factory()?;
    let tls = serve.tls.load()?;
    let engine_options = serve.engine_options()?;
    let (factory, recorder) = serve.record.start(factory, &engine_options)?;
    let runtime = Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(async {
        let server = serve.server(factory, engine_options)?;
        // Signals are caught from before the first client can know of us.
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        reload_on_hangup(tls.clone())?;
        let listeners = listen(serve, tls.as_ref())?;
        serve.admin.start(&server)?;
        systemd::ready();
        let signals = RefCell::new((interrupt, terminate));
        let stop = async {
            signalled(&signals).await;
            systemd::stopping();
        };
        // A second signal means now.
        let give_up = async {
            tokio::select! {
                () = sleep(serve.limits.drain_timeout) => {}
                () = signalled(&signals) => {}
            }
        };
        let totals = server.run(listeners, stop, give_up).await;
        info!(
            connections = totals.connections,
            connected = totals.connected,
            rejected = totals.rejected,
            slow_readers = totals.slow_readers,
            traps = totals.traps,
            application_traps = totals.application_traps,
            "stopped"
        );
        Ok::<_, Box<dyn Error>>(())
    })?;
    if let Some(recorder) = recorder {
        recorder.finish();
    }
    Ok(())
}

/// The next SIGINT or SIGTERM.
async fn signalled(signals: &RefCell<(Signal, Signal)>) {
    poll_fn(|cx| {
        let (interrupt, terminate) = &mut *signals.borrow_mut();
        if interrupt.poll_recv(cx).is_ready() || terminate.poll_recv(cx).is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

/// Takes what the service manager hands over, binds the rest, and says so on standard output, for whoever waits
/// to connect.
fn listen(serve: &Serve, tls: Option<&Tls>) -> Result<Vec<Listener>, Box<dyn Error>> {
    let bind =
        |address: &SocketAddr| bind(*address).map_err(|error| format!("cannot listen on {address}: {error}"));
    let (mut plain, mut secure) = (Vec::new(), Vec::new());
    for socket in systemd::take_sockets()? {
        if socket.secure { secure.push(socket.tcp) } else { plain.push(socket.tcp) }
    }
    let nowhere = serve.listen.is_empty() && serve.tls.tls_listen.is_empty();
    let default = nowhere && plain.is_empty() && secure.is_empty();
    for address in serve.listen.iter().chain(default.then_some(&DEFAULT_ADDRESS)) {
        plain.push(bind(address)?);
    }
    for address in &serve.tls.tls_listen {
        secure.push(bind(address)?);
    }
    if tls.is_some() && secure.is_empty() {
        return Err("--tls-cert and --tls-key have no meaning without --tls-listen".into());
    }
    let mut listeners: Vec<_> = plain.into_iter().map(Listener::from).collect();
    for tcp in secure {
        let tls = tls.ok_or("a socket named wss needs --tls-cert and --tls-key")?;
        listeners.push(Listener::with_tls(tcp, tls.clone()));
    }
    let mut out = stdout();
    for listener in &listeners {
        // Whoever closed our standard output did not want to know.
        let _ = writeln!(out, "listening on {}", listener.url()?);
    }
    let _ = out.flush();
    Ok(listeners)
}

/// A connection is a descriptor; the usual soft limit of 1,024 is for programs that select().
fn raise_file_limit(connections: u32) {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(0);
    // Those who are refused have one for a moment, too.
    let needed = u64::from(connections) + 512;
    if limit < needed {
        warn!(
            "only {limit} files can be open, --max-connections {connections} wants {needed}: raise ulimit -n"
        );
    }
}

fn start_log(debug: bool) {
    let default = if debug { "legacy_websocket_host=debug" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_target(false)
        .init();
}

/// A time that is not 0.
fn some_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.as_millis() > 0 => Ok(time),
        Ok(_) => Err("must be at least 1ms".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_libraries() {
        let cli: Cli = config::parse(vec!["legacy-websocket".into(), "serve".into()]).unwrap();
        let Command::Serve(serve) = cli.command else { panic!("another command") };
        let options = serve.engine_options().unwrap();
        let expected = EngineOptions { origins: vec!["*".into()], echo: true, ..EngineOptions::default() };
        assert_eq!(format!("{options:?}"), format!("{expected:?}"));
        assert_eq!(format!("{:?}", serve.shell_options()), format!("{:?}", ShellOptions::default()));
    }
}
