//! Opening a journal after whatever happened to it.
//!
//! A bad record is either what a crash left of a group that was never durable, which is cut, or
//! damage to what was, which is an error. The records tell: each says what was durable when it was
//! written. If any frame behind the bad place says that the place was durable, it is damage. A
//! crash may well keep the end of a group and lose its start, so that a valid record behind a bad
//! one proves nothing by itself.
//!
//! Invariant: only the end of the last segment is ever cut, and only where no record bears witness
//! that it was durable.

use std::sync::Arc;

use ionflux_schemas::delivery::{Entry, Position};
use ionflux_schemas::time::UtcMs;

use super::error::JournalError;
use super::reader::Reader;
use super::record::{self, FRAME_BYTES};
use super::segment::{self, HEADER_BYTES, Header, Segment};
use super::storage::{Shelf, Storage};
use super::{Journal, Limits, Opened, archive};

/// How much of a torn tail is looked through at once.
const PIECE_BYTES: usize = 256 << 10;
/// How much of the last segment is written once more at a time.
const RENEWED_BYTES: usize = 4 << 20;

pub(super) fn open(
    mut storage: Box<dyn Storage>,
    limits: Limits,
) -> Result<(Journal, Opened), JournalError> {
    let shelf = storage.shelf();
    archive::clean(&mut *storage)?;
    let mut segments = segment::list(&*shelf)?;
    // A segment is begun only when all before it is durable: its name alone bears witness.
    let unborn = segments.pop_if(|segment| stillborn(&*shelf, *segment));
    let witnessed = unborn.map_or(Position(0), |segment| segment.first);
    let mut opened = Opened { cut_bytes: 0, cut_at: None, last_tick: None, pending: false };
    let mut active = None;
    if let Some(mut last) = segments.pop() {
        contiguous(&segments, last)?;
        for segment in &segments {
            Header::read(&*shelf, segment.first)?;
        }
        let header = Header::read(&*shelf, last.first)?;
        let found = scan(&shelf, last, header)?;
        let good_bytes = HEADER_BYTES as u64 + (found.end.0 - last.first.0);
        if let Some(error) = found.broken {
            if witnessed > found.end || bears_witness(&*shelf, last, (header, found.end))? {
                return Err(error);
            }
            opened.cut_bytes += last.bytes - good_bytes;
            opened.cut_at = Some(found.end);
            storage
                .truncate(&last.name(), good_bytes)
                .map_err(|cause| JournalError::of(&last.name(), "cutting", cause))?;
            last.bytes = good_bytes;
        } else if witnessed > found.end {
            return Err(missing(last, witnessed));
        }
        renew(&mut *storage, last, header, found.last)?;
        opened.last_tick = header.last_tick.max(found.last_tick);
        opened.pending = found.pending;
        active = Some((last, header));
    } else if witnessed > Position(0) {
        // All before it was trimmed, which happens only when there is a whole one behind.
        return Err(missing(Segment { first: witnessed, bytes: 0 }, witnessed));
    }
    if let Some(segment) = unborn {
        opened.cut_bytes += segment.bytes;
        opened.cut_at = opened.cut_at.or(Some(segment.first));
        storage
            .remove(&segment.name())
            .map_err(|cause| JournalError::of(&segment.name(), "removing", cause))?;
    }
    let end = active.map_or(Position(0), |(segment, _)| segment.end());
    let journal = Journal {
        storage,
        shelf,
        limits,
        sealed: segments.into(),
        active,
        end,
        durable: end,
        last_tick: opened.last_tick,
        halted: None,
        group: Vec::new(),
    };
    Ok((journal, opened))
}

fn missing(segment: Segment, expected: Position) -> JournalError {
    JournalError::Corrupt {
        segment: segment.name(),
        position: expected.min(segment.end()),
        offset_bytes: segment.bytes,
        reason: "the segment ends before what is durable",
    }
}

/// Whether a segment was never finished beginning: it has no record and no whole header.
fn stillborn(shelf: &dyn Shelf, segment: Segment) -> bool {
    segment.bytes <= HEADER_BYTES as u64
        && matches!(Header::read(shelf, segment.first), Err(JournalError::Corrupt { .. }))
}

