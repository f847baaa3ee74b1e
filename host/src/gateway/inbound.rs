//! What an old client has said, on its way to the backend.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use legacy_websocket::step::CloseCause;

use super::batch::MESSAGE_COST;

/// Reading from the client stops at this many bytes …
const FULL_BYTES: usize = 256 << 10;

/// … and resumes at this many.
const ROOM_BYTES: usize = FULL_BYTES / 2;

/// The events of one client, in order.
#[derive(Debug, Default)]
pub(super) struct Inbound(RefCell<Inner>);

#[derive(Debug, Default)]
struct Inner {
    events: VecDeque<FromClient>,
    bytes: usize,
    is_full: bool,
    ended: bool,
    /// Nobody takes the events any more.
    abandoned: bool,
    waiting: Option<Waker>,
}

#[derive(Debug)]
pub(super) enum FromClient {
    /// Messages may be sent to it.
    Connected,
    Texts {
        text: String,
        ends: Vec<u32>,
    },
    Binary(Vec<u8>),
    Closed {
        cause: CloseCause,
        code: Option<u16>,
        reason: String,
    },
}

impl Inbound {
    /// Returns whether the client should be read no more for now.
    #[must_use]
    pub(super) fn push(&self, event: FromClient) -> bool {
        let mut inner = self.0.borrow_mut();
        if inner.abandoned {
            return false;
        }
        inner.ended |= matches!(event, FromClient::Closed { .. });
        inner.bytes += event.bytes();
        inner.events.push_back(event);
        if let Some(waker) = &inner.waiting {
            waker.wake_by_ref();
        }
        let fills = inner.bytes >= FULL_BYTES && !inner.is_full;
        inner.is_full |= fills;
        fills
    }

    /// Takes the next event. Also returns whether the client may be read again.
    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Poll<(FromClient, bool)> {
        let mut inner = self.0.borrow_mut();
        let Some(event) = inner.events.pop_front() else {
            inner.wait(cx);
            return Poll::Pending;
        };
        inner.bytes -= event.bytes();
        let has_room = inner.is_full && inner.bytes <= ROOM_BYTES;
        inner.is_full &= !has_room;
        Poll::Ready((event, has_room))
    }

    /// Drops all events, those to come as well.
    pub(super) fn abandon(&self) {
        *self.0.borrow_mut() = Inner { abandoned: true, ..Inner::default() };
    }

    /// Ready when the client is gone.
    pub(super) fn poll_ended(&self, cx: &Context<'_>) -> Poll<()> {
        let mut inner = self.0.borrow_mut();
        if inner.ended {
            return Poll::Ready(());
        }
        inner.wait(cx);
        Poll::Pending
    }
}

impl Inner {
    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waiting {
            Some(waiting) => waiting.clone_from(cx.waker()),
            None => self.waiting = Some(cx.waker().clone()),
        }
    }
}

impl FromClient {
    fn bytes(&self) -> usize {
        match self {
            Self::Texts { text, ends } => text.len() + ends.len() * MESSAGE_COST,
            Self::Binary(bytes) => bytes.len(),
            Self::Connected | Self::Closed { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_paused_when_full_and_resumed_at_half() {
        let (inbound, cx) = (Inbound::default(), Context::from_waker(Waker::noop()));
        let eighth = || FromClient::Binary(vec![0; FULL_BYTES / 8]);
        let pushed: Vec<_> = (0..9).map(|_| inbound.push(eighth())).collect();
        assert_eq!(pushed, [false, false, false, false, false, false, false, true, false]);
        let take = || match inbound.poll_next(&cx) {
            Poll::Ready((_, has_room)) => Some(has_room),
            Poll::Pending => None,
        };
        let taken: Vec<_> = std::iter::from_fn(take).collect();
        assert_eq!(taken, [false, false, false, false, true, false, false, false, false]);
    }
}
