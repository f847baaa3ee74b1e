//! TLS on the command line.

use std::error::Error;
use std::future::pending;
use std::io;
use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_local;
use tracing::info;

use super::address::{Address, tls_address};
use super::systemd;
use crate::accept::tls::{Tls, TlsError};

#[derive(Debug, Args)]
#[command(next_help_heading = "TLS 1.2 and 1.3 (for older clients see docs/proxies.md)")]
pub(super) struct TlsArgs {
    /// Address to listen on for wss (repeatable).
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = tls_address, requires_all = ["tls_cert", "tls_key"])]
    pub(super) tls_listen: Vec<Address>,

    /// Certificates in PEM, the server's own first. Reloaded when a file changes, and on SIGHUP.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// Private key in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// A certificate for which there is no address.
pub(super) const NO_ADDRESS: &str = "--tls-cert and --tls-key require --tls-listen";

impl TlsArgs {
    /// [`load`](Self::load), and a check that there is an address for it: a listed one, or one that systemd may pass
    /// in.
    pub(super) fn check(&self) -> Result<(), Box<dyn Error>> {
        let certificate = self.load()?;
        if certificate.is_some() && self.tls_listen.is_empty() && !systemd::runs_us() {
            return Err(NO_ADDRESS.into());
        }
        Ok(())
    }

    /// Reads the files, if any are given.
    pub(super) fn load(&self) -> Result<Option<Tls>, TlsError> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificates), Some(key)) => Tls::load(certificates, key).map(Some),
            _ => Ok(None),
        }
    }
}

/// Reloads the certificate for as long as the runtime lives: on SIGHUP, and when its files change. SIGHUP never ends
/// the process, even with nothing to reload.
pub(super) fn reload_on_hangup(tls: Option<Tls>) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    spawn_local(async move {
        loop {
            tokio::select! {
                () = follow_files(tls.as_ref()) => {}
                _ = hangup.recv() => {
                    systemd::reloading();
                    match &tls {
                        Some(tls) => tls.reload_and_tell(),
                        None => info!("SIGHUP: no certificate to reload"),
                    }
                    systemd::ready();
                }
            }
        }
    });
    Ok(())
}

async fn follow_files(tls: Option<&Tls>) {
    match tls {
        Some(tls) => tls.follow_files().await,
        None => pending().await,
    }
}
