//! How many events the application gets in one call.

use core::time::Duration;

/// The maximum time that a call of the application, with its consequences, should take.
const CALL_TIME: Duration = Duration::from_millis(5);

/// The maximum size of a call's commands, in bytes.
const CALL_BYTES: usize = 8 << 20;

/// More events than this in one call gain nothing.
const MOST: u32 = 512;

/// The growth from one call to the next, if the first took almost no time.
const MAX_GROWTH: f64 = 8.0;

/// The number of events one call of the application may have, derived from the cost of recent calls: one at first, at
/// most 512, fewer if calls take longer than 5 ms or return more than 8 MiB of commands. The rest waits in the engine.
#[derive(Debug)]
pub struct EventBudget {
    events: u32,
    /// The budget last given to the engine.
    told: u32,
}

impl Default for EventBudget {
    fn default() -> Self {
        Self::new()
    }
}

impl EventBudget {
    /// Starts with one event, because nothing is known about the application yet.
    #[must_use]
    pub fn new() -> Self {
        Self { events: 1, told: 0 }
    }

    /// The new budget, if it has changed since the engine was last told.
    pub fn take_change(&mut self) -> Option<u32> {
        let before = core::mem::replace(&mut self.told, self.events);
        (before != self.events).then_some(self.events)
    }

    /// Records a call: its events, its time including its consequences, and the bytes of its commands.
    pub fn observe(&mut self, events: usize, took: Duration, bytes: usize) {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        let load = (took.as_secs_f64() / CALL_TIME.as_secs_f64()).max(bytes as f64 / CALL_BYTES as f64);
        if load > 1.0 {
            let fits = (f64::from(events.min(self.events)) / load) as u32;
            self.events = fits.max(1);
        } else if events >= self.events && load < 0.5 {
            let growth = (0.5 / load).clamp(2.0, MAX_GROWTH) as u32;
            self.events = self.events.saturating_mul(growth).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates full calls of an application that takes this long per event.
    fn settle(event_budget: &mut EventBudget, micros: u64, bytes: usize) -> u32 {
        for _ in 0..20 {
            let events = event_budget.events;
            event_budget.observe(
                events as usize,
                Duration::from_micros(micros) * events,
                bytes * events as usize,
            );
        }
        event_budget.events
    }

    #[test]
    fn a_slow_application_gets_fewer_events() {
        let mut event_budget = EventBudget::new();
        assert_eq!(settle(&mut event_budget, 1, 10), MOST);
        assert_eq!(settle(&mut event_budget, 50_000, 10), 1);
        assert!((2..=5).contains(&settle(&mut event_budget, 1000, 10)));
        assert_eq!(settle(&mut event_budget, 1, 10), MOST);
    }

    #[test]
    fn a_fast_application_soon_gets_the_maximum() {
        let mut event_budget = EventBudget::new();
        for _ in 0..3 {
            event_budget.observe(event_budget.events as usize, Duration::from_micros(1), 10);
        }
        assert_eq!(event_budget.events, MOST);
    }

    #[test]
    fn an_application_with_much_output_gets_fewer_events() {
        assert!((4..=8).contains(&settle(&mut EventBudget::new(), 1, 1 << 20)));
        assert_eq!(settle(&mut EventBudget::new(), 1, 20 << 20), 1);
    }

    #[test]
    fn calls_below_the_budget_do_not_change_it() {
        let mut event_budget = EventBudget::new();
        settle(&mut event_budget, 1000, 10);
        assert!(event_budget.take_change().is_some());
        event_budget.observe(1, Duration::from_micros(1), 10);
        assert_eq!(event_budget.take_change(), None);
    }
}
