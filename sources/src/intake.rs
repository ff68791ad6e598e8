//! The way in for everything that is received, whatever carried it: kept, and then acknowledged.
//!
//! Invariant: nothing reaches the journal on another way.

use ionflux_schemas::delivery::{Delivery, Position};

use crate::inbox::{Inbox, Refused};
use crate::journal::reader::Reader;

/// The way in. Clones are the same way.
#[derive(Clone)]
pub struct Intake {
    inbox: Inbox,
}

impl Intake {
    /// The way into a journal.
    #[must_use]
    pub fn new(inbox: Inbox) -> Self {
        Self { inbox }
    }

    /// Brings a delivery in, and gives its position once it is durable.
    ///
    /// # Errors
    /// It was not kept.
    pub async fn deliver(&self, delivery: Delivery) -> Result<Position, Refused> {
        self.inbox.deliver(delivery).await
    }

    /// The same for threads; not to be called inside an async runtime.
    ///
    /// # Errors
    /// It was not kept.
    pub fn deliver_blocking(&self, delivery: Delivery) -> Result<Position, Refused> {
        self.inbox.deliver_blocking(delivery)
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
}
