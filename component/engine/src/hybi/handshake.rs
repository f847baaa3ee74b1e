//! The opening handshake (RFC 6455 sections 4.2.1 and 4.2.2): what a client asks for, and our answer.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};

use super::version::Version;
use crate::error::{Misuse, Refusal};
use crate::head::{Head, trim};
use crate::http;
use crate::later_protocol::LaterProtocol;

/// Section 1.3: what a server appends to the key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key that encodes 16 bytes: how many it encodes, and how many it has.
const KEY_BYTES: usize = 16;
const KEY_CHARACTERS: usize = 24;

/// What the key of npm's ws encodes in version 8: `8-` and the time in milliseconds. (In version 13 that makes 16.)
const WS_KEY_BYTES: usize = 15;

/// The 20 bytes of a SHA-1 in base64.
const ACCEPT_CHARACTERS: usize = 28;

/// Takes keys whose unused last bits are not 0: clients have the one of section 4.1, `AQIDBAUGBwgJCgsMDQ4PEC==`, which
/// an erratum corrects.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// An opening handshake that has the form of section 4.2.1. Whether its Host, origin and subprotocols are welcome is
/// the caller's to decide. Extensions are ignored: none is ever accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    version: Version,
    /// The value of `Sec-WebSocket-Accept`.
    accept: [u8; ACCEPT_CHARACTERS],
}

impl Handshake {
    /// The opening handshake that a request is, of one of these versions. None: plain HTTP, or a protocol before
    /// hybi-01.
    ///
    /// # Errors
    /// [`Refusal::VersionOff`] for any other version; otherwise what is wrong with it.
    pub fn read(head: &Head, versions: &[Version]) -> Result<Option<Self>, Refusal> {
        let Some(later) = later_protocol(head)? else {
            return Ok(None);
        };
        let of = |number| versions.iter().find(|version| version.number() == number);
        let version = match later {
            LaterProtocol::Version(number) => of(number),
            LaterProtocol::Draft(_) | LaterProtocol::Unnamed => None,
        };
        let version = *version.ok_or(Refusal::VersionOff(later))?;
        check(head)?;
        let key = head.single("Sec-WebSocket-Key")?.map(trim).filter(|key| is_nonce(key, version));
        Ok(Some(Self { version, accept: accept(key.ok_or(Refusal::Nonce)?) }))
    }

    /// Which version the client speaks.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where the page is from, if the client is a browser: `Sec-WebSocket-Origin` in versions 7 and 8, where libraries
    /// send `Origin` as well, which it is in version 13.
    ///
    /// # Errors
    /// [`Refusal::DuplicateField`].
    pub fn origin<'h>(&self, head: &'h Head) -> Result<Option<&'h [u8]>, Refusal> {
        let origin = head.single("Origin")?;
        match self.version {
            Version::V7 | Version::V8 => Ok(head.single("Sec-WebSocket-Origin")?.or(origin)),
            Version::V13 => Ok(origin),
        }
    }

    /// The subprotocols that the client asks for, the one it likes best first (section 1.9).
    pub fn subprotocols<'h>(&self, head: &'h Head) -> impl Iterator<Item = &'h str> {
        subprotocols(head).into_iter()
    }

    /// Appends the 101 (section 4.2.2). `subprotocol` is one of those asked for, or none; `fields` may add some, such
    /// as Set-Cookie.
    ///
    /// # Errors
    /// [`Misuse::Invalid`], with nothing written: a subprotocol that was not asked for, a field that breaks the head,
    /// one of the handshake's own.
    pub fn write_answer(
        &self,
        head: &Head,
        subprotocol: Option<&str>,
        fields: &[(String, Vec<u8>)],
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        http::check_fields(fields)?;
        if subprotocol.is_some_and(|chosen| self.subprotocols(head).all(|asked| asked != chosen)) {
            return Err(Misuse::Invalid);
        }
        let mut put = |name: &str, value: &[u8]| {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                out.extend_from_slice(part);
            }
        };
        put("HTTP/1.1 101 Switching Protocols\r\nUpgrade", b"websocket");
        put("Connection", b"Upgrade");
        put("Sec-WebSocket-Accept", &self.accept);
        if let Some(subprotocol) = subprotocol {
            put("Sec-WebSocket-Protocol", subprotocol.as_bytes());
        }
        for (name, value) in fields {
            put(name, value);
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }
}

/// A list, because each use of a lazy one is a kilobyte of the component.
pub(crate) fn subprotocols(head: &Head) -> Vec<&str> {
    let items = head.values("Sec-WebSocket-Protocol").flat_map(|value| value.split(|byte| *byte == b','));
    let items = items.filter_map(|item| str::from_utf8(trim(item)).ok());
    items.filter(|item| !item.is_empty() && item.bytes().all(|byte| byte.is_ascii_graphic())).collect()
}

