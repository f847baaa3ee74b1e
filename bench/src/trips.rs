//! Round trips of one client beside other load.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// The message echoed to its sender.
const SAID: &[u8] = b"\0?\xff";

/// The pause between two round trips.
const PAUSE: Duration = Duration::from_millis(2);

/// The duration of each round trip, sorted.
#[derive(Debug)]
pub(crate) struct Trips(Vec<Duration>);

impl Trips {
    /// Sends a message repeatedly while `goes_on`, each time waiting for its echo among other messages.
    pub(crate) fn make(mut stream: TcpStream, goes_on: impl Fn() -> bool) -> io::Result<Self> {
        let (mut trips, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
        while goes_on() {
            let began = Instant::now();
            stream.write_all(SAID)?;
            loop {
                let read = stream.read(&mut buffer)?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                if buffer[..read].contains(&b'?') {
                    break;
                }
            }
            trips.push(began.elapsed());
            thread::sleep(PAUSE);
        }
        trips.sort_unstable();
        Ok(Self(trips))
    }

    /// A percentile in ms; `part` is from 0 to 1, the longest.
    pub(crate) fn percentile(&self, part: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let at = ((self.0.len() as f64 * part) as usize).min(last);
        self.0.get(at).map_or(f64::NAN, |trip| trip.as_secs_f64() * 1e3)
    }
}
