//! Metrics and the status page on the command line.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use tokio::task::spawn_local;
use tracing::info;

use crate::admin::serve_admin;
use crate::listener::bind;
use crate::server::Server;

#[derive(Debug, Args)]
#[command(next_help_heading = "Observation")]
pub(super) struct AdminArgs {
    /// Serve metrics (/metrics), health (/healthz, /readyz) and a status page (/) over HTTP. A port alone is
    /// one of 127.0.0.1; whoever can connect can read it all.
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = address)]
    metrics: Option<SocketAddr>,
}

impl AdminArgs {
    pub(super) fn is_on(&self) -> bool {
        self.metrics.is_some()
    }

    /// Serves for as long as the runtime lives, also while the server stops.
    pub(super) fn start(&self, server: &Server) -> Result<(), Box<dyn Error>> {
        if let Some(address) = self.metrics {
            let listener = bind(address).map_err(|error| format!("cannot listen on {address}: {error}"))?;
            info!("status on http://{}/", listener.local_addr()?);
            spawn_local(serve_admin(listener, server.observer()));
        }
        Ok(())
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    match port.parse() {
        Ok(port) => Ok((Ipv4Addr::LOCALHOST, port).into()),
        Err(_) => text.parse().map_err(|_| "neither a port nor ADDRESS:PORT".into()),
    }
}
