//! Which clients are accepted: Origin, Host and subprotocol, as listed in the options (draft 76 sections 1.9, 5.1 and
//! 7).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::authority::Authority;
use crate::error::{InvalidOptions, Refusal};
use crate::forwarded::Forwarded;
use crate::head::{Head, is_text};
use crate::hybi::version::Version;
use crate::location::{Endpoint, PublicUrl, RequestOrigin, default_port, is_secure};
use crate::options::Options;
use crate::protocol::Protocol;

/// Validated options, in the form the engine uses.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) options: Options,
    pub(crate) public_url: Option<PublicUrl>,
    /// Those of the options' protocols that have one.
    pub(crate) versions: Vec<Version>,
}

impl Policy {
    pub(crate) fn new(options: Options) -> Result<Self, InvalidOptions> {
        let public_url = validated_url(&options)?;
        let versions = options.protocols.iter().filter_map(Protocol::version).collect();
        Ok(Self { options, public_url, versions })
    }

    /// Whether a plain request is allowed: by its Host, and by its Origin if a foreign page could have an effect.
    pub(crate) fn check_request(&self, head: &Head, endpoint: Option<&Endpoint<'_>>) -> Result<(), Refusal> {
        let has_effect = head.value("Origin").is_some() && !matches!(head.method(), "GET" | "HEAD");
        self.options.check_endpoint(endpoint)?;
        if has_effect { self.check_origin(head.single("Origin")?) } else { Ok(()) }
    }

    pub(crate) fn check_host(&self, endpoint: &Endpoint<'_>) -> Result<(), Refusal> {
        self.options.check_host(endpoint)
    }

    pub(crate) fn check_origin(&self, origin: Option<&[u8]>) -> Result<(), Refusal> {
        self.options.check_origin(origin)
    }

    /// In draft 76 the requested subprotocol is one opaque string; clients that send a list expect all of it in the
    /// answer, so one accepted item is enough.
    pub(crate) fn check_subprotocol(&self, asked: &[u8]) -> Result<(), Refusal> {
        let is_it = |accepted: &str| {
            let accepted = accepted.as_bytes();
            accepted == asked
                || asked.split(|byte| matches!(byte, b',' | b' ' | b'\t')).any(|item| item == accepted)
        };
        if allows(&self.options.subprotocols, is_it) { Ok(()) } else { Err(Refusal::Subprotocol) }
    }

    /// Of a list, the first that is accepted (RFC 6455 section 4.2.2).
    pub(crate) fn choose_subprotocol<'a>(&self, mut asked: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        asked.find(|asked| allows(&self.options.subprotocols, |accepted| accepted == *asked))
    }
}

/// What [`Options::check_request`] is told of a plain request.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by callers")]
pub struct PlainRequest<'a> {
    /// Its method.
    pub method: &'a str,
    /// The authority of an absolute target, or the value of Host.
    pub host: Option<&'a [u8]>,
    /// The value of Origin.
    pub origin: Option<&'a [u8]>,
    /// What a trusted proxy reports about it.
    pub forwarded: &'a Forwarded,
    /// It came over TLS.
    pub secure: bool,
}

impl Options {
    /// Checks options as [`Server::new`](crate::Server::new) does.
    ///
    /// # Errors
    /// [`InvalidOptions`] names the first invalid option.
    pub fn validate(&self) -> Result<(), InvalidOptions> {
        validated_url(self).map(drop)
    }

