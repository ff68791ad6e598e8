//! Segments that were trimmed and are kept for a while, compressed.
//!
//! Invariant: an archived segment is whole and durable before the original is removed; a file
//! without its final name is never read.

use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;

use ionflux_schemas::delivery::Position;
use ionflux_schemas::time::UtcMs;

use super::error::JournalError;
use super::reader::Record;
use super::record::{self, FRAME_BYTES, Unread};
use super::segment::{HEADER_BYTES, Header, Segment};
use super::storage::{Shelf, Storage};

/// The folder inside the journal's.
pub const FOLDER: &str = "archive";
const SUFFIX: &str = ".segment.zst";
const UNFINISHED: &str = ".unfinished";
/// Records shrink well at the usual level, and it does not hold up the writer for long.
const LEVEL: i32 = 3;
const PIECE_BYTES: usize = 1 << 20;

/// The name of an archived segment: its first position and the newest instant in it.
fn name(first: Position, newest: UtcMs) -> String {
    format!("{FOLDER}/{:020}-{:020}{SUFFIX}", first.0, newest.0.max(0))
}

fn parse(name: &str) -> Option<(Position, UtcMs)> {
    let stem = name.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(SUFFIX)?;
    let (first, newest) = stem.split_once('-')?;
    Some((Position(first.parse().ok()?), UtcMs(newest.parse().ok()?)))
}

fn at(name: &str, what: &'static str) -> impl Fn(io::Error) -> JournalError {
    move |cause| JournalError::of(name, what, cause)
}

/// The archived segments, oldest first: first position, newest instant, name of the file.
///
/// # Errors
/// If the folder cannot be listed.
pub fn list(shelf: &dyn Shelf) -> Result<Vec<(Position, UtcMs, Box<str>)>, JournalError> {
    let files = shelf.list().map_err(at(FOLDER, "listing"))?;
    let mut archived: Vec<_> = files
        .into_iter()
        .filter_map(|file| parse(&file.name).map(|(first, newest)| (first, newest, file.name)))
        .collect();
    archived.sort();
    Ok(archived)
}

/// Removes what a crash left half written.
pub(super) fn clean(storage: &mut dyn Storage) -> Result<(), JournalError> {
    let files = storage.shelf().list().map_err(at(FOLDER, "listing"))?;
    for file in
        files.iter().filter(|file| file.name.starts_with(FOLDER) && file.name.ends_with(UNFINISHED))
    {
        storage.remove(&file.name).map_err(at(&file.name, "removing"))?;
    }
    Ok(())
}

/// Compresses a segment into the archive. The original stays.
pub(super) fn store(
    storage: &mut dyn Storage,
    segment: Segment,
    newest: UtcMs,
) -> Result<(), JournalError> {
    let to = name(segment.first, newest);
    let unfinished = format!("{to}{UNFINISHED}");
    let copied = compress(storage, &segment.name(), &unfinished)
        .and_then(|()| storage.sync(&unfinished))
        .and_then(|()| storage.rename(&unfinished, &to));
    copied.map_err(|cause| {
        // What is left of it is removed when the journal is opened, if it cannot be now.
        let _ = storage.remove(&unfinished);
        JournalError::of(&to, "archiving", cause)
    })
}

fn compress(storage: &mut dyn Storage, from: &str, to: &str) -> io::Result<()> {
    let shelf = storage.shelf();
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
    encoder.include_checksum(true)?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut offset = 0;
    loop {
        let count = shelf.read_at(from, offset, &mut piece)?;
        encoder.write_all(&piece[..count])?;
        offset += count as u64;
        if !encoder.get_ref().is_empty() {
            storage.append(to, encoder.get_ref())?;
            encoder.get_mut().clear();
        }
        if count < piece.len() {
            return storage.append(to, &encoder.finish()?);
        }
    }
}

