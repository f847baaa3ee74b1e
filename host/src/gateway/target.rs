//! Where a backend is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use hyper::Uri;

use crate::file::unix_path;

/// Where a backend listens: `http://HOST[:PORT]`, `https://HOST[:PORT]`, or `unix:PATH`. Displays as it is parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A host and a port.
    Tcp {
        /// The name or address; IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
        /// Whether it speaks TLS.
        secure: bool,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = unix_path(text) {
            return path.map(Self::Unix);
        }
        let form = "must be http://HOST[:PORT], https://HOST[:PORT] or unix:PATH";
        let uri = text.parse::<Uri>().map_err(|_| form)?;
        let (default, secure) = match uri.scheme_str() {
            Some("http") => (80, false),
            Some("https") => (443, true),
            Some("ws" | "wss") => return Err(format!("{form}; WebSocket begins as HTTP")),
            _ => return Err(form.into()),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(form)?;
        if uri.path() != "/" || uri.query().is_some() {
            return Err(
                "a backend has no path of its own: requests keep theirs, and a route may strip its own"
                    .into(),
            );
        }
        // An IPv6 address comes in brackets.
        let host = authority.host().trim_matches(['[', ']']);
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => port.parse().map_err(|_| form)?,
            _ => default,
        };
        Ok(Self::Tcp { host: host.into(), port, secure })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, secure } => {
                let scheme = if *secure { "https" } else { "http" };
                if host.contains(':') {
                    write!(f, "{scheme}://[{host}]:{port}")
                } else {
                    write!(f, "{scheme}://{host}:{port}")
                }
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_url_without_a_path_or_a_socket() {
        for (text, shown) in [
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://localhost", "http://localhost:80"),
            ("https://example.com/", "https://example.com:443"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://[::1]", "http://[::1]:80"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
        ] {
            assert_eq!(text.parse::<Target>().map(|target| target.to_string()), Ok(shown.into()), "{text}");
        }
        for (text, why) in [
            ("localhost:3000", "must be http://"),
            ("ftp://a", "must be http://"),
            ("ws://a", "WebSocket begins as HTTP"),
            ("http://a/b", "no path of its own"),
            ("http://a?b", "no path of its own"),
            ("http://user@a", "must be http://"),
            ("http://a:99999", "must be http://"),
            ("unix:", "a path must follow"),
            ("", "must be http://"),
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
