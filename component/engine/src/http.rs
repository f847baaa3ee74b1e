//! Plain HTTP on the same port: enough for a page, a hook and a health check.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{MalformedHead, Misuse, Refusal};
use crate::event::Peer;
use crate::forwarded::Forwarded;
use crate::head::{Head, is_text, trim};
use crate::location::Endpoint;
use crate::options::Options;
use crate::policy::Policy;

/// Checks the request against HTTP's rules beyond syntax, and against the policy.
pub(crate) fn check(head: &Head, peer: &Peer, forwarded: &Forwarded, policy: &Policy) -> Result<(), Refusal> {
    if !matches!(head.version(), b"HTTP/1.1" | b"HTTP/1.0") {
        return Err(Refusal::HttpVersion);
    }
    if head.version() == b"HTTP/1.1" && head.value("Host").is_none() {
        return Err(Refusal::HostAbsent);
    }
    let endpoint = Endpoint::find(head, peer, forwarded, policy.public_url.as_ref())?;
    if is_health_check(head, &policy.options) {
        return Ok(());
    }
    policy.check_request(head, endpoint.as_ref())
}

/// Whether this is a load balancer's health check, answered before the application is asked: for the path in the
/// options, or `OPTIONS /`, HAProxy's default, unless that is passed on. A browser's preflight has an Origin.
pub(crate) fn is_health_check(head: &Head, options: &Options) -> bool {
    let path = head.target().split(|byte| *byte == b'?').next().unwrap_or_default();
    let is_health_path = options.health_path.as_deref().is_some_and(|health| health.as_bytes() == path);
    match head.method() {
        "GET" | "HEAD" => is_health_path,
        "OPTIONS" => {
            let is_default = !options.pass_through && matches!(path, b"/" | b"*");
            (is_health_path || is_default) && head.value("Origin").is_none()
        }
        _ => false,
    }
}

/// Content-Length, saturating.
pub(crate) fn content_length(head: &Head) -> Result<Option<usize>, Refusal> {
    let Some(length) = head.single("Content-Length")? else {
        return Ok(None);
    };
    let digits = str::from_utf8(trim(length)).unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(MalformedHead::ContentLength.into());
    }
    Ok(Some(digits.parse().unwrap_or(usize::MAX)))
}

/// Whether the client waits for `100 Continue` before it sends the body.
pub(crate) fn expects_continue(head: &Head) -> bool {
    head.version() == b"HTTP/1.1" && head.lists("Expect", "100-continue")
}

/// Whether the connection stays open after the response.
pub(crate) fn keeps_alive(head: &Head) -> bool {
    match head.version() {
        b"HTTP/1.0" => head.lists("Connection", "keep-alive"),
        _ => !head.lists("Connection", "close"),
    }
}

/// Writes the response to `head`; the connection ends after it unless `keep` is set.
pub(crate) fn write_response(
    out: &mut Vec<u8>,
    head: &Head,
    keep: bool,
    status: u16,
    fields: &[(String, Vec<u8>)],
    body: &[u8],
) -> Result<(), Misuse> {
    if !(200..=599).contains(&status) {
        return Err(Misuse::Invalid);
    }
    check_fields(fields)?;
    out.extend_from_slice(status_line(status).as_bytes());
    for (name, value) in fields {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    let bodiless = matches!(status, 204 | 304);
    if !bodiless {
        out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    let connection = if keep { "keep-alive" } else { "close" };
    out.extend_from_slice(format!("Connection: {connection}\r\n\r\n").as_bytes());
    if !bodiless && head.method() != "HEAD" {
        out.extend_from_slice(body);
    }
    Ok(())
}

/// The answer to a refused request: status, fields, and the reason as text; the connection ends after it. For shells
/// that refuse a connection before the engine knows of it. The fields are written unchecked.
#[must_use]
pub fn http_refusal(status: u16, fields: &[(&str, &str)], reason: &str) -> Vec<u8> {
    let mut answer = status_line(status);
    for (name, value) in fields {
        answer.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = reason.len().saturating_add(1);
    answer.push_str(&format!(
        "Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{reason}\n"
    ));
    answer.into_bytes()
}

/// The engine's own refusal, with `more` fields that the status calls for.
pub(crate) fn write_refusal(out: &mut Vec<u8>, status: u16, reason: &str, more: &[(&str, &str)]) {
    let allow: &[_] = if status == 405 { &[("Allow", "GET")] } else { &[] };
    out.extend(http_refusal(status, &[allow, more].concat(), reason));
}

/// Fields that an application adds must not break the head or speak for the engine.
pub(crate) fn check_fields(fields: &[(String, Vec<u8>)]) -> Result<(), Misuse> {
    let fine = fields.iter().all(|(name, value)| {
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        plain && is_free_field(name) && is_text(value)
    });
    if fine { Ok(()) } else { Err(Misuse::Invalid) }
}

/// Whether an application may add a field of this name to our answer.
fn is_free_field(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !matches!(lower.as_str(), "upgrade" | "connection" | "content-length" | "transfer-encoding")
        && !lower.starts_with("websocket-")
        && !lower.starts_with("sec-websocket-")
}

fn status_line(status: u16) -> String {
    let reason = match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        // A reason phrase may be empty (RFC 9112 section 4), and is never read.
        _ => "",
    };
    format!("HTTP/1.1 {status} {reason}\r\n")
}
