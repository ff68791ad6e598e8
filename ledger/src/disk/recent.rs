//! The dossiers of the last commits, in hash tables, until they are many enough for a sorted file.
//!
//! ```text
//! chunk    entries of one commit, as the log keeps them
//! entry    key's length: 2   value's length + 1, 0 for a removed key: 4   key   value
//! table    key ─▶ chunk, start, length      one for each first byte of a key
//! ```
//!
//! Invariant: tells of each key what its last chunk says. What is overwritten stays in its chunk
//! and counts as bytes held, so that memory is bounded whatever is written.

use std::ops::Range;

use hashbrown::HashMap;

use crate::entities::{Bytes, EntitiesError, Write};

/// What an entry of a table takes beside the bytes in its chunk.
const ENTRY_BYTES: usize = 72;
/// A chunk is full when it has so many bytes: places in it fit 32 bits with room to spare.
const CHUNK_BYTES: usize = 4 << 20;
const HEAD_BYTES: usize = 6;

/// Where a value is.
#[derive(Clone, Copy, Debug)]
struct Place {
    chunk: u32,
    start: u32,
    /// The value's length and one; 0 for a removed key.
    length: u32,
}

/// Recent dossiers.
#[derive(Debug)]
pub(super) struct Recent {
    parts: Vec<HashMap<Bytes, Place>>,
    chunks: Vec<Bytes>,
    bytes: usize,
    /// The numbers of its chunks in the log.
    pub(super) numbers: Range<u64>,
}

/// A key of [`Recent`] and its value; `None` if it is removed.
pub(super) type Entry<'a> = (&'a Bytes, Option<&'a [u8]>);

impl Recent {
    /// Nothing yet; the next chunk has a number.
    pub(super) fn starting(number: u64) -> Self {
        let parts = (0..=u8::MAX).map(|_| HashMap::new()).collect();
        Self { parts, chunks: Vec::new(), bytes: 0, numbers: number..number }
    }

    /// About how many bytes of memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Takes in the next chunk of the log.
    ///
    /// # Errors
    /// [`EntitiesError::Log`] if it is damaged.
    pub(super) fn add(&mut self, chunk: Bytes) -> Result<(), EntitiesError> {
        let place = u32::try_from(self.chunks.len()).map_err(|_| EntitiesError::Log)?;
        let mut start = 0;
        while start < chunk.len() {
            let (key, length) = head(&chunk[start..]).ok_or(EntitiesError::Log)?;
            start += HEAD_BYTES + key.len();
            let held = Place { chunk: place, start: start as u32, length };
            start += length.saturating_sub(1) as usize;
            let part = &mut self.parts[usize::from(key[0])];
            if part.insert(Bytes::from(key), held).is_none() {
                self.bytes += ENTRY_BYTES;
            }
        }
        if start != chunk.len() {
            return Err(EntitiesError::Log);
        }
        self.bytes += chunk.len();
        self.chunks.push(chunk);
        self.numbers.end += 1;
        Ok(())
    }

    /// What is known of a key: its value, or that it is removed.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Bytes>> {
        let held = self.parts[usize::from(*key.first()?)].get(key)?;
        Some(self.value(*held).map(Bytes::from))
    }

    /// The entries whose keys begin with `prefix`, in order of the keys.
    pub(super) fn sorted<'a>(&'a self, prefix: &[u8]) -> impl Iterator<Item = Entry<'a>> {
        let parts = match prefix.first() {
            Some(first) => usize::from(*first)..usize::from(*first) + 1,
            None => 0..self.parts.len(),
        };
        self.parts[parts].iter().flat_map(move |part| {
            let entries = part.iter().filter(|(key, _)| key.starts_with(prefix));
            let mut entries: Vec<_> = entries.collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            entries.into_iter().map(|(key, place)| (key, self.value(*place)))
        })
    }

    fn value(&self, Place { chunk, start, length }: Place) -> Option<&[u8]> {
        let bytes = length.checked_sub(1)? as usize;
        let start = start as usize;
        Some(&self.chunks[chunk as usize][start..start + bytes])
    }
}

/// The key at the start of some entries, and its value's length and one, if all of it is there.
fn head(entries: &[u8]) -> Option<(&[u8], u32)> {
    let (key, rest) = entries.split_first_chunk::<2>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (key, length) = (usize::from(u16::from_le_bytes(*key)), u32::from_le_bytes(*length));
    let (key, rest) = rest.split_at_checked(key)?;
    (!key.is_empty() && rest.len() >= length.saturating_sub(1) as usize).then_some((key, length))
}

/// The chunks of some writes, none if there are none.
pub(super) fn chunks<'a>(writes: impl Iterator<Item = &'a Write>) -> Vec<Bytes> {
    let (mut chunks, mut space) = (Vec::new(), Vec::new());
    for Write { key, value, .. } in writes {
        let length = value.as_ref().map_or(0, |value| value.len() as u32 + 1);
        space.extend_from_slice(&(key.len() as u16).to_le_bytes());
        space.extend_from_slice(&length.to_le_bytes());
        space.extend_from_slice(key);
        space.extend_from_slice(value.as_deref().unwrap_or_default());
        if space.len() >= CHUNK_BYTES {
            chunks.push(Bytes::from(&*space));
            space.clear();
        }
    }
    if !space.is_empty() {
        chunks.push(Bytes::from(space));
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entities::Table;

    #[test]
    fn the_last_chunk_holds_and_damage_is_found() {
        let put = |key: &[u8], value: &[u8]| Write::put(Table::Dossiers, key, value);
        let first = [put(b"b1", b"x"), put(b"a", b""), put(b"b2", b"y")];
        let second = [put(b"b2", b"z"), Write::remove(Table::Dossiers, &b"b1"[..])];
        let mut recent = Recent::starting(5);
        for writes in [&first[..], &second[..], &[]] {
            for chunk in chunks(writes.iter()) {
                recent.add(chunk).unwrap();
            }
        }
        assert_eq!(recent.numbers, 5..7);
        assert_eq!(recent.get(b"c"), None);
        assert_eq!(recent.get(b"b1"), Some(None));
        assert_eq!(recent.get(b"a"), Some(Some(Bytes::from(&b""[..]))));
        let told = |prefix| recent.sorted(prefix).map(|(key, value)| (key.to_vec(), value));
        let (removed, kept) = ((b"b1".to_vec(), None), (b"b2".to_vec(), Some(&b"z"[..])));
        assert_eq!(told(b"b").collect::<Vec<_>>(), [removed.clone(), kept.clone()]);
        let all = [(b"a".to_vec(), Some(&b""[..])), removed, kept];
        assert_eq!(told(b"").collect::<Vec<_>>(), all);

        let whole = chunks(first.iter()).remove(0);
        for end in 1..whole.len() {
            // A cut between two entries cannot be seen here; the store's own checksum sees it.
            let cut = Recent::starting(0).add(Bytes::from(&whole[..end]));
            assert!(cut.is_err() || [9, 16].contains(&end), "cut at {end}");
        }
    }
}
