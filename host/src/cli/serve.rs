//! The command `serve`.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use legacy_websocket::Options;
use legacy_websocket_shell::Settings;
use tokio::spawn;

use super::server::{ServerArgs, budget};
use crate::application::watch::{look, watch};
use crate::application::{ApplicationFactory, ApplicationOptions, TestPage};
use crate::engine::EngineFactory;
use crate::options::ShellOptions;
use crate::server::Server;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The application: a component of world `application`. By default an echo over WebSocket, and a page to try
    /// it with over HTTP.
    #[arg(value_name = "APPLICATION.WASM")]
    application: Option<PathBuf>,

    /// Reload the application when its file changes. Existing connections stay with the old version.
    #[arg(long, requires = "application")]
    watch: bool,

    /// Environment variable for the application, which gets no others (repeatable). Without a value it is copied from
    /// the server's environment.
    #[arg(long, value_name = "NAME[=VALUE]", requires = "application", value_parser = variable)]
    env: Vec<(String, String)>,

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
        let Some(path) = &self.application else {
            return Ok(Server::new(factory, engine_options, options, || Box::new(TestPage))?);
        };
        let served = look(path);
        let application_options =
            ApplicationOptions { budget: budget(settings), environment: self.env.clone() };
        let application = ApplicationFactory::from_file(path, &application_options)?;
        let server = Server::with_component(factory, engine_options, options, application)?;
        if self.watch {
            spawn(watch(path.clone(), application_options, served, server.replacements()));
        }
        Ok(server)
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
