//! The location in our answer (draft 76 sections 3.2 and 5.2, draft 75 section 5.1): the URL that the client
//! connected to, which it compares byte for byte.

use alloc::string::String;
use alloc::vec::Vec;

use crate::authority::Authority;
use crate::error::{InvalidOptions, Refusal};
use crate::event::Peer;
use crate::forwarded::Forwarded;
use crate::head::{Head, trim};

/// A configured `ws://HOST[:PORT][/PATH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicUrl {
    secure: bool,
    /// Scheme, host, port and path, without a trailing slash: the part before the resource name.
    prefix: Vec<u8>,
}

impl PublicUrl {
    pub(crate) fn parse(url: &str) -> Result<Self, InvalidOptions> {
        let invalid = || InvalidOptions::PublicUrl(url.into());
        let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            _ => return Err(invalid()),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.strip_suffix('/').unwrap_or(path);
        if !path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@".contains(&byte)) {
            return Err(invalid());
        }
        let authority = Authority::parse(authority.as_bytes()).ok_or_else(invalid)?;
        let mut prefix = Endpoint { secure, authority }.url();
        if !path.is_empty() {
            prefix.push(b'/');
            prefix.extend_from_slice(path.as_bytes());
        }
        Ok(Self { secure, prefix })
    }

    /// Its scheme, host and port.
    pub(crate) fn origin(&self) -> RequestOrigin {
        let mut parts = self.prefix.splitn(4, |byte| *byte == b'/');
        let authority = parts.nth(2).map(|authority| String::from_utf8_lossy(authority).into_owned());
        RequestOrigin { secure: self.secure, authority }
    }
}

/// Where a plain request was sent: the scheme and the authority of its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestOrigin {
    /// `https`, not `http`.
    pub secure: bool,
    /// Host and port, without the scheme's default port. `None`: the client has sent no Host.
    pub authority: Option<String>,
}

/// The URL the client connected to, as far as the server can know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint<'a> {
    pub(crate) secure: bool,
    pub(crate) authority: Authority<'a>,
}

impl<'a> Endpoint<'a> {
    /// `None`: no Host, or an empty one. A forwarded host takes precedence over that of an absolute target, which
    /// takes precedence over Host (RFC 9112 section 3.2.2).
    pub(crate) fn find(
        head: &'a Head,
        peer: &Peer,
        forwarded: &'a Forwarded,
        public_url: Option<&PublicUrl>,
    ) -> Result<Option<Self>, Refusal> {
        head.single("Host")?;
        Self::new(head.host(), forwarded, is_secure(forwarded, public_url, peer.secure))
    }

    /// A port in the host takes precedence over a forwarded one.
    pub(crate) fn new(
        host: Option<&'a [u8]>,
        forwarded: &'a Forwarded,
        secure: bool,
    ) -> Result<Option<Self>, Refusal> {
        let host = forwarded.host.as_deref().or(host).map(trim);
        let Some(host) = host.filter(|host| !host.is_empty()) else {
            return Ok(None);
        };
        let mut authority = Authority::parse(host).ok_or(Refusal::HostMalformed)?;
        authority.port = authority.port.or(forwarded.port);
        Ok(Some(Self { secure, authority }))
    }

    /// Host and port, without the default port.
    pub(crate) fn authority(&self) -> String {
        let mut authority = Vec::new();
        self.authority.write(Some(default_port(self.secure)), &mut authority);
        String::from_utf8_lossy(&authority).into_owned()
    }

    fn url(&self) -> Vec<u8> {
        let mut url = Vec::from(if self.secure { &b"wss://"[..] } else { b"ws://" });
        self.authority.write(Some(default_port(self.secure)), &mut url);
        url
    }
}

/// Whether a client's URL is secure. The operator knows it best, then a proxy in front.
pub(crate) fn is_secure(forwarded: &Forwarded, public_url: Option<&PublicUrl>, connection: bool) -> bool {
    public_url.map(|url| url.secure).or(forwarded.secure).unwrap_or(connection)
}

