//! An old client and its backend: the opening handshakes of both, then messages.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use legacy_websocket::Protocol;
use legacy_websocket::step::{Failure, Handshake, RequestHead};
use legacy_websocket_shell::Printable;
use sha1::{Digest, Sha1};
use tokio_websockets::{ClientBuilder, Limits, WebSocketStream};
use tracing::debug;

use super::backend::{Backend, BackendStream};
use super::exchange::{ExchangeError, Why, exchange, in_words, info_of, warn_of};
use super::fields;
use super::inbound::Inbound;
use super::options::Binary;
use super::prefixed::Prefixed;
use super::route::{self, NoRoute, Route};
use super::shared::Gateway;
use super::transfer::{Coding, Ended, Transfer};
use crate::handle::Handle;

/// RFC 6455 section 1.3: what a server appends to the key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What is passed on of a body with which a backend refuses a handshake, in bytes.
const MAX_REFUSAL_BYTES: usize = 1 << 20;

/// Connects an old client to its backend, and takes their messages to each other until both have ended.
pub(super) async fn serve(gateway: Arc<Gateway>, handle: Handle, handshake: Handshake, inbound: Rc<Inbound>) {
    let _running = gateway.metrics.run();
    let _end =
        End { gateway: &gateway, handle: &handle, connection: handshake.connection, inbound: &inbound };
    let (connection, protocol, peer) = (handshake.connection, handshake.protocol, handshake.peer.clone());
    let opening = Opening { gateway: &gateway, handle: &handle, handshake };
    let opened = tokio::select! {
        // First: what the client has said right behind its opening handshake goes to the backend.
        biased;
        opened = opening.open() => opened,
        () = poll_fn(|cx| inbound.poll_ended(cx)) => return debug!(peer, "left before its backend answered"),
    };
    if let Some(Opened { socket, backend, coding }) = opened {
        gateway.paired(connection, &backend);
        debug!(connection, peer, %backend, "paired");
        let transfer = Transfer::new(&gateway, &handle, (connection, protocol), &inbound, socket, coding);
        let ended = transfer.run().await;
        report(&gateway, &backend, &peer, &ended);
    }
}

/// Leaves nothing of a pair behind, however it ends.
struct End<'p> {
    gateway: &'p Gateway,
    handle: &'p Handle,
    connection: u64,
    inbound: &'p Inbound,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.gateway.parted(self.connection);
        self.inbound.abandon();
        // It reads the client's closing handshake.
        self.handle.resume(self.connection);
    }
}

/// Counts and logs how the backend's side has ended.
fn report(gateway: &Gateway, backend: &Backend, peer: &str, ended: &Ended) {
    match ended {
        Ended::ByClient => debug!(peer, %backend, "parted by the client"),
        Ended::ByBackend { code, reason } => {
            gateway.metrics.count_close(*code);
            tell_close(backend, peer, *code, reason);
        }
        Ended::Failed(why) => {
            backend.count_failure(why.name());
            warn_of(backend, peer, &why.to_string());
        }
    }
}

/// A normal end is not worth a line of its own.
fn tell_close(backend: &Backend, peer: &str, code: u16, reason: &str) {
    let reason = Printable::cut(reason.as_bytes());
    if matches!(code, 1000 | 1001 | 1005) {
        debug!(peer, %backend, code, %reason, "closed by the backend");
    } else {
        info_of(backend, peer, &format!("closed by the backend with code {code}: {reason}"));
    }
}

struct Opening<'g> {
    gateway: &'g Gateway,
    handle: &'g Handle,
    handshake: Handshake,
}

struct Opened {
    socket: WebSocketStream<Prefixed<BackendStream>>,
    backend: Arc<Backend>,
    coding: Coding,
}

