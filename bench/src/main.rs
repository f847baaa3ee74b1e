//! Measures the host against bare TCP, the upper bound for anything on tokio, and beside other servers of these drafts.
//! Each result is a ratio within one run, because machines differ and their load varies.
//!
//! Each server is a separate process; the load comes from one thread of this process.

mod broadcast;
mod bursts;
mod echo;
mod fairness;
mod gateway;
mod handshakes;
mod idle;
mod load;
mod memory;
mod nginx;
mod pages;
mod plot;
mod process;
mod server;
mod soak;
mod table;
mod trips;
mod tungstenite;
mod wasmtime;
mod workers;

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::load::Protocol;
use crate::process::{Kind, Process, Role, Sample};
use crate::table::Measure;

/// The same allocator as the program's.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Debug, Parser)]
#[command(about = "Measures the host against bare TCP and beside other servers")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Echo: messages per second, by message size and messages in flight.
    Echo {
        #[command(flatten)]
        servers: Compared,
        #[command(flatten)]
        rounds: Rounds,
        /// Concurrent connections.
        #[arg(long, default_value_t = 50)]
        connections: usize,
        /// Idle connections beside them, to each server.
        #[arg(long, default_value_t = 0)]
        idle: usize,
        #[command(flatten)]
        protocols: Protocols,
    },
    /// Opening handshakes per second.
    Handshakes {
        #[command(flatten)]
        servers: Compared,
        #[command(flatten)]
        protocols: Protocols,
        #[command(flatten)]
        rounds: Rounds,
    },
    /// Broadcasts from one client, as deliveries per second.
    Broadcast {
        #[command(flatten)]
        servers: Compared,
        #[command(flatten)]
        rounds: Rounds,
        /// Concurrent connections.
        #[arg(long, default_value_t = 1000)]
        connections: usize,
    },
    /// One client's latency while others flood the server with tiny messages.
    Fairness {
        #[command(flatten)]
        servers: Compared,
        #[command(flatten)]
        rounds: Rounds,
    },
    /// Bursts that once stalled the server or closed its clients: broadcasts, pipelined requests, a shutdown.
    Bursts {
        #[command(flatten)]
        servers: Servers,
    },
    /// The cost of a message with few and with many busy connections.
    Scale {
        #[command(flatten)]
        rounds: Rounds,
    },
    /// Resident memory of the server for each idle connection.
    Idle {
        #[command(flatten)]
        servers: Servers,
        /// Connections.
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        #[command(flatten)]
        protocols: Protocols,
    },
    /// One worker per core (the default) against a single one: with a few clients, and with work for all.
    Workers {
        #[command(flatten)]
        rounds: Rounds,
        /// The server.
        #[arg(long, value_enum, default_value_t = Kind::Component)]
        server: Kind,
    },
    /// Resident memory of the server with peers that make it hold as much as possible, and after they have left.
    Memory {
        #[command(flatten)]
        servers: Servers,
    },
    /// The gateway beside nginx, both in front of the same server: echo and pages; or its memory for idle clients.
    Gateway {
        #[command(flatten)]
        rounds: Rounds,
        /// Concurrent connections.
        #[arg(long, default_value_t = 50)]
        connections: usize,
        /// Measure the gateway's resident memory for this many idle clients of draft 76 instead.
        #[arg(long, value_name = "PAIRS")]
        idle: Option<usize>,
    },
    /// Everything beside other servers, as a table and a plot.
    All {
        #[command(flatten)]
        rounds: Rounds,
        /// Output file of the plot.
        #[arg(long, value_name = "FILE", default_value = "docs/performance.svg")]
        plot: PathBuf,
    },
    /// Half an hour of connections that come and go, break off, do not read, and make engine and application trap; checks
    /// that nothing is lost, reordered or leaked.
    Soak {
        /// The server: `application`, `wasmtime` or `wasmtime-0.3`. On the latter two a trap would end the program, so
        /// nothing traps.
        #[arg(long, value_enum, default_value_t = Kind::Application)]
        server: Kind,
        /// Duration in minutes.
        #[arg(long, default_value_t = 30.0)]
        minutes: f64,
        /// Threads of the server.
        #[arg(long, default_value_t = 2)]
        workers: usize,
    },
    /// Runs a server (started by the load generator itself).
    #[command(hide = true)]
    Serve { kind: Kind, role: Role, workers: usize },
    /// Runs a gateway (started by the load generator itself).
    #[command(hide = true)]
    ServeGateway { backend: SocketAddr },
}

#[derive(Debug, Args)]
struct Servers {
    /// Servers to measure beside bare TCP.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "component,native")]
    servers: Vec<Kind>,
    /// Threads of our servers; bare TCP has one.
    #[arg(long, default_value_t = 1)]
    workers: usize,
}

/// What the clients speak, one after the other.
#[derive(Debug, Args)]
struct Protocols {
    /// Protocols of the clients.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "draft76,rfc6455")]
    protocols: Vec<Protocol>,
}

/// Servers measured in turn in one run.
#[derive(Debug, Args)]
struct Compared {
    #[command(flatten)]
    servers: Servers,
    /// An earlier build of this benchmark, whose servers are measured in the same run.
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
}

