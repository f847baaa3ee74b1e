//! What one client waits for, while others do what they do.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// What comes back to the client that said it.
const SAID: &[u8] = b"\0?\xff";

/// Between two round trips.
const PAUSE: Duration = Duration::from_millis(2);

/// How long each took, in order of length.
#[derive(Debug)]
pub(crate) struct Trips(Vec<Duration>);

impl Trips {
    /// Says something again and again for as long as it `goes_on`, and waits until it comes back among whatever else does.
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

    /// In ms; `part` is from 0 to 1, which is the longest.
    pub(crate) fn percentile(&self, part: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let at = ((self.0.len() as f64 * part) as usize).min(last);
        self.0.get(at).map_or(f64::NAN, |trip| trip.as_secs_f64() * 1e3)
    }
}
