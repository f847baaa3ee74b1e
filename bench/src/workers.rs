//! One worker per core (the default) against a single one: with a few clients, for which one thread suffices, and with
//! more work than one thread can do.

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::num::NonZero;
use std::rc::Rc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Rounds;
use crate::load::{Load, Protocol, connect};
use crate::process::{Clock, Kind, Process, Role, Sample};
use crate::table::median;

/// Clients that connect one by one, at this interval, and start working at once.
const ARRIVALS: usize = 16;
const BETWEEN_ARRIVALS: Duration = Duration::from_millis(50);

/// What the clients do.
#[derive(Clone, Copy)]
enum Clients {
    /// All connect before any begins.
    Together(Load),
    /// Each begins when it connects; counting starts once all are connected.
    OneByOne,
}

pub(crate) fn measure(kind: Kind, rounds: Rounds) -> Result<(), Box<dyn Error>> {
    let cores = available_parallelism().map_or(1, NonZero::get);
    println!("{}: --workers 1, and {cores} workers as by default; messages a second", kind.name());
    let few = |bytes, in_flight| {
        Clients::Together(Load { connections: 50, bytes, in_flight, protocol: Protocol::Draft76 })
    };
    let many =
        Clients::Together(Load { connections: 500, bytes: 32, in_flight: 1, protocol: Protocol::Draft76 });
    for (name, role, clients) in [
        ("50 clients, 32 B, 1 in flight", Role::Echo, few(32, 1)),
        ("50 clients, 32 B, 16 in flight", Role::Echo, few(32, 16)),
        ("50 clients, 1 kB, 16 in flight", Role::Echo, few(1024, 16)),
        ("500 clients, 0.1 ms of work for a message", Role::Work, many),
        ("16 clients come while others are at work, 0.1 ms", Role::Work, Clients::OneByOne),
    ] {
        // Only the native server has the application that works.
        let kind = if role == Role::Work { Kind::Native } else { kind };
        let servers = [Process::start(kind, role, 1)?, Process::start(kind, role, cores)?];
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..rounds.rounds {
            for (server, rates) in servers.iter().zip(&mut rates) {
                let Sample { count, elapsed, .. } =
                    clients.run(server, Duration::from_secs_f64(rounds.seconds))?;
                rates.push(count / elapsed.as_secs_f64());
            }
        }
        let [one, all] = &rates;
        let ratio = median(all.iter().zip(one).map(|(all, one)| all / one));
        let [one, all] = [one, all].map(|rates| median(rates.iter().copied()));
        println!("{name:<50} {one:>10.0} {all:>10.0} {ratio:>6.2}");
    }
    Ok(())
}

impl Clients {
    fn run(self, server: &Process, length: Duration) -> Result<Sample, Box<dyn Error>> {
        match self {
            Self::Together(load) => load.run(server, length),
            Self::OneByOne => one_by_one(server, length),
        }
    }
}

fn one_by_one(server: &Process, length: Duration) -> Result<Sample, Box<dyn Error>> {
    let runtime = Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(async {
        let (mut clients, done) = (JoinSet::new(), Rc::new(Cell::new(0_usize)));
        for _ in 0..ARRIVALS {
            let stream = connect(server.address, server.kind, Protocol::Draft76).await?;
            clients.spawn_local(ask_repeatedly(stream, Rc::clone(&done)));
            sleep(BETWEEN_ARRIVALS).await;
        }
        let (clock, before) = (Clock::start(server)?, done.get());
        match timeout(length, clients.join_next()).await {
            Err(_) => clock.stop((done.get() - before) as f64),
            Ok(ended) => Err(format!("a client has disconnected: {ended:?}").into()),
        }
    })
}

async fn ask_repeatedly(mut stream: TcpStream, done: Rc<Cell<usize>>) -> io::Result<()> {
    let (frame, mut answer) = (b"\0to work\xff", [0; 9]);
    loop {
        stream.write_all(frame).await?;
        stream.read_exact(&mut answer).await?;
        done.set(done.get() + 1);
    }
}
