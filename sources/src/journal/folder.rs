//! A journal's files in a real folder.
//!
//! Invariant: one process at a time writes to a folder; whoever makes, renames or removes a file
//! also syncs the folder it is in.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::storage::{Catalogue, FileInfo, Shelf, Storage};

/// Held locked while a journal is open, so that a second process is refused.
const LOCK: &str = "lock";

/// A folder on disk.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// The file written last: a journal writes to one for a long time.
    open: Option<(Box<str>, File)>,
    _lock: File,
}

impl Folder {
    /// Opens or makes a folder.
    ///
    /// # Errors
    /// If it cannot be made, or another process has it open (`WouldBlock`).
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let lock = File::create(path.join(LOCK))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::WouldBlock,
                format!("{} is in use by another process", path.display()),
            ),
        })?;
        // The folder's own name must outlive a crash too.
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent)?.sync_all()?;
        }
        Ok(Self { path: path.to_owned(), open: None, _lock: lock })
    }

    fn sync_folder_of(&self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        File::open(path.parent().unwrap_or(&self.path))?.sync_all()
    }

    fn forget(&mut self, name: &str) {
        self.open.take_if(|(open, _)| &**open == name);
    }

    /// The file for appending; made if asked for and not there.
    fn file(&mut self, name: &str, make: bool) -> io::Result<&mut File> {
        if self.open.as_ref().is_none_or(|(open, _)| &**open != name) {
            let path = self.path.join(name);
            let file = match OpenOptions::new().append(true).open(&path) {
                Err(error) if make && error.kind() == io::ErrorKind::NotFound => self.make(name)?,
                opened => opened?,
            };
            self.open = Some((name.into(), file));
        }
        match &mut self.open {
            Some((_, file)) => Ok(file),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn make(&self, name: &str) -> io::Result<File> {
        let path = self.path.join(name);
        if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
            fs::create_dir_all(folder)?;
            File::open(&self.path)?.sync_all()?;
        }
        let file = OpenOptions::new().append(true).create_new(true).open(&path)?;
        self.sync_folder_of(name)?;
        Ok(file)
    }
}

impl Catalogue for Folder {
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.forget(from);
        self.forget(to);
        fs::rename(self.path.join(from), self.path.join(to))?;
        self.sync_folder_of(from)?;
        self.sync_folder_of(to)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.forget(name);
        fs::remove_file(self.path.join(name))?;
        self.sync_folder_of(name)
    }

    fn rewrite(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.forget(name);
        let file = OpenOptions::new().write(true).open(self.path.join(name))?;
        file.write_all_at(bytes, offset)?;
        file.sync_all()
    }
}

impl Storage for Folder {
    fn shelf(&self) -> Arc<dyn Shelf> {
        Arc::new(FolderShelf { path: self.path.clone() })
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.file(name, true)?.write_all(bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.file(name, false)?.sync_data()
    }

    fn truncate(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        // A handle of its own: the one of a failed write is not trusted again.
        self.forget(name);
        let file = OpenOptions::new().write(true).open(self.path.join(name))?;
        if file.metadata()?.len() > bytes {
            file.set_len(bytes)?;
        }
        file.sync_all()
    }
}

/// The reading side of a folder. Opens the file anew for each read: a reader takes large pieces,
/// and a file that was removed is noticed.
#[derive(Clone, Debug)]
pub struct FolderShelf {
    path: PathBuf,
}

impl FolderShelf {
    /// Reads a folder without the right to write to it; others may have it open.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    fn list_in(&self, folder: &str, files: &mut Vec<FileInfo>) -> io::Result<()> {
        for entry in fs::read_dir(self.path.join(folder))? {
            let entry = entry?;
            let file_name = entry.file_name();
            let Some(name) = file_name.to_str() else { continue };
            let name = if folder.is_empty() { name.into() } else { format!("{folder}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() && folder.is_empty() {
                self.list_in(&name, files)?;
            } else if kind.is_file() && name != LOCK {
                match entry.metadata() {
                    Ok(about) => files.push(FileInfo { name: name.into(), bytes: about.len() }),
                    // Removed since the folder was read.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

impl Shelf for FolderShelf {
    fn list(&self) -> io::Result<Vec<FileInfo>> {
        let mut files = Vec::new();
        self.list_in("", &mut files)?;
        Ok(files)
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = File::open(self.path.join(name))?;
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}
