//! Plain HTTP, which another component serves: requests that are no opening handshakes go to it and not to the
//! application.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::mem;

use legacy_websocket::Options;
use legacy_websocket::step::Event;
use legacy_websocket_shell::QueueLimits;

use crate::io::Ready;
use crate::link::Link;
use crate::system::http::{Answer, Exchange, Failed, Progress};
use crate::system::{Event as WasiEvent, Part, Waiter};

/// How many requests may be answered at once, with those whose client has left while the component was at work.
const MAX_EXCHANGES: usize = 1024;

/// The requests being answered.
pub(crate) struct Site {
    options: Options,
    limits: QueueLimits,
    /// By connection: each has at most one request.
    exchanges: BTreeMap<u64, Exchange>,
    done: Vec<(u64, Result<Answer, Failed>)>,
    /// The memory of responses that the engine has not got yet, in bytes.
    held: usize,
}

impl Site {
    pub(crate) fn new(options: &Options, limits: QueueLimits) -> Self {
        Self { options: options.clone(), limits, exchanges: BTreeMap::new(), done: Vec::new(), held: 0 }
    }

    /// Passes on the requests among the events. Returns the others.
    pub(crate) fn take_requests(
        &mut self,
        events: Vec<Event>,
        links: &BTreeMap<u64, Link>,
        waiter: &mut Waiter,
    ) -> Vec<Event> {
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
                    // Otherwise the client has left, and nobody waits for a response.
                    if let Some(peer) = links.get(&id).and_then(|link| link.socket.peer()) {
                        self.exchanges.insert(id, Exchange::start(request, peer, &self.options, waiter));
                    }
                    waiter.note_ready(Ready::Exchange(id));
                }
                event => rest.push(event),
            }
        }
        rest
    }

    /// An event has told the result of a part of an exchange.
    pub(crate) fn complete(&mut self, id: u64, part: Part, event: &WasiEvent, waiter: &mut Waiter) {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.complete(part, event, waiter);
        }
    }

    /// Goes on with an exchange.
    pub(crate) fn drive(&mut self, id: u64, waiter: &mut Waiter) {
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
    pub(crate) fn abandon(&mut self, id: u64, waiter: &mut Waiter) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        self.held = self.held.saturating_sub(exchange.held());
        if exchange.abandon(waiter) {
            self.exchanges.remove(&id);
        }
    }

    /// The requests that are done, each with its response or why there is none.
    pub(crate) fn take_done(&mut self) -> Vec<(u64, Result<Answer, Failed>)> {
        let done = mem::take(&mut self.done);
        let bytes = done.iter().map(|(_, done)| done.as_ref().map_or(0, |answer| answer.body.capacity()));
        self.held = self.held.saturating_sub(bytes.sum());
        done
    }
}
