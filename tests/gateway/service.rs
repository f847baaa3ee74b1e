//! A backend that serves by itself.

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crate::backend::{Request, switching};
use crate::support::hybi::{CLOSE, TEXT, unmasked};
use crate::wire::Wire;

/// How long a text is of which many were asked for.
pub(crate) const FLOOD_BYTES: usize = 1000;

/// Echoes what WebSocket clients say, but for the text `flood:N`, which it answers with N texts of [`FLOOD_BYTES`]; and
/// answers a request for `/N` with [`body`] of that length.
#[derive(Debug)]
pub(crate) struct Service {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepts: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stops: AtomicBool,
    /// The codes of all close frames so far.
    closes: Mutex<Vec<u16>>,
    /// By a number of their own: ports are used again.
    open: Mutex<HashMap<u64, TcpStream>>,
    accepted: AtomicU64,
}

impl Service {
    pub(crate) fn start() -> Self {
        let mut service = Self { address: ([127, 0, 0, 1], 0).into(), shared: Arc::default(), accepts: None };
        service.start_again();
        service
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn closes(&self) -> Vec<u16> {
        self.shared.closes.lock().unwrap().clone()
    }

    /// Refuses connections and drops the open ones, without a word.
    pub(crate) fn kill(&mut self) {
        self.shared.stops.store(true, Ordering::SeqCst);
        // It may be waiting for one.
        drop(TcpStream::connect(self.address));
        if let Some(accepts) = self.accepts.take() {
            accepts.join().unwrap();
        }
        for stream in self.shared.open.lock().unwrap().values() {
            // It may have ended already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// On the same address.
    pub(crate) fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap();
        self.address = listener.local_addr().unwrap();
        self.shared.stops.store(false, Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        self.accepts = Some(thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept()
                && !shared.stops.load(Ordering::SeqCst)
            {
                let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
                shared.open.lock().unwrap().insert(number, stream.try_clone().unwrap());
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    // `None` if the gateway ends it midway.
                    let _: Option<()> = serve(&mut Wire::new(stream), &shared);
                    shared.open.lock().unwrap().remove(&number);
                });
            }
        }));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Bytes that show where they belong.
pub(crate) fn body(length: usize) -> Vec<u8> {
    (0..=u32::MAX).flat_map(u32::to_be_bytes).take(length).collect()
}

/// Serves a connection until it ends.
fn serve(wire: &mut Wire, shared: &Shared) -> Option<()> {
    loop {
        let request = Request::parse(&wire.until(b"\r\n\r\n")?);
        if request.find("Upgrade").is_some() {
            wire.send(switching(&request, "").as_bytes());
            return echo(wire, shared);
        }
        let path = request.line.split(' ').nth(1)?;
        let body = body(path[1..].parse().unwrap());
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        wire.send(&[head.as_bytes(), &body].concat());
    }
}

fn echo(wire: &mut Wire, shared: &Shared) -> Option<()> {
    loop {
        let frame = wire.frame()?;
        let asks = str::from_utf8(&frame.payload).ok().and_then(|text| text.strip_prefix("flood:"));
        if let Some(count) = asks {
            for number in 0..count.parse::<u32>().unwrap() {
                wire.send(&unmasked(TEXT, format!("{number:0FLOOD_BYTES$}").as_bytes()));
            }
            continue;
        }
        if frame.first == CLOSE {
            // First: the gateway may end with the answer.
            let code = frame.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
            shared.closes.lock().unwrap().push(code);
        }
        wire.send(&unmasked(frame.first, &frame.payload));
        if frame.first == CLOSE {
            wire.finish();
            return Some(());
        }
    }
}
