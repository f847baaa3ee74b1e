//! The fields of heads on their way through the gateway.

use hyper::Uri;
use hyper::header::{
    self, CONNECTION, CONTENT_LENGTH, Entry, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

use legacy_websocket::{Forwarded, Options, Refusal};

use super::route::Route;
use crate::accept::incoming::Peer;
use crate::workers::external::Fields;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Fields that are for one connection alone, beside those that Connection names (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
];

/// What backends are told of a client's way to the gateway.
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    /// What comes in these fields counts: a proxy has sent it.
    trusted: bool,
    /// The public URL, if the operator has told it.
    public: Option<PublicUrl>,
}

#[derive(Debug)]
struct PublicUrl {
    secure: bool,
    host: HeaderValue,
}

impl Forwarding {
    pub(super) fn new(options: &Options) -> Self {
        // The engine refuses one that is not valid.
        let parse = |url: &str| {
            let uri = url.parse::<Uri>().ok()?;
            let host = HeaderValue::try_from(uri.authority()?.as_str()).ok()?;
            Some(PublicUrl { secure: uri.scheme_str() == Some("wss"), host })
        };
        Self { trusted: options.trust_forwarded, public: options.public_url.as_deref().and_then(parse) }
    }

    /// What the proxy in front reports about a request, where it is trusted.
    pub(super) fn read(&self, fields: &HeaderMap) -> Result<Forwarded, Refusal> {
        if !self.trusted {
            return Ok(Forwarded::default());
        }
        Forwarded::read(&|name| fields.get_all(name).iter().next_back().map(HeaderValue::as_bytes))
    }
}

/// Makes a client's fields those of a request to a backend of the route. `forwarded` is what [`Forwarding::read`]
/// returned.
pub(super) fn prepare(
    fields: &mut HeaderMap,
    route: &Route,
    peer: &Peer,
    forwarding: &Forwarding,
    forwarded: &Forwarded,
) {
    remove_hop_by_hop(fields);
    forward(fields, peer, forwarding, forwarded);
    match &route.host {
        Some(host) => drop(fields.insert(HOST, host.clone())),
        // A client of HTTP/1.0 may have none, and HTTP/1.1 needs one.
        None => drop(fields.entry(HOST).or_insert_with(|| route.default_host())),
    }
    if let Some(origin) = &route.origin
        && let Entry::Occupied(mut field) = fields.entry(ORIGIN)
    {
        field.insert(origin.clone());
    }
}

/// The same for a web application in this process, which has no host of its own. `secure`: its URL is `https`.
pub(super) fn prepare_for_site(
    fields: &mut HeaderMap,
    peer: &Peer,
    forwarding: &Forwarding,
    forwarded: &Forwarded,
    secure: bool,
) {
    remove_hop_by_hop(fields);
    forward(fields, peer, forwarding, forwarded);
    set(fields, FORWARDED_PROTO, scheme(secure));
}

/// Whether a list has a last item that is not empty: only that of the nearest proxy counts.
fn has_last_item(fields: &HeaderMap, name: &HeaderName) -> bool {
    let field = fields.get_all(name).iter().next_back();
    let item = field.and_then(|field| field.as_bytes().rsplit(|byte| *byte == b',').next());
    item.is_some_and(|item| !item.trim_ascii().is_empty())
}

pub(super) fn remove_hop_by_hop(fields: &mut HeaderMap) {
    let named = fields.get_all(CONNECTION).iter().flat_map(names);
    // What a proxy in front vouches for is not a client's to remove.
    let named: Vec<_> = named
        .filter(|name| *name != HOST && *name != ORIGIN && !Forwarded::is_field(name.as_str()))
        .collect();
    for name in named.into_iter().chain(HOP_BY_HOP) {
        fields.remove(name);
    }
}

