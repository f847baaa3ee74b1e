//! Addresses on the command line.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::file::unix_path;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Ip(SocketAddr),
    /// Every address of a host name, with this port.
    Name(String, u16),
    Unix(PathBuf),
}

pub(super) const NO_TLS: &str = "a Unix socket carries no TLS";

/// An address that supports TLS.
pub(super) fn tls_address(text: &str) -> Result<Address, String> {
    match text.parse::<Address>()? {
        Address::Unix(_) => Err(NO_TLS.into()),
        address => Ok(address),
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = unix_path(text) {
            return path.map(Self::Unix);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let (name, port) = text.rsplit_once(':').unwrap_or((text, ""));
        if name.is_empty() || name.contains([':', '[', ']', '/']) {
            return Err("not ADDRESS:PORT, [IPV6]:PORT, NAME:PORT or unix:PATH".into());
        }
        if port.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("an address must come before the port, as in 127.0.0.1:{name}"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_ip_a_name_or_a_path() {
        let parse = |text: &str| text.parse::<Address>();
        assert_eq!(parse("[::]:80"), Ok(Address::Ip("[::]:80".parse().unwrap())));
        assert_eq!(parse("localhost:8000"), Ok(Address::Name("localhost".into(), 8000)));
        assert_eq!(parse("unix:run/a:1.sock"), Ok(Address::Unix("run/a:1.sock".into())));
        for (wrong, why) in [
            ("localhost", "localhost:8000"),
            ("127.0.0.1", "127.0.0.1:8000"),
            ("localhost:http", "a port must follow"),
            ("8000", "127.0.0.1:8000"),
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
