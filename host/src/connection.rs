//! The task of one connection: reads for the shell, and writes what the kernel did not take immediately.

pub(crate) mod connection_io;
pub(crate) mod queue_budget;
pub(crate) mod read_batch;
pub(crate) mod socket;

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use legacy_websocket::step::{Disposition, Loss};
use legacy_websocket_shell::{Action, Closing, Fin, Reading};
use tokio::io::AsyncWriteExt;
use tokio::task::{spawn_local, yield_now};
use tokio::time::{Sleep, sleep, timeout};

use crate::accept::incoming::{Accepted, ConnectionGuard, Peer};
use crate::connection::connection_io::ConnectionIo;
use crate::connection::read_batch::READ_BYTES;
use crate::connection::socket::Socket;
use crate::gateway::Passed;
use crate::shell::Shell;

/// The answer to an opening handshake for an application that takes no new connections.
const RETIRED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// How many reads one peer gets before the others get their turn.
const READS_PER_POLL: usize = 4;

/// Completes when the socket should be closed. Small, because there are many.
pub(crate) struct Connection {
    id: u64,
    io: Rc<ConnectionIo>,
    shell: Rc<Shell>,
    /// Whether the peer has sent anything.
    heard: bool,
    /// Runs while pending output makes no progress, and while we wait for the peer's FIN.
    timer: Option<Pin<Box<Sleep>>>,
    closing: Closing,
    peer: Peer,
    /// Until the connection is passed on.
    guard: Option<ConnectionGuard>,
}

impl Connection {
    pub(crate) fn new(shell: Rc<Shell>, Accepted { socket, peer, guard }: Accepted) -> Self {
        let io = Rc::new(shell.io(socket));
        let id = shell.opened(peer, Rc::clone(&io));
        let (closing, guard) = (Closing::default(), Some(guard));
        Self { id, io, shell, heard: false, timer: None, closing, peer, guard }
    }

    /// A connection that begins again, with an opening handshake that was received already.
    fn again(shell: Rc<Shell>, accepted: Accepted, received: &[u8]) -> Self {
        let mut connection = Self::new(shell, accepted);
        connection.heard = true;
        connection.shell.receive(connection.id, received);
        connection
    }

    /// Ready when the connection should be closed.
    fn run(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..READS_PER_POLL {
            let then = self.io.then();
            if then == Disposition::Abort {
                return Poll::Ready(());
            }
            let flushed = self.io.poll_flush(cx);
            if self.io.take_progress() {
                self.timer = None;
            }
            let is_flushed = match flushed {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(_)) => return self.give_up(Loss::Reset),
                Poll::Pending if self.poll_timer(cx, self.shell.options().write_timeout).is_ready() => {
                    if !self.io.push_on() {
                        return self.give_up(Loss::SlowReader);
                    }
                    self.timer = None;
                    continue;
                }
                Poll::Pending => false,
            };
            if is_flushed && then == Disposition::Finish {
                return self.poll_linger(cx);
            }
            if is_flushed && let Some((socket, received)) = self.io.take_passed() {
                self.pass(socket, received);
                return Poll::Ready(());
            }
            if is_flushed {
                self.timer = None;
            }
            match self.closing.action(then, is_flushed, self.io.is_congested()) {
                Action::Close => return Poll::Ready(()),
                Action::Write => return Poll::Pending,
                // If it fails, reading fails too.
                Action::SendFin => drop(self.send_fin(cx)),
                Action::Wait | Action::Read | Action::Linger => {}
            }
            if self.closing.reading == Reading::Ended {
                return Poll::Pending;
            }
            match ready!(self.poll_read(cx)) {
                // There is more to read, but other connections may have input too.
                Ok(READ_BYTES..) => break,
                Ok(_) => {}
                Err(_) => return self.give_up(Loss::Reset),
            }
        }
        yield_to_others(cx);
        Poll::Pending
    }

    /// One read. The shell passes it to the engine after collecting those of the other connections.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let keep = (self.closing.reading == Reading::ToEngine).then_some(self.id);
        let read = ready!(self.shell.poll_read(cx, &self.io, keep));
        self.heard |= matches!(read, Ok(1..));
        if !self.heard && self.closing.reading == Reading::ToEngine {
            self.shell.count_probe();
        }
        let read = read?;
        if read == 0 && self.closing.receive_eof() {
            self.shell.ended(self.id);
        }
        Poll::Ready(Ok(read))
    }

    /// All output is written: sends our FIN, then discards input until the peer's FIN or the timeout.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.closing.fin == Fin::NotYet {
            self.timer = None;
        }
        if self.send_fin(cx).is_err() {
            return Poll::Ready(());
        }
        self.closing.linger();
        // First, because a peer that never stops sending must not delay it.
        if self.poll_timer(cx, self.shell.options().linger_timeout).is_ready() {
            return Poll::Ready(());
        }
        for _ in 0..READS_PER_POLL {
            if self.closing.reading == Reading::Ended || ready!(self.poll_read(cx)).is_err() {
                return Poll::Ready(());
            }
        }
        yield_to_others(cx);
        Poll::Pending
    }

    /// Sends our FIN, once. With TLS it may have to wait for the kernel.
    fn send_fin(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.closing.fin != Fin::Sent {
            self.closing.fin = Fin::Sending;
            if let Poll::Ready(sent) = self.io.poll_shutdown(cx) {
                self.closing.fin = Fin::Sent;
                return sent;
            }
        }
        Ok(())
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, after: Duration) -> Poll<()> {
        self.timer.get_or_insert_with(|| Box::pin(sleep(after))).as_mut().poll(cx)
    }

    /// Has the gateway serve it, until it has an opening handshake.
    fn pass(&mut self, socket: Socket, received: Vec<u8>) {
        if let (Some(gateway), Some(guard)) = (self.shell.gateway(), self.guard.take()) {
            let (gateway, shell, peer) = (Rc::clone(gateway), Rc::clone(&self.shell), self.peer);
            spawn_local(async move {
                let passed = gateway.serve(Passed { socket, received, peer }).await;
                let Some(Passed { socket, received, peer }) = passed else { return };
                if shell.is_retired() {
                    // A client that comes back gets the new application.
                    let refused = refuse(socket);
                    let _ = timeout(shell.options().write_timeout, refused).await;
                    return drop(guard);
                }
                let accepted = Accepted { socket, peer, guard };
                spawn_local(Self::again(shell, accepted, &received));
            });
        }
    }

    fn give_up(&mut self, why: Loss) -> Poll<()> {
        self.shell.lost(self.id, why);
        Poll::Ready(())
    }
}

/// Answers an opening handshake that comes after the application has been replaced.
async fn refuse(mut socket: Socket) -> io::Result<()> {
    socket.write_all(RETIRED).await?;
    socket.shutdown().await
}

/// Has the task polled again after the others, and after the runtime has polled the sockets: a peer that always has
/// something to read must not starve the others.
fn yield_to_others(cx: &mut Context<'_>) {
    let _ = pin!(yield_now()).poll(cx);
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Before anything else: the shell may write and abort during this call.
        self.io.park(cx.waker());
        self.run(cx)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shell.forget(self.id);
    }
}
