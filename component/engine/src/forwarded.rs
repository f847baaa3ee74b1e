//! What a trusted proxy says about the client's own request: the `X-Forwarded-…` fields, and `Forwarded` (RFC 7239).

use alloc::vec::Vec;

use crate::authority::parse_port;
use crate::error::Refusal;
use crate::head::{Head, trim};

/// What the nearest proxy reports of the client's request; `None` for anything it does not report.
///
/// A [`Server`](crate::Server) with [`Options::trust_forwarded`](crate::Options::trust_forwarded) reads it itself; it is
/// public for shells that answer requests themselves ([`Options::pass_through`](crate::Options::pass_through)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forwarded {
    /// The client's address.
    pub address: Option<Vec<u8>>,
    /// Whether the client connected over TLS.
    pub secure: Option<bool>,
    /// The Host that the client sent.
    pub host: Option<Vec<u8>>,
    /// The port that the client connected to.
    pub port: Option<u16>,
}

/// Field names beside `X-Forwarded-*`.
const FIELDS: [&str; 6] =
    ["forwarded", "x-real-ip", "x-client-ip", "true-client-ip", "x-original-url", "x-rewrite-url"];

impl Forwarded {
    /// Whether a server may take a field of this name for what a proxy reports about a client or its request:
    /// `Forwarded`, `X-Forwarded-*`, and fields that some servers read in their place. `_` counts as `-`, as in CGI. Such
    /// fields must not come from clients.
    #[must_use]
    pub fn is_field(name: &str) -> bool {
        let normal = || name.bytes().map(|byte| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() });
        let prefix = "x-forwarded-";
        normal().take(prefix.len()).eq(prefix.bytes())
            || FIELDS.iter().any(|field| normal().eq(field.bytes()))
    }

    /// Reads it from a head. `last` gives the value of the last field with a name, which is in lower case. Call it only
    /// if such fields are trusted.
    ///
    /// Each `X-Forwarded-…` field takes precedence over its parameter in `Forwarded`, and `X-Forwarded-Proto` over
    /// `X-Forwarded-Ssl`. The last value of each field is used, because a proxy appends to what the client sent.
    ///
    /// # Errors
    /// [`Refusal::Forwarded`] names the field that is not valid.
    pub fn read<'a>(last: &dyn Fn(&'static str) -> Option<&'a [u8]>) -> Result<Self, Refusal> {
        let item = |name| last(name).and_then(last_item);
        let scheme = item("x-forwarded-proto").map(is_secure_scheme);
        let port = match item("x-forwarded-port") {
            Some(digits) => parse_port(digits).ok_or(Refusal::Forwarded("X-Forwarded-Port"))?,
            None => None,
        };
        let mut forwarded = Self {
            address: item("x-forwarded-for").map(Into::into),
            secure: scheme.or_else(|| item("x-forwarded-ssl").map(|value| value.eq_ignore_ascii_case(b"on"))),
            host: item("x-forwarded-host").map(Into::into),
            port,
        };
        if let Some(line) = last("forwarded") {
            forwarded.add_standard(line)?;
        }
        Ok(forwarded)
    }

    pub(crate) fn of_head(head: &Head) -> Result<Self, Refusal> {
        Self::read(&|name| head.values(name).last())
    }

    /// Fills the gaps from `Forwarded`.
    fn add_standard(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let nearest = split_unquoted(line, b',').last().unwrap_or_default();
        for parameter in split_unquoted(nearest, b';').map(trim).filter(|parameter| !parameter.is_empty()) {
            let (name, value) = memchr::memchr(b'=', parameter)
                .and_then(|equals| parameter.split_at_checked(equals))
                .ok_or(Refusal::Forwarded("Forwarded"))?;
            let value = value.get(1..).and_then(unquote).ok_or(Refusal::Forwarded("Forwarded"))?;
            if value.is_empty() {
                continue;
            }
            match name.to_ascii_lowercase().as_slice() {
                b"for" => self.address = self.address.take().or(Some(value)),
                b"proto" => self.secure = self.secure.or_else(|| Some(is_secure_scheme(&value))),
                b"host" => self.host = self.host.take().or(Some(value)),
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_secure_scheme(scheme: &[u8]) -> bool {
    scheme.eq_ignore_ascii_case(b"https") || scheme.eq_ignore_ascii_case(b"wss")
}

/// The last item of a comma-separated list, if it is not empty.
fn last_item(list: &[u8]) -> Option<&[u8]> {
    list.rsplit(|byte| *byte == b',').next().map(trim).filter(|value| !value.is_empty())
}

/// The parts between separators outside quoted strings.
fn split_unquoted(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => return *byte == separator && !quoted,
        }
        false
    })
}

