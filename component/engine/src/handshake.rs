//! Opening handshakes: which protocol, whether it is allowed, and our answer (sections 5.1 and 5.2 of draft 76, 5.1 and
//! 5.2 of draft 75; [`hybi::handshake`](crate::hybi) has that of later protocols).

use alloc::string::String;
use alloc::vec::Vec;

use crate::challenge::key_part;
use crate::error::{Misuse, Refusal};
use crate::event::Peer;
use crate::forwarded::Forwarded;
use crate::head::{Head, trim};
use crate::http;
use crate::hybi::handshake as hybi;
use crate::hybi::version::Version;
use crate::later_protocol::LaterProtocol;
use crate::location::{Endpoint, location};
use crate::policy::Policy;
use crate::protocol::Protocol;

/// What a client asked for, checked against the policy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    Hixie {
        /// The numbers from draft 76's keys; `None` in draft 75.
        parts: Option<(u32, u32)>,
        /// The URL named in our answer.
        location: Vec<u8>,
    },
    Hybi(hybi::Handshake),
}

impl Handshake {
    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::Hixie { parts, .. } => draft(*parts),
            Self::Hybi(handshake) => handshake.version().into(),
        }
    }

    /// The subprotocol to name in our answer if the application does not choose another, as text, with U+FFFD for
    /// invalid UTF-8.
    pub(crate) fn subprotocol(&self, head: &Head, policy: &Policy) -> Option<String> {
        match self {
            Self::Hixie { parts, .. } => asked_text(head, draft(*parts)),
            Self::Hybi(handshake) => {
                policy.choose_subprotocol(handshake.subprotocols(head)).map(String::from)
            }
        }
    }

    /// Appends the 101 and its fields, blank line included: the whole answer, except for the last 16 bytes of draft
    /// 76's. `subprotocol` must have been asked for.
    pub(crate) fn write_answer(
        &self,
        head: &Head,
        subprotocol: Option<&str>,
        fields: &[(String, Vec<u8>)],
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        match self {
            Self::Hixie { parts, location } => {
                let draft = draft(*parts);
                http::check_fields(fields)?;
                if subprotocol.is_some() && subprotocol != asked_text(head, draft).as_deref() {
                    return Err(Misuse::Invalid);
                }
                let subprotocol = subprotocol.and_then(|_| asked_subprotocol(head, draft));
                write_hixie_answer(head, draft, location, subprotocol, fields, out);
                Ok(())
            }
            Self::Hybi(handshake) => handshake.write_answer(head, subprotocol, fields, out),
        }
    }
}

/// Clients compare case, and draft 75's also order, byte for byte.
fn write_hixie_answer(
    head: &Head,
    draft: Protocol,
    location: &[u8],
    subprotocol: Option<&[u8]>,
    fields: &[(String, Vec<u8>)],
    out: &mut Vec<u8>,
) {
    let (status, prefix) = match draft {
        Protocol::Draft75 => ("HTTP/1.1 101 Web Socket Protocol Handshake\r\n", ""),
        _ => ("HTTP/1.1 101 WebSocket Protocol Handshake\r\n", "Sec-"),
    };
    out.extend_from_slice(status.as_bytes());
    out.extend_from_slice(b"Upgrade: WebSocket\r\nConnection: Upgrade\r\n");
    let mut put = |prefix: &str, name: &str, value: &[u8]| {
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    };
    // Without an Origin in the request the field is sent empty: a client of the time requires it.
    put(prefix, "WebSocket-Origin", head.value("Origin").unwrap_or_default());
    put(prefix, "WebSocket-Location", location);
    if let Some(subprotocol) = subprotocol {
        put(prefix, "WebSocket-Protocol", subprotocol);
    }
    for (name, value) in fields {
        put("", name, value);
    }
    out.extend_from_slice(b"\r\n");
}

fn draft(parts: Option<(u32, u32)>) -> Protocol {
    if parts.is_some() { Protocol::Draft76 } else { Protocol::Draft75 }
}

/// Returns `None` for plain HTTP.
pub(crate) fn examine(
    head: &Head,
    peer: &Peer,
    forwarded: &Forwarded,
    policy: &Policy,
) -> Result<Option<Handshake>, Refusal> {
    if !is_attempt(head) {
        return Ok(None);
    }
    let endpoint = || -> Result<_, Refusal> {
        let endpoint = Endpoint::find(head, peer, forwarded, policy.public_url.as_ref())?;
        let endpoint = endpoint.ok_or(Refusal::HostAbsent)?;
        policy.check_host(&endpoint)?;
        Ok(endpoint)
    };
    match hybi::Handshake::read(head, &policy.versions) {
        Ok(None) => {}
        Err(refusal) => return Err(refusal),
        Ok(Some(handshake)) => {
            endpoint()?;
            policy.check_origin(handshake.origin(head)?)?;
            let mut asked = handshake.subprotocols(head).peekable();
            if asked.peek().is_some() && policy.choose_subprotocol(asked).is_none() {
                return Err(Refusal::Subprotocol);
            }
            return Ok(Some(Handshake::Hybi(handshake)));
        }
    }
    let parts = read(head)?;
    let draft = draft(parts);
    if !policy.options.protocols.contains(draft) {
        return Err(Refusal::DraftOff);
    }
    // Draft 75 section 5.2 requires three tokens; draft 76 section 5.1 ignores the rest of the line.
    if draft == Protocol::Draft75 && head.version() != b"HTTP/1.1" {
        return Err(Refusal::HttpVersion);
    }
    check_body(head, draft)?;
    let endpoint = endpoint()?;
    policy.check_origin(head.single("Origin")?)?;
    if let Some(asked) = asked_subprotocol(head, draft) {
        policy.check_subprotocol(asked)?;
    }
    let location = location(head, &endpoint, policy.public_url.as_ref());
    Ok(Some(Handshake::Hixie { parts, location }))
}

