//! The engine as a component on wasmtime, through the step API.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use conformance::subject::{Command, Event, Input, Step, Subject, Then, Write, name};
use legacy_websocket::Options;
use legacy_websocket::step::{
    self, CloseCause, Closing, CommandKind, Destination, Disposition, Failure, Opened, Outgoing,
    OutgoingBinary, Recipients,
};
use legacy_websocket_host::{Budget, ComponentFactory, Engine, EngineFactory, EngineLost};
use legacy_websocket_shell::Members;

/// An instance of the component.
#[derive(Debug)]
pub(crate) struct Component {
    engine: Box<dyn Engine>,
    members: Members,
}

impl Component {
    pub(crate) fn new(options: &Options) -> Self {
        let engine = factory().make(options).expect("the engine takes the options");
        Self { engine, members: Members::default() }
    }
}

/// Creates instances; the component is compiled once.
pub(crate) fn factory() -> EngineFactory {
    static FACTORY: OnceLock<EngineFactory> = OnceLock::new();
    FACTORY
        .get_or_init(|| {
            let budget = Budget { call_timeout: Duration::from_secs(60), max_memory_bytes: 1 << 30 };
            let factory = ComponentFactory::embedded(budget).expect("the component compiles");
            EngineFactory::Component(Arc::new(factory))
        })
        .clone()
}

impl Subject for Component {
    fn input(&mut self, now: u64, input: Input<'_>) -> Step {
        let Self { engine, members } = self;
        let step = match input {
            Input::Open(connection) => engine.turn(
                now,
                &[step::Input::Opened(Opened { connection, peer: "client".into(), secure: false })],
            ),
            Input::Bytes(connection, bytes) => {
                let end = u32::try_from(bytes.len()).expect("a short read");
                engine.receive(now, &[step::Read { connection, end }], bytes)
            }
            Input::Fin(connection) => engine.turn(now, &[step::Input::Ended(connection)]),
            Input::Reset(connection) => {
                engine.turn(now, &[step::Input::Lost(step::Lost { connection, why: step::Loss::Reset })])
            }
            Input::Time => engine.turn(now, &[]),
            Input::Commands([Command::Shutdown]) => engine.turn(now, &[step::Input::Shutdown]),
            Input::Commands(commands) => carry_out(engine.as_mut(), commands),
        };
        lower(step.expect("the instance lives"), members)
    }
}

