//! The vault: the one place that links an id to what the person is called in the state.
//!
//! ```text
//! id ─keyed hash─▶ known? ─▶ its name                    forget ─▶ the file that has it is written
//!                   └ no: a random one, queued ─▶ writer ─▶ fsync ─▶ only now used       anew
//! ```
//!
//! Invariant: a name is random, belongs to one person of one shop, and is durable before anything
//! that uses it is acknowledged. What was forgotten is in no file and in no memory.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ionflux_schemas::key::pseudonym;
use ionflux_schemas::time::UtcMs;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::watch;

use super::error::SubjectError;
use super::keys::{Scope, Sought};
use super::shelves::{ID_BYTES_MAX, Record, Shelves, What};
use super::table::Kind;

/// How many people a vault may know; each takes some 60 bytes of memory.
pub const PEOPLE_MAX: usize = 1 << 26;
/// How many bytes may wait for the disk.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// How long after a failure the disk is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long somebody who was forgotten stays unknown, whatever is said of them: senders try again
/// for hours, and files lie about for days.
pub const FORGOTTEN_MS: i64 = 10 * 86_400_000;

/// How many marks of people who stay unknown there may be: one for each id, kind and shop.
pub const FORGOTTEN_MAX: usize = 1 << 20;

/// What somebody is called, and what must be durable before it is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name {
    /// What they are called: from 2^62 up to 2^63.
    pub number: u64,
    /// The place in the queue of what must be durable.
    pub(super) after: u64,
}

/// What forgetting found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Destroyed {
    /// Links that were there.
    pub links: u64,
}

#[derive(Clone, Copy)]
struct Held {
    name: u64,
    shelf: u32,
    after: u64,
}

#[derive(Default)]
struct Index {
    people: HashMap<u128, Held>,
    /// The ids of those whom views show, by their names.
    shown: HashMap<u64, Box<str>>,
    forgotten: HashMap<u128, UtcMs>,
    /// Where the next record goes, and what waits to go there.
    shelf: u32,
    shelf_bytes: u64,
    queue: Vec<(u32, Vec<u8>)>,
    queued_bytes: usize,
    queued: u64,
    closed: bool,
}

/// How far the writer is: up to which place everything is durable, or was refused.
#[derive(Clone, Copy, Default)]
struct Done {
    durable: u64,
    refused: u64,
}

struct Shared {
    index: Mutex<Index>,
    wake: Condvar,
    shelves: Mutex<Shelves>,
    done: watch::Sender<Done>,
    moved: (Mutex<()>, Condvar),
    random: SystemRandom,
}

/// The vault of a state. Clones are the same one.
#[derive(Clone)]
pub struct Vault {
    shared: Arc<Shared>,
    _writer: Arc<Writer>,
}

impl Vault {
    /// The vault in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged in more than a torn tail.
    pub fn open(folder: &Path, now: UtcMs) -> Result<Self, SubjectError> {
        let mut index = Index::default();
        let shelves = Shelves::open(folder, |shelf, record| index.add(shelf, &record, now))?;
        (index.shelf, index.shelf_bytes) = shelves.last();
        let shared = Arc::new(Shared {
            index: Mutex::new(index),
            wake: Condvar::new(),
            shelves: Mutex::new(shelves),
            done: watch::Sender::new(Done::default()),
            moved: (Mutex::new(()), Condvar::new()),
            random: SystemRandom::new(),
        });
        let working = Arc::clone(&shared);
        let thread = thread::Builder::new().name("vault".into()).spawn(move || working.write());
        let thread = thread.map_err(SubjectError::of(folder, "starting the writer of"))?;
        let writer = Writer { shared: Arc::clone(&shared), thread: Some(thread) };
        Ok(Self { shared, _writer: Arc::new(writer) })
    }

