//! Echo: messages sent and returned.

use std::error::Error;

use crate::Rounds;
use crate::load::{Load, Protocol};
use crate::process::Process;
use crate::table::Measure;

/// Bytes per message, and messages in flight per connection.
pub(crate) const LOADS: [(usize, usize); 4] = [(32, 1), (32, 16), (1024, 16), (65_536, 1)];

pub(crate) fn measure(
    servers: &[Process],
    (bytes, in_flight): (usize, usize),
    connections: usize,
    protocol: Protocol,
    rounds: Rounds,
) -> Result<Measure, Box<dyn Error>> {
    let size = if bytes < 1024 { format!("{bytes} B") } else { format!("{} kB", bytes / 1024) };
    let name = protocol.label(format!("{size}, {in_flight} in flight"));
    let mut measure = Measure::new(name, "messages", servers);
    measure.leave_out(|server| !server.speaks(protocol));
    rounds.run(servers, &mut measure, |server, length| {
        Load { connections, bytes, in_flight, protocol }.run(server, length)
    })?;
    Ok(measure)
}
