//! The task of one connection: reads become turns of the engine, its outbox becomes writes.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};

use crate::outbox::Outbox;
use crate::shell::Shell;
use crate::wit::{Disposition, Loss};

/// The read buffer that all connections of a thread share: an idle connection holds none.
pub(crate) type SharedBuffer = Rc<RefCell<Box<[u8]>>>;

/// Full reads of one peer before the others are looked after.
const READS_PER_POLL: usize = 4;

/// Done when the socket is to be closed. Small, for there are many.
pub(crate) struct Connection {
    id: u64,
    stream: TcpStream,
    outbox: Rc<Outbox>,
    shell: Rc<Shell>,
    buffer: SharedBuffer,
    reading: Reading,
    /// Runs while output waits without progress, and while we wait for the peer's FIN.
    timer: Option<Pin<Box<Sleep>>>,
    fin_sent: bool,
    _permit: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    ToEngine,
    /// The engine is done with the connection; what still comes is read so that the kernel sends no reset.
    Discarding,
    Ended,
}

impl Connection {
    pub(crate) fn new(
        shell: Rc<Shell>,
        buffer: SharedBuffer,
        stream: TcpStream,
        permit: OwnedSemaphorePermit,
    ) -> io::Result<Self> {
        let peer = stream.peer_addr()?;
        stream.set_nodelay(true)?;
        let (id, outbox) = shell.opened(peer);
        Ok(Self {
            id,
            stream,
            outbox,
            shell,
            buffer,
            reading: Reading::ToEngine,
            timer: None,
            fin_sent: false,
            _permit: permit,
        })
    }

    /// Ready when the connection is to be closed.
    fn run(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..READS_PER_POLL {
            let then = self.outbox.then();
            if then == Disposition::Abort {
                return Poll::Ready(());
            }
            match self.poll_flush(cx) {
                Poll::Ready(Ok(())) if then == Disposition::Finish => return self.poll_linger(cx),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return self.give_up(Loss::Reset),
                Poll::Pending if self.poll_timer(cx, self.shell.options().write_timeout).is_ready() => {
                    return self.give_up(Loss::SlowReader);
                }
                Poll::Pending if then == Disposition::Finish || self.outbox.is_congested() => {
                    return Poll::Pending;
                }
                Poll::Pending => {}
            }
            if self.reading == Reading::Ended {
                return Poll::Pending;
            }
            match ready!(self.poll_read(cx)) {
                Ok(()) => {}
                Err(_) => return self.give_up(Loss::Reset),
            }
        }
        // It is the others' turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One read, and what the engine makes of it.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.buffer.borrow_mut();
        let mut buffer = ReadBuf::new(&mut shared);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        match (buffer.filled(), self.reading) {
            ([], reading) => {
                self.reading = Reading::Ended;
                if reading == Reading::ToEngine {
                    self.shell.ended(self.id);
                }
            }
            (bytes, Reading::ToEngine) => self.shell.received(self.id, bytes),
            _ => {}
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what waits.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            let stream = Pin::new(&mut self.stream);
            let write = |slices: &[IoSlice<'_>]| match slices {
                // A plain write is cheaper for the kernel than a vectored one.
                [only] => stream.poll_write(cx, only),
                several => stream.poll_write_vectored(cx, several),
            };
            let result = self.outbox.write(|slices| match write(slices) {
                Poll::Ready(Ok(written)) => (written, Poll::Ready(Ok(written))),
                Poll::Ready(Err(error)) => (0, Poll::Ready(Err(error))),
                Poll::Pending => (0, Poll::Pending),
            });
            if ready!(result)? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.timer = None;
        }
        Poll::Ready(Ok(()))
    }

    /// All is written: our FIN, then what still comes until the peer's FIN or the timeout.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.fin_sent {
            self.fin_sent = true;
            if let Poll::Ready(Err(_)) = Pin::new(&mut self.stream).poll_shutdown(cx) {
                return Poll::Ready(());
            }
        }
        if self.reading == Reading::ToEngine {
            self.reading = Reading::Discarding;
        }
        while self.reading != Reading::Ended {
            match self.poll_read(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return self.poll_timer(cx, self.shell.options().linger_timeout),
            }
        }
        Poll::Ready(())
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, after: Duration) -> Poll<()> {
        self.timer.get_or_insert_with(|| Box::pin(sleep(after))).as_mut().poll(cx)
    }

    fn give_up(&mut self, why: Loss) -> Poll<()> {
        self.shell.lost(self.id, why);
        Poll::Ready(())
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.outbox.unpark();
        let result = self.run(cx);
        if result.is_pending() {
            self.outbox.park(cx.waker());
        }
        result
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shell.forget(self.id);
    }
}
