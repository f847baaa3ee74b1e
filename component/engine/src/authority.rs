//! A host and a port, as Host, a URL and the forwarded fields name them (RFC 3986 section 3.2, RFC 9110 section 7.2).

use alloc::vec::Vec;
use core::net::Ipv6Addr;

/// A host, perhaps with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Authority<'a> {
    /// As received; an IPv6 address without its brackets.
    host: &'a [u8],
    ipv6: Option<Ipv6Addr>,
    /// `None`: the scheme's default port.
    pub(crate) port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Returns `None` if this is not a valid host and port.
    ///
    /// An IPv6 address may lack its brackets: libraries of the time strip them and append the port, so a trailing
    /// group that can be a port is taken as one.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        if let Some(rest) = text.strip_prefix(b"[") {
            let (host, rest) = rest.split_at_checked(memchr::memchr(b']', rest)?)?;
            let port = match rest {
                b"]" => None,
                [b']', b':', digits @ ..] => parse_port(digits)?,
                _ => return None,
            };
            return Some(Self { host, ipv6: Some(parse_ipv6(host)?), port });
        }
        let (host, port) = match memchr::memrchr(b':', text).and_then(|colon| text.split_at_checked(colon)) {
            Some((host, port)) => (host, port.get(1..).and_then(parse_port)),
            None => (text, Some(None)),
        };
        match (port, parse_ipv6(host)) {
            (Some(port), ipv6) if ipv6.is_some() || is_name(host) => Some(Self { host, ipv6, port }),
            _ => Some(Self { host: text, ipv6: Some(parse_ipv6(text)?), port: None }),
        }
    }

    /// As written in a URL: in lower case, IPv6 in brackets, without the default port (draft 76 section 3.2).
    pub(crate) fn write(&self, default_port: Option<u16>, out: &mut Vec<u8>) {
        let (open, close) = if self.ipv6.is_some() { ("[", "]") } else { ("", "") };
        out.extend_from_slice(open.as_bytes());
        out.extend(self.host.iter().map(u8::to_ascii_lowercase));
        out.extend_from_slice(close.as_bytes());
        if let Some(port) = self.port.filter(|port| Some(*port) != default_port) {
            out.extend_from_slice(alloc::format!(":{port}").as_bytes());
        }
    }

    /// Whether `accepted` names this host; without a port it matches any.
    pub(crate) fn matches(&self, accepted: &Authority<'_>, default_port: u16) -> bool {
        let same_host = match (self.ipv6, accepted.ipv6) {
            (None, None) => self.host.eq_ignore_ascii_case(accepted.host),
            (ours, theirs) => ours == theirs,
        };
        same_host && accepted.port.is_none_or(|port| port == self.port.unwrap_or(default_port))
    }
}

/// `Some(None)`: no digits, which means the default port.
pub(crate) fn parse_port(digits: &[u8]) -> Option<Option<u16>> {
    if digits.is_empty() {
        return Some(None);
    }
    let digits = str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().map(Some)
}

/// An IPv6 address, possibly with a zone after `%`.
fn parse_ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    let text = str::from_utf8(text).ok()?;
    let (address, zone) = text.split_once('%').unwrap_or((text, "zone"));
    address.parse().ok().filter(|_| is_name(zone.as_bytes()))
}

/// Non-ASCII bytes are allowed: some libraries send names as typed.
fn is_name(text: &[u8]) -> bool {
    let is_fine = |byte: &u8| !byte.is_ascii_control() && !b" \"#/:<>?@[\\]^`{|}".contains(byte);
    !text.is_empty() && text.iter().all(is_fine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn normal(text: &str) -> Option<String> {
        let mut out = Vec::new();
        Authority::parse(text.as_bytes())?.write(Some(80), &mut out);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_host_and_port_are_normalised_as_in_a_url() {
        for (text, expected) in [
            ("Example.COM", "example.com"),
            ("example.com:80", "example.com"),
            ("example.com:443", "example.com:443"),
            ("example.com:", "example.com"),
            ("example.com:080", "example.com"),
            ("example.com:08080", "example.com:8080"),
            ("example.com:65535", "example.com:65535"),
            ("under_score.:1", "under_score.:1"),
            ("192.0.2.1:8000", "192.0.2.1:8000"),
            ("[2001:DB8::1]:80", "[2001:db8::1]"),
            ("[::ffff:192.0.2.1]:", "[::ffff:192.0.2.1]"),
            ("[fe80::1%eth0]:81", "[fe80::1%eth0]:81"),
            ("fe80::80", "[fe80::80]"),
            ("::1", "[::1]"),
            ("::1:8000", "[::1]:8000"),
            ("2001:db8::", "[2001:db8::]"),
            ("2001:db8::beef", "[2001:db8::beef]"),
        ] {
            assert_eq!(normal(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn an_invalid_host_or_port_is_none() {
        for text in [
            "", ":80", "a:b", "a:65536", "a:+80", "a:-1", "a:80:80", "a b", "a,\tb", "a/", "a?b", "user@a",
            "http://a", "[::1", "[::1]80", "[::1]:x", "[a]", "[]", "::1]", "1:2:3", "fe80::1%", "a\u{7f}",
        ] {
            assert_eq!(normal(text), None, "{text}");
        }
    }

    #[test]
    fn an_accepted_host_without_a_port_matches_any_port() {
        let matches = |accepted: &str, named: &str| {
            let accepted = Authority::parse(accepted.as_bytes()).unwrap();
            Authority::parse(named.as_bytes()).unwrap().matches(&accepted, 80)
        };
        assert!(matches("example.com", "EXAMPLE.com:8000"));
        assert!(matches("example.com:8000", "example.com:8000"));
        assert!(!matches("example.com:8000", "example.com:8001"));
        assert!(matches("example.com:80", "example.com"));
        assert!(!matches("example.com:443", "example.com"));
        assert!(matches("::1", "[0:0:0:0:0:0:0:1]:8000"));
        assert!(!matches("example.com", "evil-example.com"));
    }
}
