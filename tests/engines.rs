//! The component and the native build of the engine return the same steps for the same calls.

use std::sync::Arc;
use std::time::Duration;

use legacy_websocket_host::step::{
    Acceptance, Closing, Command, Disposition, Event, Input, Opened, Outgoing, OutgoingBinary, Protocol,
    Read, Received, Recipients, Response, ResponseField, Step,
};
use legacy_websocket_host::{Budget, ComponentFactory, Engine, EngineFactory, EngineOptions};
use proptest::prelude::*;

const HEAD76: &[u8] =
    b"GET /demo?\xff HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nCookie: a=b\r\n\
    Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nUpgrade: WebSocket\r\nSec-WebSocket-Protocol: a b\r\n\
    Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nOrigin: http://example.com\r\n\r\n^n:ds[4U";
const HEAD75: &[u8] =
    b"GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: example.com\r\n\
    Origin: http://example.com\r\n\r\n";

const HEAD6455: &[u8] =
    b"GET /demo HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: a, b\r\n\r\n";

/// Plain HTTP, and what is none.
const PLAIN: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST http://a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nSec-WebSocket-Version: 12\r\n\r\n",
    b"GET / HTTP/1.1\r\nSec-WebSocket-Version: 8\r\n\r\n",
    b"GET / HT",
    b"\r\n\r\n",
];

#[derive(Clone, Debug)]
enum Call {
    Open(u64),
    Receive(u64, Vec<u8>),
    Batch(Vec<(u64, Vec<u8>)>),
    Ended(u64),
    Later(u64),
    Say(Option<u64>, Vec<String>),
    SayBinary(Option<u64>, Vec<u8>),
    Close(u64, Option<u16>, String),
    Accept(u64),
    Respond(u64, u16, Vec<u8>),
    Budget(u32),
    Shutdown,
    ApplicationLost,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => Just(HEAD76.to_vec()),
        2 => Just(HEAD75.to_vec()),
        4 => Just(HEAD6455.to_vec()),
        6 => (any::<u8>(), any::<[u8; 4]>(), "[a-zé€😀]{0,40}").prop_map(|(opcode, key, text)| {
            masked(0x80 | opcode, key, text.as_bytes())
        }),
        1 => (any::<u8>(), any::<[u8; 4]>(), prop::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(first, key, bytes)| masked(first, key, &bytes)),
        6 => "[a-zé€😀]{0,20}".prop_map(|text| [b"\0", text.as_bytes(), b"\xff"].concat()),
        1 => Just(b"\xff\0".to_vec()),
        4 => prop::sample::select(PLAIN).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

/// A client's frame of RFC 6455; of its first byte, the reserved bits and unused opcodes are rare.
fn masked(first: u8, key: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let first = if first.is_multiple_of(16) { first } else { first & 0x89 };
    let length = u8::try_from(payload.len()).expect("short");
    let header = if length < 126 { vec![first, 0x80 | length] } else { vec![first, 0xfe, 0, length] };
    let payload: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    [header, key.to_vec(), payload].concat()
}

fn call() -> impl Strategy<Value = Call> {
    let id = 0_u64..4;
    prop_oneof![
        3 => id.clone().prop_map(Call::Open),
        9 => (id.clone(), bytes()).prop_map(|(id, bytes)| Call::Receive(id, bytes)),
        3 => prop::collection::vec((id.clone(), bytes()), 0..4).prop_map(Call::Batch),
        1 => id.clone().prop_map(Call::Ended),
        1 => (0_u64..20_000).prop_map(Call::Later),
        3 => (prop::option::of(id.clone()), prop::collection::vec("[a-z€]{0,5}", 0..4))
            .prop_map(|(to, texts)| Call::Say(to, texts)),
        1 => (prop::option::of(id.clone()), prop::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(to, bytes)| Call::SayBinary(to, bytes)),
        1 => (id.clone(), prop::option::of(995_u16..5005), "[a-z€]{0,50}")
            .prop_map(|(id, code, reason)| Call::Close(id, code, reason)),
        2 => id.clone().prop_map(Call::Accept),
        2 => (id, 190_u16..610, prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(id, status, body)| Call::Respond(id, status, body)),
        1 => (0_u32..4).prop_map(Call::Budget),
        1 => Just(Call::Shutdown),
        1 => Just(Call::ApplicationLost),
    ]
}

fn options() -> impl Strategy<Value = EngineOptions> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(authorise, pass_through, speaks_6455)| {
        let health_path = Some("/healthz".into());
        let mut options = EngineOptions { authorise, pass_through, health_path, ..EngineOptions::default() };
        if !speaks_6455 {
            options.protocols = options.protocols.iter().filter(|it| *it != Protocol::Rfc6455).collect();
        }
        options
    })
}