/// A token unchanged (even if it should have been quoted), or a quoted string without quotes and escapes.
fn unquote(value: &[u8]) -> Option<Vec<u8>> {
    let Some(mut rest) = value.strip_prefix(b"\"") else {
        return (!value.contains(&b'"')).then(|| value.into());
    };
    let mut text = Vec::new();
    loop {
        match rest {
            [b'"'] => return Some(text),
            [b'"', ..] | [] => return None,
            [b'\\', byte, more @ ..] | [byte, more @ ..] => {
                text.push(*byte);
                rest = more;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::HeadReader;
    use crate::options::Limits;

    fn read(fields: &str) -> Result<Forwarded, Refusal> {
        let raw = alloc::format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n");
        let head = HeadReader::default().read(&mut raw.as_bytes(), &Limits::default(), usize::MAX);
        Forwarded::of_head(&head.unwrap().unwrap())
    }

    fn forwarded(address: &str, secure: Option<bool>, host: &str, port: Option<u16>) -> Forwarded {
        let some = |text: &str| (!text.is_empty()).then(|| text.into());
        Forwarded { address: some(address), secure, host: some(host), port }
    }

    #[test]
    fn the_last_value_of_each_field_is_used() {
        let fields = "X-Forwarded-For: spoofed, 192.0.2.1\r\nX-Forwarded-Proto: http, HTTPS\r\n\
            X-Forwarded-Host: spoofed\r\nX-Forwarded-Host: outer\r\nX-Forwarded-Port: 80, 8443";
        assert_eq!(read(fields), Ok(forwarded("192.0.2.1", Some(true), "outer", Some(8443))));
        assert_eq!(read("X-Forwarded-Ssl: On"), Ok(forwarded("", Some(true), "", None)));
        assert_eq!(read("X-Forwarded-Ssl: off"), Ok(forwarded("", Some(false), "", None)));
        let both = "X-Forwarded-Ssl: on\r\nX-Forwarded-Proto: http";
        assert_eq!(read(both), Ok(forwarded("", Some(false), "", None)));
        assert_eq!(read("X-Forwarded-Port: 0x50"), Err(Refusal::Forwarded("X-Forwarded-Port")));
    }

    #[test]
    fn fields_are_known_however_they_are_spelt() {
        for name in ["Forwarded", "x-forwarded-anything", "X_Forwarded_For", "X-REAL_IP"] {
            assert!(Forwarded::is_field(name), "{name}");
        }
        for name in ["Host", "X-Forwarded", "Forwarded-For", "X-Real-IP-2", ""] {
            assert!(!Forwarded::is_field(name), "{name}");
        }
    }

    #[test]
    fn the_last_element_of_forwarded_is_used() {
        for (value, expected) in [
            ("for=192.0.2.1;proto=https;host=outer", forwarded("192.0.2.1", Some(true), "outer", None)),
            ("for=a;host=a, For=\"[2001:db8::1]:47\" ; by=b", forwarded("[2001:db8::1]:47", None, "", None)),
            (r#"host="a,b;c\"d", Proto=http"#, forwarded("", Some(false), "", None)),
            (r#"host="o\ut\\er""#, forwarded("", None, "out\\er", None)),
            ("host=outer:8000;;", forwarded("", None, "outer:8000", None)),
            ("", Forwarded::default()),
        ] {
            assert_eq!(read(&alloc::format!("Forwarded: {value}")), Ok(expected), "{value}");
        }
    }

    #[test]
    fn an_unterminated_quote_hides_nothing() {
        for value in ["for=\"spoofed, for=192.0.2.1", "for=a\"b", "for=\"a\"b", "for=\"a\\", "for"] {
            let refusal = Err(Refusal::Forwarded("Forwarded"));
            assert_eq!(read(&alloc::format!("Forwarded: {value}")), refusal, "{value}");
        }
    }

    #[test]
    fn a_dedicated_field_takes_precedence_over_the_parameter() {
        let fields = "Forwarded: for=b;host=b;proto=https\r\nX-Forwarded-For: a\r\nX-Forwarded-Proto: http";
        assert_eq!(read(fields), Ok(forwarded("a", Some(false), "b", None)));
    }
}
