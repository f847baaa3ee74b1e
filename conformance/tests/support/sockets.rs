//! Real sockets: `check` for the tests, and a server for subjects.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use conformance::Chunkings;
use conformance::check::{Target, check, is_exclusive};
use conformance::corpus::{self, Case};
use conformance::subject::{Event, Input, Subject, Then};
use conformance::{expectation, report};
use legacy_websocket_trace::{Setting, Variables};
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::driven_engine::command_for;

/// Concurrent cases.
const JOBS: u32 = 64;

/// A server that echoes, and has no settings, no TLS, and no drivable application.
pub(crate) fn target(address: SocketAddr, patience: Duration) -> Target {
    // Requests that depend on names contain them; the others use those of the examples.
    Target {
        address,
        tls: None,
        variables: Variables::default(),
        protocols: Vec::new(),
        echo: true,
        settings: Vec::new(),
        patience,
        quiet: Duration::from_millis(100),
        longest_pause: Duration::ZERO,
        chunkings: Chunkings::Parts,
        seed: 0,
        pause: Duration::from_millis(20),
        application: None,
    }
}

/// Every case with its snapshot, by the settings that a server needs. Each variant stands alone: only its own outcome
/// passes.
pub(crate) fn by_settings() -> BTreeMap<Vec<Setting>, Vec<(Case, String)>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for case in corpus::load(&corpus::folder()).expect("a corpus") {
        let path = expectation::path(&expectation::folder(), &case.id);
        let snapshot = fs::read_to_string(path).expect("a snapshot");
        for (settings, part) in case.all_settings().into_iter().zip(expectation::parts(&snapshot)) {
            let mut case = case.clone();
            case.trace.settings.clone_from(&settings);
            case.trace.variants.clear();
            groups.entry(settings).or_default().push((case, format!("\n{part}")));
        }
    }
    groups
}

/// Checks a server against cases, each with its snapshot.
pub(crate) fn check_all(cases: Vec<(Case, String)>, target: Target) -> Vec<report::Case> {
    let target = Arc::new(target);
    let permits = Arc::new(Semaphore::new(JOBS as usize));
    let run = async {
        let mut running = JoinSet::new();
        for (case, snapshot) in cases {
            let (target, permits) = (Arc::clone(&target), Arc::clone(&permits));
            running.spawn(async move {
                let share = if is_exclusive(&case, &target) { JOBS } else { 1 };
                let _permits = permits.acquire_many_owned(share).await;
                check(&case, &snapshot, &target).await.expect("the server listens")
            });
        }
        running.join_all().await
    };
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(run)
}

/// Serves subjects, one per connection, as long as the process runs. They echo, and answer plain HTTP with 404.
pub(crate) fn serve<S: Subject>(make: impl Fn() -> S + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let make = make.clone();
            // A failure on a connection ends it.
            thread::spawn(move || connection(stream?, make()));
        }
    });
    address
}

fn connection(mut stream: TcpStream, mut subject: impl Subject) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let started = Instant::now();
    let mut buffer = vec![0; 64 * 1024];
    let mut count = None;
    loop {
        let input = match count {
            None => Input::Open(1),
            Some(0) => Input::Fin(1),
            Some(count) => Input::Bytes(1, &buffer[..count]),
        };
        match answer(&mut stream, &mut subject, input, started)? {
            Then::Keep if count == Some(0) => return Ok(()),
            Then::Keep | Then::HalfClose => {}
            Then::Finish => {
                stream.shutdown(Shutdown::Write)?;
                // Further input is ignored, but must be read: unread, it would turn the end into a reset.
                while stream.read(&mut buffer)? > 0 {}
                return Ok(());
            }
            Then::Abort => return Ok(()),
        }
        count = Some(stream.read(&mut buffer)?);
    }
}

/// Passes in one input, and handles its consequences.
fn answer(
    stream: &mut TcpStream,
    subject: &mut impl Subject,
    input: Input<'_>,
    started: Instant,
) -> io::Result<Then> {
    let now = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut step = subject.input(now(), input);
    loop {
        for write in &step.writes {
            stream.write_all(&write.bytes)?;
            match write.then {
                Then::Keep => {}
                // The peer's response to it is still for the subject.
                Then::HalfClose => stream.shutdown(Shutdown::Write)?,
                then => return Ok(then),
            }
        }
        let commands: Vec<_> = step
            .events
            .iter()
            .filter(|(_, event)| !matches!(event, Event::Other(_) | Event::Passed(_)))
            .map(|(id, event)| command_for(*id, event))
            .collect();
        if commands.is_empty() {
            return Ok(Then::Keep);
        }
        step = subject.input(now(), Input::Commands(&commands));
    }
}