/// The URL of the resource as the client must have written it.
pub(crate) fn location(head: &Head, endpoint: &Endpoint<'_>, public_url: Option<&PublicUrl>) -> Vec<u8> {
    let mut location = public_url.map_or_else(|| endpoint.url(), |url| url.prefix.clone());
    location.extend_from_slice(head.target());
    location
}

pub(crate) fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::HeadReader;
    use crate::options::Limits;
    use alloc::format;

    fn locate(fields: &str, secure: bool, trusted: bool, public_url: Option<&str>) -> String {
        let raw = format!("GET /chat?e=mc2 HTTP/1.1\r\n{fields}\r\n\r\n");
        let head = HeadReader::default().read(&mut raw.as_bytes(), &Limits::default(), usize::MAX);
        let head = head.unwrap().unwrap();
        let peer = Peer { secure, ..Peer::default() };
        let forwarded = if trusted { Forwarded::of_head(&head).unwrap() } else { Forwarded::default() };
        let public_url = public_url.map(|url| PublicUrl::parse(url).unwrap());
        let endpoint = Endpoint::find(&head, &peer, &forwarded, public_url.as_ref()).unwrap().unwrap();
        String::from_utf8(location(&head, &endpoint, public_url.as_ref())).unwrap()
    }

    #[test]
    fn only_the_default_port_is_dropped() {
        for (host, secure, expected) in [
            ("example.com:80", false, "ws://example.com/chat?e=mc2"),
            ("example.com:443", false, "ws://example.com:443/chat?e=mc2"),
            ("Example.COM:443", true, "wss://example.com/chat?e=mc2"),
            ("example.com:8081", true, "wss://example.com:8081/chat?e=mc2"),
            ("[::1]:8000", false, "ws://[::1]:8000/chat?e=mc2"),
            ("[::80]", false, "ws://[::80]/chat?e=mc2"),
            ("[::1]:80", false, "ws://[::1]/chat?e=mc2"),
            ("fe80::80", false, "ws://[fe80::80]/chat?e=mc2"),
            ("example.com:", false, "ws://example.com/chat?e=mc2"),
            ("example.com:080", false, "ws://example.com/chat?e=mc2"),
        ] {
            assert_eq!(locate(&format!("Host: {host}"), secure, false, None), expected);
        }
    }

    #[test]
    fn forwarded_fields_are_ignored_unless_trusted() {
        let fields = "Host: inner:8000\r\nX-Forwarded-Proto: http, https\r\nX-Forwarded-Host: outer";
        assert_eq!(locate(fields, false, false, None), "ws://inner:8000/chat?e=mc2");
        assert_eq!(locate(fields, false, true, None), "wss://outer/chat?e=mc2");
        for (fields, expected) in [
            ("Host: outer\r\nX-Forwarded-Port: 8443", "ws://outer:8443/chat?e=mc2"),
            ("Host: outer\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Ssl: on", "wss://outer/chat?e=mc2"),
            ("Host: outer:81\r\nX-Forwarded-Port: 8443", "ws://outer:81/chat?e=mc2"),
            ("Host: inner\r\nForwarded: host=\"outer:81\";proto=https", "wss://outer:81/chat?e=mc2"),
            ("Host: inner\r\nX-Forwarded-Host: fe80::1", "ws://[fe80::1]/chat?e=mc2"),
        ] {
            assert_eq!(locate(fields, false, true, None), expected);
        }
    }

    #[test]
    fn a_public_url_takes_precedence_over_host() {
        assert_eq!(
            locate("Host: inner", false, false, Some("WSS://Outer:443/ws/")),
            "wss://outer/ws/chat?e=mc2"
        );
        assert_eq!(locate("Host: inner", false, false, Some("ws://::1/")), "ws://[::1]/chat?e=mc2");
        for bad in
            ["http://a", "ws://", "ws:///x", "ws://a?b", "ws://a b", "ws://user@a", "ws://a:65536", "a"]
        {
            assert_eq!(PublicUrl::parse(bad), Err(InvalidOptions::PublicUrl(bad.into())), "{bad}");
        }
    }
}
