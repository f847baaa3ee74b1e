//! Pushes what is posted to `/publish` to every socket, and the server's uptime once a second. Restrict access to
//! `/publish`: the application does not.
//!
//! `curl --data 'It rains.' http://127.0.0.1:8000/publish`

use std::collections::BTreeSet;

use legacy_websocket_application::{
    Application, Command, ConnectionId, Event, Instant, Recipients, Request, export,
};

const SECOND: u64 = 1000;

#[derive(Debug, Default)]
struct Publish {
    started: bool,
    subscribers: BTreeSet<ConnectionId>,
    clock: Clock,
}

impl Application for Publish {
    fn handle(&mut self, events: Vec<Event>) -> Vec<Command> {
        let mut commands = self.start();
        for event in events {
            match event {
                Event::Connected(connected) => {
                    self.subscribers.insert(connected.connection);
                }
                Event::Closed(closed) => {
                    self.subscribers.remove(&closed.connection);
                }
                Event::Request(request) => self.answer(&request, &mut commands),
                Event::Tick(now) => self.clock.tick(now, &mut commands),
                _ => {}
            }
        }
        commands
    }
}

impl Publish {
    /// On the first call, which has no events, requests the first tick, and a single instance, so that there is one
    /// clock and one list of subscribers.
    fn start(&mut self) -> Vec<Command> {
        let first = !std::mem::replace(&mut self.started, true);
        if first { vec![Command::SingleInstance, Command::Tick(0)] } else { Vec::new() }
    }

    fn answer(&self, request: &Request, commands: &mut Vec<Command>) {
        let text = "text/plain; charset=utf-8";
        let answer = match (request.head.method.as_str(), request.head.path()) {
            ("POST", b"/publish") => match String::from_utf8(request.body.clone()) {
                Ok(body) => {
                    commands.push(Command::send(Recipients::All, body));
                    request.respond(200, text, format!("sent to {}\n", self.subscribers.len()))
                }
                Err(_) => request.respond(400, text, "Not UTF-8.\n"),
            },
            (_, b"/publish") => request.respond(405, text, "POST here what is to be sent to everyone.\n"),
            _ => request.respond(404, text, "POST to /publish, or open a WebSocket.\n"),
        };
        commands.push(answer);
    }
}

/// Pushes once a second. A tick may be early, so the times are compared.
#[derive(Debug, Default)]
struct Clock {
    /// The time of the first tick, and the last uptime sent, in seconds.
    started: Option<(Instant, u64)>,
}

impl Clock {
    fn tick(&mut self, now: Instant, commands: &mut Vec<Command>) {
        let (start, told) = self.started.get_or_insert((now, 0));
        let elapsed = now - *start;
        if elapsed / SECOND > *told {
            *told = elapsed / SECOND;
            commands.push(Command::send(Recipients::All, format!("up for {told} s")));
        }
        commands.push(Command::Tick(SECOND - elapsed % SECOND));
    }
}

export!(Publish);
