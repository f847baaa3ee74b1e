//! Opening handshakes: connect, shake hands, disconnect. The baseline echoes the request.

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::Rounds;
use crate::load::{Protocol, connect};
use crate::process::{Clock, Kind, Process, Sample};
use crate::table::Measure;

/// Clients that do this concurrently, in a loop.
const CLIENTS: usize = 50;

pub(crate) fn measure(
    servers: &[Process],
    protocol: Protocol,
    rounds: Rounds,
) -> Result<Measure, Box<dyn Error>> {
    let mut measure = Measure::new(protocol.label("opening handshakes".into()), "handshakes", servers);
    measure.leave_out(|server| !server.speaks(protocol));
    rounds.run(servers, &mut measure, |server, length| run(server, protocol, length))?;
    Ok(measure)
}

fn run(server: &Process, protocol: Protocol, length: Duration) -> Result<Sample, Box<dyn Error>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let clock = Clock::start(server)?;
        let end = Instant::now() + length;
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(client(server.address, server.kind, protocol, end));
        }
        let mut count = 0;
        while let Some(client) = clients.join_next().await {
            count += client??;
        }
        clock.stop(f64::from(count))
    })
}

async fn client(address: SocketAddr, kind: Kind, protocol: Protocol, end: Instant) -> std::io::Result<u32> {
    let mut count = 0;
    while Instant::now() < end {
        let mut stream = connect(address, kind, protocol).await?;
        if kind.is_bare() {
            let request = protocol.request();
            stream.write_all(request).await?;
            stream.read_exact(&mut vec![0; request.len()]).await?;
        }
        count += 1;
    }
    Ok(count)
}
