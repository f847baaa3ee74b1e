//! Recovery from a lost instance of the engine or the application.

use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;

use legacy_websocket::step::{CloseCause, Closed, Command, Event, Input};
use legacy_websocket_shell::{Driver, EventBudget, LogCategory, LogPermit};
use tracing::{error, info};

use super::{Inner, Lost};
use crate::application::{ApplicationFactory, ApplicationLost, Handler};
use crate::observe::log;

/// How long to wait before retrying to start an application, in milliseconds.
const RETRY_AFTER: u64 = 1000;

impl Inner {
    /// The application's first call, which has no events.
    pub(super) fn start_application(&mut self) -> Result<(), Lost> {
        if matches!(self.application, Handler::Component(..))
            && let Some(step) = self.tell_application(&[])?
        {
            self.carry(step);
        }
        Ok(())
    }

    /// Replaces a lost application. Its connections are closed as at shutdown, with code 1011; the fresh instance does
    /// not hear of them.
    pub(super) fn replace_application(
        &mut self,
        lost: &ApplicationLost,
        now: u64,
    ) -> Result<Option<u64>, Lost> {
        self.totals.application_traps += 1;
        let open = self.connections.values().filter(|link| !link.closed).count();
        log_loss(open, lost);
        self.event_budget = EventBudget::new();
        self.orphans_below = self.context.pool.id(self.origin.worker, self.accepted + 1);
        self.pump.carried().clear();
        self.untold.clear();
        if let Handler::Component(factory, _) | Handler::Gone(factory, _) = &self.application {
            let factory = Arc::clone(factory);
            self.renew_application(factory, now);
        }
        let step = self.engine.turn(now, &[Input::ApplicationLost])?;
        self.run(step, now)
    }

    /// Retries a replacement that failed.
    pub(super) fn retry_application(&mut self, now: u64) {
        if self.retry_at().is_some_and(|at| now >= at)
            && let Handler::Gone(factory, _) = &self.application
        {
            let factory = Arc::clone(factory);
            self.renew_application(factory, now);
        }
    }

    pub(super) fn retry_at(&self) -> Option<u64> {
        match &self.application {
            Handler::Gone(_, tried) => Some(tried.saturating_add(RETRY_AFTER)),
            _ => None,
        }
    }

    fn renew_application(&mut self, factory: Arc<ApplicationFactory>, now: u64) {
        self.origin.instance += 1;
        let renewed = Handler::component(Arc::clone(&factory)).map_err(|error| error.to_string());
        let started = renewed.and_then(|handler| {
            self.application = handler;
            self.start_application().map_err(|lost| lost.to_string())
        });
        match started {
            Ok(()) => log_fresh("application"),
            Err(error) => {
                log_none("application; clients are refused", &error);
                self.application = Handler::Gone(factory, now);
            }
        }
    }

    /// Whether to send connections elsewhere because they cannot be served here.
    pub(super) fn tell_health(&self) {
        if !self.retired {
            let healthy = self.engine_lives && !matches!(self.application, Handler::Gone(..));
            self.context.pool.set_healthy(self.origin.worker, healthy);
        }
    }

    /// Drops the events of connections whose application is lost.
    pub(super) fn leave_out_orphans(&self, events: &mut Vec<Event>) {
        if self.orphans_below > 0 {
            events.retain(|event| {
                connection_of(event).is_none_or(|connection| connection >= self.orphans_below)
            });
        }
    }

    /// Replaces a lost engine; its connections are lost with it.
    pub(super) fn replace_engine(&mut self, lost: &Lost, now: u64) -> Option<u64> {
        self.totals.traps += 1;
        let mut ended = Vec::new();
        for (connection, link) in self.connections.iter_mut().filter(|(_, link)| !link.closed) {
            link.member = None;
            link.io.abort();
            self.touched.push(Rc::clone(&link.io));
            let (cause, reason) = (CloseCause::EngineLost, String::new());
            ended.push(Event::Closed(Closed { connection: *connection, cause, code: None, reason }));
        }
        ended.iter().for_each(|event| Driver::observe(self, event));
        let open = ended.len();
        self.untold.extend(ended);
        // The close of connections that were gone already will not be reported.
        self.peers.retain(|connection| self.connections.contains_key(&connection));
        log_loss(open, lost);
        self.members.clear();
        self.unpaused.extend(self.paused.drain());
        self.lost.clear();
        self.pump.carried().clear();
        let made = self.context.factory.make(&self.context.engine_options);
        self.engine_lives = made.is_ok();
        match made {
            Ok(engine) => {
                self.engine = engine;
                // The new engine must be told its budget.
                self.event_budget = EventBudget::new();
            }
            Err(error) => {
                log_none("instance", &error);
                return Some(now.saturating_add(RETRY_AFTER));
            }
        }
        self.metrics.restarts += 1;
        let before = std::mem::take(&mut self.metrics.engine_messages);
        self.metrics.messages_before[0] += before[0];
        self.metrics.messages_before[1] += before[1];
        log_fresh("instance");
        match self.tell_of_loss(now) {
            Ok(next) => next,
            // The next turn finds it lost.
            Err(Lost::Engine(_)) => Some(now),
            Err(Lost::Application(lost)) => self.replace_application(&lost, now).unwrap_or(Some(now)),
        }
    }

    /// Tells the application which connections were lost with the engine, and has the fresh engine carry out its
    /// answers.
    fn tell_of_loss(&mut self, now: u64) -> Result<Option<u64>, Lost> {
        let mut events = std::mem::take(&mut self.untold);
        self.leave_out_orphans(&mut events);
        // Only the first call has no events.
        if !events.is_empty()
            && let Some(step) = self.tell_application(&events)?
        {
            self.carry(step);
        }
        // A tick that the application requested may be lost; one may come early.
        let next = self.engine.command(&[Command::Tick(0)])?.next_timeout;
        Ok(if self.pump.is_due() { Some(now) } else { next })
    }
}

fn log_loss(connections: usize, lost: &impl Display) {
    if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Instance) {
        error!(connections, unlogged, "{lost}; its connections are closed");
    }
}

fn log_fresh(what: &str) {
    if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Instance) {
        info!(unlogged, "a fresh {what} serves on");
    }
}

fn log_none(what: &str, why: &impl Display) {
    if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Instance) {
        error!(unlogged, "no fresh {what}: {why}");
    }
}

/// The connection that an event concerns.
fn connection_of(event: &Event) -> Option<u64> {
    Some(match event {
        Event::StateChanged(change) => change.connection,
        Event::Handshake(handshake) => handshake.connection,
        Event::Connected(connected) => connected.connection,
        Event::Messages(messages) => messages.connection,
        Event::Binary(binary) => binary.connection,
        Event::Closed(closed) => closed.connection,
        Event::Rejected(rejection) => rejection.connection,
        Event::Request(request) => request.connection,
        Event::Passed(passed) => passed.connection,
        // Failures reported by the fresh engine.
        Event::Failed(_) | Event::Tick(_) => return None,
    })
}
