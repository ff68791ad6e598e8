//! The journal: everything that came and cannot be asked for again, in order, on disk.
//!
//! ```text
//! append, append, sync ─▶ durable ─▶ read by anybody ─▶ trimmed, or moved to the archive
//! segment 0 | segment 1 | segment 2 …        positions count the bytes of all records ever written
//! ```
//!
//! Invariant: what was said to be durable is read back exactly, or its loss is an error that names
//! the place. Only what was never said to be durable may be cut, and it is counted.

pub mod archive;
pub mod error;
pub mod folder;
pub mod memory;
mod open;
pub mod reader;
pub mod record;
mod segment;
pub mod storage;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use ionflux_schemas::delivery::{Entry, Position};
use ionflux_schemas::time::UtcMs;

use self::error::JournalError;
use self::reader::Reader;
use self::record::Place;
use self::segment::{HEADER_BYTES, Header, Segment};
use self::storage::{Shelf, Storage};

/// How long a segment grows before the next begins: small enough to trim in useful steps, large
/// enough that files are few.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// How many bytes may be appended between two syncs. What is not durable is held back from
/// readers, so that it must stay small; a group of the inbox has room in it.
pub const GROUP_BYTES_MAX: u64 = 256 << 20;

/// How much a journal may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of all segments that are not trimmed. The archive does not count.
    pub max_bytes: u64,
    /// How long a segment grows; never more than a quarter of `max_bytes`, so that trimming whole
    /// segments always makes room.
    pub segment_bytes: u64,
    /// How long trimmed segments are kept in the archive; none means not at all.
    pub keep_ms: Option<i64>,
}

impl Limits {
    /// Segments of the usual size and no archive.
    pub fn new(max_bytes: u64) -> Self {
        Self { max_bytes, segment_bytes: SEGMENT_BYTES, keep_ms: None }
    }
}

/// What opening a journal found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Bytes of a torn tail that were cut: nothing in them was ever said to be durable.
    pub cut_bytes: u64,
    /// Where the torn tail began; none if nothing was cut.
    pub cut_at: Option<Position>,
    /// The last tick there ever was, also if it was trimmed.
    pub last_tick: Option<UtcMs>,
    /// Records may lie behind the last tick, so that no epoch holds them yet.
    pub pending: bool,
}

/// Where a group of entries stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Appended {
    /// The position of each entry, in order.
    pub positions: Vec<Position>,
    /// The end of the last one.
    pub end: Position,
}

/// What trimming did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Trimmed {
    /// Segments that left the journal.
    pub segments: u64,
    /// Bytes they had.
    pub bytes: u64,
    /// Archived segments that grew too old and were removed.
    pub expired: u64,
}

/// The one writer of a journal.
pub struct Journal {
    storage: Box<dyn Storage>,
    shelf: Arc<dyn Shelf>,
    limits: Limits,
    /// Segments that are no longer written, in order; all durable.
    sealed: VecDeque<Segment>,
    /// The segment that is written; none until the first record and after a failure.
    active: Option<(Segment, Header)>,
    end: Position,
    durable: Position,
    last_tick: Option<UtcMs>,
    /// The file that could not be brought back to what is durable.
    halted: Option<String>,
    /// Bytes of the group that is written, kept for its memory.
    group: Vec<u8>,
}

impl Journal {
    /// Opens what lies in the storage, or begins at position 0.
    ///
    /// # Errors
    /// If it cannot be read, is damaged in more than a torn tail, or of an unknown format.
    pub fn open(storage: Box<dyn Storage>, limits: Limits) -> Result<(Self, Opened), JournalError> {
        let quarter = (limits.max_bytes / 4).max(1);
        let segment_bytes = limits.segment_bytes.min(quarter);
        open::open(storage, Limits { segment_bytes, ..limits })
    }

    /// Lets a journal without any file begin at a position, behind what was counted of one that is
    /// lost; whether it does.
    pub fn begin_at(&mut self, position: Position) -> bool {
        let fresh = self.end == Position(0) && self.active.is_none() && self.sealed.is_empty();
        if fresh {
            (self.end, self.durable) = (position, position);
        }
        fresh
    }

