//! All workers of a server: how many connections each has, and how to reach it.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::workers::activity::Activity;
use crate::workers::forwarded::ForwardedCommands;
use crate::workers::load::{LoadGuard, Loads};
use crate::workers::message::WorkerMessage;

/// Maximum bytes of one worker's commands pending on other workers. Above it, the worker stops reading from clients
/// that cause more of them, until half of that is left.
const MAX_FORWARDED: usize = 1 << 20;

/// The same, but above it the worker stops reading from all clients.
const MAX_FORWARDED_TOTAL: usize = 16 << 20;

/// The utilisation from which a thread is not filled any further, and the one from which it is overloaded.
const FULL: f64 = 0.75;
const SATURATED: f64 = 0.95;

/// A worker that has been busy without progress for this long gets no new connections while others can take them.
const STUCK_AFTER: Duration = Duration::from_millis(50);

/// All workers.
#[derive(Debug)]
pub(crate) struct WorkerPool {
    handles: Vec<WorkerHandle>,
    loads: Loads,
    /// The number of workers in use: all of them, or only the first.
    size: AtomicUsize,
    /// How many connections one worker gets before the next gets any.
    fill: usize,
    stopping: AtomicBool,
}

/// The state of a worker's commands pending on others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Congestion {
    None,
    /// Too many.
    Some,
    /// Far too many.
    Full,
}

/// How well a worker can serve a new connection; best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fitness {
    Able,
    Saturated,
    Stuck,
    Unhealthy,
}

#[derive(Debug)]
struct WorkerHandle {
    inbox: UnboundedSender<WorkerMessage>,
    activity: Activity,
    /// Takes new connections. The first worker always does.
    open: AtomicBool,
    /// Has an engine and an application.
    healthy: AtomicBool,
    /// Bytes of the commands it has sent to others that are still pending.
    forwarded: AtomicUsize,
    /// Bytes of all commands it has ever sent to others.
    forwarded_so_far: AtomicUsize,
    /// It is waiting until fewer are pending.
    waits: AtomicBool,
}

impl WorkerPool {
    /// A pool of this many workers, at least one, with their inboxes; `fill` is
    /// [`ShellOptions::worker_fill`](crate::ShellOptions::worker_fill).
    pub(crate) fn new(workers: usize, fill: usize) -> (Arc<Self>, Vec<UnboundedReceiver<WorkerMessage>>) {
        let (mut handles, mut inboxes) = (Vec::new(), Vec::new());
        for _ in 0..workers.max(1) {
            let (inbox, messages) = unbounded_channel();
            let (forwarded, forwarded_so_far, waits) = Default::default();
            let (open, healthy) = (AtomicBool::new(true), AtomicBool::new(true));
            let activity = Activity::new();
            handles.push(WorkerHandle { inbox, activity, open, healthy, forwarded, forwarded_so_far, waits });
            inboxes.push(messages);
        }
        let (loads, size) = (Loads::new(handles.len()), handles.len().into());
        (Arc::new(Self { handles, loads, size, fill, stopping: AtomicBool::new(false) }), inboxes)
    }

    pub(crate) fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Makes the first worker the only one. Called before there are connections.
    pub(crate) fn reduce_to_one(&self) {
        self.size.store(1, Ordering::Relaxed);
        // The first call's commands for other workers' connections will not be carried out.
        self.handles[0].forwarded.store(0, Ordering::SeqCst);
    }

    /// Sets whether a worker takes new connections.
    pub(crate) fn set_open(&self, worker: usize, open: bool) {
        self.handles[worker].open.store(open, Ordering::Relaxed);
    }

    /// Sets whether a worker can serve. One that cannot gets no new connections while others can.
    pub(crate) fn set_healthy(&self, worker: usize, healthy: bool) {
        self.handles[worker].healthy.store(healthy, Ordering::Relaxed);
    }

    /// The id of a worker's connection number `count`, from 1 on.
    pub(crate) fn id(&self, worker: usize, count: u64) -> u64 {
        (count - 1) * self.size() as u64 + worker as u64 + 1
    }

    /// The worker that owns a connection, if any does.
    pub(crate) fn worker_of(&self, connection: u64) -> Option<usize> {
        // A remainder of a usize fits a usize.
        Some((connection.checked_sub(1)? % self.size() as u64) as usize)
    }

    pub(crate) fn tell(&self, worker: usize, message: WorkerMessage) {
        // A worker that has ended needs no messages.
        let _ = self.handles[worker].inbox.send(message);
    }

    /// Asks the worker of an idle connection to close it, to make room for a new one.
    pub(crate) fn close_idle(&self, connection: u64) {
        if let Some(worker) = self.worker_of(connection) {
            self.tell(worker, WorkerMessage::CloseIdle(connection));
        }
    }

    pub(crate) fn tell_all(&self, message: impl Fn() -> WorkerMessage) {
        (0..self.size()).for_each(|worker| self.tell(worker, message()));
    }