    /// Whether a plain request may be answered, by its Host and by its Origin if a foreign page could have an effect;
    /// and where it was sent: to [`public_url`](Self::public_url), or where a trusted proxy or the client says. For
    /// shells that answer requests themselves.
    ///
    /// # Errors
    /// The [`Refusal`], with the status of the answer.
    pub fn check_request(&self, request: &PlainRequest<'_>) -> Result<RequestOrigin, Refusal> {
        let &PlainRequest { method, host, origin, forwarded, secure } = request;
        let public_url = self.public_url.as_deref().and_then(|url| PublicUrl::parse(url).ok());
        let secure = is_secure(forwarded, public_url.as_ref(), secure);
        let endpoint = Endpoint::new(host, forwarded, secure)?;
        self.check_endpoint(endpoint.as_ref())?;
        if origin.is_some() && !matches!(method, "GET" | "HEAD") {
            self.check_origin(origin)?;
        }
        let as_sent = || RequestOrigin { secure, authority: endpoint.map(|endpoint| endpoint.authority()) };
        Ok(public_url.map_or_else(as_sent, |url| url.origin()))
    }

    fn check_endpoint(&self, endpoint: Option<&Endpoint<'_>>) -> Result<(), Refusal> {
        match endpoint {
            Some(endpoint) => self.check_host(endpoint),
            None if allows(&self.hosts, |_| false) => Ok(()),
            None => Err(Refusal::HostAbsent),
        }
    }

    fn check_host(&self, endpoint: &Endpoint<'_>) -> Result<(), Refusal> {
        let is_it = |accepted: &str| {
            let accepted = Authority::parse(accepted.as_bytes());
            accepted
                .is_some_and(|accepted| endpoint.authority.matches(&accepted, default_port(endpoint.secure)))
        };
        if allows(&self.hosts, is_it) { Ok(()) } else { Err(Refusal::HostForeign) }
    }

    fn check_origin(&self, origin: Option<&[u8]>) -> Result<(), Refusal> {
        let is_it =
            |accepted: &str| origin.is_some_and(|origin| origin.eq_ignore_ascii_case(accepted.as_bytes()));
        match origin {
            _ if allows(&self.origins, is_it) => Ok(()),
            Some(_) => Err(Refusal::OriginForeign),
            None => Err(Refusal::OriginAbsent),
        }
    }
}

/// The public URL of valid options.
fn validated_url(options: &Options) -> Result<Option<PublicUrl>, InvalidOptions> {
    options.limits.validate()?;
    if options.protocols.iter().next().is_none() {
        return Err(InvalidOptions::NoProtocol);
    }
    check_list("origin", &options.origins, origin_hint)?;
    check_list("host", &options.hosts, host_hint)?;
    check_list("subprotocol", &options.subprotocols, subprotocol_hint)?;
    let is_path = |path: &str| {
        path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte))
    };
    if !options.health_path.as_deref().is_none_or(is_path) {
        return Err(InvalidOptions::HealthPath);
    }
    options.public_url.as_deref().map(PublicUrl::parse).transpose()
}

/// An empty list, or one with a star, allows anything.
fn allows(list: &[String], is_it: impl Fn(&str) -> bool) -> bool {
    list.is_empty() || list.iter().any(|accepted| accepted == "*" || is_it(accepted))
}

/// `hint` suggests what was probably meant by a value that can never match.
fn check_list(
    option: &'static str,
    list: &[String],
    hint: impl Fn(&str) -> Option<String>,
) -> Result<(), InvalidOptions> {
    for value in list.iter().filter(|value| *value != "*") {
        if let Some(hint) = hint(value) {
            return Err(InvalidOptions::NeverMatches { option, value: value.clone(), hint });
        }
    }
    Ok(())
}

fn origin_hint(value: &str) -> Option<String> {
    if value == "null" {
        return None;
    }
    if let Some(hint) = list_hint(value) {
        return Some(hint);
    }
    let meant = match value.split_once("://") {
        Some((scheme, rest)) => {
            let port = match scheme.to_ascii_lowercase().as_str() {
                "http" | "ws" => Some(80),
                "https" | "wss" => Some(443),
                // Pages from files have "file://".
                _ if authority_of(rest).is_empty() => return did_you_mean(value, &format!("{scheme}://")),
                _ => None,
            };
            normal(rest, port).map(|authority| format!("{scheme}://{authority}"))
        }
        // Libraries send host and port without a scheme; a host alone is a browser's Origin without its scheme.
        None if Authority::parse(value.as_bytes()).is_some_and(|authority| authority.port.is_some()) => {
            return None;
        }
        None => normal(value, Some(80)).map(|authority| format!("http://{authority}")),
    };
    match meant {
        Some(meant) => did_you_mean(value, &meant),
        None => Some("browsers send http://HOST[:PORT] or https://HOST[:PORT]".into()),
    }
}

