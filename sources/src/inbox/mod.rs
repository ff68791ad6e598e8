//! The one door: whatever comes goes through one queue and one writer into the journal.
//!
//! ```text
//! deliver ─┐
//! deliver ─┼─▶ queue ─▶ writer: append all, tick if due, one sync ─▶ a position for each
//! deliver ─┘  (bounded)
//! ```
//!
//! Invariant: a delivery has its position only after a sync that covers it; whoever is refused
//! knows at once, and knows when to come again.

pub mod metrics;
pub mod scribe;
mod writer;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::health::Health;
use thiserror::Error;
use tokio::sync::{oneshot, watch};

use self::metrics::JournalMetrics;
use self::scribe::Scribe;
use self::writer::Writer;
use crate::journal::reader::Reader;
use crate::journal::storage::Shelf;

/// How many deliveries may wait for the writer: some seconds of a busy door.
pub const QUEUE_DELIVERIES_MAX: usize = 16_384;
/// How many bytes may wait: what the memory of the door is bounded by.
pub const QUEUE_BYTES_MAX: usize = 128 << 20;
/// How long a body may be: the largest document a source may send.
pub const BODY_BYTES_MAX: usize = 32 << 20;
/// How long all headers of a delivery may be: what HTTP servers usually take, many times over.
pub const HEADERS_BYTES_MAX: usize = 256 << 10;
/// When to come again if the journal has no room: a person or a slow reader has to act first.
pub(crate) const FULL_RETRY_S: u32 = 30;
/// When to come again if the queue is full or the disk fails: the writer is at work.
const BUSY_RETRY_S: u32 = 1;
/// What one delivery in the queue costs beside its bytes.
const OVERHEAD_BYTES: usize = 256;

/// Why a delivery was not taken. It was not kept, and may be sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Refused {
    /// The journal, the disk or the queue has no room.
    #[error("journal has no room: come again in {retry_after_s} s")]
    Full {
        /// When to come again.
        retry_after_s: u32,
    },
    /// The disk did not keep it.
    #[error("journal could not be written")]
    Failing,
    /// More than one delivery may be.
    #[error("delivery of {bytes} bytes is more than the {max_bytes} bytes that may be")]
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        max_bytes: u64,
    },
    /// The program is stopping.
    #[error("journal is closed")]
    Closed,
}

impl Refused {
    /// When to come again, for `Retry-After`; none if the same will never be taken.
    pub fn retry_after_s(self) -> Option<u32> {
        match self {
            Self::Full { retry_after_s } => Some(retry_after_s),
            Self::Failing | Self::Closed => Some(BUSY_RETRY_S),
            Self::TooLarge { .. } => None,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Full { .. } => "full",
            Self::Failing => "failing",
            Self::TooLarge { .. } => "too_large",
            Self::Closed => "closed",
        }
    }
}

type Answer = oneshot::Sender<Result<Position, Refused>>;

enum Message {
    Deliver(Delivery, Answer),
    /// Something else is to be looked at: trimming, or closing.
    Wake,
}

/// What the door and its writer share.
struct Shared {
    queued_bytes: AtomicUsize,
    /// Trimming is asked for below this.
    trim_below: AtomicU64,
    /// It was asked since the writer last looked.
    trim_asked: AtomicBool,
    closed: AtomicBool,
    health: Mutex<Health>,
    durable: watch::Sender<Position>,
    /// The same for threads: the lock guards nothing but the moment of waiting.
    moved: (Mutex<()>, Condvar),
}

impl Shared {
    fn announce(&self, durable: Position) {
        let moved =
            self.durable.send_if_modified(|last| std::mem::replace(last, durable) != durable);
        if moved || self.closed.load(Ordering::SeqCst) {
            let _guard = self.moved.0.lock().unwrap_or_else(PoisonError::into_inner);
            self.moved.1.notify_all();
        }
    }
}

/// Ends the process when the writer panics: a door without a writer would refuse for ever, and
/// half-alive is worse than down. What was acknowledged is on disk.
struct Down;

impl Drop for Down {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("error: the journal's writer failed because of a bug; the journal is whole");
            std::process::exit(1);
        }
    }
}

