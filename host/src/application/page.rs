//! The page of the built-in echo application.

use super::api::Application;
use legacy_websocket::step::{Command, Event, Request, Response, ResponseField};

/// Serves a page over plain HTTP for trying the server from any browser, of 2010 or later. Sends nothing over
/// WebSocket: the engine's `echo` option does that.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "nothing to configure")]
pub struct TestPage;

const PAGE: &str = include_str!("page.html");

const HTML: &[ResponseField<'static>] = &[
    ResponseField { name: "Content-Type", value: b"text/html; charset=utf-8" },
    ResponseField { name: "Cache-Control", value: b"no-cache" },
];
const TEXT: &[ResponseField<'static>] =
    &[ResponseField { name: "Content-Type", value: b"text/plain; charset=utf-8" }];

impl Application for TestPage {
    fn handle<'a>(&'a mut self, events: &'a [Event]) -> Vec<Command<'a>> {
        let answer = |event: &'a Event| match event {
            Event::Request(request) => Some(Command::Respond(page(request))),
            _ => None,
        };
        events.iter().filter_map(answer).collect()
    }
}

fn page(request: &Request) -> Response<'static> {
    let path = request.head.target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let (status, fields, body) = match (request.head.method.as_str(), path) {
        ("GET" | "HEAD", b"/") => (200, HTML, PAGE),
        ("GET" | "HEAD", _) => (404, TEXT, "There is only / here, and WebSocket everywhere.\n"),
        _ => (405, TEXT, "GET and HEAD only.\n"),
    };
    Response { connection: request.connection, status, fields, body: body.as_bytes() }
}