    /// Sends a request to every worker; those that have ended do not answer.
    pub(crate) async fn ask<T>(&self, message: impl Fn(oneshot::Sender<T>) -> WorkerMessage) -> Vec<T> {
        let asked: Vec<_> = (0..self.size()).map(|worker| self.send_question(worker, &message)).collect();
        let mut answers = Vec::with_capacity(asked.len());
        for answer in asked {
            answers.extend(answer.await);
        }
        answers
    }

    /// Asks every worker, and waits at most this long for all answers: one per worker, if it came. A worker that has
    /// been busy without progress for that long is not asked.
    pub(crate) async fn ask_within<T>(
        &self,
        time: Duration,
        message: impl Fn(oneshot::Sender<T>) -> WorkerMessage,
    ) -> Vec<Option<T>> {
        let end = Instant::now() + time;
        let ask = |worker| self.answers(worker, time).then(|| self.send_question(worker, &message));
        let asked: Vec<_> = (0..self.size()).map(ask).collect();
        let mut answers = Vec::with_capacity(asked.len());
        for answer in asked {
            answers.push(match answer {
                Some(answer) => timeout_at(end, answer).await.ok().and_then(Result::ok),
                None => None,
            });
        }
        answers
    }

    /// Whether any worker was idle or made progress within this time.
    pub(crate) fn any_answers(&self, within: Duration) -> bool {
        (0..self.size()).any(|worker| self.answers(worker, within))
    }

    fn answers(&self, worker: usize, within: Duration) -> bool {
        self.activity(worker).busy_for() < within
    }

    /// The activity of its thread.
    pub(crate) fn activity(&self, worker: usize) -> &Activity {
        &self.handles[worker].activity
    }

    fn send_question<T>(
        &self,
        worker: usize,
        message: &impl Fn(oneshot::Sender<T>) -> WorkerMessage,
    ) -> oneshot::Receiver<T> {
        let (answer, answered) = oneshot::channel();
        self.tell(worker, message(answer));
        answered
    }

    /// Counts a new connection for the worker chosen for it: see [`choose`](Self::choose).
    pub(crate) fn assign(&self, at: usize) -> LoadGuard {
        self.loads.add(self.choose(at))
    }

    /// Chooses the worker for a connection that worker `at` accepted. Fills one worker first: a busy thread does more
    /// per wake-up than several that sleep and wake in turn. If all are filled or busy, chooses the one with the
    /// fewest connections.
    fn choose(&self, at: usize) -> usize {
        let open = || (0..self.size()).filter(|worker| self.handles[*worker].open.load(Ordering::Relaxed));
        let connections = |worker: usize| self.loads.of(worker);
        let has_room = |worker: &usize| {
            connections(*worker) < self.fill
                && self.fitness(*worker) == Fitness::Able
                && self.activity(*worker).utilisation() < FULL
        };
        if let Some(worker) =
            open().filter(has_room).max_by_key(|worker| (connections(*worker), Reverse(*worker)))
        {
            return worker;
        }
        let fewest = open().min_by_key(|worker| (self.fitness(*worker), connections(*worker))).unwrap_or(0);
        let is_as_able = open().any(|worker| worker == at) && self.fitness(at) <= self.fitness(fewest);
        // A small difference is not worth the transfer.
        let stays = is_as_able && connections(at) <= connections(fewest) + connections(fewest) / 16;
        if stays { at } else { fewest }
    }

    fn fitness(&self, worker: usize) -> Fitness {
        match &self.handles[worker] {
            WorkerHandle { healthy, .. } if !healthy.load(Ordering::Relaxed) => Fitness::Unhealthy,
            WorkerHandle { activity, .. } if activity.busy_for() > STUCK_AFTER => Fitness::Stuck,
            WorkerHandle { activity, .. } if activity.utilisation() > SATURATED => Fitness::Saturated,
            _ => Fitness::Able,
        }
    }

    /// Sends commands to another worker.
    pub(crate) fn forward(&self, worker: usize, forwarded: ForwardedCommands) {
        let from = &self.handles[forwarded.from.worker];
        from.forwarded.fetch_add(forwarded.bytes(), Ordering::SeqCst);
        from.forwarded_so_far.fetch_add(forwarded.bytes(), Ordering::Relaxed);
        self.tell(worker, WorkerMessage::Commands(forwarded));
    }

    /// Records that commands have been carried out.
    pub(crate) fn relieve(&self, done: &ForwardedCommands) {
        let WorkerHandle { forwarded, waits, .. } = &self.handles[done.from.worker];
        let left = forwarded.fetch_sub(done.bytes(), Ordering::SeqCst) - done.bytes();
        if left <= MAX_FORWARDED / 2 && waits.swap(false, Ordering::SeqCst) {
            self.tell(done.from.worker, WorkerMessage::BackpressureReleased);
        }
    }

    /// Bytes of all commands a worker has ever sent to others.
    pub(crate) fn forwarded_so_far(&self, from: usize) -> usize {
        self.handles[from].forwarded_so_far.load(Ordering::Relaxed)
    }

