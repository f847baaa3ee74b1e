//! Broadcast: one client's messages go to all clients.

use std::error::Error;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;

use crate::Rounds;
use crate::load::{Protocol, connect};
use crate::process::{Clock, Kind, Process, Sample};
use crate::server::SUBSCRIBED;
use crate::table::Measure;

const FRAME: &[u8] = b"\0broadcast to everybody, 32 bytes\xff";

/// Messages the sender writes before it waits for every client to receive them.
const IN_FLIGHT: usize = 16;

pub(crate) fn measure(
    servers: &[Process],
    connections: usize,
    rounds: Rounds,
) -> Result<Measure, Box<dyn Error>> {
    let name = format!("broadcast to {connections}");
    let mut measure = Measure::new(name, "deliveries", servers);
    rounds.run(servers, &mut measure, |server, length| run(server, connections, length))?;
    Ok(measure)
}

fn run(server: &Process, connections: usize, length: Duration) -> Result<Sample, Box<dyn Error>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut streams = Vec::with_capacity(connections);
        for _ in 0..connections {
            let mut stream = connect(server.address, server.kind, Protocol::Draft76).await?;
            if server.kind == Kind::Tcp {
                stream.read_exact(&mut [0; SUBSCRIBED.len()]).await?;
            }
            streams.push(stream);
        }
        let sent = FRAME.repeat(IN_FLIGHT);
        let mut received = vec![0; sent.len()];
        let (clock, mut count) = (Clock::start(server)?, 0);
        while clock.elapsed() < length {
            streams[0].write_all(&sent).await?;
            for stream in &mut streams {
                stream.read_exact(&mut received).await?;
                if received != sent {
                    return Err("a client received something else".into());
                }
            }
            count += connections * IN_FLIGHT;
        }
        clock.stop(count as f64)
    })
}