fn carry_out(engine: &mut dyn Engine, commands: &[Command<'_>]) -> Result<step::Step, EngineLost> {
    let length = |text: &str| [u32::try_from(text.len()).expect("a short text")];
    let ends: Vec<_> = commands
        .iter()
        .map(|command| match command {
            Command::Send(_, text) | Command::Broadcast(text) => length(text),
            _ => [0],
        })
        .collect();
    let commands = commands.iter().zip(&ends).map(|(command, ends)| match *command {
        Command::Send(id, text) => step::Command::Send(Outgoing { to: Recipients::One(id), text, ends }),
        Command::Broadcast(text) => step::Command::Send(Outgoing { to: Recipients::All, text, ends }),
        Command::SendBinary(id, bytes) => {
            step::Command::SendBinary(OutgoingBinary { to: Recipients::One(id), bytes })
        }
        Command::Close(connection, with) => {
            let (code, reason) = (with.map(|(code, _)| code), with.map_or("", |(_, reason)| reason));
            step::Command::Close(Closing { connection, code, reason })
        }
        Command::Accept(connection, subprotocol) => {
            step::Command::Accept(step::Acceptance { connection, subprotocol, fields: &[] })
        }
        Command::Reject(connection, status, reason) => {
            step::Command::Reject(step::Refusal { connection, status, reason })
        }
        Command::Respond(connection, status, body) => {
            let body = body.as_bytes();
            step::Command::Respond(step::Response { connection, status, fields: &[], body })
        }
        Command::Shutdown => unreachable!("an input of the engine, alone"),
    });
    engine.command(&commands.collect::<Vec<_>>())
}

fn lower(step: step::Step, members: &mut Members) -> Step {
    let events = step.events.into_iter().flat_map(lower_event).collect();
    let writes = step.transmissions.into_iter().flat_map(|step::Transmission { to, bytes, then }| {
        if let Destination::One(id) = to {
            members.observe(id, then);
        }
        let then = match then {
            Disposition::Keep | Disposition::Join | Disposition::Leave => Then::Keep,
            Disposition::HalfClose => Then::HalfClose,
            Disposition::Finish => Then::Finish,
            Disposition::Abort => Then::Abort,
        };
        let ids = members.recipients(to);
        ids.into_iter().map(move |id| Write { id, bytes: bytes.clone(), then })
    });
    Step { events, writes: writes.collect(), next_timeout: step.next_timeout }
}

fn lower_event(event: step::Event) -> Vec<(u64, Event)> {
    let asked =
        |name: Option<String>| name.map_or_else(String::new, |name| format!(", subprotocol {name:?}"));
    let (id, text) = match event {
        step::Event::Messages(batch) => {
            let starts = [0].into_iter().chain(batch.ends.iter().copied());
            let message = |(start, end): (u32, &u32)| {
                let text = &batch.text[start as usize..*end as usize];
                (batch.connection, Event::Message(text.into()))
            };
            return starts.zip(&batch.ends).map(message).collect();
        }
        step::Event::Binary(it) => return vec![(it.connection, Event::Binary(it.bytes))],
        step::Event::Request(request) => {
            let target = String::from_utf8_lossy(&request.head.target).into_owned();
            let asked = format!("{} {target}, body of {}", request.head.method, request.body.len());
            return vec![(request.connection, Event::Request(asked))];
        }
        step::Event::Passed(it) => return vec![(it.connection, Event::Passed(it.bytes))],
        step::Event::StateChanged(change) => {
            (change.connection, format!("state: {:?}", change.new).to_lowercase().replace("state::", ""))
        }
        step::Event::Handshake(it) => {
            (it.connection, format!("handshake: {}{}", name(it.protocol), asked(it.subprotocol)))
        }
        step::Event::Connected(it) => {
            (it.connection, format!("connected: {}{}", name(it.protocol), asked(it.subprotocol)))
        }
        step::Event::Closed(it) => {
            let code = it.code.map_or_else(String::new, |code| format!(", {code} {:?}", it.reason));
            (it.connection, format!("closed: {}{code}", cause(it.cause)))
        }
        step::Event::Rejected(it) => (it.connection, format!("rejected: {} {}", it.status, it.reason)),
        // No trace requests one.
        step::Event::Tick(_) => return Vec::new(),
        step::Event::Failed(it) => {
            let command = match it.command {
                CommandKind::Send => "send",
                CommandKind::SendBinary => "send-binary",
                CommandKind::Close => "close",
                CommandKind::Accept => "accept",
                CommandKind::Reject => "reject",
                CommandKind::Respond => "respond",
            };
            let why = match it.why {
                Failure::UnknownConnection => "unknown-connection",
                Failure::WrongState => "wrong-state",
                Failure::Invalid => "invalid",
                Failure::NotText => "not-text",
            };
            (it.connection, format!("failed: {command}, {why}"))
        }
    };
    vec![(id, Event::Other(text))]
}

fn cause(cause: CloseCause) -> String {
    let name = match cause {
        CloseCause::ByPeer => "by-peer",
        CloseCause::ByUs => "by-us",
        CloseCause::ByUsAbruptly => "by-us-abruptly",
        CloseCause::EndOfStream => "end-of-stream",
        CloseCause::Reset => "reset",
        CloseCause::SlowReader => "slow-reader",
        CloseCause::HandshakeTimeout => "handshake-timeout",
        CloseCause::IdleTimeout => "idle-timeout",
        CloseCause::PingTimeout => "ping-timeout",
        CloseCause::MessageTimeout => "message-timeout",
        CloseCause::CloseTimeout => "close-timeout",
        CloseCause::Refused => "refused",
        CloseCause::Responded => "responded",
        CloseCause::MessageLimit => "message-limit",
        CloseCause::BufferLimit => "buffer-limit",
        CloseCause::BadText => "bad-text",
        CloseCause::BadFrame(text) => return format!("bad-frame, {text}"),
        CloseCause::EngineLost => "engine-lost",
        CloseCause::Other(text) => return text,
    };
    name.into()
}
