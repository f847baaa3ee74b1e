//! Rooms to talk in: each path is one. The first line that a client sends is its name.

use legacy_websocket_application::{
    Application, Closed, Command, ConnectionId, Connections, Event, Recipients, Rooms, export,
};

const PAGE: &str = include_str!("page.html");

#[derive(Default)]
struct Chat {
    rooms: Rooms,
    names: Connections<String>,
}

impl Application for Chat {
    fn handle(&mut self, events: Vec<Event>) -> Vec<Command> {
        if events.is_empty() {
            // The start. The clients of all cores share the rooms.
            return vec![Command::SingleInstance];
        }
        let mut commands = Vec::new();
        for event in events {
            match event {
                Event::Connected(client) => {
                    self.rooms.join(client.path(), client.connection);
                    self.names.insert(&client, String::new());
                    let to = Recipients::One(client.connection);
                    commands.push(Command::send(to, "* What is your name?"));
                }
                Event::Messages(messages) => {
                    let lines = messages
                        .iter()
                        .map(str::trim)
                        .filter(|line| !line.is_empty());
                    commands.extend(lines.filter_map(|line| self.hear(messages.connection, line)));
                }
                Event::Closed(closed) => commands.extend(self.leave(&closed)),
                Event::Request(request) => commands.push(request.respond_html(200, PAGE)),
                _ => {}
            }
        }
        commands
    }
}

impl Chat {
    fn hear(&mut self, connection: ConnectionId, line: &str) -> Option<Command> {
        let room = self.rooms.of(connection).next()?;
        let name = self.names.get_mut(connection)?;
        if !name.is_empty() {
            return Some(self.rooms.send(room, format!("{name}: {line}")));
        }
        *name = line.chars().take(20).collect();
        Some(self.rooms.send(room, format!("* {name} is here")))
    }

    fn leave(&mut self, closed: &Closed) -> Option<Command> {
        let name = self.names.remove(closed)?;
        let room = self.rooms.of(closed.connection).next()?.clone();
        self.rooms.remove(closed);
        (!name.is_empty()).then(|| self.rooms.send(&room, format!("* {name} has left")))
    }
}

export!(Chat);

#[cfg(test)]
mod tests {
    use legacy_websocket_application::Protocol;
    use legacy_websocket_application::testing::Server;

    use super::*;

    #[test]
    fn those_in_a_room_hear_each_other() {
        let mut server = Server::new(Chat::default());
        let [anna, bob, eve] = [
            (Protocol::Draft76, "/tea"),
            (Protocol::Rfc6455, "/tea"),
            (Protocol::Rfc6455, "/coffee"),
        ]
        .map(|(protocol, room)| server.client(protocol).path(room).connect().unwrap());
        server.say(anna, "Anna");
        server.say(bob, "Bob");
        server.say(eve, "Eve");
        server.say(anna, "hello");
        server.close(anna);

        let both = [
            "* What is your name?",
            "* Anna is here",
            "* Bob is here",
            "Anna: hello",
        ];
        assert_eq!(server.heard(anna), both);
        assert_eq!(
            server.heard(bob),
            [&both[..], &["* Anna has left"]].concat()
        );
        assert_eq!(server.heard(eve), ["* What is your name?", "* Eve is here"]);
        assert_eq!(server.failed(), []);
    }

    #[test]
    fn every_room_has_the_page() {
        let mut server = Server::new(Chat::default());
        assert_eq!(server.get("/tea").text(), PAGE);
    }
}
