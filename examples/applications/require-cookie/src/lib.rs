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

#[cfg(test)]
mod tests {
    use legacy_websocket_application::testing::Server;
    use legacy_websocket_application::{Application, Layered, Protocol};

    use super::*;

    /// Answers everything.
    #[derive(Default)]
    struct Echo;

    impl Application for Echo {
        fn handle(&mut self, events: Vec<Event>) -> Vec<Command> {
            let answer = |event| match event {
                Event::Messages(messages) => Some(messages.back()),
                Event::Request(request) => Some(request.respond_text(200, "in")),
                _ => None,
            };
            events.into_iter().filter_map(answer).collect()
        }
    }

    #[test]
    fn only_who_has_the_cookie_gets_in() {
        let mut server = Server::new(Layered::<RequireCookie, Echo>::default());
        for protocol in [Protocol::Draft75, Protocol::Draft76, Protocol::Rfc6455] {
            for (name, value) in [("pass", "2011"), ("Pass", "2010"), ("x", "pass=2010")] {
                let refused = server.client(protocol).cookie(name, value).connect().unwrap_err();
                assert_eq!((refused.status, &*refused.text()), (403, "this needs a cookie\n"));
            }
            let guest = server.client(protocol).cookie("a", "b").cookie("pass", "2010").connect().unwrap();
            server.say(guest, "hi");
            assert_eq!(server.heard(guest), ["hi"]);
        }
    }

    #[test]
    fn plain_http_passes() {
        let mut server = Server::new(Layered::<RequireCookie, Echo>::default());
        assert_eq!(server.get("/").text(), "in");
    }
}
