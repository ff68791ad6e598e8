//! A state folder: the ledger, and the views as they were when it was last closed.
//!
//! ```text
//! STATE/FORMAT                     the number of the folder's format
//! STATE/ledger/                    every entity's latest version
//! STATE/views/CURRENT              the name of the snapshot that is valid now
//! STATE/views/epoch-12/*.parquet   every view at one epoch, and snapshot.json with its instant
//! ```
//!
//! Invariant: `CURRENT` names a snapshot that is whole; it is replaced by rename, and an older
//! snapshot is removed only after that.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_sinks::files::{Form, export, whole};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// The format of folders this release writes.
const FORMAT: &str = "1";

/// A folder that holds a state.
#[derive(Clone, Debug)]
pub struct State {
    folder: PathBuf,
}

/// The instant of a snapshot on disk.
#[derive(Serialize, Deserialize)]
struct Instant {
    epoch: u64,
    as_of_ms: i64,
}

/// The views of a state as tables.
pub struct Views {
    /// All epochs below this are counted.
    pub epoch: Epoch,
    /// The shop clock at that epoch.
    pub as_of: UtcMs,
    /// Each view's name and rows.
    pub tables: Vec<(String, RecordBatch)>,
}

impl State {
    /// Opens a state folder, making it where there is none or an empty one.
    ///
    /// # Errors
    /// When the folder cannot be made, or holds something else, or another format.
    pub fn create(folder: &Path) -> Result<Self, Failure> {
        let failed = |cause: io::Error| unusable(folder, &cause);
        fs::create_dir_all(folder).map_err(failed)?;
        let empty = fs::read_dir(folder).map_err(failed)?.next().is_none();
        if empty {
            write_whole(&folder.join("FORMAT"), FORMAT.as_bytes()).map_err(failed)?;
        }
        Self::open(folder)
    }

    /// Opens a state folder that is there.
    ///
    /// # Errors
    /// When there is none, or it is of another format.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        let shown = folder.display();
        if !folder.is_dir() {
            let hint = "make one with ionflux replay ... --state DIR";
            return Err(Failure::world(format!("{shown}: there is no state folder"), hint));
        }
        match fs::read_to_string(folder.join("FORMAT")) {
            Ok(format) if format.trim() == FORMAT => Ok(Self { folder: folder.into() }),
            Ok(format) => {
                let problem = format!("{shown}: a state of format {}, not {FORMAT}", format.trim());
                Err(Failure::world(problem, "use the release that made it, or a new folder"))
            }
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                let problem = format!("{shown}: the folder holds something, but no state");
                Err(Failure::world(problem, "give an empty folder, or one that does not exist yet"))
            }
            Err(cause) => Err(unusable(folder, &cause)),
        }
    }

    /// Where the ledger is.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.folder.join("ledger")
    }

    /// Makes a snapshot the one that readers of this folder find.
    ///
    /// # Errors
    /// When it could not be written; the snapshot before then stays valid.
    pub fn keep(&self, snapshot: &Snapshot) -> Result<(), Failure> {
        let views = self.folder.join("views");
        let name = format!("epoch-{}", snapshot.upper);
        let target = views.join(&name);
        export(snapshot, &target, &[Form::Parquet])?;
        let failed = |cause: io::Error| unusable(&target, &cause);
        let instant = Instant { epoch: snapshot.upper.0, as_of_ms: snapshot.as_of.0 };
        let text = serde_json::to_vec(&instant).map_err(|e| failed(e.into()))?;
        write_whole(&target.join("snapshot.json"), &text).map_err(failed)?;
        write_whole(&views.join("CURRENT"), name.as_bytes()).map_err(failed)?;
        for entry in fs::read_dir(&views).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() && path != target {
                fs::remove_dir_all(&path).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Reads the views of the snapshot that is valid now.
    ///
    /// # Errors
    /// When there is none yet, or its files cannot be read.
    pub fn views(&self) -> Result<Views, Failure> {
        let views = self.folder.join("views");
        let current = fs::read_to_string(views.join("CURRENT")).map_err(|_| {
            let problem = format!("{}: the state has no views yet", self.folder.display());
            Failure::world(problem, "finish an ionflux replay into it first")
        })?;
        let folder = views.join(current.trim());
        let failed = |cause: io::Error| unusable(&folder, &cause);
        let text = fs::read(folder.join("snapshot.json")).map_err(failed)?;
        let instant: Instant = serde_json::from_slice(&text).map_err(|e| failed(e.into()))?;
        let mut tables = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let view = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            if let Some(view) = view.filter(|_| path.extension().is_some_and(|e| e == "parquet")) {
                tables.push((view, read_parquet(&path).map_err(|e| unusable(&path, &e))?));
            }
        }
        tables.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Views { epoch: Epoch(instant.epoch), as_of: UtcMs(instant.as_of_ms), tables })
    }
}

fn unusable(path: &Path, cause: &io::Error) -> Failure {
    let problem = format!("{}: {cause}", path.display());
    Failure::world(problem, "check the disk and the folder's permissions")
}

fn read_parquet(path: &Path) -> io::Result<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let schema = reader.schema().clone();
    let batches = reader.build()?.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
    concat_batches(&schema, &batches).map_err(io::Error::other)
}

/// Writes a small file whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    whole(path, |out| out.write_all(bytes))
}
