//! What a journal asks of the place that keeps it: append-only files by name.
//!
//! Invariant: a name once made, renamed or removed stays so over a crash; bytes stay over a crash
//! once a sync of their file has succeeded, and not before.

use std::io;
use std::sync::Arc;

/// One file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FileInfo {
    /// Its name: relative, with `/` between folder and file.
    pub name: Box<str>,
    /// How long it is.
    pub bytes: u64,
}

/// The reading side: independent of the writer, from any thread.
pub trait Shelf: Send + Sync {
    /// All files, in no particular order.
    fn list(&self) -> io::Result<Vec<FileInfo>>;
    /// Reads from a place in a file into the buffer and says how many bytes; fewer than the buffer
    /// holds only at the end of the file.
    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

/// What is done to whole files. Each is durable when it returns.
pub trait Catalogue: Send {
    /// Gives a file another name, in place of any file of that name.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; one that is not there is an error.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Writes bytes of a file once more, over themselves: after a sync that failed in another life
    /// of the program they may be readable without ever reaching the disk.
    fn rewrite(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// The writing side, which has one owner.
pub trait Storage: Catalogue {
    /// The reading side of the same files.
    fn shelf(&self) -> Arc<dyn Shelf>;
    /// Adds bytes at the end of a file, which is made if it is not there. The name of a new file
    /// is durable when this returns, its bytes after the next sync. After an error any part of the
    /// bytes may have been added.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Makes durable what was appended. After an error any part of it may be lost, and a second
    /// sync that succeeds says nothing about it.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Makes a file shorter; durable when it returns.
    fn truncate(&mut self, name: &str, bytes: u64) -> io::Result<()>;
}
