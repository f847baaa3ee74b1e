//! Several timers over the one `tick`.

use std::cell::Cell;
use std::time::Duration;

use crate::{Command, Instant};

thread_local! {
    /// Which call of the application it is.
    static CALL: Cell<u64> = const { Cell::new(0) };
}

/// A call of the application begins: what it knew of the time is old.
#[doc(hidden)]
pub fn begin_call() {
    CALL.set(CALL.get().wrapping_add(1));
}

/// Timers, each with a name of your choice: once, or again and again. One `tick` serves all of them.
///
/// The time is that of the `tick`s. A timer that is set between two asks for one at once, and counts from there, about
/// 1 ms later. So that the clock runs, **every call of the application ends with [`request`](Self::request)**: a call
/// that returns before it delays the timers until the next one that does.
///
/// Each instance of the application has its own timers, and a server has an instance on each core unless the first call
/// returns [`Command::SingleInstance`]: without it, what is sent to all at a time is sent once by each.
///
/// ```
/// use std::time::Duration;
///
/// use legacy_websocket_application::{Application, Command, Event, Recipients, Timers};
///
/// #[derive(Default)]
/// struct Bells {
///     timers: Timers<&'static str>,
/// }
///
/// impl Application for Bells {
///     fn handle(&mut self, events: Vec<Event>) -> Vec<Command> {
///         let mut commands = Vec::new();
///         if events.is_empty() {
///             // One belfry, not one on each core.
///             commands.push(Command::SingleInstance);
///             self.timers.every("ding", Duration::from_secs(15 * 60));
///             self.timers.once("dong", Duration::from_secs(60 * 60));
///         }
///         for event in events {
///             if let Event::Tick(now) = event {
///                 let due = self.timers.due(now).into_iter();
///                 commands.extend(due.map(|bell| Command::send(Recipients::All, bell)));
///             }
///         }
///         commands.extend(self.timers.request());
///         commands
///     }
/// }
/// # assert_eq!(Bells::default().handle(vec![]), [Command::SingleInstance, Command::Tick(0)]);
/// ```
#[derive(Clone, Debug)]
pub struct Timers<K> {
    /// A few, so a list: a map would be the larger part of a small component.
    timers: Vec<Timer<K>>,
    /// The time, and the call that had this tick.
    now: Option<(Instant, u64)>,
    /// A tick has been asked for only to learn the time.
    asked: bool,
}

#[derive(Clone, Debug)]
struct Timer<K> {
    name: K,
    /// In milliseconds; at least 1.
    after: u64,
    repeats: bool,
    /// Unknown until the time is.
    due: Option<Instant>,
}

impl<K: PartialEq + Clone> Timers<K> {
    /// No timers.
    #[must_use]
    pub const fn new() -> Self {
        Self { timers: Vec::new(), now: None, asked: false }
    }

    /// Sets a timer that is due again and again, first after one interval. The interval has whole milliseconds, at
    /// least one. Replaces a timer with the same name.
    pub fn every(&mut self, name: impl Into<K>, interval: Duration) {
        self.set(name.into(), interval, true);
    }

    /// Sets a timer that is due once. Replaces a timer with the same name.
    pub fn once(&mut self, name: impl Into<K>, after: Duration) {
        self.set(name.into(), after, false);
    }

    /// Removes a timer. Returns whether it was set.
    pub fn cancel(&mut self, name: &K) -> bool {
        let before = self.timers.len();
        self.timers.retain(|timer| timer.name != *name);
        self.timers.len() < before
    }

    /// Whether a timer is set.
    #[must_use]
    pub fn is_set(&self, name: &K) -> bool {
        self.timers.iter().any(|timer| timer.name == *name)
    }

    /// The names of the timers that are due at a `tick`, in the order in which they became due. One that repeats keeps
    /// its rhythm: it is named once, however many of its times have passed.
    pub fn due(&mut self, now: Instant) -> Vec<K> {
        (self.now, self.asked) = (Some((now, CALL.get())), false);
        let mut due: Vec<(Instant, K)> = Vec::new();
        self.timers.retain_mut(|timer| {
            let at = *timer.due.get_or_insert(now.saturating_add(timer.after));
            if at > now {
                return true;
            }
            // Not sorted, for the same reason.
            let place = due.partition_point(|(earlier, _)| *earlier <= at);
            due.insert(place, (at, timer.name.clone()));
            let times = (now - at) / timer.after + 1;
            timer.due = Some(at.saturating_add(timer.after.saturating_mul(times)));
            timer.repeats
        });
        due.into_iter().map(|(_, name)| name).collect()
    }

