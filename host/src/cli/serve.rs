//! The command `serve`.

use std::cell::RefCell;
use std::env;
use std::error::Error;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::thread::available_parallelism;

use clap::{Args, ValueEnum, value_parser};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::spawn;
use tokio::time::sleep;
use tracing::{info, warn};

use super::admin::AdminArgs;
use super::options::{LimitArgs, Protocol, engine_options, shell_options};
use super::record::RecordArgs;
use super::systemd;
use super::tls::{TlsArgs, reload_on_hangup};
use crate::application::{ApplicationFactory, ApplicationOptions, TestPage};
use crate::engine::{ComponentFactory, EngineFactory};
use crate::listener::{Listener, bind};
use crate::log;
use crate::options::{EngineOptions, ShellOptions};
use crate::server::Server;
use crate::tls::Tls;
use crate::watch::{look, watch};

/// Where to listen if nothing else is said.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The application: a component of world `application`. By default an echo over WebSocket, and a page to try
    /// it with over HTTP.
    #[arg(value_name = "APPLICATION.WASM")]
    application: Option<PathBuf>,

    /// Serve the application's new version when its file changes. Connections stay with the one that they began
    /// with.
    #[arg(long, requires = "application")]
    watch: bool,

    /// Variable of the application's environment, which has no others (repeatable). Without a value it is that of the
    /// server's own environment.
    #[arg(long, value_name = "NAME[=VALUE]", requires = "application", value_parser = variable)]
    env: Vec<(String, String)>,

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

    /// Threads that serve, each with an engine, and an instance of the application, for its part of the connections.
    /// An application may ask for a single one. By default as many as there are processor cores.
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=512), help_heading = "Engine")]
    workers: Option<u16>,

    #[command(flatten)]
    record: RecordArgs,

    /// Log every connection, state and close, too. RUST_LOG overrides.
    #[arg(long, help_heading = "Log")]
    pub(super) debug: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EngineKind {
    Component,
    Native,
}

impl Serve {
    pub(super) fn run(&self) -> Result<(), Box<dyn Error>> {
        raise_file_limit(self.limits.max_connections, self.shell_options().workers);
        let factory = self.factory()?;
        let tls = self.tls.load()?;
        let engine_options = self.engine_options()?;
        let (factory, recorder) = self.record.start(factory, &engine_options)?;
        let runtime = Builder::new_current_thread().enable_all().build_local(Default::default())?;
        runtime.block_on(self.serve(factory, engine_options, tls))?;
        if let Some(recorder) = recorder {
            recorder.finish();
        }
        Ok(())
    }

    /// All that is done before it listens, with one worker, and nothing is left of it.
    pub(super) fn check(&self) -> Result<(), Box<dyn Error>> {
        let factory = self.factory()?;
        self.tls.load()?;
        let engine_options = self.engine_options()?;
        self.record.check()?;
        let options = ShellOptions { workers: 1, ..self.shell_options() };
        let runtime = Builder::new_current_thread().enable_all().build_local(Default::default())?;
        runtime.block_on(async { self.server(factory, engine_options, options) })?;
        Ok(())
    }

    pub(super) fn engine_options(&self) -> Result<EngineOptions, Box<dyn Error>> {
        engine_options(&self.protocol, &self.limits)
    }

    pub(super) fn shell_options(&self) -> ShellOptions {
        let cores = || available_parallelism().map_or(1, NonZero::get);
        ShellOptions {
            workers: self.workers.map_or_else(cores, usize::from),
            measure_turns: self.admin.is_on(),
            ..shell_options(&self.protocol, &self.limits)
        }
    }

    async fn serve(
        &self,
        factory: EngineFactory,
        engine_options: EngineOptions,
        tls: Option<Tls>,
    ) -> Result<(), Box<dyn Error>> {
        let server = self.server(factory, engine_options, self.shell_options())?;
        // Signals are caught from before the first client can know of us.
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        reload_on_hangup(tls.clone())?;
        let listeners = listen(self, tls.as_ref())?;
        self.admin.start(&server)?;
        systemd::ready();
        let signals = RefCell::new((interrupt, terminate));
        let stop = async {
            signalled(&signals).await;
            systemd::stopping();
        };
        // A second signal means now.
        let give_up = async {
            tokio::select! {
                () = sleep(self.limits.drain_timeout) => {}
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
        Ok(())
    }

    fn server(
        &self,
        factory: EngineFactory,
        engine_options: EngineOptions,
        options: ShellOptions,
    ) -> Result<Server, Box<dyn Error>> {
        let Some(path) = &self.application else {
            return Ok(Server::new(factory, engine_options, options, || Box::new(TestPage))?);
        };
        let served = look(path);
        let application_options =
            ApplicationOptions { budget: self.limits.budget(), environment: self.env.clone() };
        let application = ApplicationFactory::from_file(path, &application_options)?;
        let server = Server::with_component(factory, engine_options, options, application)?;
        if self.watch {
            spawn(watch(path.clone(), application_options, served, server.replacements()));
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
        let budget = self.limits.budget();
        let factory = match &self.component {
            Some(path) => ComponentFactory::from_file(path, budget)?,
            None => ComponentFactory::embedded(budget)?,
        };
        Ok(EngineFactory::Component(Arc::new(factory)))
    }
}

/// A name and its value.
fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, value.into()),
        None => (text, env::var(text).map_err(|error| error.to_string())?),
    };
    let is_one = !name.is_empty() && !text.contains('\0');
    if is_one { Ok((name.into(), value)) } else { Err("must be NAME or NAME=VALUE".into()) }
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
    let mut lines = String::new();
    for listener in &listeners {
        lines += &format!("listening on {}\n", listener.url()?);
    }
    log::print(lines);
    Ok(listeners)
}

/// A connection is a descriptor; the usual soft limit of 1,024 is for programs that select().
fn raise_file_limit(connections: u32, workers: usize) {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(0);
    // Those who are refused have one for a moment, too, and each worker has some.
    let needed = u64::from(connections) + 512 + 8 * workers as u64;
    if limit < needed {
        warn!(
            "only {limit} files can be open, --max-connections {connections} wants {needed}: raise ulimit -n"
        );
    }
}
