//! What can be wrong with a journal.
//!
//! Invariant: an error names the file and the place in it, and never what a record holds.

use std::io;

use ionflux_schemas::delivery::Position;
use thiserror::Error;

/// What can be wrong with a journal. The message names the place, [`JournalError::hint`] says what
/// to do.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The disk did not do what was asked. Nothing since the last sync was kept.
    #[error("journal file {file}: {what} failed")]
    Io {
        /// The file, relative to the journal's folder.
        file: String,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// No room within the stated limit, or on the disk. Works again once there is room.
    #[error("journal has no room left: it holds {used_bytes} bytes")]
    Full {
        /// Bytes of its segments.
        used_bytes: u64,
        /// What the disk said; none if it was our own limit.
        #[source]
        disk: Option<io::Error>,
    },
    /// Bytes that were safely on disk are not what was written.
    #[error(
        "journal file {segment}, position {position}, byte {offset_bytes} of the file: {reason}"
    )]
    Corrupt {
        /// The segment, relative to the journal's folder.
        segment: String,
        /// Where the first bad record begins.
        position: Position,
        /// The same place, counted from the start of the file.
        offset_bytes: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// Written in a form this release does not know.
    #[error("journal file {segment}: format {format} is not known")]
    UnknownFormat {
        /// The segment, relative to the journal's folder.
        segment: String,
        /// What it says of itself.
        format: u16,
    },
    /// The position was trimmed away.
    #[error("position {asked} is no longer in the journal, which begins at {first}")]
    Trimmed {
        /// What was asked for.
        asked: Position,
        /// The first position there is.
        first: Position,
    },
    /// The entry, or the group of entries, is larger than one may be.
    #[error("entries of {bytes} bytes are more than the {max_bytes} bytes that may be")]
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        max_bytes: u64,
    },
    /// An earlier failure could not be undone, so that nothing more is written.
    #[error("journal halted: the file {file} could not be brought back to what is durable")]
    Halted {
        /// The file, relative to the journal's folder.
        file: String,
    },
}

impl JournalError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => "check the disk and the rights on the journal's folder",
            Self::Full { disk: None, .. } => {
                "raise the journal's byte limit, or see why its readers do not catch up"
            }
            Self::Full { disk: Some(_), .. } => "make room on the disk of the journal",
            Self::Corrupt { .. } => {
                "keep a copy of the journal's folder, check the disk, and restore the file"
            }
            Self::UnknownFormat { .. } => "open the journal with the release that wrote it",
            Self::Trimmed { .. } => "start from a snapshot that is not older than the journal",
            Self::TooLarge { .. } => "send less at once",
            Self::Halted { .. } => "check the disk, then start again",
        }
    }

    /// The error of a file operation; a full disk is told from a failing one.
    pub(super) fn of(file: &str, what: &'static str, cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { used_bytes: 0, disk: Some(cause) }
            }
            _ => Self::Io { file: file.to_owned(), what, cause },
        }
    }
}