    /// The `tick` that the timers need, if it has not been asked for yet. Add it to the commands of every call.
    #[must_use]
    pub fn request(&mut self) -> Option<Command> {
        let (now, learnt) = (self.now(), self.now.take());
        if let Some(now) = now {
            let next = self.timers.iter().filter_map(|timer| timer.due).min()?;
            return Some(Command::Tick(next.saturating_sub(now)));
        }
        // A tick for those that know their time is on its way, unless the call that had the last one returned early.
        let is_unknown = |timer: &Timer<K>| learnt.is_some() || timer.due.is_none();
        let wants_time = !self.asked && self.timers.iter().any(is_unknown);
        self.asked |= wants_time;
        wants_time.then_some(Command::Tick(0))
    }

    /// The time, if this call had a tick.
    fn now(&self) -> Option<Instant> {
        self.now.filter(|(_, call)| *call == CALL.get()).map(|(now, _)| now)
    }

    fn set(&mut self, name: K, after: Duration, repeats: bool) {
        let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX).max(1);
        let due = self.now().map(|now| now.saturating_add(after));
        self.cancel(&name);
        self.timers.push(Timer { name, after, repeats, due });
    }
}

impl<K: PartialEq + Clone> Default for Timers<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Runs a call with a tick.
    fn tick(timers: &mut Timers<&'static str>, now: Instant) -> (Vec<&'static str>, Option<Command>) {
        let due = timers.due(now);
        (due, timers.request())
    }

    #[test]
    fn one_tick_serves_all() {
        let mut timers = Timers::new();
        timers.every("second", SECOND);
        timers.every("often", Duration::from_millis(400));
        timers.once("once", SECOND);
        assert_eq!(timers.request(), Some(Command::Tick(0)));
        assert_eq!(timers.request(), None);
        assert_eq!(tick(&mut timers, 5000), (vec![], Some(Command::Tick(400))));
        assert_eq!(timers.request(), None);
        assert_eq!(tick(&mut timers, 5400), (vec!["often"], Some(Command::Tick(400))));
        assert_eq!(tick(&mut timers, 5801), (vec!["often"], Some(Command::Tick(199))));
        assert_eq!(tick(&mut timers, 6000), (vec!["second", "once"], Some(Command::Tick(200))));
        assert!(!timers.is_set(&"once"));
    }

    #[test]
    fn a_timer_set_between_ticks_learns_the_time_first() {
        let mut timers = Timers::new();
        timers.every("second", SECOND);
        let _ = timers.request();
        tick(&mut timers, 0);
        timers.once("soon", Duration::from_millis(10));
        assert_eq!(timers.request(), Some(Command::Tick(0)));
        assert_eq!(tick(&mut timers, 500), (vec![], Some(Command::Tick(10))));
        assert_eq!(tick(&mut timers, 510), (vec!["soon"], Some(Command::Tick(490))));
    }

    #[test]
    fn a_timer_set_at_a_tick_counts_from_it() {
        let mut timers = Timers::new();
        timers.due(100);
        timers.once("soon", Duration::from_millis(10));
        assert_eq!(timers.request(), Some(Command::Tick(10)));
        assert_eq!(tick(&mut timers, 109), (vec![], Some(Command::Tick(1))));
        assert!(timers.cancel(&"soon"));
        assert_eq!(tick(&mut timers, 110), (vec![], None));
    }

    #[test]
    fn a_call_that_returns_early_only_delays() {
        let mut timers = Timers::new();
        timers.due(0);
        timers.every("second", SECOND);
        assert_eq!(timers.request(), Some(Command::Tick(1000)));
        begin_call();
        assert_eq!(timers.due(1000), ["second"]);
        begin_call();
        timers.once("soon", Duration::from_millis(10));
        assert_eq!(timers.request(), Some(Command::Tick(0)));
        assert_eq!(timers.request(), None);
        begin_call();
        assert_eq!(tick(&mut timers, 1500), (vec![], Some(Command::Tick(10))));
        begin_call();
        assert_eq!(tick(&mut timers, 1510), (vec!["soon"], Some(Command::Tick(490))));
    }

    #[test]
    fn missed_times_are_named_once_and_the_rhythm_stays() {
        let mut timers = Timers::new();
        timers.due(0);
        timers.every("second", SECOND);
        let _ = timers.request();
        assert_eq!(tick(&mut timers, 3500), (vec!["second"], Some(Command::Tick(500))));
    }

    #[test]
    fn the_longest_and_the_shortest_are_possible() {
        let mut timers = Timers::new();
        timers.due(10);
        timers.every("never", Duration::MAX);
        timers.every("always", Duration::ZERO);
        assert_eq!(timers.request(), Some(Command::Tick(1)));
        assert_eq!(tick(&mut timers, 20), (vec!["always"], Some(Command::Tick(1))));
    }
}
