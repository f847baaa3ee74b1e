//! Commands from outside of the application's calls.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use legacy_websocket::step::Failure;
use tokio::sync::oneshot;

use crate::accept::incoming::Peer;
use crate::workers::external::{Done, External, ExternalCommand, Fields};
use crate::workers::forwarded::{Destination, Outbound, OwnedCommand, SharedMessages};
use crate::workers::message::WorkerMessage;
use crate::workers::pool::WorkerPool;

/// Sends to the clients of a running [`Server`](crate::Server), and closes them, at any time and from any thread.
/// Clones are for the same server.
///
/// A command is on its way when the method returns, and commands for the same connection are carried out in that order.
/// The [`Delivery`] that most return tells when: await it to send no faster than the client reads, or drop it.
#[derive(Clone, Debug)]
pub struct Handle {
    pool: Arc<WorkerPool>,
}

impl Handle {
    pub(crate) fn new(pool: Arc<WorkerPool>) -> Self {
        Self { pool }
    }

    /// Sends a text message to a connected client.
    pub fn send(&self, connection: u64, text: &str) -> Delivery {
        self.send_outbound(connection, texts(text))
    }

    /// Sends a binary message to a connected client. One of draft 75 or 76 cannot receive it: [`Failure::NotText`].
    pub fn send_binary(&self, connection: u64, bytes: &[u8]) -> Delivery {
        self.send_outbound(connection, Outbound::Binary(bytes.into()))
    }

    /// Sends a text message to every connected client, except one if given.
    pub fn broadcast(&self, text: &str, except: Option<u64>) {
        let outbound = texts(text);
        for worker in 0..self.pool.size() {
            let to = except.map_or(Destination::All, Destination::AllBut);
            let what = External::Shared(OwnedCommand::Send { to, outbound: outbound.clone() });
            self.pool.tell(worker, WorkerMessage::External(ExternalCommand::new(what, None)));
        }
    }

    /// Ends a connection, with a code (`None`: 1000) and a reason for clients whose protocol has them: as
    /// [`Command::Close`](crate::step::Command).
    pub fn close(&self, connection: u64, code: Option<u16>, reason: &str) -> Delivery {
        let reason = reason.into();
        self.command(connection, External::Shared(OwnedCommand::Close { connection, code, reason }))
    }

    /// Accepts an opening handshake that the application has left undecided
    /// ([`EngineOptions::authorise`](crate::EngineOptions)): as [`Command::Accept`](crate::step::Command).
    pub fn accept(&self, connection: u64, subprotocol: Option<String>, fields: Fields) -> Delivery {
        self.command(connection, External::Accept { connection, subprotocol, fields })
    }

    /// Answers a request, or an opening handshake instead of accepting it: as
    /// [`Command::Respond`](crate::step::Command).
    pub fn respond(&self, connection: u64, status: u16, fields: Fields, body: Vec<u8>) -> Delivery {
        self.command(connection, External::Respond { connection, status, fields, body })
    }

    /// Refuses an opening handshake or a request with one line: as [`Command::Reject`](crate::step::Command).
    pub fn reject(&self, connection: u64, status: u16, reason: &str) -> Delivery {
        let reason = reason.into();
        self.command(connection, External::Shared(OwnedCommand::Reject { connection, status, reason }))
    }

    /// Reads nothing more from a client until [`resume`](Self::resume): TCP slows it down. What was read already still
    /// comes. Its timeouts run on: one that is paused in the middle of a message for longer than
    /// [`Limits::message_timeout`](crate::Limits) is closed.
    pub fn pause(&self, connection: u64) {
        self.tell(connection, WorkerMessage::SetReading { connection, reads: false });
    }

    /// Reads from a client again.
    pub fn resume(&self, connection: u64) {
        self.tell(connection, WorkerMessage::SetReading { connection, reads: true });
    }

    /// Sends messages to a client.
    pub(crate) fn send_outbound(&self, connection: u64, outbound: Outbound) -> Delivery {
        self.command(connection, send(connection, outbound))
    }

    /// The same, if nobody waits for the delivery.
    pub(crate) fn send_unconfirmed(&self, connection: u64, outbound: Outbound) {
        let command = ExternalCommand::new(send(connection, outbound), None);
        self.tell(connection, WorkerMessage::External(command));
    }

    /// The peer, as the system or a PROXY header names it; `None` if the connection has ended.
    pub(crate) async fn peer(&self, connection: u64) -> Option<Peer> {
        let (answer, answered) = oneshot::channel();
        self.tell(connection, WorkerMessage::Peer { connection, answer });
        answered.await.ok().flatten()
    }

    fn command(&self, connection: u64, what: External) -> Delivery {
        let (done, delivery) = oneshot::channel();
        self.tell(connection, WorkerMessage::External(ExternalCommand::new(what, Some(done))));
        Delivery(delivery)
    }

    /// Without a worker for it, the message is dropped: there is no such connection.
    fn tell(&self, connection: u64, message: WorkerMessage) {
        if let Some(worker) = self.pool.worker_of(connection) {
            self.pool.tell(worker, message);
        }
    }
}

fn send(connection: u64, outbound: Outbound) -> External {
    External::Shared(OwnedCommand::Send { to: Destination::One(connection), outbound })
}

fn texts(text: &str) -> Outbound {
    let ends = vec![u32::try_from(text.len()).unwrap_or(u32::MAX)];
    Outbound::Texts(SharedMessages::new(text.to_owned(), ends))
}

/// Completes when a command has been carried out and the system has taken most of the client's output: 64 KiB or less
/// of it waits. It fails with the reason if the command had no effect. Dropping it changes nothing.
#[derive(Debug)]
#[must_use = "awaiting it slows down to the client's speed; `drop` it if that is not wanted"]
pub struct Delivery(oneshot::Receiver<Done>);

impl Future for Delivery {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Nobody answers for a connection that ends meanwhile, or after the server.
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(cx)).unwrap_or(Err(Failure::UnknownConnection)))
    }
}