    /// Adds entries at the end. They are durable, and may be read, only after a sync.
    ///
    /// # Errors
    /// Nothing of the group is kept, nor anything else since the last sync, unless it is `Full` by
    /// our own limit or `TooLarge`, which leave everything as it was.
    pub fn append(&mut self, entries: &[Entry]) -> Result<Appended, JournalError> {
        if entries.is_empty() {
            return Ok(Appended { positions: Vec::new(), end: self.end });
        }
        let (segment, header) = self.writable()?;
        let mut positions = Vec::with_capacity(entries.len());
        let mut group = std::mem::take(&mut self.group);
        group.clear();
        let encoded = entries.iter().try_for_each(|entry| {
            let at = Position(self.end.0 + group.len() as u64);
            positions.push(at);
            record::encode(
                Place { at, durable: self.durable, salt: header.salt },
                entry,
                &mut group,
            )
        });
        let result = encoded.and_then(|()| self.write(segment, &group));
        if group.capacity() as u64 <= SEGMENT_BYTES {
            self.group = group;
        }
        result?;
        for entry in entries {
            if let Entry::Tick(at) = entry {
                self.last_tick = self.last_tick.max(Some(*at));
            }
        }
        Ok(Appended { positions, end: self.end })
    }

    fn write(&mut self, segment: Segment, group: &[u8]) -> Result<(), JournalError> {
        let (bytes, max_bytes) = (group.len() as u64, self.limits.max_bytes);
        let unsynced_bytes = self.end.0 - self.durable.0 + bytes;
        if unsynced_bytes > GROUP_BYTES_MAX {
            return Err(JournalError::TooLarge {
                bytes: unsynced_bytes,
                max_bytes: GROUP_BYTES_MAX,
            });
        }
        if self.bytes() + bytes > max_bytes {
            return Err(JournalError::Full { used_bytes: self.bytes(), disk: None });
        }
        if let Err(cause) = self.storage.append(&segment.name(), group) {
            return Err(self.abandon("writing", cause));
        }
        self.end.0 += bytes;
        if let Some((segment, _)) = &mut self.active {
            segment.bytes += bytes;
        }
        Ok(())
    }

    /// Makes durable what was appended, and says up to where everything is.
    ///
    /// # Errors
    /// Nothing since the last sync that succeeded is kept.
    pub fn sync(&mut self) -> Result<Position, JournalError> {
        self.check_halted()?;
        if let (true, Some((segment, _))) = (self.durable < self.end, &self.active) {
            let name = segment.name();
            if let Err(cause) = self.storage.sync(&name) {
                return Err(self.abandon("syncing", cause));
            }
            self.durable = self.end;
        }
        Ok(self.durable)
    }

    /// Takes back what is not durable. A sync that failed may have dropped the bytes and may
    /// succeed the next time without them, so that the file is cut and never written again.
    fn abandon(&mut self, what: &'static str, cause: io::Error) -> JournalError {
        let Some((mut segment, header)) = self.active.take() else {
            return self.filled(JournalError::of(".", what, cause));
        };
        let name = segment.name();
        segment.bytes = HEADER_BYTES as u64 + (self.durable.0 - segment.first.0);
        self.end = self.durable;
        if self.storage.truncate(&name, segment.bytes).is_err() {
            self.halted = Some(name.clone());
            self.sealed.push_back(segment);
        } else if segment.end() == segment.first {
            // Nothing in it but the header, which was durable before: a second file would have to
            // have the same name.
            self.active = Some((segment, header));
        } else {
            self.sealed.push_back(segment);
        }
        self.filled(JournalError::of(&name, what, cause))
    }

    fn filled(&self, error: JournalError) -> JournalError {
        match error {
            JournalError::Full { disk, .. } => {
                JournalError::Full { used_bytes: self.bytes(), disk }
            }
            error => error,
        }
    }

    fn check_halted(&self) -> Result<(), JournalError> {
        match &self.halted {
            Some(file) => Err(JournalError::Halted { file: file.clone() }),
            None => Ok(()),
        }
    }