    /// Whether the others have too many of a worker's commands pending. If so, a
    /// [`WorkerMessage::BackpressureReleased`] follows when that is over.
    pub(crate) fn congestion(&self, from: usize) -> Congestion {
        let WorkerHandle { forwarded, waits, .. } = &self.handles[from];
        let now = || match forwarded.load(Ordering::SeqCst) {
            bytes if bytes <= MAX_FORWARDED => Congestion::None,
            bytes if bytes <= MAX_FORWARDED_TOTAL => Congestion::Some,
            _ => Congestion::Full,
        };
        match now() {
            Congestion::None => Congestion::None,
            _ => {
                waits.store(true, Ordering::SeqCst);
                // They may have been carried out before `waits` was set.
                now()
            }
        }
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.tell_all(|| WorkerMessage::Stop);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workers::forward::SplitCommands;
    use crate::workers::forwarded::Origin;
    use legacy_websocket::step::{Command, Outgoing, Recipients};

    #[test]
    fn every_id_names_its_worker() {
        for workers in 1..5 {
            let (pool, _) = WorkerPool::new(workers, 0);
            let mut ids = Vec::new();
            for count in 1..4 {
                for worker in 0..workers {
                    ids.push(pool.id(worker, count));
                    assert_eq!(pool.worker_of(pool.id(worker, count)), Some(worker));
                }
            }
            assert_eq!(ids, (1..=3 * workers as u64).collect::<Vec<_>>());
            assert_eq!(pool.worker_of(0), None);
        }
    }

    #[test]
    fn connections_go_to_the_least_loaded_worker_that_is_able() {
        let (pool, _inboxes) = WorkerPool::new(3, 0);
        let places: Vec<_> = (0..30).map(|_| pool.assign(0)).collect();
        let count = |worker| places.iter().filter(|guard| guard.worker() == worker).count();
        assert_eq!([0, 1, 2].map(count), [10, 10, 10]);
        drop(places);
        pool.set_healthy(1, false);
        assert_ne!(pool.assign(1).worker(), 1);
        pool.set_open(1, false);
        pool.set_open(2, false);
        assert_eq!(pool.assign(2).worker(), 0);
        // One that cannot serve now is better than one that must not.
        pool.set_healthy(0, false);
        assert_eq!(pool.assign(2).worker(), 0);
    }

    #[test]
    fn one_worker_is_filled_before_the_next() {
        let (pool, _inboxes) = WorkerPool::new(3, 4);
        let guard = |count: usize| (0..count).map(|_| pool.assign(2)).collect::<Vec<_>>();
        let workers = |places: &[LoadGuard]| places.iter().map(LoadGuard::worker).collect::<Vec<_>>();
        let mut places = guard(9);
        assert_eq!(workers(&places), [0, 0, 0, 0, 1, 1, 1, 1, 2]);
        // One with some connections and free room takes precedence over one with fewer.
        drop(places.remove(0));
        assert_eq!(workers(&guard(1)), [0]);
        places.extend(guard(4));
        let more = guard(9);
        assert_eq!(
            [0, 1, 2].map(|worker| workers(&more).iter().filter(|at| **at == worker).count()),
            [3, 3, 3]
        );
    }

    #[test]
    fn a_busy_or_stuck_worker_is_not_filled() {
        let (pool, _inboxes) = WorkerPool::new(2, 64);
        pool.activity(0).begin_work();
        while pool.activity(0).busy_for() <= STUCK_AFTER {}
        assert_eq!(pool.assign(0).worker(), 1);
        pool.activity(0).get_on();
        assert_eq!(pool.assign(0).worker(), 0);
        while pool.activity(0).utilisation() < FULL {
            pool.activity(0).get_on();
        }
        assert_eq!(pool.assign(0).worker(), 1);
        // The other one cannot take it.
        pool.set_healthy(1, false);
        assert_eq!(pool.assign(0).worker(), 0);
    }

    #[test]
    fn backpressure_is_released_when_half_is_carried_out() {
        let (pool, mut inboxes) = WorkerPool::new(3, 0);
        let from = Origin { worker: 0, version: 0, instance: 0 };
        let text = "x".repeat(MAX_FORWARDED / 4);
        let ends = [u32::try_from(text.len()).unwrap()];
        let commands = [Command::Send(Outgoing { to: Recipients::All, text: &text, ends: &ends })];
        assert_eq!(pool.congestion(0), Congestion::None);
        for _ in 0..3 {
            SplitCommands::of(&pool, from, &commands).unwrap().send(&pool);
        }
        assert_eq!([0, 1].map(|worker| pool.congestion(worker)), [Congestion::Some, Congestion::None]);
        for left in (0..6).rev() {
            let Ok(WorkerMessage::Commands(forwarded)) = inboxes[1 + left % 2].try_recv() else {
                panic!("no commands")
            };
            pool.relieve(&forwarded);
            assert_eq!(inboxes[0].try_recv().is_ok(), left == 1, "{left}");
        }
        assert_eq!(pool.congestion(0), Congestion::None);
        for _ in 0..64 {
            SplitCommands::of(&pool, from, &commands).unwrap().send(&pool);
        }
        assert_eq!(pool.congestion(0), Congestion::Full);
    }
}
