//! A proxy that forwards and records everything.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use super::{DEADLINE, contains};

/// What one side of a connection sent, and how it closed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    pub(crate) bytes: Vec<u8>,
    /// By FIN or RST.
    pub(crate) ended: bool,
    pub(crate) reset: bool,
}

/// Both sides of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) client: Side,
    pub(crate) server: Side,
}

impl Record {
    pub(crate) fn is_websocket(&self) -> bool {
        contains(&self.client.bytes, b"\r\nUpgrade: WebSocket\r\n")
    }
}

#[derive(Debug, Default)]
struct Records {
    all: Mutex<Vec<Record>>,
    changed: Condvar,
}

/// Listens, and forwards connections to a server.
#[derive(Debug)]
pub(crate) struct Recorder {
    address: SocketAddr,
    records: Arc<Records>,
}

impl Recorder {
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let records = Arc::new(Records::default());
        let theirs = Arc::clone(&records);
        // The thread ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                pass_on(stream.unwrap(), server, &theirs);
            }
        });
        Self { address, records }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for a WebSocket connection that both sides have closed.
    #[track_caller]
    pub(crate) fn wait_for_websocket(&self) -> Record {
        let end = Instant::now() + DEADLINE;
        let mut all = self.records.all.lock().unwrap();
        loop {
            let whole =
                |record: &&Record| record.is_websocket() && record.client.ended && record.server.ended;
            if let Some(record) = all.iter().find(whole) {
                return record.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no WebSocket connection has closed: {all:?}");
            all = self.records.changed.wait_timeout(all, left).unwrap().0;
        }
    }
}

fn pass_on(client: TcpStream, server: SocketAddr, records: &Arc<Records>) {
    let server = TcpStream::connect(server).unwrap();
    let index = {
        let mut all = records.all.lock().unwrap();
        all.push(Record::default());
        all.len() - 1
    };
    let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (theirs, ours) = (Arc::clone(records), Arc::clone(records));
    thread::spawn(move || copy(from_client, to_server, &theirs, |all| &mut all[index].client));
    thread::spawn(move || copy(server, client, &ours, |all| &mut all[index].server));
}

fn copy(
    mut from: TcpStream,
    mut to: TcpStream,
    records: &Records,
    side: impl Fn(&mut Vec<Record>) -> &mut Side,
) {
    let mut buffer = [0; 65_536];
    loop {
        let read = from.read(&mut buffer);
        {
            let mut all = records.all.lock().unwrap();
            let side = side(&mut all);
            match &read {
                Ok(0) => side.ended = true,
                Ok(count) => side.bytes.extend_from_slice(&buffer[..*count]),
                Err(_) => (side.ended, side.reset) = (true, true),
            }
            records.changed.notify_all();
        }
        match read {
            Ok(count) if count > 0 => {
                if to.write_all(&buffer[..count]).is_err() {
                    // The other end is gone; its own thread records that.
                    continue;
                }
            }
            _ => {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
        }
    }
}
