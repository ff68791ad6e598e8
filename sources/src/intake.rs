//! The way in for everything that is received, whatever carried it: minimised, kept, and then
//! acknowledged.
//!
//! Invariant: nothing reaches the journal on another way, and what no view needs of a person does
//! not reach it at all.

use std::sync::Arc;

use ionflux_schemas::delivery::{Delivery, Position};

use crate::inbox::{Inbox, Refused};
use crate::journal::reader::Reader;
use crate::subjects::Subjects;
use crate::subjects::error::SubjectError;
use crate::subjects::requests::Request;

/// How soon a sender should come again when the vault is busy.
const BUSY_RETRY_S: u32 = 1;

/// And where there are too many requests about people.
const CROWDED_RETRY_S: u32 = 60;

/// What becomes of people's data on the way in.
#[derive(Clone)]
pub enum Privacy {
    /// What no view needs is taken out, and ids become names that the vault knows.
    Minimised(Arc<Subjects>),
    /// Deliveries are kept as they come: a simulated shop has no people.
    Untouched,
}

/// The way in. Clones are the same way.
#[derive(Clone)]
pub struct Intake {
    inbox: Inbox,
    privacy: Privacy,
}

impl Intake {
    /// The way into a journal.
    #[must_use]
    pub fn new(inbox: Inbox, privacy: Privacy) -> Self {
        Self { inbox, privacy }
    }

    /// Brings a delivery in, and gives its position once it is durable.
    ///
    /// # Errors
    /// It was not kept.
    pub async fn deliver(&self, delivery: Delivery) -> Result<Position, Refused> {
        let Privacy::Minimised(subjects) = &self.privacy else {
            return self.inbox.deliver(delivery).await;
        };
        let prepared = subjects.prepare(delivery).map_err(refused)?;
        subjects.vault().durable(prepared.after).await.map_err(refused)?;
        if !prepared.writes() {
            return self.inbox.deliver(prepared.delivery).await;
        }
        // Rare, and a file each: not on a thread that answers others.
        let writes = Arc::clone(subjects);
        let written = tokio::task::spawn_blocking(move || writes.write(prepared));
        let delivery = written.await.map_err(|_| Refused::Closed)?.map_err(refused)?;
        self.written(Arc::clone(subjects), delivery).await
    }

    /// Brings a delivery in for which something is on disk already, which goes if it is refused.
    async fn written(
        &self,
        subjects: Arc<Subjects>,
        delivery: Delivery,
    ) -> Result<Position, Refused> {
        let headers = delivery.headers.clone();
        let kept = self.inbox.deliver(delivery).await;
        if kept.is_err() {
            let _ = tokio::task::spawn_blocking(move || subjects.take_back(&headers)).await;
        }
        kept
    }

    /// The same for threads; not to be called inside an async runtime.
    ///
    /// # Errors
    /// It was not kept.
    pub fn deliver_blocking(&self, delivery: Delivery) -> Result<Position, Refused> {
        let Privacy::Minimised(subjects) = &self.privacy else {
            return self.inbox.deliver_blocking(delivery);
        };
        let prepared = subjects.prepare(delivery).map_err(refused)?;
        subjects.vault().durable_blocking(prepared.after).map_err(refused)?;
        if !prepared.writes() {
            return self.inbox.deliver_blocking(prepared.delivery);
        }
        let delivery = subjects.write(prepared).map_err(refused)?;
        let headers = delivery.headers.clone();
        let kept = self.inbox.deliver_blocking(delivery);
        if kept.is_err() {
            subjects.take_back(&headers);
        }
        kept
    }

    /// Up to where everything is kept.
    #[must_use]
    pub fn durable_end(&self) -> Position {
        *self.inbox.durable().borrow()
    }

    /// A reader of what was kept, from the start of a record on.
    #[must_use]
    pub fn read(&self, from: Position) -> Reader {
        self.inbox.read(from)
    }

    /// Takes a request about a person down, and gives its position once it is durable: it is
    /// carried out from then on.
    ///
    /// # Errors
    /// It was not kept.
    pub async fn ask(
        &self,
        subjects: Arc<Subjects>,
        request: Request,
    ) -> Result<Position, Refused> {
        let delivery = request.delivery();
        let begins = Arc::clone(&subjects);
        let begun = tokio::task::spawn_blocking(move || begins.begin(&request)).await;
        begun.map_err(|_| Refused::Closed)?.map_err(refused)?;
        self.written(subjects, delivery).await
    }

    /// Brings a request in once more that was taken down already: it may never have come further.
    ///
    /// # Errors
    /// It was not kept.
    pub fn ask_again(&self, request: &Request) -> Result<Position, Refused> {
        self.inbox.deliver_blocking(request.delivery())
    }
}

fn refused(problem: SubjectError) -> Refused {
    match problem {
        SubjectError::Full => Refused::Full { retry_after_s: BUSY_RETRY_S },
        SubjectError::Crowded => {
            tracing::warn!("a request about a person was put off: {problem}");
            Refused::Full { retry_after_s: CROWDED_RETRY_S }
        }
        problem => {
            tracing::error!("a delivery was not kept: {problem}");
            Refused::Failing
        }
    }
}
