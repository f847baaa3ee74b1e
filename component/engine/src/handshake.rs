//! Opening handshakes: which draft, whether it may, and our answer (sections 5.1 and 5.2 of draft 76, 5.1 and
//! 5.2 of draft 75).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::challenge::key_part;
use crate::error::Refusal;
use crate::event::{Draft, Peer};
use crate::head::Head;
use crate::location::{host, host_matches, location};
use crate::options::{Policy, Version};

/// What a client asked for, checked against the policy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// The numbers of draft 76's keys; None is draft 75.
    pub(crate) parts: Option<(u32, u32)>,
}

impl Handshake {
    pub(crate) fn draft(&self) -> Draft {
        if self.parts.is_some() { Draft::Draft76 } else { Draft::Draft75 }
    }
}

/// A protocol newer than ours, by the field that gave it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaterProtocol {
    /// `Sec-WebSocket-Version`: 13 is RFC 6455, 7 and 8 are its late drafts.
    Version(u16),
    /// `Sec-WebSocket-Draft` other than 0: hybi-01 to -03.
    Draft(u16),
    /// One of the fields with no number in it, or a `Sec-WebSocket-Key`.
    Unnamed,
}

impl fmt::Display for LaterProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(13) => f.write_str("RFC 6455 (Sec-WebSocket-Version 13)"),
            Self::Version(version) => write!(f, "a hybi draft (Sec-WebSocket-Version {version})"),
            Self::Draft(draft) => write!(f, "a hybi draft (Sec-WebSocket-Draft {draft})"),
            Self::Unnamed => f.write_str("a later protocol (it sent a field of one)"),
        }
    }
}

/// None: not an opening handshake but plain HTTP.
pub(crate) fn examine(head: &Head, policy: &Policy) -> Result<Option<Handshake>, Refusal> {
    if !is_attempt(head) {
        return Ok(None);
    }
    if let Some(later) = later_protocol(head) {
        return Err(Refusal::LaterProtocol(later));
    }
    let handshake = read(head)?;
    let off = match policy.options.version {
        Version::Auto => false,
        Version::Draft75 => handshake.draft() != Draft::Draft75,
        Version::Draft76 => handshake.draft() != Draft::Draft76,
    };
    if off {
        return Err(Refusal::DraftOff);
    }
    // Draft 75 section 5.2 wants three tokens; draft 76 section 5.1 ignores the rest of the line.
    if handshake.draft() == Draft::Draft75 && head.version() != b"HTTP/1.1" {
        return Err(Refusal::HttpVersion);
    }
    check_policy(head, &handshake, policy)?;
    Ok(Some(handshake))
}

