//! Handles SIGINT and SIGTERM on a separate thread, so that a stop always completes.

use std::error::Error;
use std::io;
use std::process::exit;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::error;

use crate::observe::log;

/// The exit status of an incomplete stop: after a second signal, or because something did not end.
pub(super) const CUT_SHORT: u8 = 3;

/// Time from the end of the drain timeout to the forced end of the process.
const PATIENCE: Duration = Duration::from_secs(2);

/// The same, after a second signal.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// What the signals request of the server.
#[derive(Debug)]
pub(super) struct Stop {
    /// Stop now.
    pub(super) begin: oneshot::Receiver<()>,
    /// Stop waiting for connections.
    pub(super) give_up: oneshot::Receiver<Why>,
}

/// Why the server stops waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    DrainTimeout,
    SecondSignal,
}

/// Catches the signals from now on. After the first one, connections have `drain_timeout` to end.
pub(super) fn catch(drain_timeout: Duration) -> Result<Stop, Box<dyn Error>> {
    let (begin, begun) = oneshot::channel();
    let (give_up, given_up) = oneshot::channel();
    let (ready, is_ready) = mpsc::channel();
    let run = move || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let signals = Signals::new()?;
            // The parent process waits for this.
            let _ = ready.send(());
            follow(signals, drain_timeout, begin, give_up).await;
            Ok::<_, io::Error>(())
        })
    };
    let thread = thread::Builder::new().name("signals".into()).spawn(run)?;
    if is_ready.recv().is_err() {
        // The server has ended.
        thread.join().map_err(|_| "the signal thread panicked")??;
    }
    Ok(Stop { begin: begun, give_up: given_up })
}

/// Forces the process to exit unless it exits in time.
async fn follow(
    mut signals: Signals,
    drain_timeout: Duration,
    begin: oneshot::Sender<()>,
    give_up: oneshot::Sender<Why>,
) {
    signals.next().await;
    // The server may be about to end for another reason; it has the same time for that.
    let _ = begin.send(());
    let why = tokio::select! {
        () = sleep(drain_timeout) => Why::DrainTimeout,
        () = signals.next() => Why::SecondSignal,
    };
    let _ = give_up.send(why);
    if why == Why::DrainTimeout {
        tokio::select! {
            () = sleep(PATIENCE) => {}
            () = signals.next() => sleep(IMPATIENCE).await,
        }
    } else {
        sleep(IMPATIENCE).await;
    }
    error!("the server did not stop in time; exiting");
    log::flush();
    exit(CUT_SHORT.into());
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
