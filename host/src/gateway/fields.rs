//! The fields of heads on their way through the gateway.

use hyper::header::{
    self, CONNECTION, CONTENT_LENGTH, Entry, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use super::route::Route;
use crate::accept::incoming::Peer;
use crate::workers::external::Fields;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_SSL: HeaderName = HeaderName::from_static("x-forwarded-ssl");

const FORWARDED_FIELDS: [HeaderName; 6] =
    [FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST, FORWARDED_PORT, FORWARDED_SSL, FORWARDED];

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

/// Makes a client's fields those of a request to a backend of the route.
pub(super) fn prepare(fields: &mut HeaderMap, route: &Route, peer: &Peer, trusts_forwarded: bool) {
    remove_hop_by_hop(fields);
    forward(fields, peer, trusts_forwarded);
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

pub(super) fn remove_hop_by_hop(fields: &mut HeaderMap) {
    let named = fields.get_all(CONNECTION).iter().flat_map(names);
    // What a proxy in front vouches for is not a client's to remove.
    let named: Vec<_> = named.filter(|name| *name != HOST && !FORWARDED_FIELDS.contains(name)).collect();
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
fn forward(fields: &mut HeaderMap, peer: &Peer, trusted: bool) {
    if !trusted {
        for name in FORWARDED_FIELDS {
            fields.remove(name);
        }
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
    let scheme = HeaderValue::from_static(if peer.secure { "https" } else { "http" });
    let secure = fields.entry(FORWARDED_PROTO).or_insert(scheme).as_bytes().eq_ignore_ascii_case(b"https");
    let host = fields.get(HOST).cloned();
    if !fields.contains_key(FORWARDED_PORT) {
        let port = host.as_ref().and_then(|host| port(host.as_bytes()));
        set(fields, FORWARDED_PORT, port.unwrap_or(if secure { b"443" } else { b"80" }));
    }
    if let (Some(host), false) = (host, fields.contains_key(FORWARDED_HOST)) {
        fields.insert(FORWARDED_HOST, host);
    }
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
        let mut fields = fields(sent);
        let address = PeerAddress::Ip("192.0.2.1:1024".parse().unwrap());
        prepare(&mut fields, &Route::new(route, Vec::new()).unwrap(), &Peer { address, secure }, trusted);
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
