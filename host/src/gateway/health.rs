//! Whether a backend is worth a try.

use std::time::{Duration, Instant};

/// What the last attempts to connect have shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    /// When it last could not be connected to, if it has not been since.
    down: Option<Instant>,
    connected: Option<Instant>,
}

impl Health {
    /// Whether it was not down a moment ago.
    pub(super) fn is_up(&self, retry_after: Duration) -> bool {
        self.down.is_none_or(|at| at.elapsed() >= retry_after)
    }

    pub(super) fn connected(&mut self) {
        *self = Self { down: None, connected: Some(Instant::now()) };
    }

    /// An attempt that began then has failed. It says nothing if another has succeeded meanwhile.
    pub(super) fn failed(&mut self, began: Instant) {
        if self.connected.is_none_or(|connected| connected < began) {
            self.down = Some(Instant::now());
        }
    }

    /// For how long it has been down.
    pub(super) fn down(&self) -> Option<Duration> {
        self.down.map(|at| at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_began_before_a_success_says_nothing() {
        let mut health = Health::default();
        let began = Instant::now();
        health.failed(began);
        assert!(health.down().is_some() && !health.is_up(Duration::MAX) && health.is_up(Duration::ZERO));
        health.connected();
        health.failed(began);
        assert!(health.down().is_none() && health.is_up(Duration::MAX));
        health.failed(Instant::now());
        assert!(health.down().is_some());
    }
}
