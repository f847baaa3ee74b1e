//! The location in our answer (draft 76 sections 3.2 and 5.2, draft 75 section 5.1): the URL that the client
//! connected to, which it compares byte for byte.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::InvalidOptions;
use crate::event::Peer;
use crate::head::Head;
use crate::options::Policy;

/// A configured `ws://HOST[:PORT][/PATH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicUrl {
    secure: bool,
    /// Host and port, lower case, without a default port.
    authority: String,
    /// Put before the resource name; without a slash at its end.
    path: String,
}

impl PublicUrl {
    pub(crate) fn parse(url: &str) -> Result<Self, InvalidOptions> {
        let (scheme, rest) = url.split_once("://").ok_or(InvalidOptions::PublicUrl)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            _ => return Err(InvalidOptions::PublicUrl),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.strip_suffix('/').unwrap_or(path);
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@".contains(&byte));
        if authority.is_empty() || !plain(authority) || !plain(path) {
            return Err(InvalidOptions::PublicUrl);
        }
        Ok(Self {
            secure,
            authority: without_default_port(&authority.to_ascii_lowercase(), secure).into(),
            path: if path.is_empty() { String::new() } else { alloc::format!("/{path}") },
        })
    }
}

/// The URL of the resource as the client must have written it.
pub(crate) fn location(head: &Head, peer: &Peer, policy: &Policy) -> Vec<u8> {
    let mut location = Vec::new();
    let mut put = |secure: bool, authority: &[u8], path: &[u8]| {
        location.extend_from_slice(if secure { b"wss://" } else { b"ws://" });
        location.extend_from_slice(authority);
        location.extend_from_slice(path);
    };
    if let Some(url) = &policy.public_url {
        put(url.secure, url.authority.as_bytes(), url.path.as_bytes());
    } else {
        let trusted = policy.options.trust_forwarded;
        let secure = match trusted.then(|| last_of_list(head, "X-Forwarded-Proto")).flatten() {
            Some(scheme) => scheme.eq_ignore_ascii_case(b"https") || scheme.eq_ignore_ascii_case(b"wss"),
            None => peer.secure,
        };
        let host = host(head, policy).unwrap_or_default().to_ascii_lowercase();
        put(secure, strip_port(&host, default_port(secure)), b"");
    }
    location.extend_from_slice(head.target());
    location
}

/// The host that the client named, as far as we can know it.
pub(crate) fn host<'a>(head: &'a Head, policy: &Policy) -> Option<&'a [u8]> {
    let forwarded = policy.options.trust_forwarded.then(|| last_of_list(head, "X-Forwarded-Host")).flatten();
    forwarded.or_else(|| head.value("Host")).map(<[u8]>::trim_ascii).filter(|host| !host.is_empty())
}

/// The last value of a comma-separated field that the nearest proxy appends to.
pub(crate) fn last_of_list<'a>(head: &'a Head, name: &'a str) -> Option<&'a [u8]> {
    let value = head.values(name).last()?;
    value.rsplit(|byte| *byte == b',').next().map(<[u8]>::trim_ascii).filter(|value| !value.is_empty())
}

/// Whether a Host value is `accepted`, which may or may not name a port.
pub(crate) fn host_matches(accepted: &str, host: &[u8]) -> bool {
    host.eq_ignore_ascii_case(accepted.as_bytes())
        || without_port(host).eq_ignore_ascii_case(accepted.as_bytes())
}

fn default_port(secure: bool) -> &'static [u8] {
    if secure { b"443" } else { b"80" }
}

fn without_default_port(authority: &str, secure: bool) -> &str {
    authority.strip_suffix(if secure { ":443" } else { ":80" }).unwrap_or(authority)
}

/// The colons of an IPv6 literal stand inside brackets, so a port is what follows the last colon behind them.
fn split_port(host: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memrchr(b':', host)?;
    let (name, port) = host.split_at_checked(colon)?;
    let port = port.get(1..)?;
    port.iter().all(u8::is_ascii_digit).then_some((name, port))
}

fn strip_port<'a>(host: &'a [u8], port: &[u8]) -> &'a [u8] {
    match split_port(host) {
        Some((name, found)) if found == port => name,
        _ => host,
    }
}

fn without_port(host: &[u8]) -> &[u8] {
    split_port(host).map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::HeadReader;
    use crate::options::{Limits, Options};
    use alloc::format;
    use alloc::string::ToString;

    fn locate(fields: &str, secure: bool, options: Options) -> String {
        let raw = format!("GET /chat?e=mc2 HTTP/1.1\r\n{fields}\r\n\r\n");
        let head = HeadReader::default().read(&mut raw.as_bytes(), &Limits::default(), usize::MAX);
        let peer = Peer { secure, ..Peer::default() };
        let head = head.unwrap().unwrap();
        String::from_utf8(location(&head, &peer, &Policy::new(options).unwrap())).unwrap()
    }

    #[test]
    fn the_default_port_is_dropped_and_no_other() {
        for (host, secure, expected) in [
            ("example.com:80", false, "ws://example.com/chat?e=mc2"),
            ("example.com:443", false, "ws://example.com:443/chat?e=mc2"),
            ("Example.COM:443", true, "wss://example.com/chat?e=mc2"),
            ("example.com:8081", true, "wss://example.com:8081/chat?e=mc2"),
            ("[::1]:8000", false, "ws://[::1]:8000/chat?e=mc2"),
            ("[::80]", false, "ws://[::80]/chat?e=mc2"),
            ("[::1]:80", false, "ws://[::1]/chat?e=mc2"),
        ] {
            assert_eq!(locate(&format!("Host: {host}"), secure, Options::default()), expected);
        }
    }

    #[test]
    fn forwarded_fields_count_only_where_they_are_trusted() {
        let fields = "Host: inner:8000\r\nX-Forwarded-Proto: http, https\r\nX-Forwarded-Host: outer";
        assert_eq!(locate(fields, false, Options::default()), "ws://inner:8000/chat?e=mc2");
        let trusting = Options { trust_forwarded: true, ..Options::default() };
        assert_eq!(locate(fields, false, trusting), "wss://outer/chat?e=mc2");
    }

    #[test]
    fn a_public_url_replaces_what_the_host_says() {
        let options = |url: &str| Options { public_url: Some(url.to_string()), ..Options::default() };
        assert_eq!(locate("Host: inner", false, options("WSS://Outer:443/ws/")), "wss://outer/ws/chat?e=mc2");
        for bad in ["http://a", "ws://", "ws:///x", "ws://a?b", "ws://a b", "ws://user@a", "a"] {
            assert_eq!(PublicUrl::parse(bad), Err(InvalidOptions::PublicUrl), "{bad}");
        }
    }

    #[test]
    fn an_accepted_host_may_leave_its_port_open() {
        assert!(host_matches("example.com", b"EXAMPLE.com:8000"));
        assert!(host_matches("example.com:8000", b"example.com:8000"));
        assert!(!host_matches("example.com:8000", b"example.com:8001"));
        assert!(host_matches("[::1]", b"[::1]:8000"));
        assert!(!host_matches("example.com", b"evil-example.com"));
    }
}