fn host_hint(value: &str) -> Option<String> {
    if let Some(hint) = list_hint(value) {
        return Some(hint);
    }
    if Authority::parse(value.as_bytes()).is_some() {
        return None;
    }
    let rest = value.split_once("://").map_or(value, |(_, rest)| rest);
    match normal(rest, None) {
        Some(meant) => did_you_mean(value, &meant),
        None => Some("clients send HOST[:PORT]".into()),
    }
}

fn subprotocol_hint(value: &str) -> Option<String> {
    (!is_text(value.as_bytes())).then(|| "a field has no line ends and no NUL".into())
}

/// Characters that no single Origin or Host contains.
fn list_hint(value: &str) -> Option<String> {
    if value.is_empty() {
        Some("it is empty; \"*\" is any".into())
    } else if value.contains(|char: char| char == ',' || char.is_whitespace()) {
        Some("list each value by itself".into())
    } else if value.contains('*') {
        Some("\"*\" stands alone, for any".into())
    } else {
        None
    }
}

/// `None` if it equals the given value.
fn did_you_mean(value: &str, meant: &str) -> Option<String> {
    (!value.eq_ignore_ascii_case(meant)).then(|| format!("did you mean \"{meant}\"?"))
}

/// Host and port, as browsers write them; a path may follow in the input.
fn normal(rest: &str, default_port: Option<u16>) -> Option<String> {
    let mut out = Vec::new();
    Authority::parse(authority_of(rest).as_bytes())?.write(default_port, &mut out);
    String::from_utf8(out).ok()
}