/// Applies a call to an engine.
fn apply(engine: &mut dyn Engine, call: &Call, now: &mut u64) -> Step {
    let step = match call {
        Call::Open(connection) => engine.turn(
            *now,
            &[Input::Opened(Opened { connection: *connection, peer: "peer".into(), secure: false })],
        ),
        Call::Receive(connection, bytes) => {
            let end = u32::try_from(bytes.len()).expect("short");
            engine.receive(*now, &[Read { connection: *connection, end }], bytes)
        }
        Call::Batch(reads) => {
            let input = |(connection, bytes): &(u64, Vec<u8>)| {
                Input::Received(Received { connection: *connection, bytes: bytes.clone() })
            };
            engine.turn(*now, &reads.iter().map(input).collect::<Vec<_>>())
        }
        Call::Ended(connection) => engine.turn(*now, &[Input::Ended(*connection)]),
        Call::Later(by) => {
            *now += by;
            engine.turn(*now, &[])
        }
        Call::Say(to, texts) => {
            let text = texts.concat();
            let mut end = 0;
            let ends: Vec<_> = texts
                .iter()
                .map(|text| {
                    end += u32::try_from(text.len()).expect("short");
                    end
                })
                .collect();
            let to = to.map_or(Recipients::All, Recipients::One);
            engine.command(&[Command::Send(Outgoing { to, text: &text, ends: &ends })])
        }
        Call::SayBinary(to, bytes) => {
            let to = to.map_or(Recipients::All, Recipients::One);
            engine.command(&[Command::SendBinary(OutgoingBinary { to, bytes })])
        }
        Call::Close(connection, code, reason) => {
            engine.command(&[Command::Close(Closing { connection: *connection, code: *code, reason })])
        }
        Call::Accept(connection) => {
            let (connection, subprotocol) = (*connection, None);
            engine.command(&[Command::Accept(Acceptance { connection, subprotocol, fields: &[] })])
        }
        Call::Respond(connection, status, body) => {
            let (connection, status) = (*connection, *status);
            let fields = &[ResponseField { name: "Location", value: b"/elsewhere" }];
            engine.command(&[Command::Respond(Response { connection, status, fields, body })])
        }
        Call::Budget(events) => {
            engine.set_budget(*events).expect("the instance is alive");
            engine.turn(*now, &[])
        }
        Call::Shutdown => engine.turn(*now, &[Input::Shutdown]),
        Call::ApplicationLost => engine.turn(*now, &[Input::ApplicationLost]),
    };
    step.expect("the instance is alive")
}

fn factories() -> (EngineFactory, EngineFactory) {
    let budget = Budget { call_timeout: Duration::from_secs(60), max_memory_bytes: 64 << 20 };
    let component = ComponentFactory::embedded(budget).expect("the component compiles");
    (EngineFactory::Component(Arc::new(component)), EngineFactory::Native)
}

#[test]
fn the_same_calls_give_the_same_steps() {
    let (component, native) = factories();
    let config = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let calls = prop::collection::vec(call(), 1..40);
    let result = runner.run(&(options(), calls), |(options, calls)| {
        let mut component = component.make(&options).expect("a component");
        let mut native = native.make(&options).expect("a native engine");
        let (mut here, mut there) = (0, 0);
        for call in &calls {
            let steps = (apply(&mut *component, call, &mut here), apply(&mut *native, call, &mut there));
            prop_assert_eq!(format!("{:?}", steps.0), format!("{:?}", steps.1), "{:?}", call);
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_message_can_be_answered_after_the_stream_ended() {
    let (component, native) = factories();
    for factory in [component, native] {
        let mut engine = factory.make(&EngineOptions::default()).expect("an engine");
        apply(&mut *engine, &Call::Open(1), &mut 0);
        apply(&mut *engine, &Call::Receive(1, HEAD75.to_vec()), &mut 0);
        let inputs =
            [Input::Received(Received { connection: 1, bytes: b"\0a\xff".to_vec() }), Input::Ended(1)];
        let step = engine.turn(0, &inputs).expect("the instance is alive");
        assert!(matches!(step.events.as_slice(), [Event::Messages(_)]), "{:?}", step.events);
        assert_eq!(step.next_timeout, Some(0));
        let step = apply(&mut *engine, &Call::Say(Some(1), vec!["b".into()]), &mut 0);
        let [transmission] = step.transmissions.as_slice() else { panic!("{:?}", step.transmissions) };
        assert_eq!((&transmission.bytes[..], transmission.then), (&b"\0b\xff"[..], Disposition::Finish));
        assert!(matches!(step.events.last(), Some(Event::Closed(_))), "{:?}", step.events);
    }
}

#[test]
fn messages_of_one_read_arrive_as_one_event() {
    let (component, native) = factories();
    for factory in [component, native] {
        let mut engine = factory.make(&EngineOptions::default()).expect("an engine");
        apply(&mut *engine, &Call::Open(1), &mut 0);
        apply(&mut *engine, &Call::Receive(1, HEAD75.to_vec()), &mut 0);
        let step = apply(&mut *engine, &Call::Receive(1, "\0é\u{7f}".as_bytes().to_vec()), &mut 0);
        assert!(step.events.is_empty());
        let step = apply(&mut *engine, &Call::Receive(1, b"\xff\0\xff\0bc\xff".to_vec()), &mut 0);
        let [Event::Messages(messages)] = step.events.as_slice() else { panic!("{:?}", step.events) };
        assert_eq!((messages.text.as_str(), messages.ends.as_slice()), ("é\u{7f}bc", &[3, 3, 5][..]));
    }
}
