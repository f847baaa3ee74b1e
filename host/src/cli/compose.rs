//! Composes components, for users without `wac`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::{Args, ValueEnum};
use legacy_websocket_artifacts::{ComposeError, Wasi, compose, compose_with_http, not_a_component, stack};
use tracing::info;

use crate::file::{self, MAX_COMPONENT_BYTES};

#[derive(Debug, Args)]
pub(super) struct ComposeArgs {
    /// The application: a component of world `application`.
    #[arg(value_name = "APPLICATION.WASM")]
    application: PathBuf,

    /// Middleware in front of the application (repeatable; the first is outermost).
    #[arg(long, value_name = "MIDDLEWARE.WASM")]
    with: Vec<PathBuf>,

    /// Leave out the server: the result is an application, for `serve` or for further composition.
    #[arg(long, requires = "with")]
    application_only: bool,

    /// The WASI version that the server needs [default: 0.2, and 0.3 with --http].
    #[arg(long, value_name = "VERSION", conflicts_with = "application_only")]
    wasi: Option<WasiVersion>,

    /// A component that serves plain HTTP: one that exports `wasi:http/handler@0.3`. Requests that are no opening
    /// handshakes go to it instead of to the application. WASI 0.3 only.
    #[arg(long, value_name = "SITE.WASM", conflicts_with = "application_only")]
    http: Option<PathBuf>,

    /// Where to write the result.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WasiVersion {
    /// Runs on more hosts, such as jco.
    #[value(name = "0.2")]
    P2,
    /// Faster, for hosts that have it: wasmtime 46 and later.
    #[value(name = "0.3")]
    P3,
}

impl From<WasiVersion> for Wasi {
    fn from(version: WasiVersion) -> Self {
        match version {
            WasiVersion::P2 => Self::P2,
            WasiVersion::P3 => Self::P3,
        }
    }
}

impl ComposeArgs {
    pub(super) fn run(&self) -> Result<(), Box<dyn Error>> {
        let mut composed = read(&self.application)?;
        for middleware in self.with.iter().rev() {
            composed = stack(&read(middleware)?, &composed).map_err(|error| match error {
                ComposeError::NoApplication | ComposeError::NotAnApplication(_) => {
                    of(&self.application)(error)
                }
                error => of(middleware)(error),
            })?;
        }
        if let Some(site) = &self.http {
            if self.wasi == Some(WasiVersion::P2) {
                return Err("--http requires --wasi 0.3: wasi:http/handler is one of its interfaces".into());
            }
            composed = compose_with_http(&composed, &read(site)?).map_err(|error| match error {
                ComposeError::NotASite(_) => of(site)(error),
                error => of(&self.application)(error),
            })?;
        } else if !self.application_only {
            let wasi = self.wasi.unwrap_or(WasiVersion::P2);
            composed = compose(&composed, wasi.into()).map_err(of(&self.application))?;
        }
        fs::write(&self.output, &composed).map_err(of(&self.output))?;
        info!("wrote {}, {} bytes", self.output.display(), composed.len());
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let bytes = file::read(path, MAX_COMPONENT_BYTES).map_err(of::<io::Error>(path))?;
    match not_a_component(&bytes) {
        Some(why) => Err(of(path)(ComposeError::NotAComponent(why.into()))),
        None => Ok(bytes),
    }
}

/// Prefixes an error with its file.
fn of<E: Error>(path: &Path) -> impl FnOnce(E) -> String {
    move |error| format!("{}: {error}", path.display())
}
