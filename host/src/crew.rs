//! What the workers of one server know of each other: who has how many connections, and how to reach whom.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::activity::Activity;
use crate::application::ApplicationFactory;
use crate::arrival::Handed;
use crate::generations::StartError;
use crate::listener::Handle;
use crate::metrics::{Row, Snapshot};
use crate::relay::Relayed;
use crate::wit::Failed;

/// Commands of one worker that wait for others to carry them out, in bytes. More: it reads nothing more from clients that
/// cause more of them, until there are half as many.
const MAX_RELAYED: usize = 1 << 20;

/// The same, and more: it reads nothing more from any client.
const MAX_RELAYED_IN_ALL: usize = 16 << 20;

/// The utilisation of a thread from which on it is not filled any further; and that from which on it has more work than it
/// can do.
const FULL: f64 = 0.75;
const SATURATED: f64 = 0.95;

/// A worker that has been busy with one thing for so long gets no new connections while others can have them.
const STUCK_AFTER: Duration = Duration::from_millis(50);

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Note {
    /// Accept here, too.
    Listen(Vec<Handle>),
    /// Somebody whom another worker accepted.
    Visitor(Handed),
    /// A connection that was idle gives way to a new one.
    CloseIdle(u64),
    /// Another worker's application wants something of connections here.
    Commands(Relayed),
    /// What of such commands had no effect.
    Failed {
        from: Origin,
        failed: Vec<Failed>,
    },
    /// The others have carried out enough of what it sent them.
    Room,
    /// Waiting output takes up too much memory, and a connection here holds the most.
    Relieve,
    /// New connections go to this application; whether it wants to be the only one.
    Replace {
        generation: u64,
        application: Arc<ApplicationFactory>,
        answer: oneshot::Sender<Result<bool, StartError>>,
    },
    /// New connections go elsewhere, for the application that they go to is to be alone.
    Retire,
    Snapshot(oneshot::Sender<Snapshot>),
    /// Up to so many connections, and how many more there are.
    Rows(usize, oneshot::Sender<(Vec<Row>, usize)>),
    /// Accept no more, and begin to close every connection.
    Stop,
    /// Close every connection at once.
    Abort,
    /// Everything is over.
    End,
}

/// Which instance of the application gave a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) worker: usize,
    pub(crate) generation: u64,
    /// Counts the instances of that generation on that worker.
    pub(crate) instance: u64,
}

/// All workers.
#[derive(Debug)]
pub(crate) struct Crew {
    members: Vec<Member>,
    /// How many there are: all members, or the first alone.
    size: AtomicUsize,
    /// So many connections of one before the next gets any.
    fill: usize,
    stopping: AtomicBool,
}

/// How many commands of a worker wait for others to carry them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Congestion {
    None,
    /// Too many.
    Some,
    /// Far too many.
    Full,
}

/// How well a worker can serve a new connection; the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fitness {
    Able,
    Saturated,
    Stuck,
    Unable,
}

#[derive(Debug)]
struct Member {
    inbox: UnboundedSender<Note>,
    connections: AtomicUsize,
    activity: Activity,
    /// Gets new connections. The first always does.
    open: AtomicBool,
    /// Has an engine and an application.
    fit: AtomicBool,
    /// Bytes of the commands that it sent others and that are not carried out.
    relayed: AtomicUsize,
    /// Bytes of all that it ever sent others.
    relayed_so_far: AtomicUsize,
    /// It waits until there are fewer.
    waits: AtomicBool,
}

/// One connection that a worker has, until it is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    crew: Arc<Crew>,
    worker: usize,
}

impl Crew {
    /// So many, at least one, and their inboxes; `fill` is [`ShellOptions::worker_fill`](crate::ShellOptions::worker_fill).
    pub(crate) fn new(workers: usize, fill: usize) -> (Arc<Self>, Vec<UnboundedReceiver<Note>>) {
        let (mut members, mut inboxes) = (Vec::new(), Vec::new());
        for _ in 0..workers.max(1) {
            let (inbox, notes) = unbounded_channel();
            let (connections, relayed, relayed_so_far, waits) = Default::default();
            let (open, fit) = (AtomicBool::new(true), AtomicBool::new(true));
            let activity = Activity::new();
            members.push(Member { inbox, connections, activity, open, fit, relayed, relayed_so_far, waits });
            inboxes.push(notes);
        }
        let size = members.len().into();
        (Arc::new(Self { members, size, fill, stopping: AtomicBool::new(false) }), inboxes)
    }

    pub(crate) fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// The first is to be the only one. Before there is a connection.
    pub(crate) fn reduce_to_one(&self) {
        self.size.store(1, Ordering::Relaxed);
        // Nobody carries out what its first commands were to others.
        self.members[0].relayed.store(0, Ordering::SeqCst);
    }

    /// Whether a worker gets new connections.
    pub(crate) fn set_open(&self, worker: usize, open: bool) {
        self.members[worker].open.store(open, Ordering::Relaxed);
    }

    /// Whether a worker can serve. One that cannot gets no new connections while others can.
    pub(crate) fn set_fit(&self, worker: usize, fit: bool) {
        self.members[worker].fit.store(fit, Ordering::Relaxed);
    }

