//! The lock of a state folder: one process at a time, and the others learn which.
//!
//! Invariant: the lock is the operating system's, so that a process that was killed leaves none;
//! the number in the file only says who.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use crate::failure::Failure;

/// A folder that is ours until this is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a folder.
    ///
    /// # Errors
    /// When another process has it, with that process's id, or the file cannot be made.
    pub fn take(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join("LOCK");
        let failed = |cause: io::Error| super::unusable(&path, &cause);
        // Not truncated: until the lock is ours, what stands there is another's.
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(folder, &mut file)),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        let own = format!("{}\n", std::process::id());
        let written = file.set_len(0).and_then(|()| file.rewind());
        written.and_then(|()| file.write_all(own.as_bytes())).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn in_use(folder: &Path, file: &mut File) -> Failure {
    let mut text = String::new();
    // Whoever has the lock may be writing its number just now; then it stays unnamed.
    let read = file.take(32).read_to_string(&mut text).unwrap_or(0);
    let id: Option<u32> = text[..read.min(text.len())].trim().parse().ok();
    let who = id.map_or("another process".to_owned(), |id| format!("process {id}"));
    let problem = format!("{}: the state is in use by {who}", folder.display());
    Failure::world(problem, "stop it first, or give another folder with --state")
}