/// Whether a list of tokens has this one, in any of the fields of that name.
pub(super) fn lists(fields: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = fields.get_all(name);
    let mut tokens = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    tokens.any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Removes the fields of an opening handshake.
pub(super) fn remove_handshake(fields: &mut HeaderMap) {
    let of_handshake = |name: &&HeaderName| {
        name.as_str().starts_with("sec-websocket-") || name.as_str().starts_with("websocket-")
    };
    let names: Vec<_> = fields.keys().filter(of_handshake).cloned().collect();
    for name in names {
        fields.remove(name);
    }
}

/// The fields of a backend's answer to an opening handshake, for a client's answer.
pub(super) fn for_client(mut fields: HeaderMap) -> Fields {
    remove_hop_by_hop(&mut fields);
    remove_handshake(&mut fields);
    fields.remove(CONTENT_LENGTH);
    let spelt =
        |(name, value): (&HeaderName, &HeaderValue)| (title_case(name.as_str()), value.as_bytes().into());
    fields.iter().map(spelt).collect()
}

fn names(value: &HeaderValue) -> Vec<HeaderName> {
    let text = value.to_str().unwrap_or_default();
    text.split(',').filter_map(|name| name.trim().parse().ok()).collect()
}

/// Tells the backend of the client, and of what it asked for. What the client claims itself counts only where it is
/// trusted: there it is a proxy.
fn forward(fields: &mut HeaderMap, peer: &Peer, forwarding: &Forwarding, forwarded: &Forwarded) {
    let Forwarding { trusted, public } = forwarding;
    let is_claim =
        |name: &&HeaderName| Forwarded::is_field(name.as_str()) && (!trusted || name.as_str().contains('_'));
    for name in fields.keys().filter(is_claim).cloned().collect::<Vec<_>>() {
        fields.remove(name);
    }
    if let Some(address) = peer.address.ip() {
        let known: Vec<_> = fields.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
        let chain = known
            .into_iter()
            .chain([address.to_canonical().to_string().as_bytes()])
            .collect::<Vec<_>>()
            .join(&b", "[..]);
        set(fields, FORWARDED_FOR, &chain);
    }
    let secure = forwarded.secure.unwrap_or(public.as_ref().map_or(peer.secure, |public| public.secure));
    if !has_last_item(fields, &FORWARDED_PROTO) {
        set(fields, FORWARDED_PROTO, scheme(secure));
    }
    let own = || public.as_ref().map(|public| &public.host).or_else(|| fields.get(HOST)).cloned();
    let reported = forwarded.host.as_deref().and_then(|host| HeaderValue::from_bytes(host).ok());
    let host = reported.or_else(own);
    if forwarded.port.is_none() {
        let port = host.as_ref().and_then(|host| port(host.as_bytes()));
        set(fields, FORWARDED_PORT, port.unwrap_or(if secure { b"443" } else { b"80" }));
    }
    if let Some(host) = host
        && !has_last_item(fields, &FORWARDED_HOST)
    {
        fields.insert(FORWARDED_HOST, host);
    }
}

fn scheme(secure: bool) -> &'static [u8] {
    if secure { b"https" } else { b"http" }
}

fn set(fields: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        fields.insert(name, value);
    }
}

/// The port of a Host, if it has one.
fn port(host: &[u8]) -> Option<&[u8]> {
    let colon = host.iter().rposition(|byte| *byte == b':')?;
    let port = &host[colon + 1..];
    (!port.is_empty() && port.iter().all(u8::is_ascii_digit)).then_some(port)
}