/// Appends the HTTP answer to a refused opening handshake: status and reason. One of another version is told which of
/// these it may try (section 4.4).
pub fn write_refusal(refusal: Refusal, versions: &[Version], out: &mut Vec<u8>) {
    let numbers = version_numbers(versions);
    let more = match refusal {
        Refusal::VersionOff(_) => upgrade_fields(&numbers),
        _ => Vec::new(),
    };
    http::write_refusal(out, refusal.status(), &refusal.to_string(), &more);
}

/// The fields of a 426 with the numbers of the versions that are on; with none, as the hixie drafts spell it.
pub(crate) fn upgrade_fields(numbers: &str) -> Vec<(&'static str, &str)> {
    if numbers.is_empty() {
        return vec![("Upgrade", "WebSocket")];
    }
    vec![("Upgrade", "websocket"), ("Sec-WebSocket-Version", numbers)]
}

/// The numbers of the versions that are on, separated by commas.
pub(crate) fn version_numbers(versions: &[Version]) -> String {
    let on = Version::ALL.into_iter().filter(|version| versions.contains(version));
    on.map(|version| version.number().to_string()).collect::<Vec<_>>().join(", ")
}

/// The protocol after draft 76 that a request asks for, by the fields that only later ones have.
pub(crate) fn later_protocol(head: &Head) -> Result<Option<LaterProtocol>, Refusal> {
    // As in the ABNF of section 4.3: neither a sign nor a leading zero.
    let number = |value: &[u8]| {
        let number = str::from_utf8(trim(value)).ok()?.parse::<u16>().ok()?;
        (number.to_string().as_bytes() == trim(value)).then_some(number)
    };
    if let Some(version) = head.value("Sec-WebSocket-Version") {
        return Ok(Some(number(version).map_or(LaterProtocol::Unnamed, LaterProtocol::Version)));
    }
    let has_keys = head.value("Sec-WebSocket-Key1").is_some() && head.value("Sec-WebSocket-Key2").is_some();
    match head.single("Sec-WebSocket-Draft")?.map(number) {
        None | Some(Some(0)) => {}
        // These clients announce hybi-01 to -03, but send draft 76's frames.
        Some(Some(1..=3)) if has_keys => {}
        Some(other) => return Ok(Some(other.map_or(LaterProtocol::Unnamed, LaterProtocol::Draft))),
    }
    Ok(head.value("Sec-WebSocket-Key").map(|_| LaterProtocol::Unnamed))
}

/// What a request of any version needs, beyond its key.
fn check(head: &Head) -> Result<(), Refusal> {
    if head.method() != "GET" {
        return Err(Refusal::Method);
    }
    if !is_http_1_1_or_higher(head.version()) {
        return Err(Refusal::HttpVersion);
    }
    if !head.target().starts_with(b"/") {
        return Err(Refusal::ResourceName);
    }
    if head.single("Host")?.is_none_or(|host| trim(host).is_empty()) {
        return Err(Refusal::HostAbsent);
    }
    if !head.lists("Upgrade", "websocket") {
        return Err(Refusal::Upgrade);
    }
    if !head.lists("Connection", "Upgrade") {
        return Err(Refusal::Connection);
    }
    head.single("Sec-WebSocket-Version")?;
    // A proxy treats what Content-Length counts as a body, and what follows it as the next request.
    match http::content_length(head)? {
        None | Some(0) if head.value("Transfer-Encoding").is_none() => Ok(()),
        _ => Err(Refusal::HandshakeBody),
    }
}