/// Each segment ends where the next begins.
fn contiguous(before: &[Segment], last: Segment) -> Result<(), JournalError> {
    let followers = before.iter().skip(1).chain([&last]);
    for (segment, next) in before.iter().zip(followers) {
        if segment.end() != next.first || segment.bytes < HEADER_BYTES as u64 {
            return Err(JournalError::Corrupt {
                segment: segment.name(),
                position: segment.end().min(next.first),
                offset_bytes: segment.bytes,
                reason: "the segment does not end where the next one begins",
            });
        }
    }
    Ok(())
}

/// Writes what nothing says to be durable once more. It was read, but may be on its way to the
/// disk still, or never: a sync that failed leaves bytes that can be read until the power goes, and
/// no later sync brings them back.
fn renew(
    storage: &mut dyn Storage,
    segment: Segment,
    header: Header,
    last: Option<Position>,
) -> Result<(), JournalError> {
    let (shelf, name) = (storage.shelf(), segment.name());
    let reading = |cause| JournalError::of(&name, "reading", cause);
    let mut offset = 0;
    if let Some(at) = last {
        let mut bytes = [0; FRAME_BYTES];
        let place = HEADER_BYTES as u64 + (at.0 - segment.first.0);
        let count = shelf.read_at(&name, place, &mut bytes).map_err(reading)?;
        let frame = record::frame(at, header.salt, &bytes[..count]);
        let durable = frame.map_or(segment.first, |frame| frame.durable);
        if durable > segment.first {
            offset = HEADER_BYTES as u64 + (durable.0 - segment.first.0);
        }
    }
    let mut piece = vec![0; RENEWED_BYTES];
    while offset < segment.bytes {
        let count = piece.len().min((segment.bytes - offset) as usize);
        let count = shelf.read_at(&name, offset, &mut piece[..count]).map_err(reading)?;
        let renewed = storage.rewrite(&name, offset, &piece[..count]);
        renewed.map_err(|cause| JournalError::of(&name, "writing", cause))?;
        offset += count.max(1) as u64;
    }
    Ok(())
}

struct Scan {
    /// Where the last good record begins, if there is one.
    last: Option<Position>,
    /// The end of the last good record.
    end: Position,
    last_tick: Option<UtcMs>,
    pending: bool,
    /// What is wrong behind it, if anything.
    broken: Option<JournalError>,
}

/// Reads the last segment as far as it is good.
fn scan(shelf: &Arc<dyn Shelf>, last: Segment, header: Header) -> Result<Scan, JournalError> {
    let mut reader = Reader::new(Arc::clone(shelf), last.first);
    // An empty segment says nothing of the records before it.
    let pending = header.first > Position(0);
    let mut scan = Scan { last: None, end: last.first, last_tick: None, pending, broken: None };
    loop {
        match reader.next(last.end()) {
            Ok(Some(record)) => {
                (scan.last, scan.end) = (Some(record.at), record.end);
                scan.pending = match record.entry {
                    Entry::Tick(at) => {
                        scan.last_tick = scan.last_tick.max(Some(at));
                        false
                    }
                    Entry::Delivery(_) => true,
                };
            }
            Ok(None) => return Ok(scan),
            Err(error @ JournalError::Corrupt { .. }) => {
                scan.broken = Some(error);
                return Ok(scan);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether any frame behind a bad place says that the place was durable when it was written. The
/// frame alone is enough: its checksum holds only at its own position in its own segment.
fn bears_witness(
    shelf: &dyn Shelf,
    last: Segment,
    (header, bad): (Header, Position),
) -> Result<bool, JournalError> {
    let name = last.name();
    let mut piece = vec![0; PIECE_BYTES];
    let mut from = Position(bad.0 + 1);
    loop {
        let offset = HEADER_BYTES as u64 + (from.0 - last.first.0);
        let count = shelf
            .read_at(&name, offset, &mut piece)
            .map_err(|cause| JournalError::of(&name, "reading", cause))?;
        if count < FRAME_BYTES {
            return Ok(false);
        }
        let steps = count - FRAME_BYTES + 1;
        for step in 0..steps {
            let at = Position(from.0 + step as u64);
            if record::frame(at, header.salt, &piece[step..count])
                .is_some_and(|frame| frame.durable > bad)
            {
                return Ok(true);
            }
        }
        from.0 += steps as u64;
    }
}
