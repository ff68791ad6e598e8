//! A segment: its name and its header.
//!
//! ```text
//! magic 8 bytes | format u16 | first position u64 | salt u64 | last tick i64 | xxh3 u64
//! ```
//!
//! A position counts records only: the first record of a segment is at its first position.
//!
//! Invariant: a header is durable before the first record is written behind it, so that a bad one
//! with records behind it is damage and never a torn write.

use std::hash::{BuildHasher, RandomState};

use ionflux_schemas::delivery::Position;
use ionflux_schemas::time::UtcMs;
use xxhash_rust::xxh3::xxh3_64;

use super::error::JournalError;
use super::storage::{FileInfo, Shelf};

/// How long the header is.
pub(super) const HEADER_BYTES: usize = 42;
const MAGIC: &[u8; 8] = b"IONFLUXJ";
const FORMAT: u16 = 1;
const SUFFIX: &str = ".segment";
/// Stands for no tick so far.
const NO_TICK: i64 = i64::MIN;

/// What a header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// The position of the first record.
    pub(super) first: Position,
    /// A random number that seeds the checksums of the records.
    pub(super) salt: u64,
    /// The last tick before the segment.
    pub(super) last_tick: Option<UtcMs>,
}

/// A segment as it lies there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    pub(super) first: Position,
    /// Bytes of the file.
    pub(super) bytes: u64,
}

impl Segment {
    /// The segment a file is, if its name says so.
    pub(super) fn of(file: &FileInfo) -> Option<Self> {
        let digits = file.name.strip_suffix(SUFFIX)?;
        let all = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let first = all.then(|| digits.parse().ok()).flatten()?;
        Some(Self { first: Position(first), bytes: file.bytes })
    }

    pub(super) fn name(&self) -> String {
        name(self.first)
    }

    /// Where the next segment begins, or will.
    pub(super) fn end(&self) -> Position {
        Position(self.first.0 + self.bytes.saturating_sub(HEADER_BYTES as u64))
    }
}

/// The name of the file of a segment.
pub(super) fn name(first: Position) -> String {
    format!("{:020}{SUFFIX}", first.0)
}

/// All segments, in order.
pub(super) fn list(shelf: &dyn Shelf) -> Result<Vec<Segment>, JournalError> {
    let files = shelf.list().map_err(|cause| JournalError::of(".", "listing", cause))?;
    let mut segments: Vec<Segment> = files.iter().filter_map(Segment::of).collect();
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
}

impl Header {
    /// A header for a new segment.
    pub(super) fn new(first: Position, last_tick: Option<UtcMs>) -> Self {
        Self { first, salt: RandomState::new().hash_one(first), last_tick }
    }

    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[10..18].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[18..26].copy_from_slice(&self.salt.to_le_bytes());
        let last_tick_ms = self.last_tick.map_or(NO_TICK, |tick| tick.0);
        bytes[26..34].copy_from_slice(&last_tick_ms.to_le_bytes());
        let sum = xxh3_64(&bytes[..34]);
        bytes[34..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the header of the segment that its name says begins at `first`.
    pub(super) fn decode(first: Position, bytes: &[u8]) -> Result<Self, JournalError> {
        let corrupt = |reason| JournalError::Corrupt {
            segment: name(first),
            position: first,
            offset_bytes: 0,
            reason,
        };
        let magic = bytes.get(..8).is_some_and(|start| start == MAGIC);
        if let (true, Some(&[low, high])) = (magic, bytes.get(8..10)) {
            let format = u16::from_le_bytes([low, high]);
            // Zeros are what a crash leaves of bytes that never reached the disk.
            if format != FORMAT && format != 0 {
                return Err(JournalError::UnknownFormat { segment: name(first), format });
            }
        }
        let bytes = bytes.get(..HEADER_BYTES).ok_or_else(|| corrupt("the header is incomplete"))?;
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        if !magic || xxh3_64(&bytes[..34]) != number(34) {
            return Err(corrupt("the header does not match its checksum"));
        }
        if number(10) != first.0 {
            return Err(corrupt("the header belongs to a file of another name"));
        }
        let last_tick_ms = number(26) as i64;
        let last_tick = (last_tick_ms != NO_TICK).then_some(UtcMs(last_tick_ms));
        Ok(Self { first, salt: number(18), last_tick })
    }

    /// Reads it from its file.
    pub(super) fn read(shelf: &dyn Shelf, first: Position) -> Result<Self, JournalError> {
        let mut bytes = [0; HEADER_BYTES];
        let name = name(first);
        let count = shelf
            .read_at(&name, 0, &mut bytes)
            .map_err(|cause| JournalError::of(&name, "reading", cause))?;
        Self::decode(first, &bytes[..count])
    }
}

#[cfg(test)]
mod tests {
    use super::{FileInfo, HEADER_BYTES, Header, JournalError, Position, Segment, UtcMs};

    #[test]
    fn a_header_says_what_it_was_given_or_nothing() {
        let header = Header::new(Position(77), Some(UtcMs(5)));
        let bytes = header.encode();
        assert_eq!(Header::decode(Position(77), &bytes).unwrap(), header);
        assert!(Header::decode(Position(78), &bytes).is_err());
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(Position(77), &flipped).is_err());
        }
        let mut newer = bytes;
        newer[8] = 2;
        let refused = Header::decode(Position(77), &newer).unwrap_err();
        assert!(matches!(refused, JournalError::UnknownFormat { format: 2, .. }));
        assert!(refused.hint().contains("release"));
    }

    #[test]
    fn only_our_own_names_are_segments() {
        let of = |name: &str| Segment::of(&FileInfo { name: name.into(), bytes: 50 });
        let segment = of("00000000000000000077.segment").unwrap();
        assert_eq!((segment.first, segment.end()), (Position(77), Position(85)));
        assert_eq!(&segment.name(), "00000000000000000077.segment");
        for name in ["77.segment", "+0000000000000000077.segment", "archive/1.zst", "lock"] {
            assert_eq!(of(name), None);
        }
    }
}
