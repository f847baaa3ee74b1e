//! An echo that fails when told: `fault:panic`, `fault:spin`, `fault:grow`. What it sends back begins with the number
//! of messages that this instance has seen. `send:ID` sends to that connection, and each `failed` event is told to
//! whoever sent last.

use std::hint::{black_box, spin_loop};

use legacy_websocket_application::{
    Application, Command, ConnectionId, Event, Failed, Messages, Recipients, export,
};

#[derive(Debug, Default)]
struct Faulty {
    messages: u64,
    last: ConnectionId,
}

impl Application for Faulty {
    fn handle(&mut self, events: Vec<Event>) -> Vec<Command> {
        let answer = |event| match event {
            Event::Messages(messages) => self.take(&messages),
            Event::Failed(failed) => vec![self.tell(&failed)],
            _ => Vec::new(),
        };
        events.into_iter().flat_map(answer).collect()
    }
}

impl Faulty {
    fn take(&mut self, messages: &Messages) -> Vec<Command> {
        self.last = messages.connection;
        let answer = |text: &str| {
            self.messages += 1;
            match text.split_once(':') {
                Some(("fault", what)) => fail(what),
                Some(("send", id)) => {
                    let to = Recipients::One(id.parse().unwrap_or_default());
                    Command::send(to, "sent")
                }
                _ => Command::send(Recipients::One(self.last), format!("{} {text}", self.messages)),
            }
        };
        messages.iter().map(answer).collect()
    }

    fn tell(&self, failed: &Failed) -> Command {
        let text = format!("{:?} to {}: {:?}", failed.command, failed.connection, failed.why);
        Command::send(Recipients::One(self.last), text)
    }
}

fn fail(what: &str) -> Command {
    match what {
        "spin" => loop {
            spin_loop();
        },
        "grow" => {
            let mut all = Vec::new();
            loop {
                all.push(black_box(vec![1_u8; 1 << 20]));
            }
        }
        _ => panic!("told to"),
    }
}

export!(Faulty);