impl Opening<'_> {
    /// The backend's connection; `None` if the client was refused, or is gone.
    async fn open(&self) -> Option<Opened> {
        match self.connect().await {
            Ok(opened) => opened,
            Err(error) => {
                error.report(&self.handshake.peer);
                self.reject(error.status().as_u16(), error.reason())
            }
        }
    }

    async fn connect(&self) -> Result<Option<Opened>, ExchangeError> {
        let Handshake { connection, head, .. } = &self.handshake;
        let Some(peer) = self.handle.peer(*connection).await else {
            return Ok(None);
        };
        let mut sent = header_map(head);
        let target = target(&head.target);
        let (at, path) = match route::find(&self.gateway.routes, &target) {
            // RFC 9112 section 3.2.
            Ok(_) if sent.get_all(HOST).iter().nth(1).is_some() => {
                return Ok(self.reject(400, "there is more than one Host"));
            }
            Ok(found) => found,
            Err(NoRoute::NotFound) => return Ok(self.reject(404, "no backend serves this path")),
            Err(NoRoute::DotSegment) => return Ok(self.reject(400, "the request's target is not valid")),
        };
        let route = &self.gateway.routes[at];
        let origin = self.origin(&sent);
        fields::remove_handshake(&mut sent);
        if let Some(origin) = origin {
            sent.insert(ORIGIN, origin);
        }
        // The engine refuses what is not valid.
        let forwarded = self.gateway.forwarding.read(&sent).unwrap_or_default();
        fields::prepare(&mut sent, route, &peer, &self.gateway.forwarding, &forwarded);
        let key = key();
        sent.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        sent.insert(UPGRADE, HeaderValue::from_static("websocket"));
        sent.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        sent.insert(SEC_WEBSOCKET_KEY, key.clone());
        let asked = self.asked(head);
        if let Some(offered) = asked.as_ref().and_then(offered) {
            sent.insert(SEC_WEBSOCKET_PROTOCOL, offered);
        }
        let mut request = Request::new(Empty::<Bytes>::new());
        let Ok(uri) = path.parse::<Uri>() else {
            return Ok(self.reject(400, "the request's target is not valid"));
        };
        *request.uri_mut() = uri;
        *request.headers_mut() = sent;
        // The engine refuses the client itself a moment later.
        let within = self.gateway.options.backend_timeout.min(self.gateway.handshake_timeout * 9 / 10);
        let connect_timeout = self.gateway.options.connect_timeout.min(within);
        let (response, backend) = exchange(route, request, connect_timeout, within).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            self.refuse(response, &backend).await?;
            return Ok(None);
        }
        let wrong = |what| ExchangeError { backend: Some(Arc::clone(&backend)), why: Why::Upgrade(what) };
        let chosen = check_upgrade(response.headers(), &key, asked.as_ref()).map_err(wrong)?;
        self.accept(route, response, backend, chosen).await
    }

    /// Answers the client, now that the backend has accepted.
    async fn accept(
        &self,
        route: &Route,
        response: Response<Incoming>,
        backend: Arc<Backend>,
        chosen: Option<String>,
    ) -> Result<Option<Opened>, ExchangeError> {
        let Handshake { connection, protocol, subprotocol, peer, head } = &self.handshake;
        let answer = fields::for_client(response.headers().clone());
        let named = if has_only_text(*protocol) { subprotocol.clone() } else { chosen.clone() };
        if has_only_text(*protocol)
            && chosen.is_none()
            && subprotocol.as_ref().is_some_and(|asked| !asked.is_empty())
        {
            let asked = Printable::cut(subprotocol.as_deref().unwrap_or_default().as_bytes());
            let what =
                format!("the backend chose no subprotocol; the client is told the one it asked for: {asked}");
            info_of(&backend, peer, &what);
        }
        let coding = self.coding(route, head, chosen.as_deref());
        let socket = match upgraded(response).await {
            Ok(stream) => {
                let limits = Limits::default().max_payload_len(Some(self.gateway.max_message_bytes));
                ClientBuilder::new().limits(limits).take_over(stream)
            }
            Err(error) => {
                let why = Why::Response(in_words(&error));
                return Err(ExchangeError { backend: Some(backend), why });
            }
        };
        // Otherwise the client is gone, and the transfer is told.
        if let Err(Failure::Invalid) = self.handle.accept(*connection, named, answer).await {
            let why = Why::Upgrade("it cannot be passed on");
            return Err(ExchangeError { backend: Some(backend), why });
        }
        Ok(Some(Opened { socket, backend, coding }))
    }

    /// Passes on what the backend says instead of accepting.
    async fn refuse(
        &self,
        response: Response<Incoming>,
        backend: &Arc<Backend>,
    ) -> Result<(), ExchangeError> {
        let (head, body) = response.into_parts();
        let failed = |why| ExchangeError { backend: Some(Arc::clone(backend)), why };
        let within = self.gateway.handshake_timeout / 2;
        let body = match tokio::time::timeout(within, Limited::new(body, MAX_REFUSAL_BYTES).collect()).await {
            Ok(Ok(body)) => body.to_bytes().to_vec(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(failed(Why::Response("its refusal is too long".into())));
            }
            Ok(Err(error)) => return Err(failed(Why::Response(error.to_string()))),
            Err(_) => return Err(failed(Why::Timeout)),
        };
        let status = head.status.as_u16();
        if status < 200 {
            return Err(failed(Why::Upgrade("nobody asked for it")));
        }
        info_of(backend, &self.handshake.peer, &format!("the backend refuses the handshake with {status}"));
        let answer = fields::for_client(head.headers);
        match self.handle.respond(self.handshake.connection, status, answer, body).await {
            Err(Failure::Invalid) => Err(failed(Why::Response("its refusal cannot be passed on".into()))),
            _ => Ok(()),
        }
    }

    fn reject(&self, status: u16, reason: &str) -> Option<Opened> {
        // If it has no effect, the client is gone.
        drop(self.handle.reject(self.handshake.connection, status, reason));
        None
    }

    /// Where the page is from: versions 7 and 8 of hybi have a field of their own for it.
    fn origin(&self, sent: &HeaderMap) -> Option<HeaderValue> {
        const HYBI: HeaderName = HeaderName::from_static("sec-websocket-origin");
        if has_only_text(self.handshake.protocol) { None } else { sent.get(HYBI).cloned() }
    }

    /// What the client asks for, as it came: one opaque line before hybi, a list from there on.
    fn asked(&self, head: &RequestHead) -> Option<HeaderValue> {
        let field = |name: &str| {
            let values = head.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            let values: Vec<_> = values.map(|field| field.value.as_slice()).collect();
            (!values.is_empty()).then(|| HeaderValue::from_bytes(&values.join(&b", "[..])).ok()).flatten()
        };
        match self.handshake.protocol {
            Protocol::Draft75 => field("WebSocket-Protocol"),
            Protocol::Draft76 => field("Sec-WebSocket-Protocol").or_else(|| field("WebSocket-Protocol")),
            _ => field("Sec-WebSocket-Protocol"),
        }
    }

    /// A client that asks for `base64` sends and takes binary messages in it, unless the backend itself speaks it.
    fn coding(&self, route: &Route, head: &RequestHead, chosen: Option<&str>) -> Coding {
        if !has_only_text(self.handshake.protocol) {
            return Coding::Binary;
        }
        let asks = self.asked(head).is_some_and(|asked| items(&asked).any(|item| item == "base64"));
        if asks && chosen != Some("base64") {
            return Coding::Base64;
        }
        match route.binary {
            Binary::Close => Coding::Close,
            Binary::Base64 => Coding::Base64,
            Binary::Drop => Coding::Drop,
        }
    }
}