/// With [`Options::pass_through`](crate::Options::pass_through): whether a request is not for this server. Handshakes
/// of protocols that only this server speaks are, even those it refuses.
pub(crate) fn is_foreign(head: &Head, policy: &Policy) -> bool {
    if !is_attempt(head) {
        return !http::is_health_check(head, &policy.options);
    }
    match hybi::later_protocol(head) {
        Ok(Some(LaterProtocol::Version(7 | 8))) | Ok(None) | Err(_) => false,
        // Whoever speaks RFC 6455 also says that it speaks no other version.
        Ok(Some(_)) => !policy.versions.contains(&Version::V13),
    }
}

/// A request that names the WebSocket protocol anywhere is an attempted handshake, however broken.
fn is_attempt(head: &Head) -> bool {
    head.lists("Upgrade", "websocket")
        || head.fields().any(|(name, _)| {
            let lower = name.to_ascii_lowercase();
            lower.starts_with("sec-websocket-") || lower.starts_with("websocket-")
        })
}

/// The numbers from the keys, for a request that has the form of an opening handshake.
fn read(head: &Head) -> Result<Option<(u32, u32)>, Refusal> {
    if head.method() != "GET" {
        return Err(Refusal::Method);
    }
    if head.authority().is_some() || !head.target().starts_with(b"/") {
        return Err(Refusal::ResourceName);
    }
    let upgrade = head.single("Upgrade")?.ok_or(Refusal::Upgrade)?;
    if !trim(upgrade).eq_ignore_ascii_case(b"WebSocket") {
        return Err(Refusal::Upgrade);
    }
    if !head.lists("Connection", "Upgrade") {
        return Err(Refusal::Connection);
    }
    // The fields are found by name, in any order.
    let parts = match (head.single("Sec-WebSocket-Key1")?, head.single("Sec-WebSocket-Key2")?) {
        (Some(key1), Some(key2)) => Some((key_part(key1)?, key_part(key2)?)),
        (None, None) => None,
        _ => return Err(Refusal::OneKey),
    };
    for name in ["Sec-WebSocket-Protocol", "WebSocket-Protocol"] {
        head.single(name)?;
    }
    Ok(parts)
}

/// A proxy treats Content-Length bytes as a body, and anything after them as the next request.
fn check_body(head: &Head, draft: Protocol) -> Result<(), Refusal> {
    let is_coded = head.value("Transfer-Encoding").is_some();
    match http::content_length(head)? {
        None | Some(0) if !is_coded => Ok(()),
        // Some libraries of the time count key3.
        Some(8) if !is_coded && draft == Protocol::Draft76 => Ok(()),
        _ => Err(Refusal::HandshakeBody),
    }
}

/// The opaque string that the client asked for (draft 76 section 1.9). An empty one differs from none.
fn asked_subprotocol(head: &Head, draft: Protocol) -> Option<&[u8]> {
    let plain = head.value("WebSocket-Protocol");
    match draft {
        Protocol::Draft75 => plain,
        // A library of the time asks with draft 75's field name and expects the answer with draft 76's.
        _ => head.value("Sec-WebSocket-Protocol").or(plain),
    }
}

/// The subprotocol at this place of those asked for: a list from hybi-07 on, before that one alone.
pub(crate) fn asked_at(head: &Head, protocol: Protocol, place: usize) -> Option<String> {
    if protocol.is_hybi() {
        hybi::subprotocols(head).get(place).copied().map(String::from)
    } else {
        asked_text(head, protocol)
    }
}

/// The place of a subprotocol that was asked for.
pub(crate) fn place_asked(head: &Head, protocol: Protocol, subprotocol: &str) -> Option<usize> {
    if protocol.is_hybi() {
        hybi::subprotocols(head).iter().position(|asked| *asked == subprotocol)
    } else {
        Some(0)
    }
}

/// The requested subprotocol as text, with U+FFFD for invalid UTF-8.
fn asked_text(head: &Head, draft: Protocol) -> Option<String> {
    asked_subprotocol(head, draft).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}
