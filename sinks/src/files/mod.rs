//! Files: every view of a snapshot as CSV and Parquet, sorted by primary key.
//!
//! Delivery: each file appears whole under its name or not at all; writing the same snapshot again
//! gives the same bytes.

pub(crate) mod columnar;
mod text;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ionflux_schemas::snapshot::Snapshot;
use thiserror::Error;

/// A file of a view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Dates and times in ISO 8601, money as decimals of the currency's own exponent.
    Csv,
    /// Native types: dates, UTC milliseconds, `Decimal128(38, 4)`.
    Parquet,
}

/// A view that could not be written.
#[derive(Debug, Error)]
#[error("{} could not be written", path.display())]
pub struct ExportError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub cause: io::Error,
}

/// Writes `<view>.csv` or `<view>.parquet` for every view and each of the forms into a folder,
/// which is made if it is missing; gives the paths of the files.
///
/// # Errors
/// [`ExportError`] with the first file that could not be written.
pub fn export(
    snapshot: &Snapshot,
    folder: &Path,
    forms: &[Form],
) -> Result<Vec<PathBuf>, ExportError> {
    let failed = |path: &Path, cause| ExportError { path: path.into(), cause };
    fs::create_dir_all(folder).map_err(|cause| failed(folder, cause))?;
    let mut written = Vec::new();
    for view in snapshot.views() {
        let schema = view.parsed();
        let rows = snapshot.sorted_rows(view.name).unwrap_or_default();
        for form in forms {
            let path = folder.join(format!("{}.{}", view.name, form.extension()));
            let fill = |out: &mut BufWriter<File>| match form {
                Form::Csv => text::write(&schema, &rows, out),
                Form::Parquet => columnar::write(&schema, &rows, out),
            };
            whole(&path, fill).map_err(|cause| failed(&path, cause))?;
            written.push(path);
        }
    }
    Ok(written)
}

impl Form {
    /// How the names of such files end.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}

/// Fills a file beside its final name, syncs it, and only then gives it the name.
///
/// # Errors
/// Those of the disk and of `fill`; then the file of that name is as it was.
pub fn whole(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let mut out = BufWriter::new(File::create(&beside)?);
    fill(&mut out)?;
    out.flush()?;
    out.get_ref().sync_all()?;
    fs::rename(&beside, path)?;
    // The name, too, must survive a power cut.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
