//! The threads of the workers: how they start, and how they end.

use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use tokio::runtime::Builder;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tracing::{error, warn};

use crate::accept::listener::{Listener, ListenerHandle};
use crate::start_error::StartError;
use crate::workers::context::ServerContext;
use crate::workers::message::WorkerMessage;
use crate::workers::worker::{Panic, Worker};

/// How many tasks are polled before the system is asked for new events. More than tokio's 61, since the reads of all that
/// are ready become one turn.
const EVENT_INTERVAL: u32 = 256;

/// All threads of a server. They are told to end when it is dropped.
#[derive(Debug)]
pub(crate) struct Threads {
    context: Arc<ServerContext>,
    threads: Vec<JoinHandle<()>>,
    panics: UnboundedSender<Panic>,
    /// Each thread holds a sender until it ends; so does this, for threads still to be started, until it waits for
    /// them.
    alive: Option<Sender<Infallible>>,
    ended: Receiver<Infallible>,
}

impl Threads {
    /// No threads yet; returns the receiver of panics as well.
    pub(crate) fn new(context: Arc<ServerContext>) -> (Self, UnboundedReceiver<Panic>) {
        let (panics, panicked) = unbounded_channel();
        let (alive, ended) = channel(1);
        (Self { context, threads: Vec::new(), panics, alive: Some(alive), ended }, panicked)
    }

    /// Starts the next worker, and waits until it is ready. Returns whether its application requested a single
    /// instance.
    pub(crate) fn start(&mut self, inbox: UnboundedReceiver<WorkerMessage>) -> Result<bool, StartError> {
        let (index, context) = (self.threads.len(), Arc::clone(&self.context));
        let (started, result) = mpsc::channel();
        let run = move || {
            let (working, waiting) = (Arc::clone(&context.pool), Arc::clone(&context.pool));
            let mut runtime = Builder::new_current_thread();
            runtime.enable_all().event_interval(EVENT_INTERVAL);
            runtime.on_thread_unpark(move || working.activity(index).begin_work());
            runtime.on_thread_park(move || waiting.activity(index).end_work());
            let runtime = match runtime.build_local(Default::default()) {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error.into()))),
            };
            runtime.block_on(async {
                match Worker::new(index, &context, inbox) {
                    Ok(worker) => {
                        // The starting thread waits for this message.
                        let _ = started.send(Ok(worker.is_alone()));
                        worker.run().await;
                    }
                    Err(error) => drop(started.send(Err(error))),
                }
            });
        };
        let (panics, alive) = (self.panics.clone(), self.alive.clone());
        let thread = thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let _alive = alive;
            if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
                let _ = panics.send(panic);
            }
        });
        self.threads.push(thread.map_err(StartError::Thread)?);
        // The thread sends a message, or has panicked.
        result.recv().unwrap_or_else(|_| Err(io::Error::other("the worker has panicked").into()))
    }

    /// Has all of them accept on these listeners.
    pub(crate) fn listen(&self, listeners: Vec<Listener>) {
        for worker in 1..self.threads.len() {
            self.hand_off(worker, listeners.iter().map(Listener::handle).collect());
        }
        self.hand_off(0, listeners.into_iter().map(Listener::into_handle).collect());
    }

    fn hand_off(&self, worker: usize, handles: io::Result<Vec<ListenerHandle>>) {
        match handles {
            Ok(handles) => self.context.pool.tell(worker, WorkerMessage::Listen(handles)),
            Err(error) => warn!(worker, "cannot accept; other workers do: {error}"),
        }
    }

    /// Waits until all workers have ended.
    pub(crate) async fn ended(&mut self) {
        self.alive = None;
        self.ended.recv().await;
        for thread in self.threads.drain(..) {
            // The panic has been passed on.
            let _ = thread.join();
        }
    }

    /// Detaches the threads that have not ended. Returns their number.
    pub(crate) fn leave_behind(&mut self) -> usize {
        let mut left = 0;
        for (worker, thread) in self.threads.drain(..).enumerate() {
            if !thread.is_finished() {
                error!(worker, "is stuck in a call and does not end; left behind");
                left += 1;
            }
        }
        left
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.context.pool.tell_all(|| WorkerMessage::End);
    }
}