    /// What somebody is called; a new name for whom nobody knew. `None` for those who were
    /// forgotten a short while ago, who stay unknown, and for what is no id: no text at all, or
    /// more than a shelf takes.
    ///
    /// # Errors
    /// When there are too many people, or too much waits for the disk.
    pub fn name(
        &self,
        scope: &Scope,
        (kind, id): (Kind, &str),
        now: UtcMs,
    ) -> Result<Option<Name>, SubjectError> {
        if !(1..=ID_BYTES_MAX).contains(&id.len()) {
            return Ok(None);
        }
        let sought = scope.person(kind, id);
        let mut index = self.shared.index();
        let people = index.people.len();
        if let Some(held) = index.people.get(&sought.name) {
            return Ok(Some(Name { number: held.name, after: held.after }));
        }
        if !index.forgotten.is_empty() {
            let forgotten = index.forgotten.get(&scope.forgotten(kind, id));
            if forgotten.is_some_and(|until| *until > now) {
                return Ok(None);
            }
        }
        if people >= PEOPLE_MAX || index.queued_bytes >= QUEUE_BYTES_MAX || index.closed {
            return Err(SubjectError::Full);
        }
        let number = self.shared.random()?;
        let shown = (kind == Kind::User).then(|| Box::from(id));
        let what = What::Person { name: number, shown };
        let Sought { name: person, scope } = sought;
        let (shelf, after) = index.queue(&Record { person, scope, what });
        index.people.insert(person, Held { name: number, shelf, after });
        if kind == Kind::User {
            index.shown.insert(number, id.into());
        }
        drop(index);
        self.shared.wake.notify_one();
        Ok(Some(Name { number, after }))
    }

    /// What somebody is called, if they are known.
    #[must_use]
    pub fn known(&self, sought: &Sought) -> Option<u64> {
        self.shared.index().people.get(&sought.name).map(|held| held.name)
    }

    /// Whether more people are kept unknown than so many.
    #[must_use]
    pub fn crowded(&self, most: usize, now: UtcMs) -> bool {
        let mut index = self.shared.index();
        if index.forgotten.len() >= most {
            index.forgotten.retain(|_, until| *until > now);
        }
        index.forgotten.len() >= most
    }

    /// The id of somebody whom views show.
    #[must_use]
    pub fn shown(&self, name: u64) -> Option<Box<str>> {
        self.shared.index().shown.get(&name).cloned()
    }

    /// Waits until names are durable.
    ///
    /// # Errors
    /// When the disk refused them.
    pub async fn durable(&self, after: u64) -> Result<(), SubjectError> {
        let mut done = self.shared.done.subscribe();
        let reached = done.wait_for(|done| done.durable >= after || done.refused >= after).await;
        match reached {
            Ok(done) if done.durable >= after => Ok(()),
            _ => Err(SubjectError::Refused),
        }
    }

    /// The same for threads.
    ///
    /// # Errors
    /// As [`Vault::durable`].
    pub fn durable_blocking(&self, after: u64) -> Result<(), SubjectError> {
        let done = || *self.shared.done.borrow();
        let waits = |(): &mut ()| done().durable < after && done().refused < after;
        let guard = self.shared.moved.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.shared.moved.1.wait_while(guard, waits).unwrap_or_else(PoisonError::into_inner));
        if done().durable >= after { Ok(()) } else { Err(SubjectError::Refused) }
    }

    /// Destroys what links somebody to their names, on the disk and in memory, and keeps them
    /// unknown for a while. A second time finds nothing.
    ///
    /// # Errors
    /// When that is not certain; it may be asked again.
    pub fn forget(&self, people: &[(Sought, u128)], now: UtcMs) -> Result<Destroyed, SubjectError> {
        let mut shelves = self.shared.shelves();
        let until = UtcMs(now.0.saturating_add(FORGOTTEN_MS));
        let mut index = self.shared.index();
        for (sought, forgotten) in people {
            let (scope, person) = (sought.scope, *forgotten);
            index.queue(&Record { person, scope, what: What::Forgotten { until } });
            index.forgotten.insert(person, until);
        }
        let found = people.iter().filter_map(|(sought, _)| index.people.get(&sought.name));
        let mut touched: Vec<u32> = found.map(|held| held.shelf).collect();
        drop(index);
        self.shared.flush(&mut shelves)?;
        touched.sort_unstable();
        touched.dedup();
        let gone = |record: &Record| people.iter().any(|(sought, _)| sought.name == record.person);
        self.destroy(&mut shelves, &touched, &|record| gone(record) || record.over(now))
    }

    /// Destroys every link of a shop.
    ///
    /// # Errors
    /// When that is not certain; it may be asked again.
    pub fn forget_shop(&self, scope: u128, now: UtcMs) -> Result<Destroyed, SubjectError> {
        let mut shelves = self.shared.shelves();
        self.shared.flush(&mut shelves)?;
        let all = shelves.all();
        self.destroy(&mut shelves, &all, &|record| record.scope == scope || record.over(now))
    }

    fn destroy(
        &self,
        shelves: &mut Shelves,
        touched: &[u32],
        gone: &dyn Fn(&Record) -> bool,
    ) -> Result<Destroyed, SubjectError> {
        let mut destroyed = Destroyed::default();
        for shelf in touched {
            let taken = shelves.rewrite(*shelf, gone)?;
            let mut index = self.shared.index();
            for record in taken {
                if let Some(held) = index.people.remove(&record.person) {
                    index.shown.remove(&held.name);
                    destroyed.links += 1;
                }
                if let What::Forgotten { .. } = record.what {
                    index.forgotten.remove(&record.person);
                }
            }
        }
        Ok(destroyed)
    }
}

