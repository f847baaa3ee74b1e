//! A long run of connections that come and go; some break off, some do not read, and some make engine or application trap.
//!
//! Every message carries a sequence number, so that clients notice lost and reordered messages. The server may close a
//! connection only if it does not read, around a trap, or when it stops.

mod client;

use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::sleep;

use crate::process::{Kind, Process, Role};

/// Concurrent clients.
const CLIENTS: usize = 200;

/// Concurrent clients that do not read.
const SLOW_READERS: usize = 4;

/// The interval between traps, alternately of the engine and the application.
const TRAP_EVERY: Duration = Duration::from_secs(20);

/// How much the server may grow after the first fifth of the run: allocator slack, but not a leak.
const MAX_GROWTH: u64 = 8 << 20;

/// How long the server may take to stop, including its drain timeout.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// What all clients have seen.
#[derive(Debug, Default)]
struct State {
    next_id: AtomicU64,
    connections: AtomicU64,
    echoed: AtomicU64,
    told: AtomicU64,
    killed: AtomicU64,
    /// Clients that did not read, and were closed.
    slow: AtomicU64,
    /// Incremented before and after each trap, so that it is odd meanwhile.
    traps: AtomicU64,
    /// Traps requested, of the engine and of the application.
    faults: [AtomicU64; 2],
    /// Clients stop reconnecting.
    pausing: AtomicBool,
    /// The server has been told to stop.
    stopping: AtomicBool,
    problems: Mutex<Vec<String>>,
}

impl State {
    fn complain(&self, problem: String) {
        eprintln!("{problem}");
        self.problems.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(problem);
    }
}

pub(crate) fn run(kind: Kind, length: Duration, workers: usize) -> Result<(), Box<dyn Error>> {
    if !matches!(kind, Kind::Application | Kind::Wasmtime | Kind::WasmtimeP3) {
        return Err("it is for application, wasmtime and wasmtime-0.3".into());
    }
    let mut server = Process::start(kind, Role::Soak, workers)?;
    let traps = kind == Kind::Application;
    let state: &'static State = Box::leak(Box::default());
    let runtime = Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(async {
        // Triggers one-time allocations.
        for fault in if traps { 0..2 } else { 0..0 } {
            client::make_it_trap(server.address, fault, state).await;
        }
        sleep(Duration::from_secs(3)).await;
        let descriptors = server.descriptors()?;
        let clients = start_clients(&server, state);
        let traps = traps.then(|| spawn_local(trap_repeatedly(server.address, state)));
        watch(&server, state, length).await?;
        if let Some(traps) = &traps {
            traps.abort();
        }
        // Without clients, nothing may be left open.
        state.pausing.store(true, Ordering::Relaxed);
        clients.join_all().await;
        sleep(Duration::from_secs(3)).await;
        let left = server.descriptors()?;
        if left > descriptors {
            state
                .complain(format!("{left} descriptors are open without clients, {descriptors} at the start"));
        }
        // A stop under load.
        state.pausing.store(false, Ordering::Relaxed);
        let clients = start_clients(&server, state);
        sleep(Duration::from_secs(3)).await;
        state.stopping.store(true, Ordering::Relaxed);
        server.stop()?;
        clients.join_all().await;
        Ok::<_, Box<dyn Error>>(())
    })?;
    match server.wait(STOP_WITHIN)? {
        Some(status) if status.success() && traps => check_traps(&server.remaining_output()?, state),
        Some(status) if status.success() => {}
        how => state.complain(format!("stop under load: {how:?}")),
    }
    report(state)
}

/// Checks that the server has counted exactly the traps requested, of the engine and of the application.
fn check_traps(seen: &str, state: &State) {
    let asked = state.faults.each_ref().map(|count| count.load(Ordering::Relaxed));
    if seen.trim() != format!("{} {}", asked[0], asked[1]) {
        state.complain(format!(
            "the server has counted {seen:?} traps of engine and application, not {asked:?}"
        ));
    }
}

fn start_clients(server: &Process, state: &'static State) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn_local(client::come_and_go(server.address, state));
    }
    for _ in 0..SLOW_READERS {
        clients.spawn_local(client::do_not_read(server.address, state));
    }
    clients
}

async fn trap_repeatedly(address: std::net::SocketAddr, state: &'static State) {
    for fault in (0..2).cycle() {
        sleep(TRAP_EVERY).await;
        client::make_it_trap(address, fault, state).await;
    }
}

/// Prints progress every minute, and reports a problem if memory grows.
async fn watch(server: &Process, state: &State, length: Duration) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let (mut settled, mut said) = (0, 0);
    while start.elapsed() < length {
        sleep(Duration::from_secs(1).min(length)).await;
        let resident = server.resident()?;
        if start.elapsed() < length / 5 {
            settled = settled.max(resident);
        } else if resident > settled + MAX_GROWTH {
            state.complain(format!("{resident} bytes resident, at most {settled} in the first fifth"));
            settled = resident;
        }
        if start.elapsed().as_secs() / 60 > said {
            said += 1;
            println!(
                "{said} min: {} kB resident, {} descriptors; {}",
                resident >> 10,
                server.descriptors()?,
                summary(state)
            );
        }
    }
    println!(
        "{} kB resident at the end, at most {} in the first fifth",
        server.resident()? >> 10,
        settled >> 10
    );
    Ok(())
}

fn summary(state: &State) -> String {
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    format!(
        "{} connections, {} of them broken off in a frame, {} closed as slow readers; {} messages echoed, {} broadcasts \
         received; {} traps",
        count(&state.connections),
        count(&state.killed),
        count(&state.slow),
        count(&state.echoed),
        count(&state.told),
        count(&state.traps) / 2
    )
}

fn report(state: &State) -> Result<(), Box<dyn Error>> {
    println!("{}", summary(state));
    let problems = state.problems.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if problems.is_empty() {
        println!("all in order");
        return Ok(());
    }
    Err(format!("{} problems, the first: {}", problems.len(), problems[0]).into())
}
