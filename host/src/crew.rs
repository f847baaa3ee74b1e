//! What the workers of one server know of each other: who has how many connections, and how to reach whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::application::ApplicationFactory;
use crate::arrival::Handed;
use crate::generations::StartError;
use crate::listener::Handle;
use crate::metrics::{Row, Snapshot};
use crate::relay::Relayed;
use crate::wit::Failed;

/// Commands of one worker that wait for others to carry them out, in bytes. More: it reads nothing more from its clients
/// until there are half as many.
const MAX_RELAYED: usize = 1 << 20;

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Note {
    /// Accept here, too.
    Listen(Vec<Handle>),
    /// Somebody whom another worker accepted.
    Visitor(Handed),
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
    stopping: AtomicBool,
}

#[derive(Debug)]
struct Member {
    inbox: UnboundedSender<Note>,
    connections: AtomicUsize,
    /// Gets new connections. The first always does.
    open: AtomicBool,
    /// Has an engine and an application.
    fit: AtomicBool,
    /// Bytes of the commands that it sent others and that are not carried out.
    relayed: AtomicUsize,
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
    /// So many, at least one, and their inboxes.
    pub(crate) fn new(workers: usize) -> (Arc<Self>, Vec<UnboundedReceiver<Note>>) {
        let (mut members, mut inboxes) = (Vec::new(), Vec::new());
        for _ in 0..workers.max(1) {
            let (inbox, notes) = unbounded_channel();
            let (connections, relayed, waits) = Default::default();
            let (open, fit) = (AtomicBool::new(true), AtomicBool::new(true));
            members.push(Member { inbox, connections, open, fit, relayed, waits });
            inboxes.push(notes);
        }
        let size = members.len().into();
        (Arc::new(Self { members, size, stopping: AtomicBool::new(false) }), inboxes)
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

    pub(crate) fn tell_all(&self, note: impl Fn() -> Note) {
        (0..self.size()).for_each(|worker| self.tell(worker, note()));
    }

    /// Asks every worker; those that have ended do not answer.
    pub(crate) async fn ask<T>(&self, note: impl Fn(oneshot::Sender<T>) -> Note) -> Vec<T> {
        let ask = |worker| {
            let (answer, answered) = oneshot::channel();
            self.tell(worker, note(answer));
            answered
        };
        let asked: Vec<_> = (0..self.size()).map(ask).collect();
        let mut answers = Vec::with_capacity(asked.len());
        for answer in asked {
            answers.extend(answer.await);
        }
        answers
    }

    /// Takes a new connection into account: of the worker that has it, or of another that has fewer. A few more are not
    /// worth the way.
    pub(crate) fn place(self: &Arc<Self>, at: usize) -> Load {
        let is = |what: &AtomicBool| what.load(Ordering::Relaxed);
        let connections = |worker: &usize| self.members[*worker].connections.load(Ordering::Relaxed);
        let open = || (0..self.size()).filter(|worker| is(&self.members[*worker].open));
        let fit = |worker: &usize| is(&self.members[*worker].fit);
        let fewest = open().filter(fit).min_by_key(connections);
        let fewest = fewest.or_else(|| open().min_by_key(connections)).unwrap_or(0);
        let (here, there) = (connections(&at), connections(&fewest));
        let stays = is(&self.members[at].open) && fit(&at) && here <= there + here / 16;
        let worker = if stays { at } else { fewest };
        self.members[worker].connections.fetch_add(1, Ordering::Relaxed);
        Load { crew: Arc::clone(self), worker }
    }

    /// Sends commands to another worker.
    pub(crate) fn relay(&self, worker: usize, relayed: Relayed) {
        self.members[relayed.from.worker].relayed.fetch_add(relayed.bytes(), Ordering::SeqCst);
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

    /// The others have more commands of a worker's to carry out than they should. It is told by a [`Note::Room`] when
    /// that is over.
    pub(crate) fn is_congested(&self, from: usize) -> bool {
        let Member { relayed, waits, .. } = &self.members[from];
        let too_many = || relayed.load(Ordering::SeqCst) > MAX_RELAYED;
        too_many() && {
            waits.store(true, Ordering::SeqCst);
            // They may have been carried out before it was known that somebody waits.
            too_many()
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
            let (crew, _) = Crew::new(workers);
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
        let (crew, _inboxes) = Crew::new(3);
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
    fn who_sent_too_much_waits_until_half_of_it_is_carried_out() {
        let (crew, mut inboxes) = Crew::new(3);
        let from = Origin { worker: 0, generation: 0, instance: 0 };
        let text = "x".repeat(MAX_RELAYED / 4);
        let ends = [u32::try_from(text.len()).unwrap()];
        let commands = [Command::Send(Outgoing { to: Recipients::All, text: &text, ends: &ends })];
        assert!(!crew.is_congested(0));
        for _ in 0..3 {
            Split::of(&crew, from, &commands).unwrap().send(&crew);
        }
        assert!(crew.is_congested(0) && !crew.is_congested(1));
        for left in (0..6).rev() {
            let Ok(Note::Commands(relayed)) = inboxes[1 + left % 2].try_recv() else { panic!("no commands") };
            crew.relieve(&relayed);
            assert_eq!(inboxes[0].try_recv().is_ok(), left == 1, "{left}");
        }
        assert!(!crew.is_congested(0));
    }
}
