//! Messages between an old client and its backend, until both sides have ended.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use legacy_websocket::Protocol;
use legacy_websocket::step::{CloseCause, Outgoing, Recipients};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_websockets::{CloseCode, Message, WebSocketStream};

use super::backend::BackendStream;
use super::batch::{Batch, MESSAGE_COST};
use super::close_code;
use super::failure::Failure;
use super::inbound::{FromClient, Inbound};
use super::prefixed::Prefixed;
use super::shared::Gateway;
use crate::handle::{Delivery, Handle};
use crate::workers::forwarded::{Outbound, SharedMessages};

/// Batches from a backend, and what is sent without waiting for its delivery, stay below about this many bytes each.
const WINDOW_BYTES: usize = 32 << 10;

/// What becomes of binary messages for the client, and of its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// The client's protocol has binary messages, too.
    Binary,
    /// A binary message ends both connections.
    Close,
    /// Binary messages are texts in base64 for the client.
    Base64,
    /// Binary messages are dropped.
    Drop,
}

/// How the backend's side has ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The client left, and the backend was told.
    ByClient,
    /// The backend sent a close frame; 1005 if it has no code.
    ByBackend {
        code: u16,
        reason: String,
    },
    Failed(Failure),
}

/// The state of a pair.
pub(super) struct Transfer<'g> {
    gateway: &'g Gateway,
    handle: &'g Handle,
    connection: u64,
    protocol: Protocol,
    inbound: &'g Inbound,
    socket: WebSocketStream<Prefixed<BackendStream>>,
    coding: Coding,
    /// Whether the client's opening handshake is done.
    connected: bool,
    /// What the client was sent since the system had last taken most of it, in bytes.
    unconfirmed: usize,
    /// Of the last messages for the client, if there were many.
    delivery: Option<Delivery>,
    closing: Closing,
    /// Whether the system has taken everything for the backend.
    is_flushed: bool,
    /// When something last came from the backend.
    last_activity: Instant,
    /// When it was last sent a ping, if nothing has come since.
    pinged: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Which side has ended, and how.
#[derive(Debug)]
enum Closing {
    Open,
    /// The client's end; the backend has until then for its answer, once the close frame is written.
    ByClient {
        until: Option<Instant>,
        awaits_answer: bool,
    },
    ByBackend {
        code: u16,
        reason: String,
        until: Instant,
    },
    /// Our own close frame, if any, is on its way.
    Failed {
        failure: Failure,
        until: Instant,
    },
}

impl<'g> Transfer<'g> {
    pub(super) fn new(
        gateway: &'g Gateway,
        handle: &'g Handle,
        (connection, protocol): (u64, Protocol),
        inbound: &'g Inbound,
        socket: WebSocketStream<Prefixed<BackendStream>>,
        coding: Coding,
    ) -> Self {
        Self {
            gateway,
            handle,
            connection,
            protocol,
            inbound,
            socket,
            coding,
            connected: false,
            unconfirmed: 0,
            delivery: None,
            closing: Closing::Open,
            is_flushed: true,
            last_activity: Instant::now(),
            pinged: None,
            timer: None,
        }
    }

