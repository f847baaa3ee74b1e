//! Opening handshakes: which draft, whether it is allowed, and our answer (sections 5.1 and 5.2 of draft 76, 5.1 and
//! 5.2 of draft 75).

use alloc::string::String;
use alloc::vec::Vec;

use crate::challenge::key_part;
use crate::error::Refusal;
use crate::event::{Draft, Peer};
use crate::forwarded::Forwarded;
use crate::head::{Head, trim};
use crate::http;
use crate::hybi::handshake::later_protocol;
use crate::location::{Endpoint, location};
use crate::options::Version;
use crate::policy::Policy;

/// What a client asked for, checked against the policy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// The numbers from draft 76's keys; `None` in draft 75.
    pub(crate) parts: Option<(u32, u32)>,
    /// The URL named in our answer.
    location: Vec<u8>,
}

impl Handshake {
    pub(crate) fn draft(&self) -> Draft {
        draft(self.parts)
    }

    /// Writes the 101 and its fields, blank line included: all of draft 75's answer, all but the last 16 bytes of
    /// draft 76's. Clients compare case, and draft 75's also order, byte for byte.
    pub(crate) fn write_answer(
        &self,
        out: &mut Vec<u8>,
        head: &Head,
        subprotocol: Option<&[u8]>,
        fields: &[(String, Vec<u8>)],
    ) {
        let (status, prefix) = match self.draft() {
            Draft::Draft75 => ("HTTP/1.1 101 Web Socket Protocol Handshake\r\n", ""),
            Draft::Draft76 => ("HTTP/1.1 101 WebSocket Protocol Handshake\r\n", "Sec-"),
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
        put(prefix, "WebSocket-Location", &self.location);
        if let Some(subprotocol) = subprotocol {
            put(prefix, "WebSocket-Protocol", subprotocol);
        }
        for (name, value) in fields {
            put("", name, value);
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn draft(parts: Option<(u32, u32)>) -> Draft {
    if parts.is_some() { Draft::Draft76 } else { Draft::Draft75 }
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
    if let Some(later) = later_protocol(head)? {
        return Err(Refusal::LaterProtocol(later));
    }
    let parts = read(head)?;
    let draft = draft(parts);
    let off = match policy.options.version {
        Version::Auto => false,
        Version::Draft75 => draft != Draft::Draft75,
        Version::Draft76 => draft != Draft::Draft76,
    };
    if off {
        return Err(Refusal::DraftOff);
    }
    // Draft 75 section 5.2 requires three tokens; draft 76 section 5.1 ignores the rest of the line.
    if draft == Draft::Draft75 && head.version() != b"HTTP/1.1" {
        return Err(Refusal::HttpVersion);
    }
    check_body(head, draft)?;
    let endpoint =
        Endpoint::find(head, peer, forwarded, policy.public_url.as_ref())?.ok_or(Refusal::HostAbsent)?;
    policy.check_host(&endpoint)?;
    policy.check_origin(head)?;
    if let Some(asked) = asked_subprotocol(head, draft) {
        policy.check_subprotocol(asked)?;
    }
    Ok(Some(Handshake { parts, location: location(head, &endpoint, policy.public_url.as_ref()) }))
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
fn check_body(head: &Head, draft: Draft) -> Result<(), Refusal> {
    let is_coded = head.value("Transfer-Encoding").is_some();
    match http::content_length(head)? {
        None | Some(0) if !is_coded => Ok(()),
        // Some libraries of the time count key3.
        Some(8) if !is_coded && draft == Draft::Draft76 => Ok(()),
        _ => Err(Refusal::HandshakeBody),
    }
}

/// The opaque string that the client asked for (draft 76 section 1.9). An empty one differs from none.
pub(crate) fn asked_subprotocol(head: &Head, draft: Draft) -> Option<&[u8]> {
    let plain = head.value("WebSocket-Protocol");
    match draft {
        // A library of the time asks with draft 75's field name and expects the answer with draft 76's.
        Draft::Draft76 => head.value("Sec-WebSocket-Protocol").or(plain),
        Draft::Draft75 => plain,
    }
}

/// The requested subprotocol as text, with U+FFFD for invalid UTF-8.
pub(crate) fn asked_text(head: &Head, draft: Draft) -> Option<String> {
    asked_subprotocol(head, draft).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}
