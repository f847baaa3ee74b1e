//! State shared by all workers of a server.

use std::sync::Arc;
use std::time::Instant;

use legacy_websocket::Options;
use tokio::sync::Semaphore;

use crate::accept::listener::Listener;
use crate::accept::peer_limiter::PeerLimiter;
use crate::application::Program;
use crate::connection::queue_budget::QueueBudget;
use crate::engine::EngineFactory;
use crate::gateway::Gateway;
use crate::options::ShellOptions;
use crate::workers::pool::WorkerPool;

/// The configuration and state shared by all workers of a server.
#[derive(Debug)]
pub(crate) struct ServerContext {
    pub(crate) factory: EngineFactory,
    pub(crate) engine_options: Options,
    pub(crate) options: ShellOptions,
    /// The first version of the application.
    pub(crate) application: Program,
    /// One permit for each allowed connection.
    pub(crate) permits: Arc<Semaphore>,
    /// One permit for each peer being refused with an answer.
    pub(crate) refusals: Semaphore,
    pub(crate) peers: Arc<PeerLimiter>,
    pub(crate) pool: Arc<WorkerPool>,
    pub(crate) gateway: Option<Arc<Gateway>>,
    pub(crate) queue_budget: Arc<QueueBudget>,
    /// The origin of the server's clock.
    pub(crate) started: Instant,
}

impl ServerContext {
    /// The number of open connections.
    pub(crate) fn open(&self) -> usize {
        self.options.max_connections - self.permits.available_permits()
    }

    pub(super) fn accepts_from(&self, listener: &Listener) -> bool {
        !self.pool.is_stopping() || (self.refuses_at_stop() && !listener.is_lent())
    }

    /// While stopping, the server keeps its listeners open, so that health checks can tell load balancers about it.
    pub(crate) fn refuses_at_stop(&self) -> bool {
        self.engine_options.health_path.is_some()
    }
}
