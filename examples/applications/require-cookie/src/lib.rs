//! A middleware that refuses WebSocket handshakes without a cookie `pass=2010`. Plain HTTP passes, so that the
//! application can set the cookie.

use legacy_websocket_application::{Command, Event, Middleware, Next, RequestHead, export_middleware};

#[derive(Debug, Default)]
struct RequireCookie;

impl Middleware for RequireCookie {
    fn handle(&mut self, mut events: Vec<Event>, next: &mut Next<'_>) -> Vec<Command> {
        let mut refusals = Vec::new();
        events.retain(|event| match event {
            Event::Handshake(handshake) if !has_pass(&handshake.head) => {
                refusals.push(handshake.reject(403, "this needs a cookie"));
                false
            }
            _ => true,
        });
        let mut commands = next.run(events);
        commands.append(&mut refusals);
        commands
    }
}

fn has_pass(head: &RequestHead) -> bool {
    head.cookies().any(|(name, value)| name == "pass" && value == "2010")
}

export_middleware!(RequireCookie);
