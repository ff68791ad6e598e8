//! Reading records in order, beside the writer or without one.
//!
//! Invariant: never reads past what the caller says is durable, keeps no more than a piece of a
//! file and one record in memory, and yields each record whole or fails at its place.

use std::io;
use std::sync::Arc;

use ionflux_schemas::delivery::{Entry, Position};

use super::error::JournalError;
use super::record::{self, FRAME_BYTES, Unread};
use super::segment::{self, HEADER_BYTES, Header, Segment};
use super::storage::Shelf;

/// How much is read at once: large enough that opening the file again costs little.
const PIECE_BYTES: usize = 256 << 10;

/// One record and its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Where it begins.
    pub at: Position,
    /// Where the next one begins; where to go on after this one.
    pub end: Position,
    /// What it says.
    pub entry: Entry,
}

/// Reads records in order from a position on.
pub struct Reader {
    shelf: Arc<dyn Shelf>,
    at: Position,
    segment: Option<Header>,
    /// Bytes of the file from `at` on start at `used`.
    buffer: Vec<u8>,
    used: usize,
}

impl Reader {
    /// A reader that begins at a position, which must be the start of a record or the end of the
    /// journal.
    pub fn new(shelf: Arc<dyn Shelf>, from: Position) -> Self {
        Self { shelf, at: from, segment: None, buffer: Vec::new(), used: 0 }
    }

    /// Where the next record begins.
    pub fn position(&self) -> Position {
        self.at
    }

    /// The next record that ends at or before `durable`; none if there is none yet.
    ///
    /// # Errors
    /// If the files cannot be read, are not what was written, or no longer hold the position. The
    /// reader stays where it is, so that the same call may be made again.
    pub fn next(&mut self, durable: Position) -> Result<Option<Record>, JournalError> {
        if self.at >= durable {
            return Ok(None);
        }
        let current = self.segment;
        let header = match current {
            Some(header) if self.fill(header, FRAME_BYTES, durable)? > 0 => header,
            _ => self.enter(durable)?,
        };
        let Some(frame) = record::frame(self.at, header.salt, self.unread()) else {
            let reason = match self.unread().len() < FRAME_BYTES {
                true => "the record is incomplete",
                false => "the frame of the record does not match its checksum",
            };
            return Err(self.corrupt(header, reason));
        };
        let whole = FRAME_BYTES + frame.length;
        if self.fill(header, whole, durable)? < whole {
            return Err(self.corrupt(header, "the record is incomplete"));
        }
        let payload = &self.unread()[FRAME_BYTES..whole];
        let entry = match record::entry(header.salt ^ self.at.0, frame, payload) {
            Ok(entry) => entry,
            Err(Unread::Corrupt(reason)) => return Err(self.corrupt(header, reason)),
            Err(Unread::UnknownFormat(format)) => {
                let segment = segment::name(header.first);
                return Err(JournalError::UnknownFormat { segment, format });
            }
        };
        let record = Record { at: self.at, end: Position(self.at.0 + whole as u64), entry };
        self.at = record.end;
        self.used += whole;
        Ok(Some(record))
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    /// Sees to it that at least `wanted` bytes from the position on are in memory, as far as they
    /// are durable and in this segment, and says how many are.
    fn fill(
        &mut self,
        header: Header,
        wanted: usize,
        durable: Position,
    ) -> Result<usize, JournalError> {
        let there = self.unread().len();
        let durable_bytes = usize::try_from(durable.0 - self.at.0).unwrap_or(usize::MAX);
        if there >= wanted || there >= durable_bytes {
            return Ok(there);
        }
        self.buffer.drain(..self.used);
        self.used = 0;
        // One large record must not hold its memory for ever.
        self.buffer.shrink_to(wanted.max(PIECE_BYTES));
        let size = wanted.max(PIECE_BYTES).min(durable_bytes);
        self.buffer.resize(size, 0);
        let name = segment::name(header.first);
        let offset = HEADER_BYTES as u64 + (self.at.0 - header.first.0) + there as u64;
        let count = self.shelf.read_at(&name, offset, &mut self.buffer[there..]);
        self.buffer.truncate(there + *count.as_ref().unwrap_or(&0));
        match count {
            Ok(_) => Ok(self.buffer.len()),
            Err(cause) => Err(self.unreadable(&name, cause)?),
        }
    }

    /// A file that is gone was trimmed, if the journal now begins later.
    fn unreadable(&self, name: &str, cause: io::Error) -> Result<JournalError, JournalError> {
        if cause.kind() == io::ErrorKind::NotFound {
            let segments = segment::list(&*self.shelf)?;
            if let Some(first) = segments.first().map(|segment| segment.first)
                && first > self.at
            {
                return Ok(JournalError::Trimmed { asked: self.at, first });
            }
        }
        Ok(JournalError::of(name, "reading", cause))
    }

    /// Finds the segment of the position, which is not the one read so far.
    fn enter(&mut self, durable: Position) -> Result<Header, JournalError> {
        let segments = segment::list(&*self.shelf)?;
        let left = self.segment.take().map(|header| header.first);
        self.buffer.clear();
        self.used = 0;
        let found = segments.iter().rev().find(|segment| segment.first <= self.at);
        let at = self.at;
        let missing = |first: Position, reason| JournalError::Corrupt {
            segment: segment::name(first),
            position: at,
            offset_bytes: HEADER_BYTES as u64 + (at.0 - first.0),
            reason,
        };
        let Some(Segment { first, .. }) = found.copied() else {
            return Err(match segments.first() {
                Some(segment) => JournalError::Trimmed { asked: self.at, first: segment.first },
                None => missing(self.at, "the segment is missing"),
            });
        };
        if left == Some(first) {
            return Err(missing(first, "the segment ends before what is durable"));
        }
        let header = Header::read(&*self.shelf, first).map_err(|error| match error {
            JournalError::Io { cause, .. } => {
                self.unreadable(&segment::name(first), cause).unwrap_or_else(|error| error)
            }
            error => error,
        })?;
        if self.fill(header, FRAME_BYTES, durable)? == 0 {
            return Err(missing(first, "the segment ends before what is durable"));
        }
        self.segment = Some(header);
        Ok(header)
    }

    fn corrupt(&self, header: Header, reason: &'static str) -> JournalError {
        JournalError::Corrupt {
            segment: segment::name(header.first),
            position: self.at,
            offset_bytes: HEADER_BYTES as u64 + (self.at.0 - header.first.0),
            reason,
        }
    }
}
