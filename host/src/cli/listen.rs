//! Where `serve` listens.

use std::env;
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use tracing::warn;

use super::systemd::{self, HandedOver};
use super::tls::{NO_ADDRESS, TlsArgs};
use crate::listener::{Keepalive, Listener, bind_tcp, bind_unix};
use crate::log;
use crate::tls::Tls;

/// The environment's variable for where to listen if nothing else is said. For containers, whose loopback nobody
/// reaches.
const LISTEN: &str = "LEGACY_WEBSOCKET_LISTEN";

/// Where to listen if that says nothing, either.
const DEFAULT_ADDRESS: &str = "127.0.0.1:8000";

#[derive(Debug, Args)]
pub(super) struct ListenArgs {
    /// Address to listen on (repeatable), as 0.0.0.0:8000; [::]:8000 (takes IPv4 as well, unless an IPv4 address with
    /// the same port is listed, too); localhost:8000 (every address of the name); unix:/run/legacy-websocket.sock. Port
    /// 0 lets the system choose; the chosen one is printed. The default is for where there is no --tls-listen and
    /// systemd hands no socket over; LEGACY_WEBSOCKET_LISTEN in the environment replaces it. [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<Address>,

    /// Silence after which the kernel asks a client whether it is still there; one that does not answer for as long
    /// again is gone, and so is one that does not acknowledge what it is sent for both together. 0s: never.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    tcp_keepalive: Duration,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Ip(SocketAddr),
    /// Every address of a name, with this port.
    Name(String, u16),
    Unix(PathBuf),
}

impl ListenArgs {
    /// How many listeners there will be at the most: few names have more addresses than two.
    pub(super) fn count(&self) -> usize {
        let listeners = |address: &Address| if matches!(address, Address::Name(..)) { 2 } else { 1 };
        self.listen.iter().map(listeners).sum()
    }

    /// Takes what the service manager hands over, binds the rest, and says so on standard output, for whoever waits to
    /// connect.
    pub(super) fn listen(
        &self,
        tls_args: &TlsArgs,
        tls: Option<&Tls>,
        write_timeout: Duration,
    ) -> Result<Vec<Listener>, Box<dyn Error>> {
        let keepalive = Keepalive { after: self.tcp_keepalive, write_timeout };
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

const NO_TLS: &str = "a Unix socket carries no TLS";

/// An address that can carry TLS.
pub(super) fn tls_address(text: &str) -> Result<Address, String> {
    match text.parse::<Address>()? {
        Address::Unix(_) => Err(NO_TLS.into()),
        address => Ok(address),
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("a path must follow unix:".into())
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let (name, port) = text.rsplit_once(':').unwrap_or((text, ""));
        if name.is_empty() || name.contains([':', '[', ']', '/']) {
            return Err("not ADDRESS:PORT, [IPV6]:PORT, NAME:PORT or unix:PATH".into());
        }
        let port = port.parse::<u16>().map_err(|_| format!("a port must follow, as in {name}:8000"))?;
        Ok(Self::Name(name.into(), port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn default_address() -> Result<Address, String> {
    match env::var(LISTEN) {
        Ok(text) => text.parse::<Address>().map_err(|error| format!("{LISTEN}={text}: {error}")),
        Err(_) => DEFAULT_ADDRESS.parse(),
    }
}

/// An address, and what its name stands for.
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
    format!("cannot listen on {address}: {error}")
}

/// A name may stand for one address more than once.
fn resolve(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut resolved = Vec::new();
    for address in (name, port).to_socket_addrs()? {
        if !resolved.contains(&address) {
            resolved.push(address);
        }
    }
    Ok(resolved)
}

/// Ports on which [::] must leave IPv4 alone.
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
                // A name may have an address of IPv6 on a machine that has none.
                Err(error) => absent = Some((address, error)),
            }
        }
        match absent {
            Some((_, error)) if listeners.is_empty() => return Err(cannot_listen(self.address, &error)),
            Some((address, error)) => warn!("does not listen on {address}: {error}"),
            None => {}
        }
        Ok(listeners)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_number_a_name_or_a_path() {
        let parse = |text: &str| text.parse::<Address>();
        assert_eq!(parse("[::]:80"), Ok(Address::Ip("[::]:80".parse().unwrap())));
        assert_eq!(parse("localhost:8000"), Ok(Address::Name("localhost".into(), 8000)));
        assert_eq!(parse("unix:run/a:1.sock"), Ok(Address::Unix("run/a:1.sock".into())));
        for (wrong, why) in [
            ("localhost", "localhost:8000"),
            ("127.0.0.1", "127.0.0.1:8000"),
            ("localhost:http", "a port must follow"),
            (":8000", "NAME:PORT"),
            ("::1:8000", "[IPV6]:PORT"),
            ("[::1]", "[IPV6]:PORT"),
            ("http://localhost:8000", "NAME:PORT"),
            ("unix:", "a path must follow"),
        ] {
            let error = parse(wrong).unwrap_err();
            assert!(error.contains(why), "{wrong}: {error}");
        }
        assert!(tls_address("unix:/run/a.sock").unwrap_err().contains("no TLS"));
        assert!(tls_address("localhost:8443").is_ok());
        for text in ["[::1]:80", "localhost:80", "unix:/run/a.sock"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }
}
