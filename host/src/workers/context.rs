//! What all workers of a server share.

use std::sync::Arc;
use std::time::Instant;

use legacy_websocket::Options;
use tokio::sync::Semaphore;

use crate::accept::listener::Listener;
use crate::accept::peer_limiter::PeerLimiter;
use crate::application::Program;
use crate::connection::queue_budget::QueueBudget;
use crate::engine::EngineFactory;
use crate::options::ShellOptions;
use crate::workers::pool::WorkerPool;

/// What all workers of a server are created from, and share.
#[derive(Debug)]
pub(crate) struct ServerContext {
    pub(crate) factory: EngineFactory,
    pub(crate) engine_options: Options,
    pub(crate) options: ShellOptions,
    /// The first one.
    pub(crate) application: Program,
    /// One for each allowed connection.
    pub(crate) permits: Arc<Semaphore>,
    /// One for each peer that may be refused with an answer at a time.
    pub(crate) refusals: Semaphore,
    pub(crate) peers: Arc<PeerLimiter>,
    pub(crate) pool: Arc<WorkerPool>,
    pub(crate) queue_budget: Arc<QueueBudget>,
    /// The origin of the clock.
    pub(crate) started: Instant,
}

impl ServerContext {
    /// How many connections there are.
    pub(crate) fn open(&self) -> usize {
        self.options.max_connections - self.permits.available_permits()
    }

    pub(super) fn accepts_from(&self, listener: &Listener) -> bool {
        !self.pool.is_stopping() || (self.refuses_at_stop() && !listener.is_lent())
    }

    /// While stopping, the server keeps its listeners open, but tells load balancers that it is stopping.
    pub(crate) fn refuses_at_stop(&self) -> bool {
        self.engine_options.health_path.is_some()
    }
}
