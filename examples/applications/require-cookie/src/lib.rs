//! A middleware that refuses WebSocket handshakes without a cookie `pass=2010`. Plain HTTP passes, so that the
//! application can set the cookie. Empty for targets other than WebAssembly.
#![cfg(target_family = "wasm")]

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    missing_docs,
    unsafe_code,
    unused_qualifications,
    unreachable_pub,
    reason = "generated; the component ABI is pointers and lengths"
)]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "middleware" });

    use super::RequireCookie;
    export!(RequireCookie);
}

use bindings::exports::hixie::legacy_websocket::handler::Guest;
use bindings::hixie::legacy_websocket::handler;
use bindings::hixie::legacy_websocket::types::{Command, Event, Refusal, RequestHead};

const COOKIE: &str = "pass=2010";

struct RequireCookie;

impl Guest for RequireCookie {
    fn handle(mut events: Vec<Event>) -> Vec<Command> {
        // Only the first call has no events, and the application must receive it.
        let starts = events.is_empty();
        let mut refusals = Vec::new();
        events.retain(|event| {
            let Event::Handshake(handshake) = event else { return true };
            let passes = has_cookie(&handshake.head);
            if !passes {
                let reason = "this needs a cookie".into();
                let connection = handshake.connection;
                refusals.push(Command::Reject(Refusal { connection, status: 403, reason }));
            }
            passes
        });
        let mut commands = if starts || !events.is_empty() { handler::handle(&events) } else { Vec::new() };
        commands.append(&mut refusals);
        commands
    }
}

fn has_cookie(head: &RequestHead) -> bool {
    let cookies = head.fields.iter().filter(|field| field.name.eq_ignore_ascii_case("Cookie"));
    let mut pairs = cookies.flat_map(|field| field.value.split(|byte| *byte == b';'));
    pairs.any(|pair| pair.trim_ascii() == COOKIE.as_bytes())
}
