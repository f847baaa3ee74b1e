//! The command `gateway`.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use legacy_websocket_shell::Settings;
use serde::Deserialize;

use super::server::ServerArgs;
use crate::engine::EngineFactory;
use crate::gateway::{Binary, GatewayOptions, RouteOptions, Target};
use crate::options::ShellOptions;
use crate::server::Server;

/// As good as never.
const MAX_TIME: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

#[derive(Debug, Args)]
pub(super) struct Gateway {
    /// The backend, which speaks RFC 6455: http://HOST[:PORT], https://HOST[:PORT] or unix:PATH (repeatable: in turn).
    /// Clients of draft 75 and 76 and of hybi are connected to it; everything else passes through.
    #[arg(long, value_name = "URL", required_unless_present = "route", help_heading = "Backends")]
    to: Vec<Target>,

    /// A route with its own backends, as the file's [[route]] has it.
    #[arg(long, value_name = "JSON", value_parser = route, hide = true)]
    route: Vec<RouteOptions>,

    /// Certificates in PEM that https backends are checked against, instead of the system's.
    #[arg(long, value_name = "FILE", help_heading = "Backends")]
    backend_ca: Option<PathBuf>,

    /// The Host that backends are told, instead of the client's.
    #[arg(long, value_name = "HOST", help_heading = "Backends")]
    backend_host: Option<String>,

    /// The Origin that backends are told, instead of the client's.
    #[arg(long, value_name = "ORIGIN", help_heading = "Backends")]
    backend_origin: Option<String>,

    /// What becomes of a backend's binary message for a client of draft 75 or 76, which has only text: the connection
    /// ends, it is sent in base64 (and what the client sends is decoded), or it is dropped.
    #[arg(long, value_enum, value_name = "ACTION", default_value = "close", help_heading = "Backends")]
    binary: BinaryAction,

    /// How long a backend may take to accept a connection.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "5s", help_heading = "Backends")]
    connect_timeout: Duration,

    /// How long a backend may take to begin its response. More: 504. For an opening handshake at most nine tenths of
    /// --handshake-timeout.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "60s", help_heading = "Backends")]
    backend_timeout: Duration,

    /// How long the backend of a client of draft 75, draft 76 or hybi may send nothing. 0s: for ever.
    #[arg(long, value_name = "TIME", value_parser = time_or_zero, default_value = "0s",
        help_heading = "Backends")]
    backend_idle_timeout: Duration,

    /// How long such a backend may send nothing before it is sent a ping; after as long again the connection ends. 0s:
    /// no pings.
    #[arg(long, value_name = "TIME", value_parser = time_or_zero, default_value = "0s",
        help_heading = "Backends")]
    backend_ping_interval: Duration,

    /// How long nothing may pass in either direction between a client of RFC 6455 and its backend. 0s: for ever.
    #[arg(long, value_name = "TIME", value_parser = time_or_zero, default_value = "0s",
        help_heading = "Backends")]
    tunnel_idle_timeout: Duration,

    /// How long a backend that could not be connected to is passed over while there are others.
    #[arg(long, value_name = "TIME", value_parser = time_or_zero, default_value = "10s",
        help_heading = "Backends")]
    retry_after: Duration,

    #[command(flatten)]
    pub(super) server: ServerArgs,
}

#[derive(Clone, Copy, Debug, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum BinaryAction {
    Close,
    Base64,
    Drop,
}

/// A `[[route]]` of the file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Route {
    path: String,
    to: Vec<String>,
    #[serde(default)]
    strip: bool,
    binary: Option<BinaryAction>,
    backend_host: Option<String>,
    backend_origin: Option<String>,
}

impl Gateway {
    /// Serves until a signal arrives. Returns how the process should exit.
    pub(super) fn run(&self) -> Result<ExitCode, Box<dyn Error>> {
        // The client's, and the backend's.
        self.server.run(2, |factory, settings: &Settings, options| self.make(factory, settings, options))
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
        Ok(Server::gateway(factory, settings.engine.clone(), options, self.options())?)
    }

    fn options(&self) -> GatewayOptions {
        let unless_zero = |time: Duration| (!time.is_zero()).then_some(time);
        let mut routes = self.route.clone();
        if !self.to.is_empty() {
            routes.push(RouteOptions {
                binary: self.binary.into(),
                backend_host: self.backend_host.clone(),
                backend_origin: self.backend_origin.clone(),
                ..RouteOptions::new("/", self.to.clone())
            });
        }
        GatewayOptions {
            routes,
            backend_ca: self.backend_ca.clone(),
            connect_timeout: self.connect_timeout,
            backend_timeout: self.backend_timeout,
            backend_idle_timeout: unless_zero(self.backend_idle_timeout),
            backend_ping_interval: unless_zero(self.backend_ping_interval),
            tunnel_idle_timeout: unless_zero(self.tunnel_idle_timeout),
            retry_after: self.retry_after,
        }
    }
}

impl From<BinaryAction> for Binary {
    fn from(action: BinaryAction) -> Self {
        match action {
            BinaryAction::Close => Self::Close,
            BinaryAction::Base64 => Self::Base64,
            BinaryAction::Drop => Self::Drop,
        }
    }
}

fn route(json: &str) -> Result<RouteOptions, String> {
    let route: Route = serde_json::from_str(json).map_err(|error| without_place(&error.to_string()))?;
    let targets = route.to.iter().map(|to| to.parse().map_err(|why| format!("{to}: {why}")));
    Ok(RouteOptions {
        strip: route.strip,
        binary: route.binary.map(Binary::from).unwrap_or_default(),
        backend_host: route.backend_host,
        backend_origin: route.backend_origin,
        ..RouteOptions::new(route.path, targets.collect::<Result<_, String>>()?)
    })
}

/// The place is one in JSON, which nobody has written.
fn without_place(error: &str) -> String {
    error.split(" at line ").next().unwrap_or(error).to_owned()
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    match time_or_zero(text)? {
        time if time.is_zero() => Err("must be at least 1ms".into()),
        time => Ok(time),
    }
}

fn time_or_zero(text: &str) -> Result<Duration, String> {
    // Added to the current time, a longer one could overflow.
    humantime::parse_duration(text).map(|time| time.min(MAX_TIME)).map_err(|error| error.to_string())
}
