//! Metrics and the status page on the command line.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use tokio::net::TcpListener;
use tokio::spawn;
use tracing::info;

use crate::accept::bind::{bind, hint};
use crate::observe::admin::{AdminOptions, serve_admin};
use crate::server::Server;

#[derive(Debug, Args)]
#[command(next_help_heading = "Observation")]
pub(super) struct AdminArgs {
    /// Serve metrics (/metrics), health (/healthz, /readyz) and a status page (/) over HTTP. A port alone binds
    /// 127.0.0.1. Anyone who can connect can read everything.
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = address)]
    metrics: Option<SocketAddr>,

    /// Host name accepted in requests to --metrics, without a port (repeatable; "*": any). IP addresses and localhost
    /// are always accepted.
    #[arg(long, value_name = "NAME", requires = "metrics")]
    metrics_host: Vec<String>,
}

/// Bound, but not yet serving.
#[derive(Debug)]
pub(super) struct Admin {
    listener: TcpListener,
    options: AdminOptions,
}

impl AdminArgs {
    pub(super) fn is_on(&self) -> bool {
        self.metrics.is_some()
    }

    pub(super) fn options(&self) -> AdminOptions {
        AdminOptions { hosts: self.metrics_host.clone(), ..AdminOptions::default() }
    }

    /// Binds the address, if one is given.
    pub(super) fn bind(&self, options: AdminOptions) -> Result<Option<Admin>, Box<dyn Error>> {
        let Some(address) = self.metrics else {
            return Ok(None);
        };
        let listener = bind(address)
            .map_err(|error| format!("--metrics: cannot listen on {address}: {error}{}", hint(&error)))?;
        Ok(Some(Admin { listener, options }))
    }
}

impl Admin {
    /// Serves for as long as the runtime lives, even while the server stops.
    pub(super) fn start(self, server: &Server) -> Result<(), Box<dyn Error>> {
        info!("status on http://{}/", self.listener.local_addr()?);
        spawn(serve_admin(self.listener, server.observer(), self.options));
        Ok(())
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    match port.parse() {
        Ok(port) => Ok((Ipv4Addr::LOCALHOST, port).into()),
        Err(_) => text.parse().map_err(|_| "must be a port or ADDRESS:PORT".into()),
    }
}
