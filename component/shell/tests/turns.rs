//! The pump over a real engine, with connections whose peers do whatever they like: each ends once, nothing is written
//! after an end, and the memory of waiting output adds up.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::Rc;

use legacy_websocket::Options;
use legacy_websocket::step::{
    Command, Disposition, Event, Input, Loss, Lost, Opened, Outgoing, Received, Recipients, Server, Step,
    Transmission,
};
use legacy_websocket_shell::{
    Driver, Handshakes, Held, Members, Payload, Pump, QueueLimits, WriteAccount, WriteQueue, carry_out,
};
use proptest::collection::vec;
use proptest::prelude::*;

const HEAD75: &[u8] =
    b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: a\r\nOrigin: http://a\r\n\r\n";
const HEAD76: &[u8] =
    b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: a\r\nOrigin: http://a\r\n\
    Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n^n:ds[4U";

/// Something that happens to one of a few connections.
#[derive(Clone, Debug)]
enum Happening {
    Open,
    Head75(u64),
    Head76(u64),
    /// A message that asks the application to do something.
    Ask(u64, &'static str),
    Bytes(u64, Vec<u8>),
    End(u64),
    Reset(u64),
    /// The peer reads this much.
    Reads(u64, usize),
    Later(u64),
    Shutdown,
}

fn happening() -> impl Strategy<Value = Happening> {
    let id = || 1..5_u64;
    let asked = prop_oneof![Just("echo"), Just("all"), Just("close"), Just("close-twice"), Just("unknown")];
    prop_oneof![
        4 => Just(Happening::Open),
        4 => id().prop_map(Happening::Head75),
        4 => id().prop_map(Happening::Head76),
        8 => (id(), asked).prop_map(|(id, asked)| Happening::Ask(id, asked)),
        2 => (id(), vec(prop_oneof![Just(0), Just(0xFF), any::<u8>()], 0..20))
            .prop_map(|(id, bytes)| Happening::Bytes(id, bytes)),
        1 => id().prop_map(Happening::End),
        1 => id().prop_map(Happening::Reset),
        4 => (id(), 0..400_usize).prop_map(|(id, bytes)| Happening::Reads(id, bytes)),
        2 => (0..20_000_u64).prop_map(Happening::Later),
        1 => Just(Happening::Shutdown),
    ]
}

struct Account(Rc<Held>);

impl WriteAccount for Account {
    fn limits(&self) -> QueueLimits {
        QueueLimits::new(8000, 1000)
    }

    fn held(&self) -> &Held {
        &self.0
    }
}

/// A driver without sockets.
struct World {
    engine: Server,
    now: u64,
    held: Rc<Held>,
    queues: BTreeMap<u64, WriteQueue<Account>>,
    members: Members,
    lost: Vec<Lost>,
    /// How often each connection's end was observed.
    ends: BTreeMap<u64, usize>,
    /// Rounds that this turn may still have.
    rounds: std::cell::Cell<usize>,
}

impl World {
    fn new() -> Self {
        let options = Options { authorise: true, ..Options::default() };
        let mut engine = Server::new(options).unwrap();
        engine.set_budget(3);
        Self {
            engine,
            now: 0,
            held: Rc::default(),
            queues: BTreeMap::new(),
            members: Members::default(),
            lost: Vec::new(),
            ends: BTreeMap::new(),
            rounds: 0.into(),
        }
    }

    fn happen(&mut self, pump: &mut Pump, what: Happening) {
        let input = match what {
            Happening::Open => {
                let connection = self.ends.len() as u64 + 1;
                self.ends.insert(connection, 0);
                self.queues.insert(connection, WriteQueue::new(Account(Rc::clone(&self.held))));
                Some(Input::Opened(Opened { connection, peer: "peer".into(), secure: false }))
            }
            Happening::Head75(connection) => Some(received(connection, HEAD75)),
            Happening::Head76(connection) => Some(received(connection, HEAD76)),
            Happening::Ask(connection, asked) => {
                Some(received(connection, &[b"\0", asked.as_bytes(), b"\xFF"].concat()))
            }
            Happening::Bytes(connection, bytes) => Some(received(connection, &bytes)),
            Happening::End(connection) => Some(Input::Ended(connection)),
            Happening::Reset(connection) => Some(Input::Lost(Lost { connection, why: Loss::Reset })),
            Happening::Reads(connection, bytes) => {
                if let Some(queue) = self.queues.get_mut(&connection) {
                    let front = queue.front(bytes).len();
                    queue.advance(front);
                    queue.settle();
                }
                None
            }
            Happening::Later(millis) => {
                self.now += millis;
                None
            }
            Happening::Shutdown => Some(Input::Shutdown),
        };
        self.rounds.set(3);
        let Ok(_) = pump.run_carried(self, self.now);
        self.rounds.set(3);
        let step = self.engine.turn(self.now, input.as_slice());
        let Ok(_) = pump.run(self, step, self.now);
    }

    fn push(&mut self, connection: u64, payload: &Rc<Payload>, then: Disposition) {
        self.members.observe(connection, then);
        let Some(queue) = self.queues.get_mut(&connection) else {
            return;
        };
        let has_ended = matches!(queue.then(), Disposition::HalfClose | Disposition::Finish);
        assert!(!has_ended || payload.bytes().is_empty(), "{connection}: bytes after its end");
        if then == Disposition::Abort {
            queue.abort();
        } else if queue.push(payload, then).is_err() {
            queue.abort();
            self.lost.push(Lost { connection, why: Loss::SlowReader });
        }
    }
}

fn received(connection: u64, bytes: &[u8]) -> Input {
    Input::Received(Received { connection, bytes: bytes.to_vec() })
}

impl Driver for World {
    type Error = Infallible;

    fn is_turn_over(&self) -> bool {
        self.rounds.get() == 0
    }

    fn deliver(&mut self, transmissions: Vec<Transmission>) {
        self.rounds.set(self.rounds.get().saturating_sub(1));
        for Transmission { to, bytes, then } in transmissions {
            let payload = Payload::new(bytes, &self.held);
            self.members
                .recipients(to)
                .into_iter()
                .for_each(|connection| self.push(connection, &payload, then));
        }
    }

    fn pause(&mut self, _: &[u64]) {}

    fn observe(&mut self, event: &Event) {
        if let Event::Closed(closed) = event {
            *self.ends.get_mut(&closed.connection).unwrap() += 1;
        }
    }

    fn take_lost(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.lost)
    }

    fn turn(&mut self, now: u64, inputs: &[Input]) -> Result<Step, Infallible> {
        Ok(self.engine.turn(now, inputs))
    }

    fn tell(&mut self, events: Vec<Event>) -> Result<Option<Step>, Infallible> {
        let handshakes = Handshakes::of(&events);
        let mut commands = Vec::new();
        for event in &events {
            let Event::Messages(messages) = event else { continue };
            let (id, text, ends) = (messages.connection, &*messages.text, &*messages.ends);
            match text {
                "all" => commands.push(Command::Send(Outgoing { to: Recipients::All, text, ends })),
                "close" => commands.push(Command::close(id)),
                "close-twice" => commands.extend([Command::close(id), Command::close(id)]),
                "unknown" => commands.push(Command::close(1000)),
                _ => commands.push(Command::Send(Outgoing { to: Recipients::One(id), text, ends })),
            }
        }
        handshakes.accept_undecided(&mut commands);
        carry_out(&commands, |part, is_last| {
            Ok(if is_last { self.engine.command(part) } else { self.engine.command_partly(part) })
        })
    }
}

#[test]
fn a_message_passes_through_handshake_application_and_queue() {
    let (mut world, mut pump) = (World::new(), Pump::default());
    for what in [
        Happening::Open,
        Happening::Open,
        Happening::Head75(1),
        Happening::Head76(2),
        Happening::Ask(1, "all"),
        Happening::Ask(2, "close"),
    ] {
        world.happen(&mut pump, what);
    }
    let written = |id| world.queues[&id].pieces().collect::<Vec<_>>().concat();
    assert!(written(1).starts_with(b"HTTP/1.1 101 Web Socket Protocol Handshake\r\n"));
    assert!(written(1).ends_with(b"\r\n\r\n\0all\xFF"));
    assert!(written(2).ends_with(b"8jKS'y:G*Co,Wxa-\0all\xFF\xFF\0"));
}

proptest! {
    #[test]
    fn every_connection_ends_once_and_nothing_follows(happenings in vec(happening(), 0..80)) {
        let (mut world, mut pump) = (World::new(), Pump::default());
        for what in happenings {
            world.happen(&mut pump, what);
            prop_assert!(world.ends.values().all(|ends| *ends <= 1), "{:?}", world.ends);
        }
        // Whatever is still open ends by itself.
        world.happen(&mut pump, Happening::Shutdown);
        for _ in 0..100 {
            world.happen(&mut pump, Happening::Later(1000));
        }
        prop_assert!(world.ends.values().all(|ends| *ends == 1), "{:?}", world.ends);
        prop_assert!(!pump.is_due());
        world.queues.clear();
        prop_assert_eq!(world.held.get(), 0);
    }
}
