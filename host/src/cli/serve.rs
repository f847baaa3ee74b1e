//! The command `serve`.

use std::error::Error;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::{ArgGroup, Args};
use legacy_websocket::Options;
use legacy_websocket_shell::Settings;
use tokio::spawn;

use super::environment::parse_variable;
use super::gateway::time;
use super::server::{ServerArgs, budget};
use crate::application::watch::{look, watch};
use crate::application::{ApplicationFactory, ApplicationOptions, Program, TestPage};
use crate::engine::EngineFactory;
use crate::options::ShellOptions;
use crate::server::Server;
use crate::site::{Site, SiteFactory, SiteOptions};

/// The group of components, and the heading of the site's options.
const COMPONENTS: &str = "components";
const SITE: &str = "Site";

/// As many as processor cores, which the workers also have.
fn site_threads() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new(COMPONENTS).multiple(true).args(["application", "http"])))]
pub(super) struct Serve {
    /// The application: a component of world `application`. By default an echo over WebSocket, and a page to try
    /// it with over HTTP.
    #[arg(value_name = "APPLICATION.WASM")]
    application: Option<PathBuf>,

    /// Reload the application when its file changes, and the site of --http. WebSocket connections stay with the old
    /// version; every new request gets the new site.
    #[arg(long, requires = COMPONENTS)]
    watch: bool,

    /// Environment variable for the application and the site, which get no others (repeatable). Without a value it is
    /// copied from the server's environment.
    #[arg(long, value_name = "NAME[=VALUE]", requires = COMPONENTS, value_parser = parse_variable)]
    env: Vec<(String, String)>,

    /// The site: a component that exports wasi:http/handler@0.3.0, as `wasmtime serve` runs it, or
    /// wasi:http/incoming-handler@0.2.x. It gets the requests that are no opening handshakes, in place of the
    /// application.
    #[arg(long, value_name = "SITE.WASM", help_heading = SITE)]
    http: Option<PathBuf>,

    /// How long the site may take to begin its response, after the last part of the request. More: 504. As long may
    /// the client take for each part of its request's body. How long the site may compute without waiting for anything
    /// is limited by --call-timeout.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "60s", requires = "http",
        help_heading = SITE)]
    http_timeout: Duration,

    /// Requests that the site answers at once, each in an instance of its own. More are refused with 503.
    #[arg(long, value_name = "N", default_value = "256", requires = "http", help_heading = SITE)]
    http_max_requests: NonZero<usize>,

    /// Memory of all instances of the site together, in bytes; of each, --max-memory-bytes. A request that needs more
    /// waits for the end of another one.
    #[arg(long, value_name = "BYTES", default_value = "1073741824", requires = "http", help_heading = SITE)]
    http_max_memory_bytes: NonZero<usize>,

    #[command(flatten)]
    pub(super) server: ServerArgs,
}

impl Serve {
    /// Serves until a signal arrives. Returns how the process should exit.
    pub(super) fn run(&self) -> Result<ExitCode, Box<dyn Error>> {
        self.server.run(1, |factory, settings: &Settings, options| self.make(factory, settings, options))
    }

    /// Does everything up to listening, with one worker, and leaves nothing behind.
    pub(super) fn check(&self) -> Result<(), Box<dyn Error>> {
        self.server.check(|factory, settings: &Settings, options| self.make(factory, settings, options))
    }

    fn make(
        &self,
        factory: EngineFactory,
        settings: &Settings,
        options: ShellOptions,
    ) -> Result<Server, Box<dyn Error>> {
        let engine_options = Options { echo: true, ..settings.engine.clone() };
        let site = self.http.as_deref().map(|path| self.site(path, settings)).transpose()?;
        let Some(path) = &self.application else {
            let program = Program::Native(Box::new(|| Box::new(TestPage)));
            return Ok(Server::serving(factory, engine_options, options, program, site)?);
        };
        let served = look(path);
        let application_options =
            ApplicationOptions { budget: budget(settings), environment: self.env.clone() };
        let application = ApplicationFactory::from_file(path, &application_options)?;
        let program = Program::Component(application);
        let server = Server::serving(factory, engine_options, options, program, site)?;
        if self.watch {
            let replace = server.replacements();
            let compile = move |path: &Path| ApplicationFactory::from_file(path, &application_options);
            spawn(watch(path.clone(), served, compile, move |application| replace.send(application).is_ok()));
        }
        Ok(server)
    }

    fn site(&self, path: &Path, settings: &Settings) -> Result<Arc<Site>, Box<dyn Error>> {
        let site_options = SiteOptions {
            budget: budget(settings),
            max_total_memory_bytes: self.http_max_memory_bytes.get(),
            max_requests: self.http_max_requests.get(),
            timeout: self.http_timeout,
            environment: self.env.clone(),
            threads: site_threads(),
        };
        let served = look(path);
        let site = Site::new(SiteFactory::from_file(path, &site_options)?, &site_options)?;
        if self.watch {
            let current = Arc::downgrade(&site);
            let compile = move |path: &Path| SiteFactory::from_file(path, &site_options);
            let replace = move |factory| current.upgrade().map(|site| site.replace(factory)).is_some();
            spawn(watch(path.into(), served, compile, replace));
        }
        Ok(site)
    }
}
