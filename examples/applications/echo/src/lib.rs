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

#[cfg(test)]
mod tests {
    use legacy_websocket_application::testing::Server;
    use legacy_websocket_application::{Messages, Protocol};

    use super::*;

    #[test]
    fn messages_go_back() {
        let messages = Messages::new(1, ["a", "", "b"]);
        assert_eq!(Echo.handle(vec![messages.clone().into()]), [messages.back()]);
    }

    #[test]
    fn clients_are_echoed() {
        let mut server = Server::new(Echo);
        for protocol in [Protocol::Draft75, Protocol::Draft76, Protocol::Rfc6455] {
            let client = server.client(protocol).connect().unwrap();
            server.say(client, "h\u{e9}llo");
            assert_eq!(server.heard(client), ["h\u{e9}llo"]);
        }
        let client = server.client(Protocol::Rfc6455).connect().unwrap();
        server.say_binary(client, &[0, 255]);
        assert_eq!(server.heard_binary(client), [[0, 255]]);
        assert_eq!(server.get("/").status, 404);
    }
}
