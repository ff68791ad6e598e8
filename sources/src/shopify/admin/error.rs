//! Why a shop could not be asked.
//!
//! Invariant: no message has an access token or the address of a download, which is one as well.

use thiserror::Error;

use crate::poller::PollError;

/// What an app needs to be asked for everything.
pub(super) const SCOPES_NEEDED: &str = "the app needs the scopes read_orders, read_all_orders, \
    read_products and, for reconcile, read_reports; without read_customers every buyer counts as \
    a guest";

/// Why something asked of a shop did not come.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AdminError {
    /// It may go well later.
    #[error("{0}")]
    Transient(String),
    /// It never will until a person acts.
    #[error("{0}")]
    Permanent(String),
    /// The query costs more than one may: less at once may go well.
    #[error("{0}")]
    Costly(String),
    /// We were told to stop.
    #[error("stopped before the answer")]
    Stopped,
}

impl AdminError {
    /// What a poller makes of it; being stopped is no failure.
    ///
    /// # Errors
    /// [`PollError`].
    pub fn polled(self) -> Result<(), PollError> {
        match self {
            Self::Transient(reason) => Err(PollError::Transient(reason)),
            Self::Permanent(reason) | Self::Costly(reason) => Err(PollError::Permanent(reason)),
            Self::Stopped => Ok(()),
        }
    }

    /// The error of a disk that did not do what it should.
    pub(super) fn disk(what: &str, cause: &std::io::Error) -> Self {
        Self::Transient(format!("{what}: {cause}"))
    }
}

/// A text of somebody else's, short enough for a message.
pub(super) fn short(text: &str) -> String {
    const CHARS_MAX: usize = 300;
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARS_MAX).collect()
}
