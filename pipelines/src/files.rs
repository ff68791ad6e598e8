//! How far files were read: their own journal, for position is a file and a count of its records.
//!
//! Invariant: the note is kept in one step with the epoch that counts the records, so that an
//! interrupted replay, begun again, goes on where the ledger is.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use ionflux_schemas::key::content_hash;
use serde::{Deserialize, Serialize};

use crate::assemble::Books;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::runtime::Computation;

/// One reading of one file.
pub struct FileProgress {
    name: String,
    note: Note,
    /// Records counted by an interrupted replay that are still to be read past.
    skip: u64,
}

/// What the ledger keeps of a reading.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Note {
    /// Length and time of change in milliseconds: another file under the same name begins anew.
    file: (u64, u64),
    /// A hash of what it was read as.
    meaning: u128,
    reading: u64,
    records: u64,
    finished: bool,
}

impl FileProgress {
    /// Goes on with a reading that was interrupted, or begins a new one.
    ///
    /// # Errors
    /// When the ledger cannot be read or written.
    pub fn of(books: &mut Books, path: &Path, meaning: &str) -> Result<Self, Failure> {
        let whole = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let name = format!("file {}", whole.display());
        let file = identity(&whole);
        let meaning = content_hash(meaning.as_bytes());
        let held = books.engine.ledger().progress(&name)?;
        let held = held.and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok());
        let same = |note: &Note| !note.finished && note.file == file && note.meaning == meaning;
        if let Some(note) = held.filter(same) {
            return Ok(Self { name, skip: note.records, note: Note { records: 0, ..note } });
        }
        let reading = books.engine.ledger_mut().new_reading()?;
        let note = Note { file, meaning, reading, records: 0, finished: false };
        Ok(Self { name, note, skip: 0 })
    }

    /// The number of this reading.
    #[must_use]
    pub fn reading(&self) -> u64 {
        self.note.reading
    }

    /// Whether the next record was counted before the interruption.
    pub fn counted_before(&mut self) -> bool {
        self.note.records += 1;
        let counted = self.skip > 0;
        self.skip = self.skip.saturating_sub(1);
        counted
    }

    /// Notes the records so far with the open epoch.
    ///
    /// # Errors
    /// When the note cannot be written down, which is a bug.
    pub fn note<C: Computation>(
        &mut self,
        engine: &mut Engine<C>,
        finished: bool,
    ) -> Result<(), Failure> {
        self.note.finished = finished;
        let text = serde_json::to_vec(&self.note).map_err(|e| Failure::world(e, "report this"))?;
        engine.note(&self.name, text);
        Ok(())
    }
}

fn identity(path: &Path) -> (u64, u64) {
    let Ok(data) = fs::metadata(path) else { return (0, 0) };
    let changed = data.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    (data.len(), changed.map_or(0, |at| at.as_millis() as u64))
}
