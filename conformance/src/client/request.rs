//! What the client asked for, and its comparison with the answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use legacy_websocket_trace::Protocol;
use md5::{Digest, Md5};
use sha1::Sha1;

use super::{find, latin1};

/// The client's request, with which it compares the answer.
pub(super) struct Request {
    pub(super) protocol: Protocol,
    origin: Option<String>,
    pub(super) location: Option<String>,
    subprotocol: Option<String>,
    pub(super) answer: Option<Vec<u8>>,
    /// Sec-WebSocket-Key, and what else RFC 6455 asks with.
    key: Option<String>,
    subprotocols: Vec<String>,
    extensions: Vec<String>,
    /// If it asks for one, and that is a number.
    version: Option<u16>,
}

impl Request {
    pub(super) fn read(protocol: Protocol, url: Option<&str>, secure: bool, sent: &[u8]) -> Self {
        let end = find(sent, b"\r\n\r\n").map_or(sent.len(), |end| end + 4);
        let (head, body) = sent.split_at(end);
        let fields = fields(head);
        let first = |name| values(&fields, name).next().map(str::to_owned);
        let given = url.map(|url| match url.strip_prefix("ws://") {
            Some(rest) if secure => format!("wss://{rest}"),
            _ => url.to_owned(),
        });
        let location = given.or_else(|| {
            let target = head.split(|byte| *byte == b' ').nth(1)?;
            let host = first("host")?.trim().to_ascii_lowercase();
            let (scheme, port) = if secure { ("wss", ":443") } else { ("ws", ":80") };
            let host = host.strip_suffix(port).unwrap_or(&host);
            Some(format!("{scheme}://{host}{}", latin1(target)))
        });
        let plain = first("websocket-protocol");
        let subprotocol = match protocol {
            // A library of the time asks with draft 75's field name and expects the answer with draft 76's.
            Protocol::Draft76 => first("sec-websocket-protocol").or(plain),
            _ => plain,
        };
        let keys = [first("sec-websocket-key1"), first("sec-websocket-key2")];
        let answer = match keys {
            [Some(key1), Some(key2)] => {
                number(&key1).zip(number(&key2)).zip(body.get(..8)).map(|((number1, number2), key3)| {
                    let challenge = [&number1.to_be_bytes()[..], &number2.to_be_bytes()[..], key3].concat();
                    Md5::digest(challenge).to_vec()
                })
            }
            _ => None,
        };
        let (subprotocols, extensions) = (
            items(&fields, "sec-websocket-protocol").collect(),
            items(&fields, "sec-websocket-extensions").map(extension).collect(),
        );
        let (origin, key) = (first("origin"), first("sec-websocket-key"));
        let version =
            Some(values(&fields, VERSION).collect::<Vec<_>>()).and_then(|versions| match versions[..] {
                [version] => version.trim().parse().ok(),
                _ => None,
            });
        Self { protocol, origin, location, subprotocol, answer, key, subprotocols, extensions, version }
    }

