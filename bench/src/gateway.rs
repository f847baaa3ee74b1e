//! The gateway beside nginx, each in front of the same native server.

use std::error::Error;
use std::time::Duration;

use tokio::runtime::Builder;

use crate::load::{Load, Protocol};
use crate::process::{Kind, Process, Role, Sample};
use crate::table::Measure;
use crate::{Rounds, idle, nginx, pages};

/// Bytes per message.
const BYTES: usize = 32;

/// Messages in flight per connection.
const IN_FLIGHT: [usize; 2] = [1, 16];

/// Clients of a server: what they speak, and the server's name in the table.
type Row<'a> = (&'a Process, Protocol, &'static str);

/// Measures echo and pages. The ratios are to nginx, or to the server itself where nginx is not available.
pub(crate) fn measure(connections: usize, rounds: Rounds) -> Result<(), Box<dyn Error>> {
    let backend = Process::start(Kind::Native, Role::Echo, 1)?;
    let gateway = Process::gateway(backend.address)?;
    let nginx = match nginx::start(backend.address) {
        Ok(nginx) => Some(nginx),
        Err(why) => {
            eprintln!("nginx is skipped: {why}");
            None
        }
    };
    let direct = (&backend, Protocol::Rfc6455, "direct, RFC 6455");
    let mut rows: Vec<Row<'_>> = vec![
        direct,
        (&gateway, Protocol::Draft76, "gateway, draft 76"),
        (&gateway, Protocol::Rfc6455, "gateway, RFC 6455"),
    ];
    if let Some(nginx) = &nginx {
        rows.insert(0, (nginx, Protocol::Rfc6455, "nginx, RFC 6455"));
    }
    Measure::print_head_for(if nginx.is_some() { "nginx" } else { "direct" });
    for in_flight in IN_FLIGHT {
        let name = format!("{BYTES} B, {in_flight} in flight");
        compare(rounds, name, "messages", &rows, |server, protocol, length| {
            Load { connections, bytes: BYTES, in_flight, protocol }.run(server, length)
        })?;
    }
    let rows: Vec<Row<'_>> = nginx
        .iter()
        .chain([&backend, &gateway])
        .map(|server| {
            let name = if server.kind == Kind::Native { "direct" } else { server.kind.name() };
            (server, Protocol::Rfc6455, name)
        })
        .collect();
    compare(rounds, "pages".into(), "responses", &rows, |server, _, length| {
        pages::run(server, connections, length)
    })
}

/// Measures every row in every round.
fn compare(
    rounds: Rounds,
    name: String,
    unit: &'static str,
    rows: &[Row<'_>],
    load: impl Fn(&Process, Protocol, Duration) -> Result<Sample, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let servers = rows.iter().map(|(server, _, name)| (server.kind, (*name).to_owned()));
    let mut measure = Measure::of(name, unit, servers);
    for _ in 0..rounds.rounds {
        for (at, &(server, protocol, name)) in rows.iter().enumerate() {
            let length = Duration::from_secs_f64(rounds.seconds);
            measure.add(at, load(server, protocol, length).map_err(|why| format!("{name}: {why}"))?);
        }
    }
    measure.print();
    Ok(())
}

/// Measures the gateway's resident memory for each idle client of draft 76 and its connection to the server.
pub(crate) fn measure_idle(pairs: usize) -> Result<(), Box<dyn Error>> {
    let backend = Process::start(Kind::Native, Role::Echo, 1)?;
    let gateway = Process::gateway(backend.address)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(idle::grow(&gateway, pairs, Protocol::Draft76, 1)).map(drop)
}
