//! The files of the vault: records added at the end, and a file written anew where one must go.
//!
//! ```text
//! record   length: 2   kind: 1   person: 16   shop: 16   name or instant: 8   id   checksum: 8
//! ```
//!
//! Invariant: a record that was synced is read back, or its loss is an error that names the place;
//! only the torn tail of the last file is cut. A record that was taken out is in no file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ionflux_schemas::time::UtcMs;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::error::SubjectError;
use super::keys;

/// How long a file grows: what forgetting one person writes anew.
pub(super) const SHELF_BYTES: u64 = 4 << 20;
/// What a record has before an id: kind, person, shop, number.
const FIXED_BYTES: usize = 1 + 16 + 16 + 8;
/// The longest id of a person; platforms give none so long.
pub(super) const ID_BYTES_MAX: usize = 512;
/// The longest record: its fixed part and the longest id.
const RECORD_BYTES_MAX: usize = FIXED_BYTES + ID_BYTES_MAX;

const PERSON: u8 = 1;
const SHOWN: u8 = 2;
const FORGOTTEN: u8 = 3;

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Record {
    /// Whom it is about, hidden.
    pub(super) person: u128,
    /// Of which shop, hidden.
    pub(super) scope: u128,
    /// What it says.
    pub(super) what: What,
}

/// What a record says of somebody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// What they are called, and their id if views show it.
    Person { name: u64, shown: Option<Box<str>> },
    /// They stay unknown until an instant.
    Forgotten { until: UtcMs },
}

impl Record {
    /// Whether it says nothing any more.
    pub(super) fn over(&self, now: UtcMs) -> bool {
        matches!(self.what, What::Forgotten { until } if until <= now)
    }

    /// Adds the record as the bytes of a shelf.
    pub(super) fn encode(&self, shelf: u32, out: &mut Vec<u8>) {
        let (kind, number, id) = match &self.what {
            What::Person { name, shown: None } => (PERSON, *name, ""),
            What::Person { name, shown: Some(id) } => (SHOWN, *name, &**id),
            What::Forgotten { until } => (FORGOTTEN, until.0 as u64, ""),
        };
        let start = out.len();
        let length = (FIXED_BYTES + id.len()) as u16;
        out.extend_from_slice(&length.to_be_bytes());
        out.push(kind);
        out.extend_from_slice(&self.person.to_be_bytes());
        out.extend_from_slice(&self.scope.to_be_bytes());
        out.extend_from_slice(&number.to_be_bytes());
        out.extend_from_slice(id.as_bytes());
        let sum = xxh3_64_with_seed(&out[start..], shelf.into());
        out.extend_from_slice(&sum.to_be_bytes());
    }

    /// The record that bytes of a shelf begin with, and how long it is.
    fn decode(shelf: u32, bytes: &[u8]) -> Option<(Self, usize)> {
        let (length, _) = bytes.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        if !(FIXED_BYTES..=RECORD_BYTES_MAX).contains(&length) {
            return None;
        }
        let (summed, rest) = bytes.split_at_checked(2 + length)?;
        let sum = rest.first_chunk::<8>()?;
        if xxh3_64_with_seed(summed, shelf.into()) != u64::from_be_bytes(*sum) {
            return None;
        }
        let (kind, rest) = summed[2..].split_first()?;
        let (person, rest) = rest.split_first_chunk::<16>()?;
        let (scope, rest) = rest.split_first_chunk::<16>()?;
        let (number, id) = rest.split_first_chunk::<8>()?;
        let number = u64::from_be_bytes(*number);
        let what = match *kind {
            PERSON => What::Person { name: number, shown: None },
            SHOWN => {
                let id = std::str::from_utf8(id).ok()?;
                What::Person { name: number, shown: Some(id.into()) }
            }
            FORGOTTEN => What::Forgotten { until: UtcMs(number as i64) },
            _ => return None,
        };
        let (person, scope) = (u128::from_be_bytes(*person), u128::from_be_bytes(*scope));
        Some((Self { person, scope, what }, 2 + length + 8))
    }
}

/// The files of a vault.
pub(super) struct Shelves {
    folder: PathBuf,
    numbers: Vec<u32>,
    /// The file that is written, and how many of its bytes are durable.
    open: Option<(u32, File, u64)>,
    /// A file that a failure left in doubt, and how many of its bytes are durable.
    doubted: Option<(u32, usize)>,
    last_bytes: u64,
}

