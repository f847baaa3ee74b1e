//! Measures the host against bare TCP echo, which is as fast as an echo over tokio can be: each figure is a
//! ratio of the same run, since machines differ and so do their days.
//!
//! Each server is a process of its own with one thread; the load comes from one thread of this process.

mod idle;
mod load;
mod process;
mod server;

use std::error::Error;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::load::Load;
use crate::process::{Kind, Process};

#[derive(Debug, Parser)]
#[command(about = "Measures the host against bare TCP echo")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Echo: messages a second, by message size and messages in flight. The default.
    Echo {
        /// Connections at once.
        #[arg(long, default_value_t = 50)]
        connections: usize,
        /// Rounds, in each of which every server is measured once; the median counts.
        #[arg(long, default_value_t = 7)]
        rounds: usize,
        /// Seconds of each measurement.
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
    },
    /// Resident memory of the server for each idle connection.
    Idle {
        /// Connections.
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
    },
    /// Be a server (the load generator starts these itself).
    #[command(hide = true)]
    Serve { kind: Kind },
}

fn main() -> Result<(), Box<dyn Error>> {
    match Cli::parse().command {
        Some(Command::Serve { kind }) => server::serve(kind),
        Some(Command::Idle { connections }) => idle::measure(connections),
        Some(Command::Echo { connections, rounds, seconds }) => echo(connections, rounds, seconds),
        None => echo(50, 7, 1.0),
    }
}

fn echo(connections: usize, rounds: usize, seconds: f64) -> Result<(), Box<dyn Error>> {
    const KINDS: [Kind; 3] = [Kind::Tcp, Kind::Component, Kind::Native];
    let servers = KINDS.map(|kind| Process::start(kind).map(|process| (kind, process)));
    let servers = servers.into_iter().collect::<Result<Vec<_>, _>>()?;
    println!("{connections} connections, median of {rounds} rounds of {seconds} s; one thread a server");
    println!(
        "{:>7} {:>9}  {:<10} {:>12} {:>8}  {:>10} {:>8}",
        "bytes", "in flight", "server", "messages/s", "of TCP", "CPU µs/msg", "of TCP"
    );
    for (bytes, in_flight) in [(32, 1), (32, 16), (1024, 16), (65_536, 1)] {
        let mut rates = vec![Vec::new(); servers.len()];
        let mut costs = vec![Vec::new(); servers.len()];
        for _ in 0..rounds {
            for (at, (kind, process)) in servers.iter().enumerate() {
                let load = Load { address: process.address, kind: *kind, connections, bytes, in_flight };
                let cpu = process.cpu()?;
                let (messages, elapsed) = load.run(Duration::from_secs_f64(seconds))?;
                rates[at].push(messages / elapsed.as_secs_f64());
                costs[at].push((process.cpu()? - cpu).as_secs_f64() * 1e6 / messages);
            }
        }
        for (at, (kind, _)) in servers.iter().enumerate() {
            println!(
                "{bytes:>7} {in_flight:>9}  {:<10} {:>12.0} {:>8.2}  {:>10.2} {:>8.2}",
                kind.name(),
                median(rates[at].iter().copied()),
                median(ratios(&rates[at], &rates[0])),
                median(costs[at].iter().copied()),
                median(ratios(&costs[at], &costs[0])),
            );
        }
    }
    Ok(())
}

/// Round by round, so that a slow moment of the machine hits both sides.
fn ratios<'a>(these: &'a [f64], those: &'a [f64]) -> impl Iterator<Item = f64> {
    these.iter().zip(those).map(|(this, that)| this / that)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