/// Writes the 101 and its fields, blank line included: all of draft 75's answer, all but the last 16 bytes of
/// draft 76's. Clients compare case, and draft 75's also order, byte for byte.
pub(crate) fn write_answer(
    out: &mut Vec<u8>,
    head: &Head,
    peer: &Peer,
    policy: &Policy,
    draft: Draft,
    subprotocol: Option<&[u8]>,
    fields: &[(String, Vec<u8>)],
) {
    let (status, prefix) = match draft {
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
    // Without an Origin in the request the field stays, empty: a client of the time wants it there.
    put(prefix, "WebSocket-Origin", head.value("Origin").unwrap_or_default());
    put(prefix, "WebSocket-Location", &location(head, peer, policy));
    if let Some(subprotocol) = subprotocol {
        put(prefix, "WebSocket-Protocol", subprotocol);
    }
    for (name, value) in fields {
        put("", name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether an application may add a field of this name to our answer.
pub(crate) fn is_free_field(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !matches!(lower.as_str(), "upgrade" | "connection" | "content-length" | "transfer-encoding")
        && !lower.starts_with("websocket-")
        && !lower.starts_with("sec-websocket-")
}

/// A request that names the WebSocket protocol anywhere is an attempt at it, however broken.
fn is_attempt(head: &Head) -> bool {
    head.lists("Upgrade", "websocket")
        || head.fields().any(|(name, _)| {
            let lower = name.to_ascii_lowercase();
            lower.starts_with("sec-websocket-") || lower.starts_with("websocket-")
        })
}

fn later_protocol(head: &Head) -> Option<LaterProtocol> {
    let number = |value: &[u8]| str::from_utf8(value.trim_ascii()).ok()?.parse::<u16>().ok();
    if let Some(version) = head.value("Sec-WebSocket-Version") {
        return Some(number(version).map_or(LaterProtocol::Unnamed, LaterProtocol::Version));
    }
    if let Some(draft) = head.value("Sec-WebSocket-Draft") {
        match number(draft) {
            Some(0) => {}
            other => return Some(other.map_or(LaterProtocol::Unnamed, LaterProtocol::Draft)),
        }
    }
    head.value("Sec-WebSocket-Key").map(|_| LaterProtocol::Unnamed)
}

fn read(head: &Head) -> Result<Handshake, Refusal> {
    if head.method() != "GET" {
        return Err(Refusal::Method);
    }
    if !head.target().starts_with(b"/") {
        return Err(Refusal::ResourceName);
    }
    let upgrade = head.single("Upgrade")?.ok_or(Refusal::Upgrade)?;
    if !upgrade.trim_ascii().eq_ignore_ascii_case(b"WebSocket") {
        return Err(Refusal::Upgrade);
    }
    if !head.lists("Connection", "Upgrade") {
        return Err(Refusal::Connection);
    }
    // By name, in whatever order they came.
    let parts = match (head.single("Sec-WebSocket-Key1")?, head.single("Sec-WebSocket-Key2")?) {
        (Some(key1), Some(key2)) => Some((key_part(key1)?, key_part(key2)?)),
        (None, None) => None,
        _ => return Err(Refusal::OneKey),
    };
    for name in ["Sec-WebSocket-Protocol", "WebSocket-Protocol"] {
        head.single(name)?;
    }
    Ok(Handshake { parts })
}

/// The one opaque string that the client asked for (draft 76 section 1.9). An empty one is not the same as none.
pub(crate) fn asked_subprotocol(head: &Head, draft: Draft) -> Option<&[u8]> {
    let plain = head.value("WebSocket-Protocol");
    match draft {
        // A library of the time asks by the name of draft 75 and wants the answer by that of draft 76.
        Draft::Draft76 => head.value("Sec-WebSocket-Protocol").or(plain),
        Draft::Draft75 => plain,
    }
}

/// The same as text, with U+FFFD for what is not UTF-8.
pub(crate) fn asked_text(head: &Head, draft: Draft) -> Option<String> {
    asked_subprotocol(head, draft).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn check_policy(head: &Head, handshake: &Handshake, policy: &Policy) -> Result<(), Refusal> {
    let options = &policy.options;
    head.single("Host")?;
    let host = host(head, policy).ok_or(Refusal::HostAbsent)?;
    if !allows(&options.hosts, |accepted| host_matches(accepted, host)) {
        return Err(Refusal::HostForeign);
    }
    let origin = head.single("Origin")?;
    let is_origin =
        |accepted: &str| origin.is_some_and(|origin| origin.eq_ignore_ascii_case(accepted.as_bytes()));
    if !allows(&options.origins, is_origin) {
        return Err(if origin.is_some() { Refusal::OriginForeign } else { Refusal::OriginAbsent });
    }
    if let Some(asked) = asked_subprotocol(head, handshake.draft())
        && !allows(&options.subprotocols, |accepted| accepted.as_bytes() == asked)
    {
        return Err(Refusal::Subprotocol);
    }
    Ok(())
}

/// An empty list, or one with a star, allows anything.
fn allows(list: &[String], is_it: impl Fn(&str) -> bool) -> bool {
    list.is_empty() || list.iter().any(|accepted| accepted == "*" || is_it(accepted))
}