/// The part before a path, query or fragment, and after the user name.
fn authority_of(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn refused(options: Options) -> String {
        Policy::new(options).err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn an_origin_that_can_never_match_is_refused_with_a_suggestion() {
        for (value, meant) in [
            ("example.com", "http://example.com"),
            ("example.com/", "http://example.com"),
            ("localhost:8000/chat", "http://localhost:8000"),
            ("http://example.com/", "http://example.com"),
            ("http://example.com/chat?x", "http://example.com"),
            ("http://example.com:80", "http://example.com"),
            ("HTTPS://Example.com:443/", "HTTPS://example.com"),
            ("http://example.com:", "http://example.com"),
            ("http://example.com:08000", "http://example.com:8000"),
            ("http://user@example.com", "http://example.com"),
            ("http://::1", "http://[::1]"),
            ("file:///", "file://"),
        ] {
            let expected = format!("origin {value:?} can never match: did you mean {meant:?}?");
            assert_eq!(refused(Options { origins: vec![value.into()], ..Options::default() }), expected);
        }
        for value in [
            "",
            "http://a,http://b",
            "http://a http://b",
            "http://*.example.com",
            "http://",
            "http://a:99999",
        ] {
            let error = refused(Options { origins: vec![value.into()], ..Options::default() });
            assert!(error.starts_with(&format!("origin {value:?} can never match: ")), "{error}");
        }
    }

    #[test]
    fn an_origin_that_clients_send_is_accepted() {
        for value in [
            "*",
            "null",
            "file://",
            "http://example.com",
            "HTTP://EXAMPLE.COM",
            "https://example.com:8443",
            "http://example.com:443",
            "http://[::1]:8000",
            "127.0.0.1:8765",
            "chrome-extension://abcdefgh",
        ] {
            assert_eq!(refused(Options { origins: vec![value.into()], ..Options::default() }), "", "{value}");
        }
    }

    #[test]
    fn a_host_that_can_never_match_is_refused_with_a_suggestion() {
        for (value, meant) in [
            ("http://example.com", "example.com"),
            ("wss://example.com:8000/chat", "example.com:8000"),
            ("example.com/", "example.com"),
            ("user@example.com", "example.com"),
        ] {
            let expected = format!("host {value:?} can never match: did you mean {meant:?}?");
            assert_eq!(refused(Options { hosts: vec![value.into()], ..Options::default() }), expected);
        }
        for value in ["", "a,b", "*.example.com", "example.com:port", "example.com:65536", "http://"] {
            let error = refused(Options { hosts: vec![value.into()], ..Options::default() });
            assert!(error.starts_with(&format!("host {value:?} can never match: ")), "{error}");
        }
        for value in ["*", "example.com", "example.com:8000", "::1", "[::1]:8000"] {
            assert_eq!(refused(Options { hosts: vec![value.into()], ..Options::default() }), "", "{value}");
        }
    }

    #[test]
    fn a_plain_request_was_sent_to_the_public_url_or_where_the_proxy_or_the_client_says() {
        let reported = |host: &str, port, secure| Forwarded {
            host: (!host.is_empty()).then(|| host.into()),
            port,
            secure,
            ..Forwarded::default()
        };
        for (public, host, forwarded, expected) in [
            ("", "inner:80", reported("", None, None), "http inner"),
            ("", "inner", reported("outer", Some(443), Some(true)), "https outer"),
            ("", "inner", reported("outer:", Some(8443), Some(true)), "https outer:8443"),
            ("", "inner", reported("::1", Some(81), None), "http [::1]:81"),
            ("wss://public/path", "inner", reported("", Some(8080), Some(false)), "https public"),
            ("ws://public:81", "inner", reported("", None, None), "http public:81"),
            ("", "", reported("", None, None), "http"),
        ] {
            let public_url = (!public.is_empty()).then(|| public.into());
            let options = Options { public_url, hosts: vec!["*".into()], ..Options::default() };
            let (forwarded, host) = (&forwarded, Some(host.as_bytes()));
            let plain = PlainRequest { method: "GET", host, origin: None, forwarded, secure: false };
            let origin = options.check_request(&plain).unwrap();
            let scheme = if origin.secure { "https" } else { "http" };
            let authority = origin.authority.map_or_else(String::new, |authority| format!(" {authority}"));
            assert_eq!(format!("{scheme}{authority}"), expected);
        }
    }

    #[test]
    fn the_default_port_of_a_plain_request_is_that_of_its_scheme() {
        let options = Options {
            hosts: vec!["outer:443".into()],
            public_url: Some("wss://outer".into()),
            ..Options::default()
        };
        let forwarded = &Forwarded { secure: Some(false), ..Forwarded::default() };
        let host = |host| PlainRequest { method: "GET", host, origin: None, forwarded, secure: false };
        assert!(options.check_request(&host(Some(b"outer"))).is_ok());
        assert_eq!(options.check_request(&host(Some(b"outer:80"))), Err(Refusal::HostForeign));
    }

    #[test]
    fn a_list_of_subprotocols_is_accepted_if_one_item_is() {
        let subprotocols = vec!["base64".into(), "a b".into()];
        let policy = Policy::new(Options { subprotocols, ..Options::default() }).unwrap();
        for (asked, is_accepted) in [
            ("base64", true),
            ("binary, base64", true),
            ("binary,base64", true),
            ("binary base64 plain", true),
            ("a b", true),
            ("binary, a b", false),
            ("base64x, xbase64", false),
            ("BASE64", false),
            ("", false),
        ] {
            assert_eq!(policy.check_subprotocol(asked.as_bytes()).is_ok(), is_accepted, "{asked}");
        }
    }
}