    /// The id of a worker's connection number `count`, from 1 on.
    pub(crate) fn id(&self, worker: usize, count: u64) -> u64 {
        (count - 1) * self.size() as u64 + worker as u64 + 1
    }

    /// Whose connection that is, if it is one.
    pub(crate) fn worker_of(&self, connection: u64) -> Option<usize> {
        // A remainder of a usize is one.
        Some((connection.checked_sub(1)? % self.size() as u64) as usize)
    }

    pub(crate) fn tell(&self, worker: usize, note: Note) {
        // Who has ended needs no notes.
        let _ = self.members[worker].inbox.send(note);
    }

    /// Has a connection that was idle give way to a new one.
    pub(crate) fn close_idle(&self, connection: u64) {
        if let Some(worker) = self.worker_of(connection) {
            self.tell(worker, Note::CloseIdle(connection));
        }
    }

    pub(crate) fn tell_all(&self, note: impl Fn() -> Note) {
        (0..self.size()).for_each(|worker| self.tell(worker, note()));
    }

    /// Asks every worker; those that have ended do not answer.
    pub(crate) async fn ask<T>(&self, note: impl Fn(oneshot::Sender<T>) -> Note) -> Vec<T> {
        let asked: Vec<_> = (0..self.size()).map(|worker| self.send_question(worker, &note)).collect();
        let mut answers = Vec::with_capacity(asked.len());
        for answer in asked {
            answers.extend(answer.await);
        }
        answers
    }