fn has_only_text(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Draft75 | Protocol::Draft76)
}

/// A subprotocol line's items, as lists of the time are written: with commas or spaces.
fn items(line: &HeaderValue) -> impl Iterator<Item = &str> {
    line.to_str().unwrap_or_default().split([',', ' ', '\t']).filter(|item| !item.is_empty())
}

/// What a backend is offered for the line that a client asked for: the same, or a list of its items if it is none.
fn offered(line: &HeaderValue) -> Option<HeaderValue> {
    let is_token = |item: &str| !item.is_empty() && item.bytes().all(|byte| byte.is_ascii_graphic());
    if line.to_str().is_ok_and(|text| text.split(',').all(|item| is_token(item.trim()))) {
        return Some(line.clone());
    }
    let list = items(line).collect::<Vec<_>>().join(", ");
    if list.is_empty() { None } else { HeaderValue::try_from(list).ok() }
}

/// Checks a 101 (RFC 6455 section 4.1), and returns the subprotocol that the backend has chosen.
fn check_upgrade(
    answer: &HeaderMap,
    key: &HeaderValue,
    asked: Option<&HeaderValue>,
) -> Result<Option<String>, &'static str> {
    if !fields::lists(answer, UPGRADE, "websocket") || !fields::lists(answer, CONNECTION, "upgrade") {
        return Err("no upgrade to websocket");
    }
    let accept = STANDARD.encode(Sha1::new().chain_update(key.as_bytes()).chain_update(GUID).finalize());
    if answer.get(SEC_WEBSOCKET_ACCEPT).is_none_or(|value| value.as_bytes() != accept.as_bytes()) {
        return Err("its Sec-WebSocket-Accept does not answer the key");
    }
    if answer.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        return Err("it has an extension that nobody asked for");
    }
    let Some(chosen) = answer.get(SEC_WEBSOCKET_PROTOCOL) else {
        return Ok(None);
    };
    let chosen = chosen.to_str().map_err(|_| "its subprotocol is no text")?;
    let was_asked = asked.is_some_and(|asked| {
        asked.as_bytes() == chosen.as_bytes() || items(asked).any(|item| item == chosen)
    });
    if was_asked { Ok(Some(chosen.into())) } else { Err("it has a subprotocol that nobody asked for") }
}

