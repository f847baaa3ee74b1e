//! The open connections to the metrics port.

use std::collections::VecDeque;

use tokio::task::{AbortHandle, JoinSet};

/// Limits the number of connections: a further one replaces the oldest. All end when this is dropped.
#[derive(Debug)]
pub(super) struct Visits {
    max: usize,
    tasks: JoinSet<()>,
    /// Oldest first.
    order: VecDeque<AbortHandle>,
}

impl Visits {
    /// At least one.
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), tasks: JoinSet::new(), order: VecDeque::new() }
    }

    pub(super) fn admit(&mut self, visit: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.order.retain(|visit| !visit.is_finished());
        while self.order.len() >= self.max {
            self.order.pop_front().as_ref().map(AbortHandle::abort);
        }
        self.order.push_back(self.tasks.spawn(visit));
    }
}
