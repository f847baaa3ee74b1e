//! The head of a request as text: path, query, cookies, fields.

use std::borrow::Cow;

use form_urlencoded::Parse;
use percent_encoding::percent_decode;

use crate::{Connected, Field, Handshake, Request, RequestHead};

/// For applications. Bytes that are not UTF-8, which browsers of the time did send, become U+FFFD; the bytes themselves
/// are in [`target`](RequestHead::target) and [`fields`](RequestHead::fields).
impl RequestHead {
    /// The target without its query, percent-decoded: `/caf%C3%A9` and `/café` are the same path. `%2F`, `%3F`
    /// and `%0D%0A` are decoded, too: a redirect to the same place starts from [`target`](RequestHead::target) instead.
    #[must_use]
    pub fn path(&self) -> Cow<'_, str> {
        percent_decode(self.split_target().0).decode_utf8_lossy()
    }

    /// The query as it was sent: what follows the first `?` of the target.
    #[must_use]
    pub fn query(&self) -> Option<Cow<'_, str>> {
        self.split_target().1.map(String::from_utf8_lossy)
    }

    /// The query's names and values, decoded as `application/x-www-form-urlencoded`: `+` is a space.
    #[must_use]
    pub fn query_pairs(&self) -> Parse<'_> {
        form_urlencoded::parse(self.split_target().1.unwrap_or_default())
    }

    /// The value of the first pair of the query with that name, decoded.
    #[must_use]
    pub fn query_param(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// The names and values of the cookies (RFC 6265 section 4.2.1), as they were sent: nothing is decoded, and quotes
    /// are a part of the value.
    pub fn cookies(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        let lists = self.fields_named("Cookie").map(|field| field.value.split(|byte| *byte == b';'));
        lists.flatten().filter_map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (pair.get(..at)?, pair.get(at + 1..)?);
            Some((text(name.trim_ascii()), text(value.trim_ascii())))
        })
    }

    /// The value of the first cookie with that name, compared exactly.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<Cow<'_, str>> {
        self.cookies().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// The value of the first field with that name, in any case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        self.field_bytes(name).map(text)
    }

    /// Where the page is from, if the client is a browser: `Origin`, or `Sec-WebSocket-Origin` in versions 7 and 8 of
    /// hybi, where libraries send `Origin` as well.
    #[must_use]
    pub fn origin(&self) -> Option<Cow<'_, str>> {
        let is_hybi =
            matches!(self.field_bytes("Sec-WebSocket-Version").map(<[u8]>::trim_ascii), Some(b"7" | b"8"));
        let of_hybi = self.field("Sec-WebSocket-Origin").filter(|_| is_hybi);
        of_hybi.or_else(|| self.field("Origin"))
    }

    /// The value of the first field with that name, in any case, as it was sent.
    #[must_use]
    pub fn field_bytes(&self, name: &str) -> Option<&[u8]> {
        self.fields_named(name).next().map(|field| &*field.value)
    }

    /// All fields with that name, in any case, in the order in which they were sent.
    pub fn fields_named(&self, name: &str) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name))
    }

    fn split_target(&self) -> (&[u8], Option<&[u8]>) {
        let mut parts = self.target.splitn(2, |byte| *byte == b'?');
        (parts.next().unwrap_or_default(), parts.next())
    }
}

/// The head's methods on the events that have a head.
macro_rules! with_head {
    ($($event:ident)*) => {
        $(impl $event {
            /// [`RequestHead::path`].
            #[must_use]
            pub fn path(&self) -> Cow<'_, str> {
                self.head.path()
            }

            /// [`RequestHead::query_param`].
            #[must_use]
            pub fn query_param(&self, name: &str) -> Option<Cow<'_, str>> {
                self.head.query_param(name)
            }

            /// [`RequestHead::cookie`].
            #[must_use]
            pub fn cookie(&self, name: &str) -> Option<Cow<'_, str>> {
                self.head.cookie(name)
            }

            /// [`RequestHead::field`].
            #[must_use]
            pub fn field(&self, name: &str) -> Option<Cow<'_, str>> {
                self.head.field(name)
            }

            /// [`RequestHead::origin`].
            #[must_use]
            pub fn origin(&self) -> Option<Cow<'_, str>> {
                self.head.origin()
            }
        })*
    };
}

