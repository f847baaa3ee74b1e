//! Everyone hears what anyone says.

use legacy_websocket_application::{Application, Command, Event, Recipients, export};

#[derive(Default)]
struct Chat;

impl Application for Chat {
    fn handle(&mut self, events: Vec<Event>) -> Vec<Command> {
        let everyone = |event| match event {
            Event::Messages(messages) => Some(Command::send_texts(Recipients::All, messages.iter())),
            _ => None,
        };
        events.into_iter().filter_map(everyone).collect()
    }
}

export!(Chat);

#[cfg(test)]
mod tests {
    use legacy_websocket_application::Protocol;
    use legacy_websocket_application::testing::Server;

    use super::*;

    #[test]
    fn everyone_hears() {
        let mut server = Server::new(Chat);
        let old = server.client(Protocol::Draft76).connect().unwrap();
        let new = server.client(Protocol::Rfc6455).connect().unwrap();
        server.say(old, "hi");
        assert_eq!(server.heard(new), ["hi"]);
    }
}
