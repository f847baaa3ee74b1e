//! Plain HTTP, which another component serves: requests that are no opening handshakes go to it and not to the
//! application.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;

use legacy_websocket::Options;
use legacy_websocket::step::{Command, CommandKind, Event, Response, ResponseField};
use legacy_websocket_shell::{Level, LogCategory, QueueLimits, carry_out};

use super::Shell;
use crate::io::Ready;
use crate::system::http::{Answer, Exchange, Failed, Origin, Part, Progress};
use crate::system::{Event as WasiEvent, Waiter};

/// How many requests may be answered at once, with those whose client has left while the component was at work.
const MAX_EXCHANGES: usize = 1024;

/// The requests being answered.
pub(crate) struct Site {
    origin: Origin,
    limits: QueueLimits,
    /// By connection: each has at most one request.
    exchanges: BTreeMap<u64, Exchange>,
    done: Vec<(u64, Result<Answer, Failed>)>,
    /// The memory of responses that the engine has not got yet, in bytes.
    held: usize,
}

impl Site {
    pub(crate) fn new(options: &Options, limits: QueueLimits) -> Self {
        Self { origin: Origin::new(options), limits, exchanges: BTreeMap::new(), done: Vec::new(), held: 0 }
    }

    /// Passes on the requests among the events. Returns the others.
    pub(super) fn take_requests(&mut self, events: Vec<Event>, waiter: &mut Waiter) -> Vec<Event> {
        let mut rest = Vec::with_capacity(events.len());
        for event in events {
            match event {
                Event::Request(request) => {
                    let id = request.connection;
                    if self.exchanges.len() >= MAX_EXCHANGES {
                        self.done.push((id, Err(Failed::TooMany(MAX_EXCHANGES))));
                        waiter.note_ready(Ready::Exchange(id));
                        continue;
                    }
                    self.exchanges.insert(id, Exchange::start(request, &self.origin, waiter));
                    waiter.note_ready(Ready::Exchange(id));
                }
                event => rest.push(event),
            }
        }
        rest
    }

    /// An event has told the result of a part of an exchange.
    pub(super) fn complete(&mut self, id: u64, part: Part, event: &WasiEvent, waiter: &mut Waiter) {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.complete(part, event, waiter);
        }
    }

    /// Goes on with an exchange.
    pub(super) fn drive(&mut self, id: u64, waiter: &mut Waiter) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let before = exchange.held();
        let others = self.held.saturating_sub(before);
        let max = self.limits.single().min(self.limits.total.saturating_sub(others));
        let progress = exchange.drive(max, waiter);
        self.held = others;
        match progress {
            Progress::GoesOn => self.held = others.saturating_add(exchange.held()),
            Progress::Done(mut done) => {
                self.exchanges.remove(&id);
                // The engine writes the length of the body, and omits the body itself.
                if let Ok(answer) = &mut done
                    && let Some(length) = answer.of_head.filter(|length| *length <= max)
                {
                    answer.body = vec![0; length];
                }
                let bytes = done.as_ref().map_or(0, |answer| answer.body.capacity());
                self.held = others.saturating_add(bytes);
                self.done.push((id, done));
            }
            Progress::Over => drop(self.exchanges.remove(&id)),
        }
    }

    /// The client is gone.
    pub(super) fn abandon(&mut self, id: u64, waiter: &mut Waiter) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        self.held = self.held.saturating_sub(exchange.held());
        if exchange.abandon(waiter) {
            self.exchanges.remove(&id);
        }
    }
}

impl Shell {
    /// Passes the responses that are whole to the engine.
    pub(super) fn answer_requests(&mut self, now: u64) {
        let done = core::mem::take(&mut self.site.done);
        if done.is_empty() {
            return;
        }
        let bytes = done.iter().map(|(_, done)| done.as_ref().map_or(0, |answer| answer.body.capacity()));
        self.site.held = self.site.held.saturating_sub(bytes.sum());
        let answers: Vec<_> = done.into_iter().map(|(id, done)| (id, self.answer(id, done))).collect();
        let fields: Vec<Vec<_>> = answers.iter().map(|(_, answer)| fields(answer)).collect();
        let commands: Vec<_> = answers
            .iter()
            .zip(&fields)
            .map(|((connection, answer), fields)| {
                let (connection, status, body) = (*connection, answer.status, answer.body.as_slice());
                Command::Respond(Response { connection, status, fields, body })
            })
            .collect();
        let Ok(step) = carry_out(&commands, |part, is_last| {
            Ok::<_, Infallible>(if is_last {
                self.engine.command(part)
            } else {
                self.engine.command_partly(part)
            })
        });
        let Some(mut step) = step else { return };
        // The application has sent none of these; that the client has left meanwhile is no news.
        step.events.retain(
            |event| !matches!(event, Event::Failed(failed) if failed.command == CommandKind::Respond),
        );
        self.pump(|pump, shell| pump.run(shell, step, now));
    }

    /// The response to a request, whatever has become of it.
    fn answer(&mut self, id: u64, done: Result<Answer, Failed>) -> Answer {
        let failed = match done {
            Ok(answer) => return answer,
            Err(failed) => failed,
        };
        let (status, text) = match failed {
            Failed::BadRequest => (400, "Bad Request\n"),
            Failed::TooMany(_) => (503, "Service Unavailable\n"),
            Failed::Error(_) | Failed::Status(_) | Failed::TooLong(_) => (500, "Internal Server Error\n"),
        };
        if let Some(permit) = self.log.permit(LogCategory::Failure) {
            let peer = self.links.get(&id).map(|link| link.peer.clone()).unwrap_or_default();
            self.log.write(
                Level::Warn,
                format_args!("request failed peer={peer} status={status} reason={failed}{permit}"),
            );
        }
        let fields = [("Content-Type".into(), "text/plain; charset=utf-8".into())].into();
        Answer { status, fields, body: text.into(), of_head: None }
    }
}

fn fields(answer: &Answer) -> Vec<ResponseField<'_>> {
    answer.fields.iter().map(|(name, value)| ResponseField { name, value }).collect()
}
