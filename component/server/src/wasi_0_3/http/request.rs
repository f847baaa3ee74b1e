//! A request in the terms of `wasi:http`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;

use legacy_websocket::step;
use legacy_websocket::{Forwarded, Options};

use super::upload::Upload;
use crate::wasi_0_3::bindings::wasi::http::types::{ErrorCode, Fields, Method, Request, Scheme, Trailers};
use crate::wasi_0_3::bindings::wit_stream;
use crate::wasi_0_3::future::FutureWriter;
use crate::wasi_0_3::waiter::Waiter;

/// Fields that are for one connection alone (RFC 9110 section 7.6.1), and Host, which is the authority.
const NOT_PASSED: [&str; 10] = [
    "connection",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields in which proxies describe a client or its request, and those that are read in their place; beside
/// `X-Forwarded-*`.
const FORWARDED: [&str; 6] =
    ["forwarded", "x-real-ip", "x-client-ip", "true-client-ip", "x-original-url", "x-rewrite-url"];

/// What is known of the way from the client to here.
pub(crate) struct Origin {
    /// What comes in X-Forwarded-* counts: a proxy has sent it.
    trusted: bool,
    /// The public URL, as whether it is secure, and its authority.
    public: Option<(bool, String)>,
}

impl Origin {
    pub(crate) fn new(options: &Options) -> Self {
        let public = options.public_url.as_deref().and_then(|url| {
            let (scheme, rest) = url.split_once("://")?;
            let authority = rest.split(['/', '?']).next()?;
            Some((scheme.eq_ignore_ascii_case("wss"), authority.to_string()))
        });
        Self { trusted: options.trust_forwarded, public }
    }

    /// What a proxy in front tells of a request, where it is trusted. The engine has refused what is not valid.
    fn told(&self, head: &step::RequestHead) -> Forwarded {
        let last = |name: &str| {
            let field = head.fields.iter().rfind(|field| field.name.eq_ignore_ascii_case(name))?;
            Some(field.value.trim_ascii())
        };
        if self.trusted { Forwarded::read(last).unwrap_or_default() } else { Forwarded::default() }
    }

    fn is_secure(&self, told: &Forwarded) -> bool {
        told.secure.or(self.public.as_ref().map(|(is_secure, _)| *is_secure)).unwrap_or(false)
    }

    /// The host and the port that the client has asked for.
    fn authority(&self, head: &step::RequestHead, told: &Forwarded) -> Option<String> {
        let own = || match &self.public {
            Some((_, authority)) => Some(authority.as_str()),
            None => value(head, "host"),
        };
        let host = told.host.as_deref().and_then(|host| str::from_utf8(host).ok()).or_else(own)?;
        Some(match told.port {
            Some(port) if !has_port(host) => format!("{host}:{port}"),
            _ => host.to_string(),
        })
    }

    /// What tells of the client.
    fn fields(
        &self,
        head: &step::RequestHead,
        peer: Option<SocketAddr>,
        is_secure: bool,
    ) -> [(String, Vec<u8>); 2] {
        let peer = peer.map(|peer| peer.ip().to_canonical().to_string());
        let before = values(head, "x-forwarded-for").filter(|_| self.trusted);
        let addresses = before.chain(peer.as_deref()).collect::<Vec<_>>().join(", ");
        let proto = if is_secure { "https" } else { "http" };
        [("x-forwarded-for".into(), addresses.into()), ("x-forwarded-proto".into(), proto.into())]
    }
}

/// A request, and what is to be written of its body. `None`: it is none that HTTP has.
pub(super) fn build(
    request: step::Request,
    peer: Option<SocketAddr>,
    origin: &Origin,
    waiter: &mut Waiter,
) -> Option<(Request, Option<Upload>)> {
    let step::Request { head, body, .. } = request;
    let told = origin.told(&head);
    let is_secure = origin.is_secure(&told);
    let fields = fields(&head, origin, origin.fields(&head, peer, is_secure))?;
    let (upload, contents) = if body.is_empty() {
        (None, None)
    } else {
        let (writer, contents) = wit_stream::new();
        (Some(Upload::new(writer, body)), Some(contents))
    };
    let (writer, trailers) = FutureWriter::<Result<Option<Trailers>, ErrorCode>>::new();
    let (built, _) = Request::new(fields, contents, trailers, None);
    waiter.keep(writer.write(Ok(None)));
    built.set_method(&method(&head.method)).ok()?;
    built.set_path_with_query(Some(&path(&head.target))).ok()?;
    built.set_scheme(Some(&if is_secure { Scheme::Https } else { Scheme::Http })).ok()?;
    built.set_authority(origin.authority(&head, &told).as_deref()).ok()?;
    Some((built, upload))
}

fn fields(head: &step::RequestHead, origin: &Origin, own: [(String, Vec<u8>); 2]) -> Option<Fields> {
    let named: Vec<_> = values(head, "connection").map(str::to_ascii_lowercase).collect();
    let passed = |name: &str| {
        // Some servers read `X_Forwarded_For` as the field that a proxy has sent.
        let hyphenated = name.replace('_', "-");
        let is_forwarded = hyphenated.starts_with("x-forwarded-") || FORWARDED.contains(&hyphenated.as_str());
        let is_replaced = matches!(name, "x-forwarded-for" | "x-forwarded-proto");
        let is_proxys = origin.trusted && name == hyphenated && !is_replaced;
        let is_hop_by_hop = NOT_PASSED.contains(&name) || named.iter().any(|named| named == name);
        if is_forwarded { is_proxys } else { !is_hop_by_hop }
    };
    let received = head.fields.iter().map(|field| (field.name.to_ascii_lowercase(), field.value.clone()));
    let entries: Vec<_> = received.filter(|(name, _)| passed(name)).chain(own).collect();
    Fields::from_list(&entries).ok()
}

/// Whether a host has a port. An address of IPv6 may lack its brackets.
fn has_port(host: &str) -> bool {
    if host.starts_with('[') { !host.ends_with(']') } else { host.contains(':') }
}

fn value<'a>(head: &'a step::RequestHead, name: &str) -> Option<&'a str> {
    let field = head.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
    core::str::from_utf8(&field.value).ok().map(str::trim)
}

/// The items of a list in all fields of this name, in order.
fn values<'a>(head: &'a step::RequestHead, name: &'a str) -> impl Iterator<Item = &'a str> {
    let fields = head.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
    let lists = fields.filter_map(|field| core::str::from_utf8(&field.value).ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.into()),
    }
}

/// Path and query of a request target. What no URL has, such as raw UTF-8 of old browsers, is percent-encoded.
fn path(target: &[u8]) -> String {
    let target = match target.iter().position(|byte| *byte == b'/') {
        // The absolute form (RFC 9112 section 3.2.2).
        Some(slash) if target.get(..slash).is_some_and(|scheme| scheme.ends_with(b":")) => {
            let rest = target.get(slash.saturating_add(2)..).unwrap_or_default();
            let path = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
            path.and_then(|path| rest.get(path..)).unwrap_or_default()
        }
        _ => target,
    };
    let mut path = String::with_capacity(target.len().saturating_add(1));
    if !matches!(target.first(), Some(b'/' | b'*')) {
        path.push('/');
    }
    for byte in target {
        if byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(byte) {
            path.push(char::from(*byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}
