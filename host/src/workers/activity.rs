//! How busy a worker's thread is and whether it makes progress, readable from other threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time constant of the utilisation's moving average.
const HORIZON: Duration = Duration::from_millis(250);

/// Updated by the worker's thread. Readings from other threads are approximate, which is sufficient.
#[derive(Debug)]
pub(crate) struct Activity {
    origin: Instant,
    working: AtomicBool,
    /// When it last started working or waiting, in nanoseconds since the origin.
    changed: AtomicU64,
    /// The utilisation at that time, as the bits of an `f64`.
    before: AtomicU64,
    /// When it last made progress, in nanoseconds since the origin.
    progress: AtomicU64,
}

impl Activity {
    pub(crate) fn new() -> Self {
        let (working, changed, before, progress) = Default::default();
        Self { origin: Instant::now(), working, changed, before, progress }
    }

    /// The thread has work after waiting.
    pub(crate) fn begin_work(&self) {
        self.change(true);
    }

    /// The thread has nothing to do for now.
    pub(crate) fn end_work(&self) {
        self.change(false);
    }

    /// The thread has finished something; there may be more.
    pub(crate) fn get_on(&self) {
        self.progress.store(self.now(), Ordering::Relaxed);
    }

    /// The fraction of recent time that the thread was busy, from 0 to 1.
    pub(crate) fn utilisation(&self) -> f64 {
        self.utilisation_at(self.now())
    }

    /// How long it has been busy without progress.
    pub(crate) fn busy_for(&self) -> Duration {
        if !self.working.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        Duration::from_nanos(self.now().saturating_sub(self.progress.load(Ordering::Relaxed)))
    }

    fn change(&self, working: bool) {
        let now = self.now();
        self.before.store(self.utilisation_at(now).to_bits(), Ordering::Relaxed);
        self.changed.store(now, Ordering::Relaxed);
        self.progress.store(now, Ordering::Relaxed);
        self.working.store(working, Ordering::Relaxed);
    }

    /// Moves towards 1 while the thread works, and towards 0 while it waits.
    fn utilisation_at(&self, now: u64) -> f64 {
        let before = f64::from_bits(self.before.load(Ordering::Relaxed));
        let since = Duration::from_nanos(now.saturating_sub(self.changed.load(Ordering::Relaxed)));
        let towards = if self.working.load(Ordering::Relaxed) { 1.0 } else { 0.0 };
        towards + (before - towards) * (-since.as_secs_f64() / HORIZON.as_secs_f64()).exp()
    }

    /// Enough for 584 years.
    fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utilisation_follows_the_threads_activity() {
        let activity = Activity::new();
        let second = 1_000_000_000;
        assert!(activity.utilisation() < 0.01);
        activity.begin_work();
        let began = activity.changed.load(Ordering::Relaxed);
        assert!(activity.utilisation_at(began) < 0.01);
        let some = activity.utilisation_at(began + second / 4);
        assert!((some - 0.632).abs() < 0.01, "{some}");
        assert!(activity.utilisation_at(began + 2 * second) > 0.99);
        activity.before.store(1_f64.to_bits(), Ordering::Relaxed);
        activity.working.store(false, Ordering::Relaxed);
        let later = activity.utilisation_at(began + second / 4);
        assert!((later - 0.368).abs() < 0.01, "{later}");
    }

    #[test]
    fn a_waiting_thread_is_not_busy() {
        let activity = Activity::new();
        assert_eq!(activity.busy_for(), Duration::ZERO);
        activity.begin_work();
        while activity.busy_for() < Duration::from_millis(1) {}
        activity.get_on();
        let before = activity.progress.load(Ordering::Relaxed);
        assert!(before > activity.changed.load(Ordering::Relaxed));
        activity.end_work();
        assert_eq!(activity.busy_for(), Duration::ZERO);
    }
}
