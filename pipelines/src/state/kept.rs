//! Views on disk: a snapshot of every view, to be read without the ledger and while it comes up.
//!
//! Invariant: `CURRENT` names a snapshot that is whole; it is replaced by rename, and an older
//! snapshot is removed only after that. Each view says by which version of its definition it was
//! made, so that old and new never mix.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_sinks::files::{Form, export};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};

use super::{State, unusable, write_whole};
use crate::failure::Failure;

/// The instant of a snapshot on disk.
#[derive(Serialize, Deserialize)]
struct Instant {
    epoch: u64,
    as_of_ms: i64,
    /// Each view's version; a release that did not say had 1 of each.
    #[serde(default)]
    versions: BTreeMap<String, u32>,
}

/// The views of a state as tables.
pub struct Views {
    /// All epochs below this are counted.
    pub epoch: Epoch,
    /// The shop clock at that epoch.
    pub as_of: UtcMs,
    /// Every view, by name.
    pub tables: Vec<KeptView>,
}

/// One view of a state.
pub struct KeptView {
    /// The view's name.
    pub name: String,
    /// The version of the definition by which it was made.
    pub version: u32,
    /// Its rows, sorted by primary key.
    pub rows: RecordBatch,
}

impl State {
    /// Makes a snapshot the one that readers of this folder find.
    ///
    /// # Errors
    /// When it could not be written; the snapshot before then stays valid.
    pub fn keep(&self, snapshot: &Snapshot) -> Result<(), Failure> {
        keep(&self.views_folder(), snapshot)
    }

    /// The epoch of the snapshot that is valid now, without its rows.
    ///
    /// # Errors
    /// When there is one and it does not say.
    pub fn kept_epoch(&self) -> Result<Option<Epoch>, Failure> {
        let views = self.views_folder();
        let Some(name) = current(&views)? else { return Ok(None) };
        Ok(Some(Epoch(instant(&views.join(name))?.epoch)))
    }

    /// Reads the views of the snapshot that is valid now.
    ///
    /// # Errors
    /// When there is none yet, or its files cannot be read.
    pub fn views(&self) -> Result<Views, Failure> {
        self.views_if_kept()?.ok_or_else(|| {
            let problem = format!("{}: the state has no views yet", self.folder().display());
            Failure::world(problem, "finish an ionflux replay into it first")
        })
    }

    /// The views of the snapshot that is valid now, if there is one.
    ///
    /// # Errors
    /// When its files cannot be read.
    pub fn views_if_kept(&self) -> Result<Option<Views>, Failure> {
        let views = self.views_folder();
        let mut current = current(&views)?;
        // Whoever keeps the next snapshot meanwhile removes this one: then that one is read.
        for _ in 1..READS_MAX {
            let Some(name) = &current else { return Ok(None) };
            let tables = read(&views.join(name));
            let now = self::current(&views)?;
            if tables.is_ok() || now == current {
                return tables.map(Some);
            }
            current = now;
        }
        current.map(|name| read(&views.join(name))).transpose()
    }
}

/// How often reading begins again because a newer snapshot took the place of the one being read.
const READS_MAX: usize = 10;

/// The name of the snapshot that is valid now.
fn current(views: &Path) -> Result<Option<String>, Failure> {
    let path = views.join("CURRENT");
    match fs::read_to_string(&path) {
        Ok(name) => Ok(Some(name.trim().to_owned())),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(unusable(&path, &cause)),
    }
}

/// Writes a snapshot into the folder of views.
pub(crate) fn keep(views: &Path, snapshot: &Snapshot) -> Result<(), Failure> {
    let name = format!("epoch-{}", snapshot.upper);
    let target = views.join(&name);
    // What a keeping that failed has left would fill the disk, one folder at a time.
    remove_all_but(views, current(views)?.as_deref())?;
    let written = write(snapshot, &target);
    if written.is_err() && current(views)?.as_ref() != Some(&name) {
        // The failure itself is what is told, whatever becomes of this.
        let _gone = fs::remove_dir_all(&target);
    }
    written?;
    let failed = |cause: io::Error| unusable(&target, &cause);
    write_whole(&views.join("CURRENT"), name.as_bytes()).map_err(failed)?;
    remove_all_but(views, Some(&name))
}

/// Removes the snapshots that nobody is to find.
fn remove_all_but(views: &Path, kept: Option<&str>) -> Result<(), Failure> {
    let entries = match fs::read_dir(views) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|cause| unusable(views, &cause))?,
    };
    for entry in entries {
        let entry = entry.map_err(|cause| unusable(views, &cause))?;
        let path = entry.path();
        if path.is_dir() && kept.is_none_or(|kept| entry.file_name() != *kept) {
            fs::remove_dir_all(&path).map_err(|cause| unusable(&path, &cause))?;
        }
    }
    Ok(())
}

/// Writes the files of a snapshot.
fn write(snapshot: &Snapshot, target: &Path) -> Result<(), Failure> {
    export(snapshot, target, &[Form::Parquet])?;
    let failed = |cause: io::Error| unusable(target, &cause);
    let versions = snapshot.views().map(|view| (view.name.to_owned(), view.version)).collect();
    let instant = Instant { epoch: snapshot.upper.0, as_of_ms: snapshot.as_of.0, versions };
    let text = serde_json::to_vec(&instant).map_err(|e| failed(e.into()))?;
    write_whole(&target.join("snapshot.json"), &text).map_err(failed)
}

fn instant(folder: &Path) -> Result<Instant, Failure> {
    let failed = |cause: io::Error| unusable(folder, &cause);
    let text = fs::read(folder.join("snapshot.json")).map_err(failed)?;
    serde_json::from_slice(&text).map_err(|e| failed(e.into()))
}

fn read(folder: &Path) -> Result<Views, Failure> {
    let failed = |cause: io::Error| unusable(folder, &cause);
    let instant = instant(folder)?;
    let mut tables = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        if let Some(name) = name.filter(|_| path.extension().is_some_and(|e| e == "parquet")) {
            let rows = read_parquet(&path).map_err(|cause| unusable(&path, &cause))?;
            let version = instant.versions.get(&name).copied().unwrap_or(1);
            tables.push(KeptView { name, version, rows });
        }
    }
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Views { epoch: Epoch(instant.epoch), as_of: UtcMs(instant.as_of_ms), tables })
}

fn read_parquet(path: &Path) -> io::Result<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let schema = reader.schema().clone();
    let batches = reader.build()?.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
    concat_batches(&schema, &batches).map_err(io::Error::other)
}
