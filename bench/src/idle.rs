//! Memory of idle connections.

use std::error::Error;

use tokio::runtime::Builder;

use crate::load::connect;
use crate::process::{Kind, Process};

/// Opens connections, leaves them alone, and sees what the server has grown by.
pub(crate) fn measure(connections: usize) -> Result<(), Box<dyn Error>> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    for kind in [Kind::Component, Kind::Native] {
        let server = Process::start(kind)?;
        runtime.block_on(async {
            // One, so that what is made once is made.
            let first = connect(server.address, kind).await?;
            let before = server.resident()?;
            let mut streams = Vec::with_capacity(connections);
            for _ in 0..connections {
                streams.push(connect(server.address, kind).await?);
            }
            let grown = server.resident()?.saturating_sub(before);
            println!(
                "{:<10} {connections} idle connections: {} bytes of resident memory each ({} MB before)",
                kind.name(),
                grown / connections as u64,
                before >> 20
            );
            drop((first, streams));
            Ok::<_, Box<dyn Error>>(())
        })?;
    }
    Ok(())
}
