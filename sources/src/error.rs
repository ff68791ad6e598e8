//! What can be wrong with the world a source reads: the file, not its records.

use std::path::PathBuf;

use thiserror::Error;

/// A file that cannot be read, or settings that do not fit it. The message names the place; the
/// hint says what to do.
#[derive(Debug, Error)]
#[error("{}: {problem}", path.display())]
pub struct SourceError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, with line or byte where known.
    pub problem: String,
    /// What to do about it; printed on a line of its own.
    pub hint: String,
    /// What lies beneath.
    #[source]
    pub cause: Option<std::io::Error>,
}
