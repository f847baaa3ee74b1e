//! A request in the terms of `wasi:http`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;

use legacy_websocket::step;
use legacy_websocket::{Forwarded, Options, PlainRequest};

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

/// A request, and what is to be written of its body. `None`: it is none that HTTP has.
pub(super) fn build(
    request: step::Request,
    peer: SocketAddr,
    options: &Options,
    waiter: &mut Waiter,
) -> Option<(Request, Option<Upload>)> {
    let step::Request { head, body, .. } = request;
    // The engine has refused what is not valid.
    let origin = options.check_request(&plain(&head, &forwarded(&head, options))).ok()?;
    let fields = fields(&head, options.trust_forwarded, peer, origin.secure)?;
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
    built.set_scheme(Some(&if origin.secure { Scheme::Https } else { Scheme::Http })).ok()?;
    built.set_authority(origin.authority.as_deref()).ok()?;
    Some((built, upload))
}

/// What the proxy in front reports about a request, where it is trusted.
fn forwarded(head: &step::RequestHead, options: &Options) -> Forwarded {
    let last = |name: &'static str| values(head, name).last();
    if options.trust_forwarded { Forwarded::read(&last).unwrap_or_default() } else { Forwarded::default() }
}

fn plain<'a>(head: &'a step::RequestHead, forwarded: &'a Forwarded) -> PlainRequest<'a> {
    let value = |name| values(head, name).next();
    let (host, origin) = (value("host"), value("origin"));
    PlainRequest { method: &head.method, host, origin, forwarded, secure: false }
}

fn fields(head: &step::RequestHead, trusted: bool, peer: SocketAddr, secure: bool) -> Option<Fields> {
    let named: Vec<_> = items(head, "connection").map(str::to_ascii_lowercase).collect();
    let passed = |name: &str| {
        if Forwarded::is_field(name) {
            let is_replaced = matches!(name, "x-forwarded-for" | "x-forwarded-proto");
            // Proxies spell them with `-`.
            return trusted && !is_replaced && !name.contains('_');
        }
        !NOT_PASSED.contains(&name) && !named.iter().any(|named| named == name)
    };
    let received = head.fields.iter().map(|field| (field.name.to_ascii_lowercase(), field.value.clone()));
    let before = items(head, "x-forwarded-for").filter(|_| trusted);
    let peer = peer.ip().to_canonical().to_string();
    let addresses = before.chain([peer.as_str()]).collect::<Vec<_>>().join(", ");
    let proto = if secure { "https" } else { "http" };
    let own = [("x-forwarded-for".into(), addresses.into()), ("x-forwarded-proto".into(), proto.into())];
    let entries: Vec<_> = received.filter(|(name, _)| passed(name)).chain(own).collect();
    Fields::from_list(&entries).ok()
}

/// The values of the fields with this name, in order.
fn values<'a>(head: &'a step::RequestHead, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let fields = head.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
    fields.map(|field| field.value.trim_ascii())
}

/// The items of a list in all fields of this name, in order.
fn items<'a>(head: &'a step::RequestHead, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lists = values(head, name).filter_map(|list| str::from_utf8(list).ok());
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
