//! What the commands that serve have in common: options, start, and end.

use std::error::Error;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use legacy_websocket_shell::Settings;
use tokio::runtime::Builder;
use tracing::info;

use super::admin::AdminArgs;
use super::descriptors;
use super::listen::ListenArgs;
use super::options::TableArgs;
use super::record::RecordArgs;
use super::signals::{self, CUT_SHORT, Why};
use super::systemd;
use super::tls::{TlsArgs, reload_on_hangup};
use crate::accept::tls::Tls;
use crate::engine::{ComponentFactory, EngineFactory};
use crate::options::ShellOptions;
use crate::server::Server;
use crate::wasm::sandbox::Budget;

#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    /// Read options from a TOML file; its keys are the long options. The command line takes precedence over the file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    listen: ListenArgs,

    #[command(flatten)]
    tls: TlsArgs,

    #[command(flatten)]
    pub(super) table: TableArgs,

    #[command(flatten)]
    admin: AdminArgs,

    /// Where the protocol runs: sandboxed in a component, or compiled into the host.
    #[arg(long, value_enum, default_value_t = EngineKind::Component, help_heading = "Engine")]
    engine: EngineKind,

    /// Use this engine component instead of the one built into this program.
    #[arg(long, value_name = "FILE", help_heading = "Engine")]
    component: Option<PathBuf>,

    /// Worker threads, each with an engine and an instance of the application for its share of the connections. An
    /// application may request a single instance. Default: the number of processor cores.
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=512), help_heading = "Engine")]
    workers: Option<u16>,

    /// Connections that one worker gets before the next gets any, unless its thread is busy. Once all have as many, a
    /// connection goes to the worker with the fewest. 0: always to the one with the fewest.
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = "Engine")]
    worker_fill: usize,

    #[command(flatten)]
    record: RecordArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EngineKind {
    Component,
    Native,
}

/// Makes the server, inside the runtime.
pub(super) trait MakeServer:
    FnOnce(EngineFactory, &Settings, ShellOptions) -> Result<Server, Box<dyn Error>>
{
}

impl<F> MakeServer for F where
    F: FnOnce(EngineFactory, &Settings, ShellOptions) -> Result<Server, Box<dyn Error>>
{
}

impl ServerArgs {
    /// Serves until a signal arrives. Returns how the process should exit.
    /// `per_connection` is how many descriptors each connection takes.
    pub(super) fn run(
        &self,
        per_connection: usize,
        make: impl MakeServer,
    ) -> Result<ExitCode, Box<dyn Error>> {
        let settings = self.table.settings()?;
        let factory = self.factory(&settings)?;
        let tls = self.tls.load()?;
        let (factory, recorder) = self.record.start(factory, &settings)?;
        let runtime = Builder::new_current_thread().enable_all().build_local(Default::default())?;
        let ended = runtime.block_on(self.serve(per_connection, make, factory, &settings, tls));
        // Tasks that are still reading files do not delay the exit.
        runtime.shutdown_background();
        if let Some(recorder) = recorder {
            recorder.finish();
        }
        ended
    }

    /// Does everything up to listening, with one worker, and leaves nothing behind.
    pub(super) fn check(&self, make: impl MakeServer) -> Result<(), Box<dyn Error>> {
        let settings = self.table.settings()?;
        let factory = self.factory(&settings)?;
        self.tls.check()?;
        self.record.check()?;
        let options = ShellOptions { workers: 1, ..self.shell_options(&settings) };
        let runtime = Builder::new_current_thread().enable_all().build_local(Default::default())?;
        runtime.block_on(async { make(factory, &settings, options) })?;
        Ok(())
    }

    pub(super) fn shell_options(&self, settings: &Settings) -> ShellOptions {
        let cores = || available_parallelism().map_or(1, NonZero::get);
        ShellOptions {
            workers: self.workers.map_or_else(cores, usize::from),
            worker_fill: self.worker_fill,
            measure_turns: self.admin.is_on(),
            ..ShellOptions::from(settings)
        }
    }

    async fn serve(
        &self,
        per_connection: usize,
        make: impl MakeServer,
        factory: EngineFactory,
        settings: &Settings,
        tls: Option<Tls>,
    ) -> Result<ExitCode, Box<dyn Error>> {
        let (mut options, mut admin_options) = (self.shell_options(settings), self.admin.options());
        descriptors::fit(&mut options, &mut admin_options, self.count_listeners(), per_connection);
        let server = make(factory, settings, options)?;
        // Catch signals before the first client can know of us.
        let signalled = signals::catch(Duration::from_millis(settings.drain_timeout))?;
        reload_on_hangup(tls.clone())?;
        let admin = self.admin.bind(admin_options)?;
        let listeners = self.listen.listen(&self.tls, tls.as_ref(), settings.into())?;
        if let Some(admin) = admin {
            admin.start(&server)?;
        }
        systemd::ready();
        let stop = async {
            // Their thread waits for the end of the process.
            let _ = signalled.begin.await;
            systemd::stopping();
        };
        let mut why = Why::DrainTimeout;
        let give_up = async {
            why = signalled.give_up.await.unwrap_or(why);
        };
        let totals = server.run(listeners, stop, give_up).await;
        info!(
            connections = totals.connections,
            connected = totals.connected,
            rejected = totals.rejected,
            slow_readers = totals.slow_readers,
            traps = totals.traps,
            application_traps = totals.application_traps,
            unresponsive_workers = totals.unresponsive_workers,
            "stopped"
        );
        let cut_short = why == Why::SecondSignal || totals.unresponsive_workers > 0;
        Ok(if cut_short { CUT_SHORT.into() } else { ExitCode::SUCCESS })
    }

    fn count_listeners(&self) -> usize {
        (self.listen.count() + self.tls.tls_listen.len() + systemd::count_sockets()).max(1)
    }

    fn factory(&self, settings: &Settings) -> Result<EngineFactory, Box<dyn Error>> {
        if self.engine == EngineKind::Native {
            if self.component.is_some() {
                return Err("--component requires --engine component".into());
            }
            return Ok(EngineFactory::Native);
        }
        let budget = budget(settings);
        let factory = match &self.component {
            Some(path) => ComponentFactory::from_file(path, budget)?,
            None => ComponentFactory::embedded(budget)?,
        };
        Ok(EngineFactory::Component(Arc::new(factory)))
    }
}

/// The budget of a call into a component.
pub(super) fn budget(settings: &Settings) -> Budget {
    Budget {
        call_timeout: Duration::from_millis(settings.call_timeout),
        max_memory_bytes: settings.max_memory_bytes,
    }
}
