//! The pump of a turn: step, events, application, commands, step, until there are no more or the time is up.

use alloc::vec::Vec;

use legacy_websocket::Millis;
use legacy_websocket::step::{Event, Input, Lost, Step, Transmission};

/// The maximum number of events per call of the application. The engine returns fewer; failures may add more.
const MAX_EVENTS: usize = 4096;

/// What a pump drives.
pub trait Driver {
    /// An instance of the engine or the application is gone.
    type Error;

    /// Whether the turn must yield: its time is up, or it has much to write.
    fn is_turn_over(&self) -> bool;

    /// Queues output for its connections.
    fn deliver(&mut self, transmissions: Vec<Transmission>);

    /// Stop reading from these connections until a later step omits them.
    fn pause(&mut self, connections: &[u64]);

    /// Counts and logs an event.
    fn observe(&mut self, event: &Event);

    /// Connections found lost while output was queued. The engine has not been told.
    fn take_lost(&mut self) -> Vec<Lost>;

    /// Runs a turn of the engine.
    ///
    /// # Errors
    /// The instance is gone.
    fn turn(&mut self, now: Millis, inputs: &[Input]) -> Result<Step, Self::Error>;

    /// Passes events to the application, and has the engine carry out its commands. `None` if there are none.
    ///
    /// # Errors
    /// An instance is gone.
    fn tell(&mut self, events: Vec<Event>) -> Result<Option<Step>, Self::Error>;
}

/// State carried over to the next turn.
#[derive(Debug, Default)]
pub struct Pump {
    carried: Vec<Event>,
}

impl Pump {
    /// Events not yet passed to the application; they come first in the next turn.
    #[must_use]
    pub fn carried(&mut self) -> &mut Vec<Event> {
        &mut self.carried
    }

    /// Whether the next turn is due at once.
    #[must_use]
    pub fn is_due(&self) -> bool {
        !self.carried.is_empty()
    }

    /// Passes on the events that an earlier turn had no time for. Returns when the next turn is due.
    ///
    /// # Errors
    /// An instance is gone.
    pub fn run_carried<D: Driver>(
        &mut self,
        driver: &mut D,
        now: Millis,
    ) -> Result<Option<Millis>, D::Error> {
        if self.carried.is_empty() {
            return Ok(None);
        }
        let events = core::mem::take(&mut self.carried);
        match self.tell(driver, events)? {
            Some(step) => self.run(driver, step, now),
            None => Ok(None),
        }
    }

    /// Delivers a step and its consequences until there are none or the turn's time is up; remaining events are
    /// carried over. Returns when the next turn is due.
    ///
    /// # Errors
    /// An instance is gone.
    pub fn run<D: Driver>(
        &mut self,
        driver: &mut D,
        mut step: Step,
        now: Millis,
    ) -> Result<Option<Millis>, D::Error> {
        loop {
            driver.deliver(core::mem::take(&mut step.transmissions));
            driver.pause(&step.paused);
            let events = core::mem::take(&mut step.events);
            for event in &events {
                driver.observe(event);
            }
            let is_over = driver.is_turn_over();
            if !self.carried.is_empty() || (is_over && !events.is_empty()) {
                self.carried.extend(events);
                return Ok(Some(now));
            }
            if let Some(following) = self.tell(driver, events)? {
                step = following;
                continue;
            }
            let lost = driver.take_lost();
            let is_due = !is_over && step.next_timeout.is_some_and(|at| at <= now);
            if lost.is_empty() && !is_due {
                return Ok(step.next_timeout);
            }
            step = driver.turn(now, &lost.into_iter().map(Input::Lost).collect::<Vec<_>>())?;
        }
    }

    /// As [`run`](Self::run), but goes on with events carried over until there are none.
    ///
    /// # Errors
    /// An instance is gone.
    pub fn run_to_end<D: Driver>(
        &mut self,
        driver: &mut D,
        step: Step,
        now: Millis,
    ) -> Result<Option<Millis>, D::Error> {
        let mut next = self.run(driver, step, now)?;
        while self.is_due() {
            self.run_carried(driver, now)?;
            // Only the engine's turn knows when the next one is due.
            let step = driver.turn(now, &[])?;
            next = self.run(driver, step, now)?;
        }
        Ok(next)
    }

    fn tell<D: Driver>(&mut self, driver: &mut D, mut events: Vec<Event>) -> Result<Option<Step>, D::Error> {
        if events.len() > MAX_EVENTS {
            self.carried = events.split_off(MAX_EVENTS);
        }
        if events.is_empty() { Ok(None) } else { driver.tell(events) }
    }
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;
    use std::collections::VecDeque;
    use std::fmt::Write;

    use legacy_websocket::step::{Destination, Disposition, Loss};

    use super::*;

    /// A scripted driver that records what happens.
    #[derive(Default)]
    struct Script {
        /// The engine's results for the application's commands; `None`: there were no commands.
        answers: VecDeque<Option<Step>>,
        turns: VecDeque<Step>,
        lost: Vec<Lost>,
        /// The turn is over after this many rounds.
        rounds: Option<usize>,
        log: String,
    }

    impl Driver for Script {
        type Error = Infallible;