    /// Completes when the backend's connection can be dropped.
    pub(super) async fn run(mut self) -> Ended {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        if let Ended::Failed(Failure::TooLong | Failure::Protocol(_)) = ended {
            // A reset, since there is more to read, would take the close frame from it.
            let _ = timeout(self.gateway.close_timeout, discard(self.socket.get_mut())).await;
        }
        ended
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            self.forward(cx);
            let mut goes_on = self.receive(cx);
            // Last, since the library queues answers while it reads.
            match self.socket.poll_flush_unpin(cx) {
                Poll::Ready(Ok(())) => self.flushed(),
                Poll::Ready(Err(error)) => self.write_failed(error.into()),
                Poll::Pending => self.is_flushed = false,
            }
            if let Some(ended) = self.ended() {
                return Poll::Ready(ended);
            }
            goes_on |= self.poll_timer(cx);
            if !goes_on {
                return Poll::Pending;
            }
        }
    }

    /// Takes what the client has said so far to the backend, as far as the backend takes it.
    fn forward(&mut self, cx: &mut Context<'_>) {
        while matches!(self.closing, Closing::Open)
            && matches!(self.socket.poll_ready_unpin(cx), Poll::Ready(Ok(())))
            && let Poll::Ready((event, has_room)) = self.inbound.poll_next(cx)
        {
            if has_room {
                self.handle.resume(self.connection);
            }
            match event {
                FromClient::Connected => {
                    self.connected = true;
                    self.note_activity();
                }
                FromClient::Texts { text, ends } => self.forward_texts(&text, &ends),
                FromClient::Binary(bytes) => self.send(Message::binary(bytes)),
                FromClient::Closed { cause, code, reason } => self.client_closed(&cause, code, &reason),
            }
        }
        if !matches!(self.closing, Closing::Open) {
            // Nothing that the client says has a recipient, but it should not wait for one.
            while let Poll::Ready((_, has_room)) = self.inbound.poll_next(cx) {
                if has_room {
                    self.handle.resume(self.connection);
                }
            }
        }
    }

    fn forward_texts(&mut self, text: &str, ends: &[u32]) {
        for text in (Outgoing { to: Recipients::All, text, ends }).texts() {
            if self.coding != Coding::Base64 {
                self.send(Message::text(text.to_owned()));
                continue;
            }
            match STANDARD.decode(text) {
                Ok(bytes) => self.send(Message::binary(bytes)),
                Err(_) => return self.fail(Failure::Base64),
            }
        }
    }

    /// A failure is found when the queue is flushed. After a close frame there is nothing to send.
    fn send(&mut self, message: Message) {
        self.is_flushed = false;
        let _ = self.socket.start_send_unpin(message);
    }

    fn client_closed(&mut self, cause: &CloseCause, code: Option<u16>, reason: &str) {
        let told = close_code::for_backend(self.protocol, cause, code);
        if let Some(code) = told {
            // Some that a client of hybi may send are reserved in RFC 6455.
            let code =
                code.and_then(|code| CloseCode::try_from(code).ok()).filter(|code| !code.is_reserved());
            // A reason needs a code.
            self.send(Message::close(code, if code.is_some() { reason } else { "" }));
        }
        self.closing = Closing::ByClient { until: None, awaits_answer: told.is_some() };
    }

    /// Takes what the backend said to the client. Returns whether there is more to do at once.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let was_open = matches!(self.closing, Closing::Open);
        if !was_open {
            // There is nothing left to slow down.
            self.delivery = None;
        }
        if let Some(delivery) = &mut self.delivery {
            // A client that cannot be sent to is gone, of which an event tells.
            if Pin::new(delivery).poll(cx).is_pending() {
                return false;
            }
            self.delivery = None;
            self.note_activity();
        }
        if !self.connected && matches!(self.closing, Closing::Open) {
            return false;
        }
        let mut batch = Batch::default();
        while self.delivery.is_none() && batch.cost() < WINDOW_BYTES {
            let Poll::Ready(message) = self.socket.poll_next_unpin(cx) else {
                self.deliver(&mut batch);
                // Otherwise the client's own events have another meaning now.
                return self.delivery.is_some() || was_open != matches!(self.closing, Closing::Open);
            };
            self.note_activity();
            match message {
                Some(Ok(message)) => self.take(message, &mut batch),
                Some(Err(error)) => {
                    self.deliver(&mut batch);
                    self.fail(error.into());
                    return true;
                }
                None => {
                    self.deliver(&mut batch);
                    self.backend_ended();
                    return false;
                }
            }
        }
        self.deliver(&mut batch);
        true
    }

    fn note_activity(&mut self) {
        let options = &self.gateway.options;
        if options.backend_idle_timeout.is_some() || options.backend_ping_interval.is_some() {
            self.last_activity = Instant::now();
            self.pinged = None;
        }
    }

    fn take(&mut self, message: Message, batch: &mut Batch) {
        if let Some((code, reason)) = message.as_close() {
            let (code, reason) = (code.into(), reason.to_owned());
            self.deliver(batch);
            return self.backend_closed(code, reason);
        }
        if !matches!(self.closing, Closing::Open) {
            return;
        }
        if let Some(text) = message.as_text() {
            return batch.push(text);
        }
        if message.is_binary() {
            let bytes = message.into_payload();
            match self.coding {
                Coding::Binary => {
                    self.deliver(batch);
                    self.send_outbound(Outbound::Binary((&*bytes).into()), bytes.len() + MESSAGE_COST);
                }
                Coding::Base64 => batch.push(&STANDARD.encode(&*bytes)),
                Coding::Drop => self.gateway.metrics.count_dropped(),
                Coding::Close => {
                    self.deliver(batch);
                    self.fail(Failure::Binary);
                }
            }
        }
    }

    fn deliver(&mut self, batch: &mut Batch) {
        let batch = std::mem::take(batch);
        if !batch.ends.is_empty() {
            let cost = batch.cost();
            self.send_outbound(Outbound::Texts(SharedMessages::new(batch.text, batch.ends)), cost);
        }
    }

    /// Sends to the client, and waits for the delivery once much was sent without.
    fn send_outbound(&mut self, outbound: Outbound, cost: usize) {
        self.unconfirmed += cost;
        if self.unconfirmed < WINDOW_BYTES {
            return self.handle.send_unconfirmed(self.connection, outbound);
        }
        self.unconfirmed = 0;
        self.delivery = Some(self.handle.send_outbound(self.connection, outbound));
    }

    fn backend_closed(&mut self, code: u16, reason: String) {
        if matches!(self.closing, Closing::Open) {
            drop(self.handle.close(self.connection, close_code::for_client(code), &reason));
            let until = Instant::now() + self.gateway.close_timeout;
            self.closing = Closing::ByBackend { code, reason, until };
        } else if let Closing::ByClient { awaits_answer, .. } = &mut self.closing {
            *awaits_answer = false;
        }
    }

    fn backend_ended(&mut self) {
        match &mut self.closing {
            Closing::Open | Closing::ByClient { .. } => self.fail(Failure::Lost),
            Closing::Failed { until, .. } => *until = Instant::now(),
            Closing::ByBackend { .. } => {}
        }
    }

    /// Everything for the backend is written.
    fn flushed(&mut self) {
        self.is_flushed = true;
        if let Closing::ByClient { until, .. } = &mut self.closing {
            until.get_or_insert_with(|| Instant::now() + self.gateway.close_timeout);
        }
    }

    /// Nothing more can be written.
    fn write_failed(&mut self, failure: Failure) {
        self.is_flushed = false;
        self.fail(failure);
        match &mut self.closing {
            Closing::Failed { until, .. } | Closing::ByBackend { until, .. } => *until = Instant::now(),
            Closing::Open | Closing::ByClient { .. } => {}
        }
    }

    /// Ends both sides.
    fn fail(&mut self, failure: Failure) {
        match &mut self.closing {
            Closing::Open => {}
            // It has got everything, and need not say so.
            Closing::ByClient { awaits_answer, .. } if self.is_flushed => return *awaits_answer = false,
            Closing::ByClient { .. } => {
                self.closing = Closing::Failed { failure, until: Instant::now() };
                return;
            }
            Closing::ByBackend { .. } | Closing::Failed { .. } => return,
        }
        drop(self.handle.close(self.connection, Some(failure.code_for_client()), ""));
        let mut until = Instant::now();
        if let Some(code) = failure.code() {
            self.send(Message::close(Some(code), ""));
            until += self.gateway.close_timeout;
        }
        self.closing = Closing::Failed { failure, until };
    }

    /// Whether the backend's connection can be dropped.
    fn ended(&mut self) -> Option<Ended> {
        let now = Instant::now;
        match &self.closing {
            Closing::Open => return None,
            Closing::ByClient { awaits_answer: false, .. } | Closing::ByBackend { .. } if self.is_flushed => {
            }
            Closing::ByClient { until, awaits_answer: true } if until.is_some_and(|until| now() >= until) => {
                return Some(Ended::Failed(Failure::CloseTimeout));
            }
            Closing::ByClient { .. } => return None,
            Closing::ByBackend { until, .. } | Closing::Failed { until, .. } if now() < *until => {
                return None;
            }
            Closing::ByBackend { .. } | Closing::Failed { .. } => {}
        }
        Some(match std::mem::replace(&mut self.closing, Closing::Open) {
            Closing::ByBackend { code, reason, .. } => Ended::ByBackend { code, reason },
            Closing::Failed { failure, .. } => Ended::Failed(failure),
            Closing::ByClient { .. } | Closing::Open => Ended::ByClient,
        })
    }

    /// Returns whether a deadline has passed.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(due) = self.deadline() else {
            self.timer = None;
            return false;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        if timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        if matches!(self.closing, Closing::Open) {
            self.handle_timeout();
        }
        true
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.closing {
            Closing::Open => {}
            Closing::ByClient { until, .. } => return *until,
            Closing::ByBackend { until, .. } | Closing::Failed { until, .. } => return Some(*until),
        }
        if self.delivery.is_some() || !self.connected {
            // The backend is not read: its silence means nothing.
            return None;
        }
        let after = |time: Option<Duration>, since: Instant| time.map(|time| since + time);
        let options = &self.gateway.options;
        let idle = after(options.backend_idle_timeout, self.last_activity);
        let ping = after(options.backend_ping_interval, self.pinged.unwrap_or(self.last_activity));
        idle.into_iter().chain(ping).min()
    }

    fn handle_timeout(&mut self) {
        let options = &self.gateway.options;
        if options.backend_idle_timeout.is_some_and(|time| self.last_activity.elapsed() >= time) {
            self.fail(Failure::Idle);
        } else if self.pinged.is_some() {
            self.fail(Failure::Ping);
        } else {
            self.send(Message::ping(""));
            self.pinged = Some(Instant::now());
        }
    }
}

/// Ends our side, and reads until the backend has ended its own.
async fn discard(stream: &mut Prefixed<BackendStream>) -> io::Result<()> {
    stream.shutdown().await?;
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}