with_head!(Handshake Connected Request);

impl Request {
    /// The method: `GET`, `POST`.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.head.method
    }
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: impl Into<Vec<u8>>) -> RequestHead {
        RequestHead { method: "GET".into(), target: target.into(), fields: Vec::new() }
    }

    #[test]
    fn a_path_is_decoded_and_has_no_query() {
        assert_eq!(head("/x?y").path(), "/x");
        assert_eq!(head("/caf%C3%A9%2").path(), "/caf\u{e9}%2");
        assert_eq!(head("/caf\u{e9}").path(), "/caf\u{e9}");
        assert_eq!(head(&b"/\xff"[..]).path(), "/\u{fffd}");
        assert_eq!(head("").path(), "");
        assert!(matches!(head("/plain").path(), Cow::Borrowed(_)));
    }

    #[test]
    fn a_query_is_raw_or_in_pairs() {
        let head = head("/?room=a+b&name=%C3%A9&flag&room=c?d");
        assert_eq!(head.query().as_deref(), Some("room=a+b&name=%C3%A9&flag&room=c?d"));
        assert_eq!(head.query_param("room").as_deref(), Some("a b"));
        assert_eq!(head.query_param("flag").as_deref(), Some(""));
        assert_eq!(head.query_param("none"), None);
        let names: Vec<_> = head.query_pairs().map(|(name, _)| name).collect();
        assert_eq!(names, ["room", "name", "flag", "room"]);
        assert_eq!(self::head("/x").query(), None);
        assert_eq!(self::head("/x?").query().as_deref(), Some(""));
    }

    #[test]
    fn cookies_come_from_all_their_fields() {
        let mut head = head("/");
        assert_eq!(head.cookie("a"), None);
        for (name, value) in [("Cookie", &b"a=1; b = \"x=y\" ;c;=d"[..]), ("cookie", b"a=2;e=\xff")] {
            head.fields.push(Field { name: name.into(), value: value.into() });
        }
        let cookies: Vec<_> = head.cookies().map(|(name, value)| format!("{name}:{value}")).collect();
        assert_eq!(cookies, ["a:1", "b:\"x=y\"", ":d", "a:2", "e:\u{fffd}"]);
        assert_eq!(head.cookie("a").as_deref(), Some("1"));
        assert_eq!(head.cookie("A"), None);
    }

    #[test]
    fn field_names_are_case_insensitive() {
        let mut head = head("/");
        for value in ["example.com", "second"] {
            head.fields.push(Field { name: "hOST".into(), value: value.into() });
        }
        assert_eq!(head.field("Host").as_deref(), Some("example.com"));
        assert_eq!(head.field_bytes("Host"), Some(&b"example.com"[..]));
        assert_eq!(head.fields_named("Host").count(), 2);
        assert_eq!(head.field("Origin"), None);
    }

    #[test]
    fn an_origin_has_another_name_in_versions_7_and_8() {
        let origin = |fields: &[(&str, &str)]| {
            let with = |head: RequestHead, (name, value): &(&str, &str)| head.with_field(name, *value);
            fields.iter().fold(head("/"), with).origin().map(String::from)
        };
        let (page, other) = (("Origin", "http://page"), ("sec-websocket-origin", "http://other"));
        assert_eq!(origin(&[]), None);
        assert_eq!(origin(&[page, other]).as_deref(), Some("http://page"));
        for (version, found) in [("7", other.1), ("8", other.1), ("13", page.1), ("18", page.1)] {
            assert_eq!(origin(&[page, other, ("Sec-WebSocket-Version", version)]).as_deref(), Some(found));
            assert_eq!(origin(&[page, ("Sec-WebSocket-Version", version)]).as_deref(), Some(page.1));
        }
    }
}