/// As clients of the time expect it: `Set-Cookie`.
fn title_case(name: &str) -> String {
    let mut starts = true;
    let letter = |letter: char| {
        let spelt = if starts { letter.to_ascii_uppercase() } else { letter };
        starts = letter == '-';
        spelt
    };
    name.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::socket::PeerAddress;
    use crate::gateway::options::RouteOptions;

    fn fields(text: &str) -> HeaderMap {
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        text.lines().map(field).collect()
    }

    fn text(fields: &HeaderMap) -> String {
        let mut lines: Vec<_> =
            fields.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap())).collect();
        lines.sort();
        lines.concat()
    }

    fn prepared(sent: &str, route: &RouteOptions, secure: bool, trusted: bool) -> String {
        prepared_with(sent, route, secure, &Forwarding { trusted, public: None })
    }

    fn prepared_with(sent: &str, route: &RouteOptions, secure: bool, forwarding: &Forwarding) -> String {
        let mut fields = fields(sent);
        let address = PeerAddress::Ip("192.0.2.1:1024".parse().unwrap());
        let (route, peer) = (Route::new(route, Vec::new()).unwrap(), Peer { address, secure });
        let told = forwarding.read(&fields).unwrap();
        prepare(&mut fields, &route, &peer, forwarding, &told);
        text(&fields)
    }

    #[test]
    fn fields_for_one_hop_are_left_out() {
        let sent = "Host: a\nConnection: keep-alive, X-Mine\nX-Mine: 1\nKeep-Alive: 1\nTE: trailers\n\
            Transfer-Encoding: chunked\nUpgrade: h2c\nProxy-Authorization: b\nCookie: c=d\n";
        let expected = "cookie: c=d\nhost: a\nx-forwarded-for: 192.0.2.1\nx-forwarded-host: a\n\
            x-forwarded-port: 80\nx-forwarded-proto: http\n";
        assert_eq!(prepared(sent, &RouteOptions::new("/", Vec::new()), false, false), expected);
    }

    #[test]
    fn what_a_client_says_of_itself_counts_only_where_it_is_trusted() {
        let sent = "Host: a:81\nX-Forwarded-For: 198.51.100.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: b\n\
            X-Forwarded-Port: 8443\nForwarded: for=c\n";
        let route = RouteOptions::new("/", Vec::new());
        assert_eq!(
            prepared(sent, &route, true, false),
            "host: a:81\nx-forwarded-for: 192.0.2.1\nx-forwarded-host: a:81\nx-forwarded-port: 81\n\
             x-forwarded-proto: https\n"
        );
        assert_eq!(
            prepared(sent, &route, false, true),
            "forwarded: for=c\nhost: a:81\nx-forwarded-for: 198.51.100.1, 192.0.2.1\nx-forwarded-host: b\n\
             x-forwarded-port: 8443\nx-forwarded-proto: https\n"
        );
    }

    #[test]
    fn every_name_for_a_clients_own_word_is_removed() {
        let route = RouteOptions::new("/", Vec::new());
        let sent = "Host: a\nX-Real-IP: 1\nX-Client-IP: 2\nTrue-Client-IP: 3\nX-Forwarded-Ssl: on\n\
            X-Forwarded-Server: 4\nX-Original-URL: /5\nX_Forwarded_For: 6\nX_Real-IP: 7\nForwarded: for=8\n";
        let told = prepared(sent, &route, false, false);
        let own = "host: a\nx-forwarded-for: 192.0.2.1\nx-forwarded-host: a\nx-forwarded-port: 80\n\
            x-forwarded-proto: http\n";
        assert_eq!(told, own);
        // Nor can a client remove what a proxy in front has said.
        let told = prepared(&format!("{sent}Connection: X-Real-IP\n"), &route, false, true);
        assert!(told.contains("x-real-ip: 1\n"), "{told}");
        // It spells them with `-`.
        assert!(!told.contains('_'), "{told}");
    }

    #[test]
    fn a_public_url_is_what_backends_are_told() {
        let route = RouteOptions::new("/", Vec::new());
        for (url, host, port, proto) in [
            ("wss://example.com/", "example.com", "443", "https"),
            ("ws://example.com:81/app", "example.com:81", "81", "http"),
        ] {
            let mut options = Options { public_url: Some(url.into()), ..Options::default() };
            let set =
                format!("x-forwarded-host: {host}\nx-forwarded-port: {port}\nx-forwarded-proto: {proto}\n");
            let told = prepared_with("Host: a:8000\n", &route, false, &Forwarding::new(&options));
            assert_eq!(told, format!("host: a:8000\nx-forwarded-for: 192.0.2.1\n{set}"));
            // A proxy in front knows better.
            options.trust_forwarded = true;
            let forwarded = "Host: a\nX-Forwarded-Host: b\nX-Forwarded-Proto: http\nX-Forwarded-Port: 82\n";
            let told = prepared_with(forwarded, &route, false, &Forwarding::new(&options));
            assert!(told.contains("-host: b\nx-forwarded-port: 82\nx-forwarded-proto: http\n"), "{told}");
        }
    }

    #[test]
    fn forwarded_fills_what_other_fields_do_not_tell() {
        let route = RouteOptions::new("/", Vec::new());
        for (sent, host, port, proto) in [
            ("Forwarded: host=x, for=b;Host=\"outer:8443\" ; proto=HTTPS", "outer:8443", "8443", "https"),
            ("X-Forwarded-Ssl: on", "a", "443", "https"),
            (
                "X-Forwarded-Host: b\nForwarded: host=c;proto=https\nX-Forwarded-Proto: http",
                "b",
                "80",
                "http",
            ),
            ("X-Forwarded-Host:  ", "a", "80", "http"),
        ] {
            let told = prepared(&format!("Host: a\n{sent}\n"), &route, false, true);
            let expected =
                format!("x-forwarded-host: {host}\nx-forwarded-port: {port}\nx-forwarded-proto: {proto}\n");
            assert!(told.contains(&expected), "{sent}: {told}");
        }
        let told = prepared("Host: a\nForwarded: host=b;proto=https\n", &route, false, false);
        assert!(told.contains("-host: a\nx-forwarded-port: 80\nx-forwarded-proto: http\n"), "{told}");
    }

    #[test]
    fn a_route_may_set_host_and_origin() {
        let route = RouteOptions {
            backend_host: Some("b".into()),
            backend_origin: Some("http://b".into()),
            ..RouteOptions::new("/", Vec::new())
        };
        let told = prepared("Host: a\nOrigin: http://a\n", &route, true, false);
        assert_eq!(
            told,
            "host: b\norigin: http://b\nx-forwarded-for: 192.0.2.1\nx-forwarded-host: a\n\
             x-forwarded-port: 443\nx-forwarded-proto: https\n"
        );
        assert!(!prepared("Host: a\n", &route, true, false).contains("origin"));
    }

    #[test]
    fn a_clients_answer_has_the_free_fields_of_the_backends() {
        let answer = "Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: x\nSet-Cookie: a=b\n\
            set-cookie: c=d\nX-Served-By: me\n";
        let spelt = |name: &str, value: &str| (name.into(), value.into());
        let mut told = for_client(fields(answer));
        told.sort();
        assert_eq!(
            told,
            [spelt("Set-Cookie", "a=b"), spelt("Set-Cookie", "c=d"), spelt("X-Served-By", "me")]
        );
    }
}