async fn upgraded(response: Response<Incoming>) -> hyper::Result<Prefixed<BackendStream>> {
    let upgraded = hyper::upgrade::on(response).await?;
    match upgraded.downcast::<TokioIo<BackendStream>>() {
        Ok(parts) => Ok(Prefixed::new(parts.read_buf, parts.io.into_inner())),
        Err(_) => unreachable!("the connection was made of that"),
    }
}

/// 16 random bytes in base64 (RFC 6455 section 4.1).
fn key() -> HeaderValue {
    let mut nonce = [0; 16];
    // A predictable nonce is no danger: it only proves that the peer speaks the protocol.
    let _ = getrandom::fill(&mut nonce);
    HeaderValue::try_from(STANDARD.encode(nonce))
        .unwrap_or(HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="))
}

/// The target, with what may not be in one percent-encoded: browsers of the time send all sorts of bytes.
fn target(bytes: &[u8]) -> String {
    let mut target = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | ..=b' ' | 0x7f.. => {
                target += &format!("%{byte:02X}");
            }
            byte => target.push(char::from(*byte)),
        }
    }
    target
}

/// Without what hyper would not send.
fn header_map(head: &RequestHead) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(head.fields.len() + 8);
    for field in &head.fields {
        if let (Ok(name), Ok(value)) =
            (field.name.parse::<HeaderName>(), HeaderValue::from_bytes(field.value.trim_ascii()))
        {
            fields.append(name, value);
        }
    }
    // Its key3 is no body.
    fields.remove(hyper::header::CONTENT_LENGTH);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_a_right_101_is_taken() {
        // RFC 6455 section 1.3.
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        let right = [
            ("Upgrade", "websocket"),
            ("Connection", "keep-alive, Upgrade"),
            ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        let check = |fields: &[(&'static str, &'static str)], asked: Option<&'static str>| {
            check_upgrade(&answer(fields), &key, asked.map(HeaderValue::from_static).as_ref())
        };
        let with = |name, value| [&right[..], &[(name, value)]].concat();
        assert_eq!(check(&right, None), Ok(None));
        assert_eq!(check(&right, Some("a")), Ok(None));
        let chosen = with("Sec-WebSocket-Protocol", "b");
        assert_eq!(check(&chosen, Some("a, b")), Ok(Some("b".into())));
        assert_eq!(check(&chosen, Some("a b")), Ok(Some("b".into())));
        assert!(check(&chosen, Some("a")).is_err());
        assert!(check(&chosen, None).is_err());
        assert!(check(&with("Sec-WebSocket-Extensions", "permessage-deflate"), None).is_err());
        for left_out in 0..right.len() {
            let mut fields = right.to_vec();
            fields.remove(left_out);
            assert!(check(&fields, None).is_err(), "{fields:?}");
        }
    }

    #[test]
    fn a_line_that_is_no_list_is_offered_as_one() {
        for (line, expected) in [
            ("chat", Some("chat")),
            ("a, b", Some("a, b")),
            ("a,b", Some("a,b")),
            ("a b", Some("a, b")),
            (" a,  b c ", Some("a, b, c")),
            ("", None),
            (" , ", None),
        ] {
            let offered = offered(&HeaderValue::from_static(line));
            assert_eq!(offered, expected.map(HeaderValue::from_static), "{line:?}");
        }
    }

    #[test]
    fn a_target_of_any_bytes_is_one_that_can_be_sent() {
        for (sent, asked) in [
            (&b"/a?b=c%20d"[..], "/a?b=c%20d"),
            ("/ä".as_bytes(), "/%C3%A4"),
            (b"/\xff#\"|", "/%FF%23%22%7C"),
        ] {
            assert_eq!(target(sent), asked);
            assert_eq!(asked.parse::<Uri>().unwrap().to_string(), asked);
        }
    }
}