    /// The client's checks of a 101 (draft 76 section 4.1 steps 28 to 41, draft 75 section 4.1 steps 12 to 23, RFC 6455
    /// section 4.1).
    pub(super) fn faults(&self, head: &[u8], fields: &[(String, String)]) -> Vec<&'static str> {
        let mut faults = Vec::new();
        let mut want = |what, right: bool| {
            if !right {
                faults.push(what);
            }
        };
        let one = |name: &str| {
            let mut values = values(fields, name);
            values.next().filter(|_| values.next().is_none())
        };
        let prefix = match self.protocol {
            Protocol::None => return faults,
            Protocol::Hybi7 | Protocol::Hybi8 | Protocol::Rfc6455 => {
                self.compare(fields, want);
                return faults;
            }
            Protocol::Draft75 => {
                let start = b"HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\n\
                    Connection: Upgrade\r\n";
                want("first lines", head.starts_with(start));
                "websocket-"
            }
            Protocol::Draft76 => {
                want("Upgrade", one("upgrade") == Some("WebSocket"));
                want("Connection", one("connection").is_some_and(|it| it.eq_ignore_ascii_case("upgrade")));
                "sec-websocket-"
            }
        };
        want("fields", fields.iter().all(|(name, _)| !name.is_empty()));
        if let Some(origin) = &self.origin {
            let sent = one(&format!("{prefix}origin"));
            want("origin", sent == Some(origin) || sent == Some(&origin.to_ascii_lowercase()));
        }
        want("location", one(&format!("{prefix}location")) == self.location.as_deref());
        let protocol = format!("{prefix}protocol");
        match &self.subprotocol {
            Some(asked) => want("subprotocol", one(&protocol) == Some(asked)),
            None => want("subprotocol", values(fields, &protocol).next().is_none()),
        }
        faults
    }

    /// As RFC 6455 section 4.1 and hybi-07 section 5.1 want it.
    fn compare(&self, fields: &[(String, String)], mut want: impl FnMut(&'static str, bool)) {
        let one = |name: &str| {
            let mut values = values(fields, name).map(str::trim);
            values.next().filter(|_| values.next().is_none())
        };
        want("Upgrade", one("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")));
        want("Connection", items(fields, "connection").any(|item| item.eq_ignore_ascii_case("upgrade")));
        let accept = self.key.as_deref().map(|key| accept(key.trim()));
        want("Sec-WebSocket-Accept", accept.is_some() && one("sec-websocket-accept") == accept.as_deref());
        let mut extensions = items(fields, "sec-websocket-extensions").map(extension);
        want("Sec-WebSocket-Extensions", extensions.all(|it| self.extensions.contains(&it)));
        let named = values(fields, "sec-websocket-protocol").count();
        let asked =
            one("sec-websocket-protocol").is_some_and(|it| self.subprotocols.iter().any(|asked| asked == it));
        want("Sec-WebSocket-Protocol", named == 0 || asked);
    }

    /// Whether a refusal names the versions that the server speaks (RFC 6455 section 4.4), and the client's is not one
    /// of them: it may try another.
    pub(super) fn names_other_versions(&self, fields: &[(String, String)]) -> bool {
        let Some(asked) = self.version.filter(|_| self.protocol.has_frames()) else { return false };
        let mut named = items(fields, VERSION).filter_map(|item| item.parse::<u16>().ok()).peekable();
        named.peek().is_some() && named.all(|named| named != asked)
    }
}

const VERSION: &str = "sec-websocket-version";

/// What answers a key (RFC 6455 section 4.2.2 step 5.4).
fn accept(key: &str) -> String {
    let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    STANDARD.encode(digest)
}

/// The name of an extension, without its parameters.
fn extension(item: String) -> String {
    item.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Section 4.1 steps 16 to 22, from the client's side: the numbers it encoded.
fn number(key: &str) -> Option<u32> {
    let digits: String = key.chars().filter(char::is_ascii_digit).collect();
    let spaces = key.bytes().filter(|byte| *byte == b' ').count() as u128;
    let number: u128 = digits.parse().ok()?;
    number.checked_rem(spaces).filter(|rest| *rest == 0)?;
    u32::try_from(number / spaces).ok()
}

/// The fields of a head, names in lower case. Each byte becomes the character with the same number, so that none is
/// lost.
pub(super) fn fields(head: &[u8]) -> Vec<(String, String)> {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let value = &line[colon + 1..];
            let value = value.strip_prefix(b" ").unwrap_or(value);
            Some((latin1(&line[..colon]).to_ascii_lowercase(), latin1(value)))
        })
        .collect()
}

pub(super) fn values<'a>(fields: &'a [(String, String)], name: &str) -> impl Iterator<Item = &'a str> {
    fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
}

/// The items of a field that is a list, perhaps in several lines.
fn items(fields: &[(String, String)], name: &str) -> impl Iterator<Item = String> {
    let items = values(fields, name).flat_map(|value| value.split(','));
    items.map(|item| item.trim().to_owned()).filter(|item| !item.is_empty())
}
