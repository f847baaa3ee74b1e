//! The engine without sockets: the cost of reads, natively and in the component. Compare the columns of one run.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use legacy_websocket_host::step::{Input, Loss, Lost, Opened, Read, Step};
use legacy_websocket_host::{Budget, ComponentFactory, Engine, EngineFactory, EngineOptions, Limits};

/// The draft 76 example of section 1.2.
const REQUEST: &[u8] = b"GET /demo HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nUpgrade: WebSocket\r\n\
    Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nOrigin: http://example.com\r\n\r\n^n:ds[4U";

/// Bytes per message, and messages per read.
const READS: [(usize, usize); 6] = [(32, 1), (32, 16), (32, 1024), (1000, 16), (65_536, 1), (1 << 20, 1)];

static COMPONENT: LazyLock<EngineFactory> = LazyLock::new(|| {
    let budget = Budget { call_timeout: Duration::from_secs(60), max_memory_bytes: 1 << 30 };
    EngineFactory::Component(Arc::new(ComponentFactory::embedded(budget).expect("the component compiles")))
});

fn main() {
    divan::main();
}

/// A build of the engine.
#[derive(Clone, Copy, Debug)]
enum Build {
    Native,
    Component,
}

const BUILDS: [Build; 2] = [Build::Native, Build::Component];

impl Build {
    fn engine(self, echo: bool) -> Box<dyn Engine> {
        let limits = Limits { max_message_bytes: 2 << 20, ..Limits::default() };
        let options = EngineOptions { echo, limits, ..EngineOptions::default() };
        match self {
            Self::Native => EngineFactory::Native.make(&options),
            Self::Component => COMPONENT.make(&options),
        }
        .expect("an engine")
    }

    /// An engine with a client past its opening handshake.
    fn connected(self, echo: bool) -> Box<dyn Engine> {
        let mut engine = self.engine(echo);
        open(&mut *engine, 1);
        engine
    }
}

/// The engine itself echoes a read.
#[divan::bench(args = cases())]
fn echo(bencher: Bencher<'_, '_>, case: &Case) {
    read(bencher, case, true);
}

/// A read becomes an event for an application.
#[divan::bench(args = cases())]
fn messages(bencher: Bencher<'_, '_>, case: &Case) {
    read(bencher, case, false);
}

/// A connection is opened, answered and lost.
#[divan::bench(args = BUILDS)]
fn handshakes(bencher: Bencher<'_, '_>, build: Build) {
    let mut engine = build.engine(true);
    let mut connection = 0;
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        connection += 1;
        let step = open(&mut *engine, connection);
        engine.turn(0, &[Input::Lost(Lost { connection, why: Loss::Reset })]).expect("the instance is alive");
        step
    });
}

struct Case {
    build: Build,
    bytes: usize,
    messages: usize,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} B × {} {:?}", self.bytes, self.messages, self.build)
    }
}

fn cases() -> impl Iterator<Item = Case> {
    READS.into_iter().flat_map(|(bytes, messages)| BUILDS.map(|build| Case { build, bytes, messages }))
}

fn read(bencher: Bencher<'_, '_>, &Case { build, bytes, messages }: &Case, echo: bool) {
    let mut engine = build.connected(echo);
    let frame = [b"\0", "x".repeat(bytes).as_bytes(), b"\xff"].concat();
    let input = frame.repeat(messages);
    let reads = [Read { connection: 1, end: u32::try_from(input.len()).expect("short") }];
    bencher.counter(ItemsCount::new(messages)).counter(BytesCount::new(input.len())).bench_local(|| {
        engine.receive(0, black_box(&reads), black_box(&input)).expect("the instance is alive")
    });
}

fn open(engine: &mut dyn Engine, connection: u64) -> Step {
    let opened = Input::Opened(Opened { connection, peer: "127.0.0.1:1234".into(), secure: false });
    engine.turn(0, &[opened]).expect("the instance is alive");
    let reads = [Read { connection, end: u32::try_from(REQUEST.len()).expect("short") }];
    engine.receive(0, &reads, REQUEST).expect("the instance is alive")
}
