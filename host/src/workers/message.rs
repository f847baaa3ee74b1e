//! Messages between workers.

use std::sync::Arc;

use legacy_websocket::step::Failed;
use tokio::sync::oneshot;

use crate::accept::incoming::{Handoff, Peer};
use crate::accept::listener::ListenerHandle;
use crate::application::ApplicationFactory;
use crate::observe::metrics::{Row, Snapshot};
use crate::start_error::StartError;
use crate::workers::external::ExternalCommand;
use crate::workers::forwarded::{ForwardedCommands, Origin};

/// A message to a worker.
#[derive(Debug)]
pub(crate) enum WorkerMessage {
    /// Accept on these listeners too.
    Listen(Vec<ListenerHandle>),
    /// A connection that another worker accepted.
    Incoming(Handoff),
    /// Close this idle connection to make room for a new one.
    CloseIdle(u64),
    /// Commands of another worker's application for connections here.
    Commands(ForwardedCommands),
    /// Commands without effect, back to the worker that sent them.
    Failed {
        from: Origin,
        failed: Vec<Failed>,
    },
    /// A command from outside of the application's calls.
    External(ExternalCommand),
    /// Read from this connection, or do not for now.
    SetReading {
        connection: u64,
        reads: bool,
    },
    /// Answers with the peer of a connection.
    Peer {
        connection: u64,
        answer: oneshot::Sender<Option<Peer>>,
    },
    /// The other workers have carried out enough of this worker's commands.
    BackpressureReleased,
    /// Pending output uses too much memory: close this worker's largest connections.
    ShedOutput,
    /// New connections go to this version of the application. Answers whether it requests a single instance.
    Replace {
        version: u64,
        application: Arc<ApplicationFactory>,
        answer: oneshot::Sender<Result<bool, StartError>>,
    },
    /// New connections go to another worker: the application requested a single instance.
    Retire,
    Snapshot(oneshot::Sender<Snapshot>),
    /// Answers with up to this many connections, and how many are left out.
    Rows(usize, oneshot::Sender<(Vec<Row>, usize)>),
    /// Stop accepting, and start closing every connection.
    Stop,
    /// Close every connection at once.
    Abort,
    /// End the worker.
    End,
}