/// Removes archived segments in which everything is older than an instant.
pub(super) fn expire(storage: &mut dyn Storage, before: UtcMs) -> Result<u64, JournalError> {
    let mut expired = 0;
    for (_, _, name) in list(&*storage.shelf())?.iter().filter(|(_, newest, _)| *newest < before) {
        storage.remove(name).map_err(at(name, "removing"))?;
        expired += 1;
    }
    Ok(expired)
}

/// A file of a shelf as one stream.
struct Stream {
    shelf: Arc<dyn Shelf>,
    name: Box<str>,
    offset: u64,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.shelf.read_at(&self.name, self.offset, buffer)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// The records of one archived segment, in order. Ends after the first error.
pub struct Records {
    input: Box<dyn Read + Send>,
    name: Box<str>,
    header: Header,
    at: Position,
    done: bool,
}

/// Reads an archived segment from the shelf of its journal, by the name that [`list`] gives.
///
/// # Errors
/// If the file cannot be read or does not begin as a segment does.
pub fn read(shelf: Arc<dyn Shelf>, name: &str) -> Result<Records, JournalError> {
    records(Box::new(Stream { shelf, name: name.into(), offset: 0 }), name)
}

/// Reads an archived segment from a file that may lie anywhere, under the name it was given.
///
/// # Errors
/// As [`read`].
pub fn read_file(path: &Path) -> Result<Records, JournalError> {
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = format!("{FOLDER}/{file_name}");
    let file = std::fs::File::open(path).map_err(at(&name, "opening"))?;
    records(Box::new(file), &name)
}

fn records(input: Box<dyn Read + Send>, name: &str) -> Result<Records, JournalError> {
    let bad_name = || io::Error::new(io::ErrorKind::InvalidInput, "not a name of the archive");
    let (first, _) = parse(name).ok_or_else(bad_name).map_err(at(name, "opening"))?;
    let input = BufReader::with_capacity(PIECE_BYTES, input);
    let decoder = zstd::stream::read::Decoder::with_buffer(input).map_err(at(name, "opening"))?;
    let mut input: Box<dyn Read + Send> = Box::new(BufReader::with_capacity(PIECE_BYTES, decoder));
    let mut header = [0; HEADER_BYTES];
    input.read_exact(&mut header).map_err(at(name, "reading"))?;
    let header = Header::decode(first, &header)?;
    Ok(Records { input, name: name.into(), header, at: first, done: false })
}

impl Records {
    fn read_next(&mut self) -> Result<Option<Record>, JournalError> {
        let mut bytes = [0; FRAME_BYTES];
        // One byte first: no byte at all is the end, some but not all are damage.
        let start = self.input.read(&mut bytes[..1]).map_err(at(&self.name, "reading"))?;
        if start == 0 {
            return Ok(None);
        }
        self.input.read_exact(&mut bytes[1..]).map_err(at(&self.name, "reading"))?;
        let corrupt = |reason| JournalError::Corrupt {
            segment: self.name.to_string(),
            position: self.at,
            offset_bytes: HEADER_BYTES as u64 + (self.at.0 - self.header.first.0),
            reason,
        };
        let frame = record::frame(self.at, self.header.salt, &bytes)
            .ok_or_else(|| corrupt("the frame of the record does not match its checksum"))?;
        let mut payload = vec![0; frame.length];
        self.input.read_exact(&mut payload).map_err(at(&self.name, "reading"))?;
        let entry = record::entry(self.header.salt ^ self.at.0, frame, &payload);
        let entry = entry.map_err(|unread| match unread {
            Unread::Corrupt(reason) => corrupt(reason),
            Unread::UnknownFormat(format) => {
                JournalError::UnknownFormat { segment: self.name.to_string(), format }
            }
        })?;
        let end = Position(self.at.0 + (FRAME_BYTES + frame.length) as u64);
        let record = Record { at: self.at, end, entry };
        self.at = end;
        Ok(Some(record))
    }
}

impl Iterator for Records {
    type Item = Result<Record, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.read_next().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}
