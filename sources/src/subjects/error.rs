//! Why subjects cannot be named, forgotten or told of.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A failure of the keyed place.
#[derive(Debug, Error)]
pub enum SubjectError {
    /// A file cannot be read or written.
    #[error("{what} {path}: {cause}")]
    File {
        /// What was tried.
        what: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// Why it failed.
        cause: io::Error,
    },
    /// A file holds something that was never written there.
    #[error("{path} is damaged at byte {at}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        at: u64,
    },
    /// There is no room for another person, or for more that waits.
    #[error("the vault of subjects takes no more for now")]
    Full,
    /// More is asked about people than can be carried out for now.
    #[error("too many requests about people wait or were carried out lately: come again later")]
    Crowded,
    /// The disk refused what was waited for.
    #[error("the vault of subjects could not be written")]
    Refused,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// A request about a person cannot be read.
    #[error("the request cannot be read: {0}")]
    Request(&'static str),
}

impl SubjectError {
    /// Makes failures of a file.
    pub(super) fn of(path: &Path, what: &'static str) -> impl Fn(io::Error) -> Self {
        move |cause| Self::File { what, path: path.into(), cause }
    }
}
