//! Memory that peers can make a server hold, and how much is released after they leave.

use std::error::Error;
use std::future::pending;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::load::{Protocol, REQUEST, connect};
use crate::process::{Kind, Process, Role};

/// The most peers at once.
pub(crate) const PEERS: usize = 1500;

/// How long the peers stay.
const LENGTH: Duration = Duration::from_secs(15);

/// How long after they leave memory is measured.
const AFTER: Duration = Duration::from_secs(6);

/// What the peers do.
#[derive(Clone, Copy)]
enum Scenario {
    /// Send messages of 60 kB to an echo and read nothing.
    Echo,
    /// Read nothing of the 3.9 MB that an application sends to each.
    Greeting,
    /// Send a message of nearly the maximum length, without its end.
    Unfinished,
}

impl Scenario {
    const ALL: [Self; 3] = [Self::Echo, Self::Greeting, Self::Unfinished];

    fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo of 60 kB, unread",
            Self::Greeting => "3.9 MB for each, unread",
            Self::Unfinished => "unfinished messages",
        }
    }

    fn peers(self) -> usize {
        match self {
            Self::Echo | Self::Greeting => PEERS,
            Self::Unfinished => 1000,
        }
    }

    fn role(self) -> Role {
        match self {
            Self::Echo | Self::Unfinished => Role::Echo,
            Self::Greeting => Role::Greeting,
        }
    }

    /// What each peer sends once connected, and at most how often.
    fn input(self) -> (Vec<u8>, usize) {
        match self {
            Self::Echo => ([b"\0", &[b'x'; 60_000][..], b"\xff"].concat(), usize::MAX),
            Self::Greeting => (Vec::new(), 0),
            Self::Unfinished => ([b"\0", &[b'x'; 1_000_000][..]].concat(), 1),
        }
    }
}

/// Prints each server's peak memory, and what remains after the peers have left.
pub(crate) fn measure(kinds: &[Kind], workers: usize) -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    for scenario in Scenario::ALL {
        for kind in kinds {
            let server = Process::start(*kind, scenario.role(), workers)?;
            let before = server.resident()?;
            runtime.block_on(async {
                run(scenario, &server).await?;
                sleep(AFTER).await;
                Ok::<_, Box<dyn Error>>(())
            })?;
            println!(
                "{:>4} peers, {:<23}: {:<11} {:>5} MB at the most, {:>4} MB {} s after they left ({} MB before)",
                scenario.peers(),
                scenario.name(),
                kind.name(),
                server.peak()? >> 20,
                server.resident()? >> 20,
                AFTER.as_secs(),
                before >> 20
            );
        }
    }
    Ok(())
}

/// Runs peers that stay until the end or until they are closed.
async fn run(scenario: Scenario, server: &Process) -> Result<(), Box<dyn Error>> {
    let (input, times) = scenario.input();
    let input: &'static [u8] = input.leak();
    let mut peers = JoinSet::new();
    for _ in 0..scenario.peers() {
        // These peers do not even read the handshake's answer.
        let mut stream = match scenario {
            Scenario::Greeting => {
                let mut stream = TcpStream::connect(server.address).await?;
                stream.set_zero_linger()?;
                stream.write_all(REQUEST).await?;
                stream
            }
            Scenario::Echo | Scenario::Unfinished => {
                connect(server.address, server.kind, Protocol::Draft76).await?
            }
        };
        peers.spawn(async move {
            for _ in 0..times {
                if stream.write_all(input).await.is_err() {
                    return;
                }
            }
            pending::<()>().await
        });
    }
    let all = async { while peers.join_next().await.is_some() {} };
    // Most of them stay to the end.
    let _ = timeout(LENGTH, all).await;
    Ok(())
}
