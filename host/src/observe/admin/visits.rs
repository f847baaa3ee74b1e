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

    /// Waits until there is room, so that the descriptors in use are never more, however fast connections come.
    pub(super) async fn admit(&mut self, visit: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.order.retain(|visit| !visit.is_finished());
        while self.tasks.len() >= self.max {
            self.order.pop_front().as_ref().map(AbortHandle::abort);
            self.tasks.join_next().await;
        }
        self.order.push_back(self.tasks.spawn(visit));
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_replaced_visit_is_gone_before_the_next_begins() {
        let (mut visits, open) = (Visits::new(2), Arc::new(()));
        for _ in 0..10 {
            let visit = Arc::clone(&open);
            visits
                .admit(async move {
                    let _visit = visit;
                    pending().await
                })
                .await;
            assert!(Arc::strong_count(&open) <= 1 + 2);
        }
    }
}
