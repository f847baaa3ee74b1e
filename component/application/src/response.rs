//! Answers over HTTP.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
#[cfg(feature = "json")]
use serde::Serialize;

use crate::{Command, ConnectionId, Field, Handshake, Request, Response};

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// What no URL has, besides non-ASCII. (Browsers take `\` for `/`.)
const NOT_IN_URLS: &AsciiSet = &CONTROLS.add(b' ').add(b'\\');

/// Answers without further fields, which [`Response`] has.
impl Request {
    /// Answers with a status, 200 to 599, and a body of any type.
    #[must_use]
    pub fn respond(&self, status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Command {
        Response::new(self.connection, status, content_type, body).into()
    }

    /// Answers with plain text in UTF-8.
    #[must_use]
    pub fn respond_text(&self, status: u16, text: impl Into<String>) -> Command {
        Response::text(self.connection, status, text).into()
    }

    /// Answers with a page in UTF-8.
    #[must_use]
    pub fn respond_html(&self, status: u16, page: impl Into<String>) -> Command {
        Response::html(self.connection, status, page).into()
    }

    /// Answers with a value as JSON: [`Response::json`].
    #[cfg(feature = "json")]
    #[must_use]
    pub fn respond_json(&self, status: u16, value: &impl Serialize) -> Command {
        Response::json(self.connection, status, value).into()
    }

    /// Sends the client elsewhere: [`Response::redirect`].
    #[must_use]
    pub fn redirect(&self, location: &str) -> Command {
        Response::redirect(self.connection, location).into()
    }
}

impl Handshake {
    /// Refuses the client with a whole response: a 401 with WWW-Authenticate, a redirect.
    ///
    /// ```
    /// use legacy_websocket_application::{Command, Handshake, Response};
    ///
    /// fn ask(handshake: &Handshake) -> Command {
    ///     Response::text(handshake.connection, 401, "Who are you?\n").with_field("WWW-Authenticate", "Basic").into()
    /// }
    /// ```
    #[must_use]
    pub fn respond(&self, status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Command {
        Response::new(self.connection, status, content_type, body).into()
    }
}

impl Response {
    /// An answer with a body of any type.
    #[must_use]
    pub fn new(connection: ConnectionId, status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let empty = Self { connection, status, fields: Vec::new(), body: body.into() };
        empty.with_field("Content-Type", content_type)
    }

    /// Plain text in UTF-8.
    #[must_use]
    pub fn text(connection: ConnectionId, status: u16, text: impl Into<String>) -> Self {
        Self::new(connection, status, TEXT, text.into())
    }

    /// A page in UTF-8.
    #[must_use]
    pub fn html(connection: ConnectionId, status: u16, page: impl Into<String>) -> Self {
        Self::new(connection, status, HTML, page.into())
    }

    /// A value as JSON. If it cannot be written as JSON, such as a map whose keys are not strings, the answer is 500
    /// and says why.
    #[cfg(feature = "json")]
    #[must_use]
    pub fn json(connection: ConnectionId, status: u16, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => Self::new(connection, status, "application/json", json),
            Err(error) => Self::text(connection, 500, format!("{error}\n")),
        }
    }

    /// 303: the client is to `GET` this location, a path or a URL, whatever it asked for. What no URL has (controls,
    /// spaces, backslashes, non-ASCII) is percent-encoded; a `%` stays, for the location may be encoded already.
    ///
    /// Check a location of the client's making: one that begins with `//` is on another host, also if it is
    /// `request.path()`.
    #[must_use]
    pub fn redirect(connection: ConnectionId, location: &str) -> Self {
        let empty = Self { connection, status: 303, fields: Vec::new(), body: Vec::new() };
        empty.with_field("Location", utf8_percent_encode(location, NOT_IN_URLS).to_string())
    }

    /// The response with another status: 307 and 308 for redirects that keep the method.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a field. The whole response is [`Failure::Invalid`](crate::Failure::Invalid), and the client waits
    /// until another answers it or its time is over, if a value contains CR, LF or NUL, or if the field is one of the
    /// server's own: Connection, Content-Length, Transfer-Encoding, Upgrade, `Sec-WebSocket-…`.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push(Field { name: name.into(), value: value.into() });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RequestHead;

    fn response(status: u16, fields: &[(&str, &str)], body: &str) -> Command {
        let field = |(name, value): &(&str, &str)| Field { name: (*name).into(), value: (*value).into() };
        let fields = fields.iter().map(field).collect();
        Command::Respond(Response { connection: 1, status, fields, body: body.into() })
    }

    #[test]
    fn an_answer_has_its_type() {
        let request = Request::new(1, RequestHead::get("/"));
        let typed = |status, content_type, body| response(status, &[("Content-Type", content_type)], body);
        assert_eq!(request.respond(200, "image/png", "x"), typed(200, "image/png", "x"));
        assert_eq!(request.respond_text(404, "no\n"), typed(404, "text/plain; charset=utf-8", "no\n"));
        assert_eq!(request.respond_html(200, "<p>"), typed(200, "text/html; charset=utf-8", "<p>"));
    }

    #[test]
    fn a_redirect_has_a_location() {
        let request = Request::new(1, RequestHead::get("/"));
        assert_eq!(request.redirect("/in"), response(303, &[("Location", "/in")], ""));
        let sent = |location: &str| response(303, &[("Location", location)], "");
        assert_eq!(
            request.redirect("/a\r\nb\0/\\ \u{e9}?x=%20#y"),
            sent("/a%0D%0Ab%00/%5C%20%C3%A9?x=%20#y")
        );
        assert_eq!(request.redirect("http://[::1]:80/~a;b=(c)'!*"), sent("http://[::1]:80/~a;b=(c)'!*"));
        let moved = Response::redirect(1, "/in").with_status(308).with_field("a", "b");
        assert_eq!(Command::from(moved), response(308, &[("Location", "/in"), ("a", "b")], ""));
    }

    #[cfg(feature = "json")]
    #[test]
    fn what_is_no_json_is_our_fault() {
        use std::collections::BTreeMap;

        let request = Request::new(1, RequestHead::get("/"));
        let json = [("Content-Type", "application/json")];
        assert_eq!(request.respond_json(200, &[Some(1), None]), response(200, &json, "[1,null]"));
        let Command::Respond(answer) = request.respond_json(200, &BTreeMap::from([((1, 2), 3)])) else {
            panic!()
        };
        assert_eq!(answer.status, 500);
    }
}
