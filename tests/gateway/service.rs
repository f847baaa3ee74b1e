//! A backend that serves by itself.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crate::backend::Upstream;
use crate::support::hybi::CLOSE;

/// Echoes what WebSocket clients say, and answers a request for `/N` with [`body`] of that length. Dropping it refuses
/// further connections.
#[derive(Debug)]
pub(crate) struct Service {
    address: SocketAddr,
    closes: Arc<Mutex<Vec<u16>>>,
    stops: Arc<AtomicBool>,
    accepts: Option<JoinHandle<()>>,
}

impl Service {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (closes, stops) = (Arc::<Mutex<Vec<u16>>>::default(), Arc::<AtomicBool>::default());
        let accepts = thread::spawn({
            let (closes, stops) = (Arc::clone(&closes), Arc::clone(&stops));
            move || {
                while let Ok((stream, _)) = listener.accept()
                    && !stops.load(Ordering::SeqCst)
                {
                    let closes = Arc::clone(&closes);
                    thread::spawn(move || serve(Upstream::new(stream), &closes));
                }
            }
        });
        Self { address, closes, stops, accepts: Some(accepts) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The codes of all close frames so far.
    pub(crate) fn closes(&self) -> Vec<u16> {
        self.closes.lock().unwrap().clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::SeqCst);
        // It may be waiting for one.
        drop(TcpStream::connect(self.address));
        if let Some(accepts) = self.accepts.take() {
            let _ = accepts.join();
        }
    }
}

/// Bytes that show where they belong.
pub(crate) fn body(length: usize) -> Vec<u8> {
    (0..=u32::MAX).flat_map(u32::to_be_bytes).take(length).collect()
}

fn serve(mut upstream: Upstream, closes: &Mutex<Vec<u16>>) {
    while !upstream.is_at_end() {
        let request = upstream.read_request();
        if request.find("Upgrade").is_some() {
            upstream.switch(&request, "");
            return echo(upstream, closes);
        }
        let path = request.line.split(' ').nth(1).unwrap();
        upstream.respond("200 OK", "", &body(path[1..].parse().unwrap()));
    }
}

fn echo(mut upstream: Upstream, closes: &Mutex<Vec<u16>>) {
    while !upstream.is_at_end() {
        let frame = upstream.read_frame();
        upstream.send_frame(frame.first, &frame.payload);
        if frame.first == CLOSE {
            let code = frame.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
            closes.lock().unwrap().push(code);
            return upstream.finish();
        }
    }
}