/// Rounds and duration of the measurements.
#[derive(Clone, Copy, Debug, Args)]
struct Rounds {
    /// Rounds, each of which measures every server once; results are medians.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds per measurement.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

impl Rounds {
    /// Measures every server in every round.
    fn run(
        self,
        servers: &[Process],
        measure: &mut Measure,
        load: impl Fn(&Process, Duration) -> Result<Sample, Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        for _ in 0..self.rounds {
            for (at, server) in servers.iter().enumerate() {
                if measure.has_failed(at) {
                    continue;
                }
                match load(server, Duration::from_secs_f64(self.seconds)) {
                    Ok(sample) => measure.add(at, sample),
                    Err(why) if server.kind.is_peer() => measure.fail(at, why.to_string()),
                    Err(why) => return Err(format!("{}: {why}", server.name()).into()),
                }
            }
        }
        measure.print();
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // The servers inherit the limit.
    rlimit::increase_nofile_limit(u64::MAX)?;
    match Cli::parse().command {
        Command::Serve { kind, role, workers } => server::serve(kind, role, workers),
        Command::ServeGateway { backend } => server::serve_gateway(backend),
        Command::Echo { servers, rounds, connections, idle, protocols } => {
            let servers = servers.start(Role::Echo)?;
            need_files(idle * servers.len() + connections)?;
            let held = idle::hold(&servers, idle)?;
            Measure::print_head();
            for protocol in protocols.protocols {
                for load in echo::LOADS {
                    echo::measure(&servers, load, connections, protocol, rounds)?;
                }
            }
            held.check()
        }
        Command::Handshakes { servers, rounds, protocols } => {
            let servers = servers.start(Role::Echo)?;
            Measure::print_head();
            for protocol in protocols.protocols {
                handshakes::measure(&servers, protocol, rounds)?;
            }
            Ok(())
        }
        Command::Broadcast { servers, rounds, connections } => {
            let servers = servers.start(Role::Broadcast)?;
            Measure::print_head();
            broadcast::measure(&servers, connections, rounds).map(drop)
        }
        Command::Fairness { servers, rounds } => fairness::measure(&servers.start(Role::Echo)?[1..], rounds),
        Command::Bursts { servers } => {
            need_files(bursts::MEMBERS)?;
            bursts::measure(&Kind::available(&servers.servers)[1..], servers.workers)
        }
        Command::Scale { rounds } => {
            need_files(SCALES.into_iter().max().unwrap_or_default())?;
            scale(rounds)
        }
        Command::Idle { servers, connections, protocols } => {
            need_files(connections)?;
            let kinds = Kind::available(&servers.servers);
            for protocol in protocols.protocols {
                idle::measure(&kinds[1..], connections, protocol, servers.workers)?;
            }
            Ok(())
        }
        Command::Workers { rounds, server } => workers::measure(server, rounds),
        Command::Memory { servers } => {
            need_files(memory::PEERS)?;
            memory::measure(&Kind::available(&servers.servers)[1..], servers.workers)
        }
        Command::Soak { server, minutes, workers } => {
            soak::run(server, Duration::from_secs_f64(minutes * 60.0), workers)
        }
        Command::Gateway { idle: Some(pairs), .. } => {
            // The gateway has two for each.
            need_files(2 * pairs)?;
            gateway::measure_idle(pairs)
        }
        Command::Gateway { rounds, connections, idle: None } => gateway::measure(connections, rounds),
        Command::All { rounds, plot } => all(rounds, &plot),
    }
}

impl Compared {
    fn start(&self, role: Role) -> Result<Vec<Process>, Box<dyn Error>> {
        let Servers { servers, workers } = &self.servers;
        Process::start_all(&Kind::available(servers), self.before.as_deref(), role, *workers)
    }
}

/// Concurrent connections for the cost of a message.
const SCALES: [usize; 3] = [100, 1000, 10_000];

/// Checks that this process and a server can have that many connections.
fn need_files(connections: usize) -> Result<(), String> {
    const OTHERS: u64 = 100;
    let limit = rlimit::increase_nofile_limit(u64::MAX).map_err(|error| error.to_string())?;
    if connections as u64 + OTHERS > limit {
        return Err(format!(
            "only {limit} files can be open: {connections} connections require a higher ulimit -Hn"
        ));
    }
    Ok(())
}

fn scale(rounds: Rounds) -> Result<(), Box<dyn Error>> {
    let servers = Process::start_all(&Kind::OURS, None, Role::Echo, 1)?;
    Measure::print_head();
    for connections in SCALES {
        println!("{connections} connections");
        echo::measure(&servers, (32, 1), connections, Protocol::Draft76, rounds)?;
    }
    Ok(())
}

fn all(rounds: Rounds, plot: &PathBuf) -> Result<(), Box<dyn Error>> {
    const CONNECTIONS: usize = 50;
    const MANY: usize = 1000;
    const IDLE: usize = 10_000;
    let kinds = Kind::available(&[Kind::Component, Kind::Native, Kind::WebsocketDriver, Kind::Netty]);
    println!(
        "echo and handshakes: {CONNECTIONS} clients; median of {} rounds of {} s",
        rounds.rounds, rounds.seconds
    );
    Measure::print_head();
    let mut measures = Vec::new();
    {
        let servers = Process::start_all(&kinds, None, Role::Echo, 1)?;
        for load in echo::LOADS {
            measures.push(echo::measure(&servers, load, CONNECTIONS, Protocol::Draft76, rounds)?);
        }
        measures.push(handshakes::measure(&servers, Protocol::Draft76, rounds)?);
    }
    {
        let servers = Process::start_all(&Kind::OURS, None, Role::Broadcast, 1)?;
        measures.push(broadcast::measure(&servers, MANY, rounds)?);
    }
    let idle = idle::measure(&kinds[1..], IDLE, Protocol::Draft76, 1)?;
    fs::write(plot, plot::draw(&measures, &idle, IDLE))?;
    println!("drawn in {}", plot.display());
    Ok(())
}