    /// The segment to write to; a new one if there is none or it is long enough.
    fn writable(&mut self) -> Result<(Segment, Header), JournalError> {
        self.check_halted()?;
        if let Some((segment, header)) = self.active
            && (segment.bytes < self.limits.segment_bytes || segment.end() == segment.first)
        {
            return Ok((segment, header));
        }
        self.sync()?;
        if let Some((segment, _)) = self.active.take() {
            self.sealed.push_back(segment);
        }
        let header = Header::new(self.end, self.last_tick);
        let segment = Segment { first: self.end, bytes: HEADER_BYTES as u64 };
        let name = segment.name();
        let storage = &mut self.storage;
        let made = storage.append(&name, &header.encode()).and_then(|()| storage.sync(&name));
        if let Err(cause) = made {
            // A piece of a header would be in the way of the next try.
            let gone = storage.remove(&name);
            if gone.is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
                self.halted = Some(name.clone());
            }
            return Err(self.filled(JournalError::of(&name, "beginning", cause)));
        }
        self.active = Some((segment, header));
        Ok((segment, header))
    }

    /// Removes whole segments below a position, or moves them to the archive, and removes from the
    /// archive what is older than it is kept. Whoever reads there is told so.
    ///
    /// # Errors
    /// What was trimmed before the failure stays trimmed; a second call goes on from there.
    pub fn trim(&mut self, below: Position, now: UtcMs) -> Result<Trimmed, JournalError> {
        let mut trimmed = Trimmed::default();
        while let Some(bytes) = self.trim_one(below, now)? {
            trimmed.segments += 1;
            trimmed.bytes += bytes;
        }
        trimmed.expired = self.expire(now)?;
        Ok(trimmed)
    }

    /// Removes from the archive what is older than it is kept, and says how many segments.
    ///
    /// # Errors
    /// What was removed before the failure stays removed.
    pub fn expire(&mut self, now: UtcMs) -> Result<u64, JournalError> {
        self.limits.keep_ms.map_or(Ok(0), |keep_ms| {
            archive::expire(&mut *self.storage, UtcMs(now.0.saturating_sub(keep_ms)))
        })
    }

    /// Trims the oldest segment if it is below a position, and says how many bytes it had. A
    /// writer that must not stop for long calls this in place of [`Journal::trim`] until there is
    /// nothing more.
    ///
    /// # Errors
    /// The segment is still there.
    pub fn trim_one(&mut self, below: Position, now: UtcMs) -> Result<Option<u64>, JournalError> {
        self.check_halted()?;
        // The last file says where the journal ends: there is always one.
        let files = self.sealed.len() + usize::from(self.active.is_some());
        if files == 1 && below >= self.end && self.durable == self.end {
            self.writable()?;
        }
        let Some(&segment) = self.sealed.front() else { return Ok(None) };
        let next = self.sealed.get(1).or(self.active.as_ref().map(|(active, _)| active)).copied();
        let Some(next) = next.filter(|next| next.first <= below) else { return Ok(None) };
        let name = segment.name();
        if self.limits.keep_ms.is_some() {
            let newest = Header::read(&*self.shelf, next.first)?.last_tick.unwrap_or(now);
            let archived = archive::store(&mut *self.storage, segment, newest);
            archived.map_err(|error| self.filled(error))?;
        }
        self.storage.remove(&name).map_err(|cause| JournalError::of(&name, "removing", cause))?;
        self.sealed.pop_front();
        Ok(Some(segment.bytes))
    }

    /// A reader of the same files, for any thread.
    pub fn read(&self, from: Position) -> Reader {
        Reader::new(Arc::clone(&self.shelf), from)
    }

    /// The reading side of the files, to make readers from elsewhere.
    pub fn shelf(&self) -> Arc<dyn Shelf> {
        Arc::clone(&self.shelf)
    }

    /// The first position that can be read.
    pub fn first(&self) -> Position {
        let active = self.active.as_ref().map(|(segment, _)| segment);
        self.sealed.front().or(active).map_or(self.end, |segment| segment.first)
    }

    /// Where the next record will begin.
    pub fn end(&self) -> Position {
        self.end
    }

    /// Up to where everything is durable.
    pub fn durable_end(&self) -> Position {
        self.durable
    }

    /// Bytes of the segments on disk, without the archive.
    pub fn bytes(&self) -> u64 {
        let active = self.active.as_ref().map_or(0, |(segment, _)| segment.bytes);
        self.sealed.iter().map(|segment| segment.bytes).sum::<u64>() + active
    }

    /// The last tick there ever was.
    pub fn last_tick(&self) -> Option<UtcMs> {
        self.last_tick
    }

    /// Whether nothing more can be written until the journal is opened again.
    pub fn halted(&self) -> bool {
        self.halted.is_some()
    }
}
