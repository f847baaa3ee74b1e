//! What a gateway counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::status::{BackendStatus, GatewayStatus, SiteStatus};
use crate::site::Site;

/// The figures of all workers.
#[derive(Debug, Default)]
pub(crate) struct GatewayMetrics {
    /// Connections to backends that are still to end, of pairs and of those that are being opened.
    running: AtomicUsize,
    ended: Notify,
    tunnels: AtomicUsize,
    /// Requests that were not an old client's, by the status of the answer.
    requests: Mutex<BTreeMap<u16, u64>>,
    /// Of a web application, by reason.
    failures: Mutex<BTreeMap<&'static str, u64>>,
    dropped: AtomicU64,
    /// Close frames of backends, by code; 1005 if there was none in it.
    closes: Mutex<BTreeMap<u16, u64>>,
}

/// Counts something for as long as it lives.
#[derive(Debug)]
pub(super) struct Counted<'m>(&'m GatewayMetrics, fn(&GatewayMetrics) -> &AtomicUsize);

impl GatewayMetrics {
    /// A pair that is being opened, or has ended only on the client's side.
    pub(super) fn run(&self) -> Counted<'_> {
        Counted::new(self, |metrics| &metrics.running)
    }

    pub(super) fn tunnel(&self) -> Counted<'_> {
        Counted::new(self, |metrics| &metrics.tunnels)
    }

    pub(super) fn count_request(&self, status: u16) {
        *lock(&self.requests).entry(status).or_default() += 1;
    }

    pub(super) fn count_failure(&self, reason: &'static str) {
        *lock(&self.failures).entry(reason).or_default() += 1;
    }

    pub(super) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_close(&self, code: u16) {
        *lock(&self.closes).entry(code).or_default() += 1;
    }

    /// Waits until no connection to a backend is running any more.
    pub(super) async fn drained(&self) {
        loop {
            let ended = self.ended.notified();
            if self.running.load(Ordering::SeqCst) == 0 {
                return;
            }
            ended.await;
        }
    }

    pub(super) fn status(
        &self,
        backends: Vec<BackendStatus>,
        routes: Vec<(String, Vec<String>)>,
        pairs: usize,
    ) -> GatewayStatus {
        GatewayStatus {
            backends,
            routes,
            pairs,
            tunnels: self.tunnels.load(Ordering::Relaxed),
            requests: lock(&self.requests).clone(),
            dropped: self.dropped.load(Ordering::Relaxed),
            closes: lock(&self.closes).clone(),
            site: None,
        }
    }

    pub(super) fn of_site(&self, site: &Site) -> SiteStatus {
        SiteStatus {
            open: site.open(),
            memory_bytes: site.memory_bytes(),
            requests: lock(&self.requests).clone(),
            failures: lock(&self.failures).clone(),
        }
    }
}

impl<'m> Counted<'m> {
    fn new(metrics: &'m GatewayMetrics, what: fn(&GatewayMetrics) -> &AtomicUsize) -> Self {
        what(metrics).fetch_add(1, Ordering::SeqCst);
        Self(metrics, what)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        (self.1)(self.0).fetch_sub(1, Ordering::SeqCst);
        self.0.ended.notify_waiters();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
