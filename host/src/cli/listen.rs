//! Where `serve` listens.

use std::env;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};

use clap::Args;
use legacy_websocket_shell::DEFAULT_ADDRESS;
use tracing::warn;

use super::address::{Address, NO_TLS};
use super::systemd::{self, HandedOver};
use super::tls::{NO_ADDRESS, TlsArgs};
use crate::accept::bind::{Keepalive, bind_tcp, bind_unix, hint};
use crate::accept::listener::Listener;
use crate::accept::tls::Tls;
use crate::observe::log;

/// The environment variable for the default listen address. For containers, where nothing can reach the loopback
/// address.
const LISTEN: &str = "LEGACY_WEBSOCKET_LISTEN";

#[derive(Debug, Args)]
pub(super) struct ListenArgs {
    /// Address to listen on (repeatable), as 0.0.0.0:8000; [::]:8000 (also takes IPv4, unless an IPv4 address with the
    /// same port is listed); localhost:8000 (every address of the name); unix:/run/legacy-websocket.sock. With port 0
    /// the system chooses a port; the address is printed. The default applies if there is no --tls-listen and systemd
    /// passes no socket; LEGACY_WEBSOCKET_LISTEN in the environment replaces it. [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<Address>,
}

impl ListenArgs {
    /// The maximum number of listeners, assuming that names have at most two addresses.
    pub(super) fn count(&self) -> usize {
        let listeners = |address: &Address| if matches!(address, Address::Name(..)) { 2 } else { 1 };
        self.listen.iter().map(listeners).sum()
    }

    /// Takes the service manager's sockets, binds the others, and prints the addresses on standard output, for scripts
    /// that wait to connect.
    pub(super) fn listen(
        &self,
        tls_args: &TlsArgs,
        tls: Option<&Tls>,
        keepalive: Keepalive,
    ) -> Result<Vec<Listener>, Box<dyn Error>> {
        let (mut plain, mut secure) = (Vec::new(), Vec::new());
        for HandedOver { listener, is_secure } in systemd::take_sockets(keepalive)? {
            if is_secure { secure.push(listener) } else { plain.push(listener) }
        }
        let default = default_address()?;
        let nowhere = [&self.listen, &tls_args.tls_listen].iter().all(|list| list.is_empty());
        let default = (nowhere && plain.is_empty() && secure.is_empty()).then_some(&default);
        let plain_endpoints = resolve_all(self.listen.iter().chain(default))?;
        let secure_endpoints = resolve_all(&tls_args.tls_listen)?;
        let v4_ports = v4_ports(plain_endpoints.iter().chain(&secure_endpoints));
        for endpoint in &plain_endpoints {
            plain.extend(endpoint.bind(&v4_ports, keepalive)?);
        }
        for endpoint in &secure_endpoints {
            secure.extend(endpoint.bind(&v4_ports, keepalive)?);
        }
        if tls.is_some() && secure.is_empty() {
            return Err(NO_ADDRESS.into());
        }
        for listener in secure {
            let tls = tls.ok_or("a socket named wss requires --tls-cert and --tls-key")?;
            plain.push(listener.encrypted(tls.clone()).ok_or(NO_TLS)?);
        }
        let mut lines = String::new();
        for listener in &plain {
            lines += &format!("listening on {}\n", listener.url()?);
        }
        log::print(lines);
        Ok(plain)
    }
}

fn default_address() -> Result<Address, String> {
    match env::var(LISTEN) {
        Ok(text) => text.parse::<Address>().map_err(|error| format!("{LISTEN}={text}: {error}")),
        Err(_) => Ok(Address::Ip(DEFAULT_ADDRESS)),
    }
}

/// An address, with the addresses its name resolves to.
struct Endpoint<'a> {
    address: &'a Address,
    resolved: Vec<SocketAddr>,
}

fn resolve_all<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> Result<Vec<Endpoint<'a>>, String> {
    let endpoint = |address: &'a Address| -> Result<_, String> {
        let resolved = match address {
            Address::Ip(address) => vec![*address],
            Address::Name(name, port) => {
                resolve(name, *port).map_err(|error| cannot_listen(address, &error))?
            }
            Address::Unix(_) => Vec::new(),
        };
        Ok(Endpoint { address, resolved })
    };
    addresses.into_iter().map(endpoint).collect()
}

fn cannot_listen(address: &Address, error: &io::Error) -> String {
    let hint = if matches!(address, Address::Unix(_)) { "" } else { hint(error) };
    format!("cannot listen on {address}: {error}{hint}")
}

/// A name may resolve to the same address more than once.
fn resolve(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut resolved = Vec::new();
    for address in (name, port).to_socket_addrs()? {
        if !resolved.contains(&address) {
            resolved.push(address);
        }
    }
    Ok(resolved)
}

/// Ports on which [::] must leave IPv4 to another listener.
fn v4_ports<'a>(endpoints: impl Iterator<Item = &'a Endpoint<'a>>) -> Vec<u16> {
    endpoints
        .flat_map(|endpoint| &endpoint.resolved)
        .filter(|address| address.is_ipv4())
        .map(SocketAddr::port)
        .collect()
}

impl Endpoint<'_> {
    fn bind(&self, v4_ports: &[u16], keepalive: Keepalive) -> Result<Vec<Listener>, String> {
        if let Address::Unix(path) = self.address {
            return Ok(vec![bind_unix(path).map_err(|error| cannot_listen(self.address, &error))?]);
        }
        let mut listeners = Vec::new();
        let mut absent = None;
        for address in &self.resolved {
            match bind_tcp(*address, v4_ports.contains(&address.port()), keepalive) {
                Ok(tcp) => listeners.push(tcp.into()),
                Err(error) if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied) => {
                    return Err(cannot_listen(self.address, &error));
                }
                // A name may have an IPv6 address on a machine without IPv6.
                Err(error) => absent = Some((address, error)),
            }
        }
        match absent {
            Some((_, error)) if listeners.is_empty() => return Err(cannot_listen(self.address, &error)),
            Some((address, error)) => warn!("not listening on {address}: {error}"),
            None => {}
        }
        Ok(listeners)
    }
}
