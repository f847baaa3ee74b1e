//! Sends every message back: the smallest application.

use legacy_websocket_application::{Application, Command, Event, export};

#[derive(Debug, Default)]
struct Echo;

impl Application for Echo {
    fn handle(&mut self, events: Vec<Event>) -> Vec<Command> {
        let answer = |event| match event {
            Event::Messages(messages) => Some(messages.back()),
            Event::Binary(binary) => Some(binary.back()),
            Event::Request(request) => Some(request.respond_text(404, "Only WebSocket here.\n")),
            _ => None,
        };
        events.into_iter().filter_map(answer).collect()
    }
}

export!(Echo);