/// A major and a minor digit (RFC 9112 section 2.3).
fn is_http_1_1_or_higher(version: &[u8]) -> bool {
    match version.strip_prefix(b"HTTP/") {
        Some([major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9']) => [*major, *minor] >= *b"11",
        _ => false,
    }
}

fn is_nonce(key: &[u8], version: Version) -> bool {
    let mut nonce = [0; KEY_CHARACTERS];
    match BASE64.decode_slice(key, &mut nonce) {
        Ok(KEY_BYTES) => true,
        Ok(WS_KEY_BYTES) => version != Version::V13,
        _ => false,
    }
}

fn accept(key: &[u8]) -> [u8; ACCEPT_CHARACTERS] {
    let mut accept = [0; ACCEPT_CHARACTERS];
    // As long as what is written to it.
    let _ = BASE64.encode_slice(Sha1::new().chain_update(key).chain_update(GUID).finalize(), &mut accept);
    accept
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::options::Limits;

    const START: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\n";
    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";

    fn head(text: &str) -> Head {
        Head::parse(&mut format!("{text}\r\n").as_bytes(), &Limits::default()).unwrap().unwrap()
    }

    fn read(text: &str) -> Result<Option<Version>, Refusal> {
        let handshake = Handshake::read(&head(text), &Version::ALL)?;
        Ok(handshake.map(|handshake| handshake.version()))
    }

    fn with(fields: &str) -> Head {
        head(&format!("{START}{KEY}{fields}"))
    }

    fn answer(
        head: &Head,
        subprotocol: Option<&str>,
        fields: &[(String, Vec<u8>)],
    ) -> Result<String, Misuse> {
        let handshake = Handshake::read(head, &Version::ALL).unwrap().unwrap();
        let mut out = Vec::new();
        handshake.write_answer(head, subprotocol, fields, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_rfcs_example() {
        let head = with(
            "Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n",
        );
        assert_eq!(
            answer(&head, Some("chat"), &[]).unwrap(),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
        );
    }

    #[test]
    fn an_answer_has_a_subprotocol_that_was_asked_for_and_free_fields() {
        let head = with(&format!("Sec-WebSocket-Extensions: permessage-deflate\r\n{VERSION}"));
        let cookie = (String::from("Set-Cookie"), Vec::from("a=b"));
        assert_eq!(
            answer(&head, None, &[cookie]).unwrap(),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: a=b\r\n\r\n"
        );
        assert_eq!(answer(&head, Some("chat"), &[]), Err(Misuse::Invalid));
        for name in ["Upgrade", "Sec-WebSocket-Accept", "sec-websocket-extensions", "a b"] {
            assert_eq!(answer(&head, None, &[(name.into(), Vec::new())]), Err(Misuse::Invalid));
        }
    }

    #[test]
    fn a_request_of_each_version_is_recognised_and_others_are_not() {
        for version in Version::ALL {
            let text = format!("{START}{KEY}Sec-WebSocket-Version: {}\r\n", version.number());
            assert_eq!(read(&text), Ok(Some(version)));
            let others: Vec<_> = Version::ALL.into_iter().filter(|other| *other != version).collect();
            let off = Refusal::VersionOff(LaterProtocol::Version(version.number()));
            assert_eq!(Handshake::read(&head(&text), &others), Err(off));
        }
        for (fields, later) in [
            ("Sec-WebSocket-Version: 6\r\n", LaterProtocol::Version(6)),
            ("Sec-WebSocket-Version: 14\r\n", LaterProtocol::Version(14)),
            ("Sec-WebSocket-Version: \r\n", LaterProtocol::Unnamed),
            ("Sec-WebSocket-Draft: 4\r\n", LaterProtocol::Draft(4)),
            ("", LaterProtocol::Unnamed),
        ] {
            assert_eq!(read(&format!("{START}{KEY}{fields}")), Err(Refusal::VersionOff(later)), "{fields}");
        }
        assert_eq!(read("GET / HTTP/1.1\r\nHost: a\r\n"), Ok(None));
        assert_eq!(read(&format!("{START}Sec-WebSocket-Key1: 1 2\r\nSec-WebSocket-Key2: 1 2\r\n")), Ok(None));
    }

    #[test]
    fn each_requirement_has_its_own_refusal() {
        let whole = format!("{START}{KEY}{VERSION}");
        for (from, to, why) in [
            ("GET", "POST", Refusal::Method),
            ("HTTP/1.1", "HTTP/1.0", Refusal::HttpVersion),
            ("HTTP/1.1", "HTTP/1.1x", Refusal::HttpVersion),
            ("/chat", "*", Refusal::ResourceName),
            ("Host: server.example.com\r\n", "", Refusal::HostAbsent),
            ("Host: server.example.com\r\n", "Host: \r\n", Refusal::HostAbsent),
            ("Host: ", "Host: a\r\nHost: ", Refusal::DuplicateField),
            ("Upgrade: websocket", "Upgrade: h2c", Refusal::Upgrade),
            ("Connection: Upgrade", "Connection: keep-alive", Refusal::Connection),
            (KEY, "", Refusal::Nonce),
            (KEY, &KEY.repeat(2), Refusal::DuplicateField),
            (VERSION, &VERSION.repeat(2), Refusal::DuplicateField),
            (VERSION, "Sec-WebSocket-Version: 13\r\nContent-Length: 1\r\n", Refusal::HandshakeBody),
            (VERSION, "Sec-WebSocket-Version: 13\r\nTransfer-Encoding: chunked\r\n", Refusal::HandshakeBody),
        ] {
            assert_eq!(read(&whole.replacen(from, to, 1)), Err(why), "{from} {to}");
        }
        for (from, to) in [
            ("HTTP/1.1", "HTTP/1.2"),
            ("/chat", "http://server.example.com/chat"),
            ("Upgrade: websocket", "Upgrade: h2c, WebSocket"),
            ("Connection: Upgrade", "Connection: keep-alive, upgrade"),
            (VERSION, "Sec-WebSocket-Version: 13\r\nContent-Length: 0\r\n"),
        ] {
            assert_eq!(read(&whole.replacen(from, to, 1)), Ok(Some(Version::V13)), "{from} {to}");
        }
    }

    #[test]
    fn a_key_encodes_16_bytes() {
        for key in ["dGhlIHNhbXBsZSBub25jZQ==", "AQIDBAUGBwgJCgsMDQ4PEC==", "+/+/+/+/+/+/+/+/+/+/+w=="] {
            let text = format!("{START}Sec-WebSocket-Key: \t{key} \r\n{VERSION}");
            assert_eq!(read(&text), Ok(Some(Version::V13)), "{key}");
        }
        for key in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQA=",
            "dGhlIHNhbXBsZSBub25jZQAA",
            "dGhlIHNhbXBsZSBub25j",
            "dGhlIHNhbXBsZSBub25jZQ==AAAA",
            "dGhlIHNhbXBsZSBub2 jZQ==",
            "-_-_-_-_-_-_-_-_-_-_-w==",
            "========================",
        ] {
            let text = format!("{START}Sec-WebSocket-Key: {key}\r\n{VERSION}");
            assert_eq!(read(&text), Err(Refusal::Nonce), "{key}");
        }
    }

    #[test]
    fn a_key_of_npm_ws_encodes_15_bytes_before_version_13() {
        let read = |key, version| {
            read(&format!("{START}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: {version}\r\n"))
        };
        let key = "OC0xNzk1ODY5Mjk3ODU3";
        assert_eq!(read(key, 8), Ok(Some(Version::V8)));
        assert_eq!(read(key, 7), Ok(Some(Version::V7)));
        assert_eq!(read(key, 13), Err(Refusal::Nonce));
        for key in [
            "OC0xNzk1ODY5Mjk3ODU=",
            "OC0xNzk1ODY5Mjk3ODU3MTIz",
            "OC0xNzk1ODY5Mjk3ODU3MTIzMTIzMTIzMTIzMTIzMTIz",
        ] {
            assert_eq!(read(key, 8), Err(Refusal::Nonce), "{key}");
        }
    }

    #[test]
    fn the_origin_has_another_name_before_version_13() {
        for (version, fields, origin) in [
            (13, "Origin: a\r\nSec-WebSocket-Origin: b\r\n", Ok(Some(&b"a"[..]))),
            (13, "Sec-WebSocket-Origin: b\r\n", Ok(None)),
            (8, "Origin: a\r\nSec-WebSocket-Origin: b\r\n", Ok(Some(b"b"))),
            (7, "Sec-WebSocket-Origin: b\r\n", Ok(Some(b"b"))),
            (8, "Origin: a\r\n", Ok(Some(b"a"))),
            (8, "", Ok(None)),
            (8, "Sec-WebSocket-Origin: b\r\nSec-WebSocket-Origin: b\r\n", Err(Refusal::DuplicateField)),
            (13, "Origin: a\r\nOrigin: a\r\n", Err(Refusal::DuplicateField)),
        ] {
            let head = with(&format!("Sec-WebSocket-Version: {version}\r\n{fields}"));
            let handshake = Handshake::read(&head, &Version::ALL).unwrap().unwrap();
            assert_eq!(handshake.origin(&head), origin, "{version} {fields}");
        }
    }

    #[test]
    fn subprotocols_come_in_order_from_all_fields() {
        let head = with(&format!(
            "Sec-WebSocket-Protocol: a ,,b c,\x01\r\n{VERSION}sec-websocket-protocol:\td\r\nSec-WebSocket-Protocol: \r\n"
        ));
        let handshake = Handshake::read(&head, &Version::ALL).unwrap().unwrap();
        assert_eq!(handshake.subprotocols(&head).collect::<Vec<_>>(), ["a", "d"]);
    }

    #[test]
    fn a_refusal_names_the_versions_that_are_on() {
        let mut out = Vec::new();
        write_refusal(Refusal::VersionOff(LaterProtocol::Version(6)), &[Version::V7, Version::V13], &mut out);
        assert_eq!(
            str::from_utf8(&out).unwrap(),
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13, 7\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: 66\r\nConnection: close\r\n\r\n\
             this server does not speak a hybi draft (Sec-WebSocket-Version 6)\n"
        );
        out.clear();
        write_refusal(Refusal::Nonce, &Version::ALL, &mut out);
        assert!(out.starts_with(b"HTTP/1.1 400 Bad Request\r\nContent-Type"));
    }
}
