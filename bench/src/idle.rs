//! Memory of idle connections.

use std::error::Error;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;

use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};

use crate::load::{Protocol, shake_hands};
use crate::process::{Kind, Process, Role};

/// Connections per client address, well within its ports.
const PORTS: usize = 20_000;

/// Opens connections, leaves them idle, and measures by how many bytes per connection the server has grown.
pub(crate) fn measure(
    kinds: &[Kind],
    connections: usize,
    protocol: Protocol,
    workers: usize,
) -> Result<Vec<(Kind, u64)>, Box<dyn Error>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut figures = Vec::new();
    for (at, &kind) in kinds.iter().enumerate().filter(|(_, kind)| kind.speaks(protocol)) {
        // Each server's clients have their own addresses, because ports stay in TIME_WAIT for a minute.
        let net = u8::try_from(1 + at)?;
        let server = Process::start(kind, Role::Echo, workers)?;
        figures.push((kind, runtime.block_on(grow(&server, connections, protocol, net))?));
    }
    Ok(figures)
}

/// Idle connections.
#[derive(Debug)]
pub(crate) struct Held {
    streams: Vec<TcpStream>,
    runtime: Runtime,
}

impl Held {
    /// Fails if a server has closed one: it would have had less to do.
    pub(crate) fn check(self) -> Result<(), Box<dyn Error>> {
        let mut closed = 0;
        for stream in self.streams {
            // tokio's would not ask the system unless its runtime has.
            let read = stream.into_std()?.read(&mut [0]);
            let is_open = match read {
                Ok(count) => count > 0,
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            };
            closed += usize::from(!is_open);
        }
        drop(self.runtime);
        match closed {
            0 => Ok(()),
            closed => Err(format!("{closed} idle connections were closed").into()),
        }
    }
}

/// Opens that many connections to each server, which last as long as the result.
pub(crate) fn hold(servers: &[Process], connections: usize) -> Result<Held, Box<dyn Error>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut streams = Vec::with_capacity(servers.len() * connections);
    for (at, server) in servers.iter().enumerate() {
        let net = u8::try_from(1 + at)?;
        for number in 0..connections {
            let stream = connect(server.address, server.kind, Protocol::Draft76, (net, number));
            streams.push(runtime.block_on(stream)?);
        }
    }
    Ok(Held { streams, runtime })
}

/// Opens connections from the addresses 127.0.`net`.*, and prints and returns by how many bytes each the server grows.
pub(crate) async fn grow(
    server: &Process,
    connections: usize,
    protocol: Protocol,
    net: u8,
) -> Result<u64, Box<dyn Error>> {
    let kind = server.kind;
    // A first connection triggers one-time allocations.
    let first = connect(server.address, kind, protocol, (net, 0)).await?;
    let before = server.resident()?;
    let mut streams = Vec::with_capacity(connections);
    for number in 0..connections {
        streams.push(connect(server.address, kind, protocol, (net, number)).await?);
    }
    let each = server.resident()?.saturating_sub(before) / connections as u64;
    println!(
        "{}: {:<17} {each:>7} bytes of resident memory each ({} MB before)",
        protocol.label(format!("{connections} idle connections")),
        kind.name(),
        before >> 20
    );
    drop((first, streams));
    Ok(each)
}

async fn connect(
    address: SocketAddr,
    kind: Kind,
    protocol: Protocol,
    (net, number): (u8, usize),
) -> Result<TcpStream, Box<dyn Error>> {
    let socket = TcpSocket::new_v4()?;
    // Loopback is all of 127.0.0.0/8.
    socket.bind(SocketAddr::from(([127, 0, net, u8::try_from(1 + number / PORTS)?], 0)))?;
    Ok(shake_hands(socket.connect(address).await?, kind, protocol).await?)
}
