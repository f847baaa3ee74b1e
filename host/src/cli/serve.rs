//! The command `serve`.

use std::cell::RefCell;
use std::error::Error;
use std::future::poll_fn;
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
use super::listen::ListenArgs;
use super::options::{LimitArgs, Protocol, engine_options, shell_options};
use super::record::RecordArgs;
use super::systemd;
use super::tls::{TlsArgs, reload_on_hangup};
use crate::application::{ApplicationFactory, TestPage};
use crate::engine::{ComponentFactory, EngineFactory};
use crate::options::{EngineOptions, ShellOptions};
use crate::server::Server;
use crate::tls::Tls;
use crate::watch::{look, watch};

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

    /// Read options from a TOML file; its keys are the long names of these here. What is on the command line
    /// counts before what is in the file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    listen: ListenArgs,

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

    /// All that is done before it listens.
    pub(super) fn check(&self) -> Result<(), Box<dyn Error>> {
        self.tls.load()?;
        self.factory()?.make(&self.engine_options()?)?;
        if let Some(application) = &self.application {
            ApplicationFactory::from_file(application, self.limits.budget())?;
        }
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
        let server = self.server(factory, engine_options)?;
        // Signals are caught from before the first client can know of us.
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        reload_on_hangup(tls.clone())?;
        let listeners = self.listen.listen(&self.tls, tls.as_ref(), self.limits.write_timeout)?;
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

    fn server(&self, factory: EngineFactory, options: EngineOptions) -> Result<Server, Box<dyn Error>> {
        let Some(path) = &self.application else {
            return Ok(Server::new(factory, options, self.shell_options(), || Box::new(TestPage))?);
        };
        let served = look(path);
        let application = ApplicationFactory::from_file(path, self.limits.budget())?;
        let server = Server::with_component(factory, options, self.shell_options(), application)?;
        if self.watch {
            spawn(watch(path.clone(), self.limits.budget(), served, server.replacements()));
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
