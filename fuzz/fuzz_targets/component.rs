//! The component's boundary: whatever it is called with it gives the steps of the native engine, and never traps.

#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arbitrary::Arbitrary;
use legacy_websocket_host::step::{
    Acceptance, Command, ResponseField, Input, Loss, Lost, Opened, Outgoing, Read, Received,
    Recipients, Refusal, Response, Step,
};
use legacy_websocket::{InvalidUtf8, Limits};
use legacy_websocket_host::{Budget, ComponentFactory, Engine, EngineFactory, EngineLost, EngineOptions};
use libfuzzer_sys::fuzz_target;

/// An id, most often one of few.
type Id = u8;

#[derive(Arbitrary, Debug)]
struct Case {
    skip_reserved_frames: bool,
    close_at_invalid_utf8: bool,
    echo: bool,
    authorise: bool,
    pass_through: bool,
    trust_forwarded: bool,
    public_url: Option<String>,
    origins: Vec<String>,
    subprotocols: Vec<String>,
    max_message_bytes: u16,
    calls: Vec<Call>,
}

#[derive(Arbitrary, Debug)]
enum Call {
    Turn(u16, Vec<Told>),
    Receive(Vec<(Id, u32)>, Vec<u8>),
    Command(Vec<Wanted>),
}

#[derive(Arbitrary, Debug)]
enum Told {
    Opened(Id, String),
    Head76(Id),
    Head75(Id),
    Received(Id, Vec<u8>),
    Message(Id, String),
    Ended(Id),
    Lost(Id, bool),
    Shutdown,
}

#[derive(Arbitrary, Debug)]
enum Wanted {
    Send(To, String, Vec<u32>),
    Close(Id),
    Accept(Id, Option<String>, Vec<(String, Vec<u8>)>),
    Reject(Id, u16, String),
    Respond(Id, u16, Vec<(String, Vec<u8>)>, Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum To {
    One(Id),
    Many(Vec<u64>),
    All,
    AllBut(Id),
}

const HEAD76: &[u8] = b"GET /demo HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nUpgrade: WebSocket\r\nSec-WebSocket-Protocol: a b\r\n\
    Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nOrigin: http://example.com\r\n\r\n^n:ds[4U";
const HEAD75: &[u8] =
    b"GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: example.com\r\n\
    Origin: http://example.com\r\n\r\n";

static COMPONENT: LazyLock<EngineFactory> = LazyLock::new(|| {
    let budget = Budget { call_timeout: Duration::from_secs(60), max_memory_bytes: 64 << 20 };
    EngineFactory::Component(Arc::new(ComponentFactory::embedded(budget).expect("the component compiles")))
});

fuzz_target!(|case: Case| {
    let options = options(&case);
    let (mut component, mut native) = match (COMPONENT.make(&options), EngineFactory::Native.make(&options)) {
        (Ok(component), Ok(native)) => (component, native),
        (Err(here), Err(there)) => {
            assert_eq!(here.to_string(), there.to_string());
            return;
        }
        (here, there) => panic!("{here:?}\n{there:?}"),
    };
    let (mut here, mut there) = (0, 0);
    for call in &case.calls {
        let step = apply(&mut *component, call, &mut here).expect("the component does not trap");
        let expected = apply(&mut *native, call, &mut there).expect("it cannot trap");
        assert_eq!(format!("{step:?}"), format!("{expected:?}"), "{call:?}");
    }
});

fn options(case: &Case) -> EngineOptions {
    EngineOptions {
        skip_reserved_frames: case.skip_reserved_frames,
        invalid_utf8: if case.close_at_invalid_utf8 { InvalidUtf8::Close } else { InvalidUtf8::Replace },
        echo: case.echo,
        authorise: case.authorise,
        pass_through: case.pass_through,
        trust_forwarded: case.trust_forwarded,
        public_url: case.public_url.clone(),
        origins: case.origins.clone(),
        subprotocols: case.subprotocols.clone(),
        limits: Limits { max_message_bytes: case.max_message_bytes.into(), ..Limits::default() },
        ..EngineOptions::default()
    }
}

fn apply(engine: &mut dyn Engine, call: &Call, now: &mut u64) -> Result<Step, EngineLost> {
    match call {
        Call::Turn(later, told) => {
            *now += u64::from(*later);
            engine.turn(*now, &told.iter().map(Told::input).collect::<Vec<_>>())
        }
        Call::Receive(reads, bytes) => {
            let read = |(id, end): &(Id, u32)| Read { connection: u64::from(*id), end: *end };
            engine.receive(*now, &reads.iter().map(read).collect::<Vec<_>>(), bytes)
        }
        Call::Command(wanted) => {
            let fields: Vec<_> = wanted.iter().map(Wanted::fields).collect();
            let commands: Vec<_> =
                wanted.iter().zip(&fields).map(|(wanted, fields)| wanted.command(fields)).collect();
            engine.command(&commands)
        }
    }
}

impl Told {
    fn input(&self) -> Input {
        let received = |id: Id, bytes: &[u8]| {
            Input::Received(Received { connection: id.into(), bytes: bytes.to_vec() })
        };
        match self {
            Self::Opened(id, peer) => {
                Input::Opened(Opened { connection: (*id).into(), peer: peer.clone(), secure: id % 2 == 1 })
            }
            Self::Head76(id) => received(*id, HEAD76),
            Self::Head75(id) => received(*id, HEAD75),
            Self::Received(id, bytes) => received(*id, bytes),
            Self::Message(id, text) => received(*id, &[b"\0", text.as_bytes(), b"\xff"].concat()),
            Self::Ended(id) => Input::Ended((*id).into()),
            Self::Lost(id, slow) => Input::Lost(Lost {
                connection: (*id).into(),
                why: if *slow { Loss::SlowReader } else { Loss::Reset },
            }),
            Self::Shutdown => Input::Shutdown,
        }
    }
}

impl Wanted {
    fn fields(&self) -> Vec<ResponseField<'_>> {
        match self {
            Self::Accept(_, _, fields) | Self::Respond(_, _, fields, _) => {
                fields.iter().map(|(name, value)| ResponseField { name, value }).collect()
            }
            _ => Vec::new(),
        }
    }

    fn command<'a>(&'a self, fields: &'a [ResponseField<'a>]) -> Command<'a> {
        match self {
            Self::Send(to, text, ends) => {
                let to = match to {
                    To::One(id) => Recipients::One((*id).into()),
                    To::Many(ids) => Recipients::Many(ids),
                    To::All => Recipients::All,
                    To::AllBut(id) => Recipients::AllBut((*id).into()),
                };
                Command::Send(Outgoing { to, text, ends })
            }
            Self::Close(id) => Command::Close((*id).into()),
            Self::Accept(id, subprotocol, _) => Command::Accept(Acceptance {
                connection: (*id).into(),
                subprotocol: subprotocol.as_deref(),
                fields,
            }),
            Self::Reject(id, status, reason) => {
                Command::Reject(Refusal { connection: (*id).into(), status: *status, reason })
            }
            Self::Respond(id, status, _, body) => {
                Command::Respond(Response { connection: (*id).into(), status: *status, fields, body })
            }
        }
    }
}
