//! Pushes what is posted to `/publish` to every socket, and the server's uptime once a second. Restrict access to
//! `/publish`: the application does not.
//!
//! `curl --data 'It rains.' http://127.0.0.1:8000/publish`

use std::time::Duration;

use legacy_websocket_application::{
    Application, Command, Connections, Event, Instant, Recipients, Request, Timers, export,
};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Publish {
    subscribers: Connections<()>,
    timers: Timers<Timer>,
    /// The time of the first tick.
    started: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Timer {
    Uptime,
}

impl Application for Publish {
    fn handle(&mut self, events: Vec<Event>) -> Vec<Command> {
        let mut commands = Vec::new();
        if events.is_empty() {
            // The first call. There is one clock, and one list of subscribers.
            commands.push(Command::SingleInstance);
            self.timers.every(Timer::Uptime, SECOND);
        }
        for event in events {
            match event {
                Event::Connected(connected) => self.subscribers.insert(&connected, ()),
                Event::Closed(closed) => drop(self.subscribers.remove(&closed)),
                Event::Request(request) => self.answer(&request, &mut commands),
                Event::Tick(now) => self.tick(now, &mut commands),
                _ => {}
            }
        }
        commands.extend(self.timers.request());
        commands
    }
}

impl Publish {
    fn answer(&self, request: &Request, commands: &mut Vec<Command>) {
        let answer = match (request.method(), &*request.path()) {
            ("POST", "/publish") => match String::from_utf8(request.body.clone()) {
                Ok(body) => {
                    commands.push(Command::send(Recipients::All, body));
                    request.respond_text(200, format!("sent to {}\n", self.subscribers.len()))
                }
                Err(_) => request.respond_text(400, "Not UTF-8.\n"),
            },
            (_, "/publish") => request.respond_text(405, "POST here what is to be sent to everyone.\n"),
            _ => request.respond_text(404, "POST to /publish, or open a WebSocket.\n"),
        };
        commands.push(answer);
    }

    fn tick(&mut self, now: Instant, commands: &mut Vec<Command>) {
        let started = *self.started.get_or_insert(now);
        for Timer::Uptime in self.timers.due(now) {
            let uptime = Duration::from_millis(now - started).as_secs();
            commands.push(Command::send(Recipients::All, format!("up for {uptime} s")));
        }
    }
}

export!(Publish);

#[cfg(test)]
mod tests {
    use legacy_websocket_application::Protocol;
    use legacy_websocket_application::testing::Server;

    use super::*;

    #[test]
    fn what_is_posted_is_pushed() {
        let mut server = Server::new(Publish::default());
        let [old, new] =
            [Protocol::Draft75, Protocol::Rfc6455].map(|protocol| server.client(protocol).connect().unwrap());
        let answer = server.request("POST", "/publish").body("It rains.").send();
        assert_eq!((answer.status, &*answer.text()), (200, "sent to 2\n"));
        assert_eq!(
            (server.heard(old), server.heard(new)),
            (vec!["It rains.".into()], vec!["It rains.".into()])
        );
        server.hang_up(old);
        assert_eq!(server.request("POST", "/publish").body("x").send().text(), "sent to 1\n");
        assert_eq!(server.request("POST", "/publish").body([0xff]).send().status, 400);
        assert_eq!((server.get("/publish").status, server.get("/").status), (405, 404));
    }

    #[test]
    fn the_uptime_is_pushed_once_a_second() {
        let mut server = Server::new(Publish::default());
        let client = server.client(Protocol::Draft76).connect().unwrap();
        server.advance(Duration::from_millis(3500));
        assert_eq!(server.heard(client), ["up for 1 s", "up for 2 s", "up for 3 s"]);
    }

    #[test]
    fn there_is_one_instance_and_one_clock() {
        let commands = Publish::default().handle(vec![]);
        assert_eq!(commands, [Command::SingleInstance, Command::Tick(0)]);
    }
}