impl Shelves {
    /// Opens the files of a folder, and tells every record in them.
    ///
    /// # Errors
    /// When they cannot be read, or are damaged in more than a torn tail.
    pub(super) fn open(
        folder: &Path,
        mut tell: impl FnMut(u32, Record),
    ) -> Result<Self, SubjectError> {
        keys::folder(folder)?;
        let failed = || SubjectError::of(folder, "listing");
        let mut numbers = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed())? {
            let path = entry.map_err(failed())?.path();
            if path.extension().is_some_and(|extension| extension == keys::PART) {
                // What a crash left before it had its name.
                keys::remove(&path).map_err(SubjectError::of(&path, "removing"))?;
                continue;
            }
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            numbers.extend(stem.and_then(|stem| stem.parse::<u32>().ok()));
        }
        numbers.sort_unstable();
        let folder = folder.into();
        let mut shelves = Self { folder, numbers, open: None, doubted: None, last_bytes: 0 };
        for number in shelves.all() {
            let path = shelves.path(number);
            let bytes = fs::read(&path).map_err(SubjectError::of(&path, "reading"))?;
            let read = each(number, &bytes, |record, _| tell(number, record));
            if read < bytes.len() {
                let last = shelves.numbers.last() == Some(&number);
                let torn = last && !follows(number, &bytes[read..]);
                if !torn {
                    return Err(SubjectError::Damaged { path, at: read as u64 });
                }
                let cut = OpenOptions::new().write(true).open(&path);
                let cut = cut.and_then(|file| file.set_len(read as u64).map(|()| file));
                cut.and_then(|file| file.sync_all()).map_err(SubjectError::of(&path, "cutting"))?;
            }
            shelves.last_bytes = read as u64;
        }
        Ok(shelves)
    }

    /// The number of the last file, and how long it is.
    pub(super) fn last(&self) -> (u32, u64) {
        (self.numbers.last().copied().unwrap_or(0), self.last_bytes)
    }

    /// The numbers of all files.
    pub(super) fn all(&self) -> Vec<u32> {
        self.numbers.clone()
    }

    fn path(&self, shelf: u32) -> PathBuf {
        self.folder.join(format!("{shelf:010}.vault"))
    }

    /// Adds records to a file; durable when this returns. After a failure nothing of them counts.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn append(&mut self, shelf: u32, bytes: &[u8]) -> Result<(), SubjectError> {
        self.clear_doubt()?;
        let path = self.path(shelf);
        if self.open.as_ref().is_none_or(|(open, ..)| *open != shelf) {
            self.open = Some(self.opened(shelf).map_err(SubjectError::of(&path, "opening"))?);
        }
        let Some((_, file, durable)) = &mut self.open else { return Err(SubjectError::Refused) };
        let written = file.write_all(bytes).and_then(|()| file.sync_data());
        if let Err(cause) = written {
            self.doubted = Some((shelf, *durable as usize));
            self.open = None;
            return Err(SubjectError::of(&path, "writing")(cause));
        }
        *durable += bytes.len() as u64;
        Ok(())
    }

    /// Writes a file anew that may hold more than what is durable, or seem to: what a failed sync
    /// has dropped can still be read.
    fn clear_doubt(&mut self) -> Result<(), SubjectError> {
        let Some((shelf, durable)) = self.doubted else { return Ok(()) };
        let path = self.path(shelf);
        let again = fs::read(&path).and_then(|held| {
            let shorter = || io::Error::other("shorter than what was kept of it");
            keys::write_whole(&path, held.get(..durable).ok_or_else(shorter)?)
        });
        again.map_err(SubjectError::of(&path, "writing anew"))?;
        self.doubted = None;
        Ok(())
    }

    fn opened(&mut self, shelf: u32) -> io::Result<(u32, File, u64)> {
        let path = self.path(shelf);
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        if !self.numbers.contains(&shelf) {
            keys::settle(&path)?;
            self.numbers.push(shelf);
        }
        let durable = file.metadata()?.len();
        Ok((shelf, file, durable))
    }

    /// Writes a file anew without some of its records, and gives those. The bytes of the old file
    /// are free for the disk to use when this returns.
    ///
    /// # Errors
    /// When the disk refuses; the file is then as it was, or as it should be.
    pub(super) fn rewrite(
        &mut self,
        shelf: u32,
        gone: &dyn Fn(&Record) -> bool,
    ) -> Result<Vec<Record>, SubjectError> {
        self.clear_doubt()?;
        let path = self.path(shelf);
        let bytes = fs::read(&path).map_err(SubjectError::of(&path, "reading"))?;
        let (mut stays, mut taken) = (Vec::with_capacity(bytes.len()), Vec::new());
        let read = each(shelf, &bytes, |record, raw| match gone(&record) {
            true => taken.push(record),
            false => stays.extend_from_slice(raw),
        });
        if read < bytes.len() {
            return Err(SubjectError::Damaged { path, at: read as u64 });
        }
        if !taken.is_empty() {
            self.open = None;
            keys::write_whole(&path, &stays).map_err(SubjectError::of(&path, "writing"))?;
        }
        Ok(taken)
    }
}

/// Tells every record with its bytes; up to where they are whole.
fn each(shelf: u32, bytes: &[u8], mut tell: impl FnMut(Record, &[u8])) -> usize {
    let mut at = 0;
    while let Some((record, length)) = Record::decode(shelf, &bytes[at..]) {
        tell(record, &bytes[at..at + length]);
        at += length;
    }
    at
}

/// Whether a whole record stands anywhere behind damage: then it is no torn tail.
fn follows(shelf: u32, bytes: &[u8]) -> bool {
    (1..bytes.len()).any(|at| Record::decode(shelf, &bytes[at..]).is_some())
}