impl Index {
    fn add(&mut self, shelf: u32, record: &Record, now: UtcMs) {
        match &record.what {
            What::Person { name, shown } => {
                self.people.insert(record.person, Held { name: *name, shelf, after: 0 });
                if let Some(id) = shown {
                    self.shown.insert(*name, id.clone());
                }
            }
            What::Forgotten { until } if *until > now => {
                self.forgotten.insert(record.person, *until);
            }
            What::Forgotten { .. } => {}
        }
    }

    /// Puts a record in the queue; on which shelf it will be, and its place.
    fn queue(&mut self, record: &Record) -> (u32, u64) {
        if self.shelf_bytes >= super::shelves::SHELF_BYTES {
            (self.shelf, self.shelf_bytes) = (self.shelf + 1, 0);
        }
        let shelf = self.shelf;
        if self.queue.last().is_none_or(|(last, _)| *last != shelf) {
            self.queue.push((shelf, Vec::new()));
        }
        if let Some((_, bytes)) = self.queue.last_mut() {
            let before = bytes.len();
            record.encode(shelf, bytes);
            let more = bytes.len() - before;
            self.shelf_bytes += more as u64;
            self.queued_bytes += more;
        }
        self.queued += 1;
        (shelf, self.queued)
    }
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name that says nothing.
    fn random(&self) -> Result<u64, SubjectError> {
        let mut bytes = [0; 8];
        self.random.fill(&mut bytes).map_err(|_| SubjectError::Random)?;
        Ok(pseudonym(u64::from_le_bytes(bytes)))
    }

    /// Writes what waits; what fails waits again, in front.
    fn flush(&self, shelves: &mut Shelves) -> Result<(), SubjectError> {
        let mut index = self.index();
        let queue = std::mem::take(&mut index.queue);
        let (bytes, upto) = (std::mem::take(&mut index.queued_bytes), index.queued);
        drop(index);
        let mut written = Ok(());
        let mut rest = queue.into_iter().peekable();
        while let Some((shelf, bytes)) = rest.peek() {
            written = shelves.append(*shelf, bytes);
            if written.is_err() {
                break;
            }
            rest.next();
        }
        let done = match &written {
            Ok(()) => Done { durable: upto, refused: 0 },
            Err(_) => {
                let mut index = self.index();
                let later = std::mem::take(&mut index.queue);
                index.queue = rest.chain(later).collect();
                index.queued_bytes += bytes;
                Done { refused: upto, ..*self.done.borrow() }
            }
        };
        let guard = self.moved.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.done.send_replace(done);
        drop(guard);
        self.moved.1.notify_all();
        written
    }

    /// The writer: one sync for all that came while the last one was made.
    fn write(&self) {
        loop {
            let mut index = self.index();
            while index.queue.is_empty() && !index.closed {
                index = self.wake.wait(index).unwrap_or_else(PoisonError::into_inner);
            }
            let closed = index.closed;
            let empty = index.queue.is_empty();
            drop(index);
            if empty && closed {
                return;
            }
            if let Err(problem) = self.flush(&mut self.shelves()) {
                tracing::error!("the vault of subjects cannot be written: {problem}");
                if closed {
                    return;
                }
                let index = self.index();
                let waits = |index: &mut Index| !index.closed;
                drop(self.wake.wait_timeout_while(index, RETRY, waits));
            }
        }
    }
}

/// Ends the writer with the last clone.
struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.index().closed = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