    /// Asks every worker, and waits no longer than that for all answers together: one for each worker, if it came. One that
    /// has been busy with one thing for as long is not asked.
    pub(crate) async fn ask_within<T>(
        &self,
        time: Duration,
        note: impl Fn(oneshot::Sender<T>) -> Note,
    ) -> Vec<Option<T>> {
        let end = Instant::now() + time;
        let ask = |worker| self.answers(worker, time).then(|| self.send_question(worker, &note));
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

    /// Any worker has not been busy with one thing for so long.
    pub(crate) fn any_answers(&self, within: Duration) -> bool {
        (0..self.size()).any(|worker| self.answers(worker, within))
    }

    fn answers(&self, worker: usize, within: Duration) -> bool {
        self.activity(worker).busy_for() < within
    }

    /// What its thread does.
    pub(crate) fn activity(&self, worker: usize) -> &Activity {
        &self.members[worker].activity
    }

    fn send_question<T>(
        &self,
        worker: usize,
        note: &impl Fn(oneshot::Sender<T>) -> Note,
    ) -> oneshot::Receiver<T> {
        let (answer, answered) = oneshot::channel();
        self.tell(worker, note(answer));
        answered
    }

    /// Takes a new connection into account, of the worker that is to have it: see [`choose`](Self::choose).
    pub(crate) fn place(self: &Arc<Self>, at: usize) -> Load {
        let worker = self.choose(at);
        self.members[worker].connections.fetch_add(1, Ordering::Relaxed);
        Load { crew: Arc::clone(self), worker }
    }

    /// Who gets a connection that was accepted by the worker `at`: one that has few is filled first, for a thread that has
    /// something to do does more of it at a time than several that wait and wake by turns. Where all are filled or at
    /// work, the one that has fewest.
    fn choose(&self, at: usize) -> usize {
        let open = || (0..self.size()).filter(|worker| self.members[*worker].open.load(Ordering::Relaxed));
        let connections = |worker: usize| self.members[worker].connections.load(Ordering::Relaxed);
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
        // A few more are not worth the way.
        let stays = is_as_able && connections(at) <= connections(fewest) + connections(fewest) / 16;
        if stays { at } else { fewest }
    }

    fn fitness(&self, worker: usize) -> Fitness {
        match &self.members[worker] {
            Member { fit, .. } if !fit.load(Ordering::Relaxed) => Fitness::Unable,
            Member { activity, .. } if activity.busy_for() > STUCK_AFTER => Fitness::Stuck,
            Member { activity, .. } if activity.utilisation() > SATURATED => Fitness::Saturated,
            _ => Fitness::Able,
        }
    }

    /// Sends commands to another worker.
    pub(crate) fn relay(&self, worker: usize, relayed: Relayed) {
        let from = &self.members[relayed.from.worker];
        from.relayed.fetch_add(relayed.bytes(), Ordering::SeqCst);
        from.relayed_so_far.fetch_add(relayed.bytes(), Ordering::Relaxed);
        self.tell(worker, Note::Commands(relayed));
    }

    /// Commands have been carried out.
    pub(crate) fn relieve(&self, done: &Relayed) {
        let Member { relayed, waits, .. } = &self.members[done.from.worker];
        let left = relayed.fetch_sub(done.bytes(), Ordering::SeqCst) - done.bytes();
        if left <= MAX_RELAYED / 2 && waits.swap(false, Ordering::SeqCst) {
            self.tell(done.from.worker, Note::Room);
        }
    }

    /// Bytes of all commands that a worker has sent others.
    pub(crate) fn relayed_so_far(&self, from: usize) -> usize {
        self.members[from].relayed_so_far.load(Ordering::Relaxed)
    }

    /// Whether the others have more commands of a worker's to carry out than they should. If so it is told by a
    /// [`Note::Room`] when that is over.
    pub(crate) fn congestion(&self, from: usize) -> Congestion {
        let Member { relayed, waits, .. } = &self.members[from];
        let now = || match relayed.load(Ordering::SeqCst) {
            bytes if bytes <= MAX_RELAYED => Congestion::None,
            bytes if bytes <= MAX_RELAYED_IN_ALL => Congestion::Some,
            _ => Congestion::Full,
        };
        match now() {
            Congestion::None => Congestion::None,
            _ => {
                waits.store(true, Ordering::SeqCst);
                // They may have been carried out before it was known that somebody waits.
                now()
            }
        }
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.tell_all(|| Note::Stop);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

impl Load {
    pub(crate) fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.crew.members[self.worker].connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::Split;
    use crate::wit::{Command, Outgoing, Recipients};

    #[test]
    fn every_id_says_whose_it_is() {
        for workers in 1..5 {
            let (crew, _) = Crew::new(workers, 0);
            let mut ids = Vec::new();
            for count in 1..4 {
                for worker in 0..workers {
                    ids.push(crew.id(worker, count));
                    assert_eq!(crew.worker_of(crew.id(worker, count)), Some(worker));
                }
            }
            assert_eq!(ids, (1..=3 * workers as u64).collect::<Vec<_>>());
            assert_eq!(crew.worker_of(0), None);
        }
    }

    #[test]
    fn connections_go_to_who_has_fewest_of_those_who_are_open_and_fit() {
        let (crew, _inboxes) = Crew::new(3, 0);
        let places: Vec<_> = (0..30).map(|_| crew.place(0)).collect();
        let count = |worker| places.iter().filter(|place| place.worker() == worker).count();
        assert_eq!([0, 1, 2].map(count), [10, 10, 10]);
        drop(places);
        crew.set_fit(1, false);
        assert_ne!(crew.place(1).worker(), 1);
        crew.set_open(1, false);
        crew.set_open(2, false);
        assert_eq!(crew.place(2).worker(), 0);
        // Better one that cannot serve now than one that must not.
        crew.set_fit(0, false);
        assert_eq!(crew.place(2).worker(), 0);
    }

    #[test]
    fn one_worker_is_filled_before_the_next() {
        let (crew, _inboxes) = Crew::new(3, 4);
        let place = |count: usize| (0..count).map(|_| crew.place(2)).collect::<Vec<_>>();
        let workers = |places: &[Load]| places.iter().map(Load::worker).collect::<Vec<_>>();
        let mut places = place(9);
        assert_eq!(workers(&places), [0, 0, 0, 0, 1, 1, 1, 1, 2]);
        // One that has some and has room again goes before one that has fewer.
        drop(places.remove(0));
        assert_eq!(workers(&place(1)), [0]);
        places.extend(place(4));
        let more = place(9);
        assert_eq!(
            [0, 1, 2].map(|worker| workers(&more).iter().filter(|at| **at == worker).count()),
            [3, 3, 3]
        );
    }

    #[test]
    fn a_worker_that_is_at_work_or_stuck_is_not_filled() {
        let (crew, _inboxes) = Crew::new(2, 64);
        crew.activity(0).begin_work();
        while crew.activity(0).busy_for() <= STUCK_AFTER {}
        assert_eq!(crew.place(0).worker(), 1);
        crew.activity(0).get_on();
        assert_eq!(crew.place(0).worker(), 0);
        while crew.activity(0).utilisation() < FULL {
            crew.activity(0).get_on();
        }
        assert_eq!(crew.place(0).worker(), 1);
        // The other one cannot have it.
        crew.set_fit(1, false);
        assert_eq!(crew.place(0).worker(), 0);
    }

    #[test]
    fn who_sent_too_much_waits_until_half_of_it_is_carried_out() {
        let (crew, mut inboxes) = Crew::new(3, 0);
        let from = Origin { worker: 0, generation: 0, instance: 0 };
        let text = "x".repeat(MAX_RELAYED / 4);
        let ends = [u32::try_from(text.len()).unwrap()];
        let commands = [Command::Send(Outgoing { to: Recipients::All, text: &text, ends: &ends })];
        assert_eq!(crew.congestion(0), Congestion::None);
        for _ in 0..3 {
            Split::of(&crew, from, &commands).unwrap().send(&crew);
        }
        assert_eq!([0, 1].map(|worker| crew.congestion(worker)), [Congestion::Some, Congestion::None]);
        for left in (0..6).rev() {
            let Ok(Note::Commands(relayed)) = inboxes[1 + left % 2].try_recv() else { panic!("no commands") };
            crew.relieve(&relayed);
            assert_eq!(inboxes[0].try_recv().is_ok(), left == 1, "{left}");
        }
        assert_eq!(crew.congestion(0), Congestion::None);
        for _ in 0..64 {
            Split::of(&crew, from, &commands).unwrap().send(&crew);
        }
        assert_eq!(crew.congestion(0), Congestion::Full);
    }
}
