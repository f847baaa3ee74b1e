//! An echo that fails on command. Every echo of a text begins with the number of texts that this instance has seen;
//! binary messages are echoed unchanged. Commands:
//!
//! - `fault:panic`, `fault:spin`, `fault:grow`, `fault:print`, or `fault:nap` to be busy for a moment;
//! - `e:TEXT` is echoed unchanged, `b:TEXT` is sent unchanged to everyone;
//! - `all:TEXT` sends TEXT to everyone, `others:TEXT` to everyone but the sender;
//! - `send:IDS`, `binary:IDS`, `close:ID` and `reject:ID` act on those connections, `binary:` on all;
//! - `code:ID,CODE` closes a connection with that code and the reason `told to`;
//! - `who:` asks for the sender's id, `env:NAME` for an environment variable;
//! - `storm:COUNT` sends COUNT messages to no connection, `cycle:` sends another for each failure.
//!
//! The variable `FAULT` causes a fault in the first call. Other `failed` events are reported to the last sender. When
//! connections are lost with their engine, everyone is sent `gone`; when a client's close frame has a code, `closed
//! CODE REASON`.

use std::env;
use std::hint::{black_box, spin_loop};

use legacy_websocket_application::{
    Application, CloseCause, Closed, Command, ConnectionId, Event, Failed, Messages, Recipients, Refusal,
    export,
};

/// Loop iterations that take a few tenths of a second.
const MOMENT: u32 = 300_000_000;

/// Not UTF-8.
const BYTES: [u8; 3] = [0, 128, 255];

/// Never the id of a connection.
const NOBODY: ConnectionId = 0;

#[derive(Debug, Default)]
struct Faulty {
    messages: u64,
    last: ConnectionId,
    /// How `failed` events are handled.
    failing: Failing,
}

#[derive(Debug, Default, PartialEq)]
enum Failing {
    #[default]
    Reported,
    Ignored,
    Repeated,
}

impl Application for Faulty {
    fn handle(&mut self, events: Vec<Event>) -> Vec<Command> {
        if events.is_empty()
            && let Ok(what) = env::var("FAULT")
        {
            return vec![fail(&what)];
        }
        let answer = |event| match event {
            Event::Messages(messages) => self.take(&messages),
            Event::Binary(binary) => vec![binary.back()],
            Event::Failed(failed) => match self.failing {
                Failing::Reported => vec![self.report(&failed)],
                Failing::Ignored => Vec::new(),
                Failing::Repeated => vec![Command::send(Recipients::One(NOBODY), "again")],
            },
            Event::Closed(Closed { cause: CloseCause::EngineLost, .. }) => {
                vec![Command::send(Recipients::All, "gone")]
            }
            Event::Closed(Closed { code: Some(code), reason, .. }) => {
                vec![Command::send(Recipients::All, format!("closed {code} {reason}"))]
            }
            _ => Vec::new(),
        };
        events.into_iter().flat_map(answer).collect()
    }
}

impl Faulty {
    fn take(&mut self, messages: &Messages) -> Vec<Command> {
        self.last = messages.connection;
        messages.iter().flat_map(|text| self.answer_all(text)).collect()
    }

    fn answer_all(&mut self, text: &str) -> Vec<Command> {
        let (failing, count) = match text.split_once(':') {
            Some(("storm", count)) => (Failing::Ignored, count.parse().unwrap_or(0)),
            Some(("cycle", _)) => (Failing::Repeated, 1),
            _ => return vec![self.answer(text)],
        };
        self.failing = failing;
        vec![Command::send(Recipients::One(NOBODY), "to nobody"); count]
    }

    fn answer(&mut self, text: &str) -> Command {
        self.messages += 1;
        let me = self.last;
        let (command, rest) = text.split_once(':').unwrap_or_default();
        let ids: Vec<ConnectionId> = rest.split(',').filter_map(|id| id.parse().ok()).collect();
        let first = ids.first().copied().unwrap_or_default();
        let code = ids.get(1).and_then(|code| (*code).try_into().ok()).unwrap_or_default();
        match command {
            "e" => Command::send(Recipients::One(me), text),
            "b" => Command::send(Recipients::All, text),
            "fault" => fail(rest),
            "all" => Command::send(Recipients::All, rest),
            "others" => Command::send(Recipients::AllBut(me), rest),
            "send" if ids.len() == 1 => Command::send(Recipients::One(first), "sent"),
            "send" => Command::send(Recipients::Many(ids), "sent"),
            "binary" if ids.is_empty() => Command::send_binary(Recipients::All, BYTES),
            "binary" => Command::send_binary(Recipients::Many(ids), BYTES),
            "close" => Command::close(first),
            "code" => Command::close_with(first, code, "told to"),
            "reject" => Command::Reject(Refusal { connection: first, status: 403, reason: "told to".into() }),
            "env" => Command::send(Recipients::One(me), env::var(rest).unwrap_or_default()),
            "who" => Command::send(Recipients::One(me), me.to_string()),
            _ => Command::send(Recipients::One(me), format!("{} {text}", self.messages)),
        }
    }

    fn report(&self, failed: &Failed) -> Command {
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
        "nap" => {
            for number in 0..MOMENT {
                black_box(number);
            }
            Command::Tick(1)
        }
        "print" => {
            (0..1000).for_each(|number| println!("line {number}"));
            Command::Tick(1)
        }
        "panic" => panic!("told to: {:?} \u{1b}[31m", "h\u{e9}"),
        // Faults of the engine, which are not ours.
        _ => Command::Tick(1),
    }
}

export!(Faulty);
