//! An echo of bytes without an engine, an application and a queue: what the host and its sockets alone can do, as a
//! yardstick for benchmarks.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::mem;

use super::abi::{Event, Incoming, Reader, Writer, yield_to_host};
use super::address::lift;
use super::bindings::wasi::sockets::types::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket,
};
use super::bindings::wit_stream;
use super::stdio::{Stdin, print};
use super::waiter::{Source, Waiter};

/// The size of a read, in bytes: a message of 64 KiB and its frame.
const READ: usize = 66 * 1024;

/// How often the host is asked for more events before these are handled, as the server does.
const MAX_YIELDS: usize = 64;

/// Echoes until standard input ends.
pub(crate) fn serve() -> Result<(), ErrorCode> {
    let socket = TcpSocket::create(IpAddressFamily::Ipv4)?;
    socket.bind(IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 0, address: (127, 0, 0, 1) }))?;
    let mut incoming = Incoming::new(socket.listen()?);
    print(&format!("listening on ws://{}/\n", lift(socket.get_local_address()?)));
    let (mut waiter, mut stdin) = (Waiter::new(), Stdin::new());
    waiter.join(incoming.handle(), Source::Listener(0));
    let mut connections = BTreeMap::new();
    let mut next_id: u64 = 0;
    while !stdin.has_ended() {
        stdin.start(&mut waiter);
        while incoming.start()
            && let Some(socket) = incoming.take()
        {
            next_id = next_id.saturating_add(1);
            let mut connection = Connection::new(socket, next_id, &mut waiter);
            if connection.echo(&waiter) {
                connections.insert(next_id, connection);
            }
        }
        let mut events = Vec::from([waiter.wait()]);
        for _ in 0..MAX_YIELDS {
            yield_to_host();
            let Some(event) = waiter.poll() else { break };
            events.push(event);
        }
        for event in &events {
            match waiter.source(event) {
                Some(Source::Listener(_)) => incoming.complete(event.result),
                Some(Source::Stdin) => stdin.complete(event),
                Some(Source::Input(id) | Source::Output(id)) => {
                    let goes_on = connections.get_mut(&id).is_some_and(|connection: &mut Connection| {
                        connection.complete(event);
                        connection.echo(&waiter)
                    });
                    if !goes_on {
                        connections.remove(&id);
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

struct Connection {
    input: Reader,
    output: Writer,
    /// Read and not written yet.
    bytes: Vec<u8>,
    _socket: TcpSocket,
}

impl Connection {
    fn new(socket: TcpSocket, id: u64, waiter: &mut Waiter) -> Self {
        let (input, _) = socket.receive();
        let (output, outgoing) = wit_stream::new();
        drop(socket.send(outgoing));
        waiter.join(input.handle(), Source::Input(id));
        waiter.note(output.handle(), Source::Output(id));
        Self { input: Reader::new(input), output: Writer::new(output), bytes: Vec::new(), _socket: socket }
    }

    fn complete(&mut self, event: &Event) {
        if event.handle == self.output.handle() {
            self.bytes = self.output.complete(event.result);
        } else {
            self.input.complete(event.result);
        }
    }

    /// Writes what has been read, and reads more, until either blocks. Returns whether the connection goes on.
    fn echo(&mut self, waiter: &Waiter) -> bool {
        loop {
            if self.output.is_busy() {
                return true;
            }
            if self.bytes.is_empty() {
                if !self.input.start(READ) {
                    return true;
                }
                if self.input.take(&mut self.bytes).is_none() {
                    return false;
                }
            }
            match self.output.start(mem::take(&mut self.bytes), Some(&waiter.set)) {
                Some(rest) => self.bytes = rest,
                None => return true,
            }
        }
    }
}