        fn is_turn_over(&self) -> bool {
            self.rounds.is_some_and(|rounds| self.log.matches("deliver").count() > rounds)
        }

        fn deliver(&mut self, transmissions: Vec<Transmission>) {
            write!(self.log, "deliver {}, ", transmissions.len()).unwrap();
        }

        fn pause(&mut self, connections: &[u64]) {
            if !connections.is_empty() {
                write!(self.log, "pause {connections:?}, ").unwrap();
            }
        }

        fn observe(&mut self, _: &Event) {
            self.log.push_str("observe, ");
        }

        fn take_lost(&mut self) -> Vec<Lost> {
            std::mem::take(&mut self.lost)
        }

        fn turn(&mut self, _: Millis, inputs: &[Input]) -> Result<Step, Infallible> {
            write!(self.log, "turn {}, ", inputs.len()).unwrap();
            Ok(self.turns.pop_front().unwrap_or_default())
        }

        fn tell(&mut self, events: Vec<Event>) -> Result<Option<Step>, Infallible> {
            write!(self.log, "tell {}, ", events.len()).unwrap();
            Ok(self.answers.pop_front().flatten())
        }
    }

    fn step(events: usize, transmissions: usize) -> Step {
        let to = || Destination::One(1);
        let transmission = || Transmission { to: to(), bytes: Vec::new(), then: Disposition::Keep };
        Step {
            events: vec![Event::Tick(0); events],
            transmissions: (0..transmissions).map(|_| transmission()).collect(),
            ..Step::default()
        }
    }

    #[test]
    fn a_turn_runs_until_there_are_no_more_commands() {
        let mut script = Script { answers: [Some(step(1, 2)), None].into(), ..Script::default() };
        let next = Pump::default().run(&mut script, step(2, 1), 5);
        assert_eq!(next, Ok(None));
        assert_eq!(script.log, "deliver 1, observe, observe, tell 2, deliver 2, observe, tell 1, ");
    }

    #[test]
    fn an_expired_turn_carries_its_events_over_to_the_next() {
        let mut script = Script { rounds: Some(0), ..Script::default() };
        let mut pump = Pump::default();
        assert_eq!(pump.run(&mut script, step(2, 1), 5), Ok(Some(5)));
        assert!(pump.is_due());
        script.rounds = None;
        assert_eq!(pump.run_carried(&mut script, 6), Ok(None));
        assert!(!pump.is_due());
        // Each event is observed exactly once.
        assert_eq!(script.log, "deliver 1, observe, observe, tell 2, ");
    }

    #[test]
    fn an_application_that_always_answers_yields_when_its_time_is_up() {
        let answers = (0..100).map(|_| Some(step(1, 0))).collect();
        let mut script = Script { answers, rounds: Some(3), ..Script::default() };
        let mut pump = Pump::default();
        assert_eq!(pump.run(&mut script, step(1, 0), 5), Ok(Some(5)));
        assert_eq!((script.log.matches("tell").count(), pump.carried().len()), (3, 1));
    }

    #[test]
    fn a_slow_reader_found_during_delivery_is_reported_to_the_engine() {
        let lost = Lost { connection: 1, why: Loss::SlowReader };
        let mut script = Script { lost: vec![lost], ..Script::default() };
        assert_eq!(Pump::default().run(&mut script, step(0, 1), 5), Ok(None));
        assert_eq!(script.log, "deliver 1, turn 1, deliver 0, ");
    }

    #[test]
    fn an_expired_deadline_is_handled_in_the_same_turn() {
        let due = Step { next_timeout: Some(5), ..step(0, 0) };
        let later = Step { next_timeout: Some(6), ..step(0, 0) };
        let mut script = Script { turns: [later].into(), ..Script::default() };
        assert_eq!(Pump::default().run(&mut script, due, 5), Ok(Some(6)));
        assert_eq!(script.log, "deliver 0, turn 0, deliver 0, ");
    }

    #[test]
    fn a_call_gets_at_most_the_maximum_number_of_events() {
        let mut script = Script { answers: [Some(step(1, 0)), None, None].into(), ..Script::default() };
        let mut pump = Pump::default();
        assert_eq!(pump.run(&mut script, step(MAX_EVENTS + 10, 0), 5), Ok(Some(5)));
        // The first part's consequences are delivered after the rest.
        assert_eq!(pump.carried().len(), 11);
        script.log.clear();
        assert_eq!(pump.run_carried(&mut script, 6), Ok(None));
        assert_eq!(script.log, "tell 11, ");
    }

    #[test]
    fn to_the_end_means_until_no_event_is_carried_over() {
        let last = Step { next_timeout: Some(9), ..step(0, 0) };
        let answers = [Some(step(1, 0)), None].into();
        let mut script = Script { answers, turns: [last].into(), ..Script::default() };
        let mut pump = Pump::default();
        assert_eq!(pump.run_to_end(&mut script, step(MAX_EVENTS + 10, 0), 5), Ok(Some(9)));
        assert!(!pump.is_due());
        assert!(script.log.ends_with("tell 11, turn 0, deliver 0, "), "{}", script.log);
    }
}
