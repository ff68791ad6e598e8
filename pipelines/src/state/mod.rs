//! A state folder: the journal, the ledger, and the views as they were when last kept.
//!
//! ```text
//! STATE/FORMAT                     the number of the folder's format
//! STATE/ID                         whose epochs these are, for targets of sinks
//! STATE/LOCK                       held by the process that uses it, with its id
//! STATE/journal/                   deliveries that are not in the ledger yet
//! STATE/ledger/                    every entity's latest version
//! STATE/subjects/                  the only link between people's ids and what is kept of them
//! STATE/views/CURRENT              the name of the snapshot that is valid now
//! STATE/views/epoch-12/*.parquet   every view at one epoch, and snapshot.json with its instant
//! ```
//!
//! Invariant: one process writes; what another release wrote is upgraded or refused, never misread.

mod identity;
mod kept;
mod lock;
mod upgrade;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ionflux_sinks::files::whole;

use crate::failure::Failure;

pub(crate) use kept::keep;
pub use kept::{KeptView, Views};
use lock::Lock;

/// The format of folders this release writes.
const FORMAT: &str = "2";

/// A folder that holds a state, to read from.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    /// Held by whoever may write, for as long as this lives.
    _lock: Option<Lock>,
}

impl State {
    /// Opens a state folder to write to, making it where there is none or an empty one, and
    /// upgrading one of an older release.
    ///
    /// # Errors
    /// When the folder cannot be made, is in use, or holds something else, or another format.
    pub fn create(folder: &Path) -> Result<Self, Failure> {
        let failed = |cause: io::Error| unusable(folder, &cause);
        fs::create_dir_all(folder).map_err(failed)?;
        // The folder's own name must survive a power cut, as what is acknowledged in it does.
        let parent = folder.canonicalize().map_err(failed)?;
        if let Some(parent) = parent.parent() {
            fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
        }
        let mut empty = true;
        for entry in fs::read_dir(folder).map_err(failed)? {
            // What a start that was cut off leaves is as good as nothing.
            let name = entry.map_err(failed)?.file_name();
            empty &= ["LOCK", "FORMAT.part"].iter().any(|begun| name == *begun);
        }
        if !empty {
            // Before the lock, so that no file of ours is left in a folder of somebody else's.
            Self::format(folder)?;
        }
        let lock = Lock::take(folder)?;
        if empty {
            write_whole(&folder.join("FORMAT"), FORMAT.as_bytes()).map_err(failed)?;
        }
        if Self::format(folder)? == upgrade::FROM {
            upgrade::upgrade(folder)?;
            upgrade::forget_views(folder)?;
            write_whole(&folder.join("FORMAT"), FORMAT.as_bytes()).map_err(failed)?;
        }
        // Here and not above: an upgrade may have been cut off just before.
        upgrade::clean_up(folder)?;
        Ok(Self { folder: folder.into(), _lock: Some(lock) })
    }

    /// Opens a state folder that is there, to read the views that were kept.
    ///
    /// # Errors
    /// When there is none, or it is of another format.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        Self::there(folder)?;
        Self::format(folder)?;
        Ok(Self { folder: folder.into(), _lock: None })
    }

    /// Opens a state folder that is there, to write to.
    ///
    /// # Errors
    /// When there is none, it is in use, or of another format.
    pub fn own(folder: &Path) -> Result<Self, Failure> {
        Self::there(folder)?;
        Self::format(folder)?;
        Self::create(folder)
    }

    fn there(folder: &Path) -> Result<(), Failure> {
        if folder.is_dir() {
            return Ok(());
        }
        let problem = format!("{}: there is no state folder", folder.display());
        Err(Failure::world(problem, "make one with ionflux replay ... --state DIR"))
    }

    /// The format of a folder, if this release can read or upgrade it.
    fn format(folder: &Path) -> Result<String, Failure> {
        let shown = folder.display();
        match fs::read_to_string(folder.join("FORMAT")) {
            Ok(format) if [FORMAT, upgrade::FROM].contains(&format.trim()) => {
                Ok(format.trim().to_owned())
            }
            Ok(format) => {
                let format: String = format.trim().chars().take(20).collect();
                let problem = format!("{shown}: a state of format {format:?}, not {FORMAT}");
                Err(Failure::world(problem, "use the release that made it, or a new folder"))
            }
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                let problem = format!("{shown}: the folder holds something, but no state");
                let hint =
                    "give a folder made by ionflux replay or run, or a new one to make it in";
                Err(Failure::world(problem, hint))
            }
            Err(cause) => Err(unusable(folder, &cause)),
        }
    }

    /// Where the ledger is.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.folder.join("ledger")
    }

    /// Where the journal is.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.folder.join("journal")
    }

    /// Where it is kept how far sources that are asked were read.
    #[must_use]
    pub fn cursors(&self) -> PathBuf {
        self.folder.join("cursors")
    }

    /// The keyed place of people's ids.
    #[must_use]
    pub fn subjects(&self) -> PathBuf {
        self.folder.join("subjects")
    }

    /// Where the views are kept.
    #[must_use]
    pub fn views_folder(&self) -> PathBuf {
        self.folder.join("views")
    }

    /// The folder itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

pub(crate) fn unusable(path: &Path, cause: &io::Error) -> Failure {
    let problem = format!("{}: {cause}", path.display());
    Failure::world(problem, "check the disk and the folder's permissions")
}

/// Writes a small file whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    whole(path, |out| out.write_all(bytes))
}