/// The door to the journal. Clones are the same door.
#[derive(Clone)]
pub struct Inbox {
    queue: Sender<Message>,
    shared: Arc<Shared>,
    shelf: Arc<dyn Shelf>,
    metrics: JournalMetrics,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Inbox {
    /// Opens the door; a thread of its own does the writing.
    ///
    /// # Errors
    /// If there can be no further thread.
    pub fn open(scribe: Scribe) -> io::Result<Self> {
        let (queue, received) = crossbeam_channel::bounded(QUEUE_DELIVERIES_MAX);
        let shared = Arc::new(Shared {
            queued_bytes: AtomicUsize::new(0),
            trim_below: AtomicU64::new(0),
            trim_asked: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            health: Mutex::new(scribe.health().clone()),
            durable: watch::Sender::new(scribe.durable_end()),
            moved: (Mutex::new(()), Condvar::new()),
        });
        let shelf = scribe.journal().shelf();
        let metrics = scribe.metrics().clone();
        let writer = Writer::new(scribe, received, Arc::clone(&shared));
        let thread = thread::Builder::new().name("journal".into()).spawn(move || {
            let _down = Down;
            writer.run();
        })?;
        let writer = Arc::new(Mutex::new(Some(thread)));
        Ok(Self { queue, shared, shelf, metrics, writer })
    }

    /// Brings a delivery in, and gives its position once it is durable. Whoever stops waiting does
    /// not take the delivery back.
    ///
    /// # Errors
    /// It was not kept.
    pub async fn deliver(&self, delivery: Delivery) -> Result<Position, Refused> {
        self.enqueue(delivery)?.await.unwrap_or(Err(Refused::Closed))
    }

    /// The same for threads; not to be called inside an async runtime.
    ///
    /// # Errors
    /// It was not kept.
    pub fn deliver_blocking(&self, delivery: Delivery) -> Result<Position, Refused> {
        self.enqueue(delivery)?.blocking_recv().unwrap_or(Err(Refused::Closed))
    }

    fn enqueue(
        &self,
        delivery: Delivery,
    ) -> Result<oneshot::Receiver<Result<Position, Refused>>, Refused> {
        let (answer, answered) = oneshot::channel();
        self.admit(delivery, answer).map(|()| answered).inspect_err(|refused| {
            self.metrics.refused.with_label_values(&[refused.label()]).inc();
        })
    }

    fn admit(&self, delivery: Delivery, answer: Answer) -> Result<(), Refused> {
        for (bytes, max_bytes) in
            [(delivery.body.len(), BODY_BYTES_MAX), (headers_bytes(&delivery), HEADERS_BYTES_MAX)]
        {
            if bytes > max_bytes {
                let (bytes, max_bytes) = (bytes as u64, max_bytes as u64);
                return Err(Refused::TooLarge { bytes, max_bytes });
            }
        }
        if self.shared.closed.load(Ordering::SeqCst) {
            return Err(Refused::Closed);
        }
        let weight = weight_bytes(&delivery);
        let queued = self.shared.queued_bytes.fetch_add(weight, Ordering::SeqCst);
        let sent = if queued + weight > QUEUE_BYTES_MAX {
            Err(Refused::Full { retry_after_s: BUSY_RETRY_S })
        } else {
            self.queue.try_send(Message::Deliver(delivery, answer)).map_err(|error| match error {
                TrySendError::Full(_) => Refused::Full { retry_after_s: BUSY_RETRY_S },
                TrySendError::Disconnected(_) => Refused::Closed,
            })
        };
        if sent.is_err() {
            self.shared.queued_bytes.fetch_sub(weight, Ordering::SeqCst);
        }
        sent
    }

    /// Asks for everything below a position to be trimmed, soon and between two groups.
    pub fn trim(&self, below: Position) {
        self.shared.trim_below.fetch_max(below.0, Ordering::SeqCst);
        self.shared.trim_asked.store(true, Ordering::SeqCst);
        // A full queue wakes the writer as well.
        let _ = self.queue.try_send(Message::Wake);
    }

    /// Up to where everything is durable, and when that moves.
    pub fn durable(&self) -> watch::Receiver<Position> {
        self.shared.durable.subscribe()
    }

    /// Waits until something past a position is durable, the door is closed or the time is up, and
    /// says up to where everything is durable.
    pub fn wait_durable(&self, past: Position, timeout: Duration) -> Position {
        let durable = || *self.shared.durable.borrow();
        let guard = self.shared.moved.0.lock().unwrap_or_else(PoisonError::into_inner);
        let still = |(): &mut ()| durable() <= past && !self.closed();
        let waited = self.shared.moved.1.wait_timeout_while(guard, timeout, still);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        durable()
    }

    /// A reader of the journal from a position on.
    pub fn read(&self, from: Position) -> Reader {
        Reader::new(Arc::clone(&self.shelf), from)
    }

    /// What the journal says of itself.
    pub fn health(&self) -> Health {
        self.shared.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the door takes no more.
    pub fn closed(&self) -> bool {
        self.shared.closed.load(Ordering::SeqCst)
    }

    /// Closes the door for all clones: what waits is written, the last epoch is closed, and the
    /// writer has ended when this returns. Blocks for as long as that takes.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        let _ = self.queue.try_send(Message::Wake);
        // Held while it joins: whoever else closes waits for the end as well.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = writer.take() {
            // A panic of the writer was printed where it happened; its callers were refused.
            let _ = writer.join();
        }
    }
}

fn headers_bytes(delivery: &Delivery) -> usize {
    let names = delivery.source.len() + delivery.workspace.len();
    delivery.headers.iter().map(|(name, text)| name.len() + text.len()).sum::<usize>() + names
}

fn weight_bytes(delivery: &Delivery) -> usize {
    delivery.body.len() + headers_bytes(delivery) + OVERHEAD_BYTES
}
