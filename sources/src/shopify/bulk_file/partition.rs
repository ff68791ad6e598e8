//! Lines parted by a hash into temporary files that live in memory while they are small.
//!
//! Invariant: all entries of one key are in one part, in the order they were put.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use ionflux_schemas::key::content_hash;
use tempfile::SpooledTempFile;

/// How many parts a file is cut into: memory holds one of them.
pub const PARTS: usize = 128;

/// How much of a part stays in memory before it goes to disk.
const SPOOL_BYTES: usize = 64 << 10;

/// A line with the root it belongs to.
pub struct Entry {
    /// The global id of the root, or of the node above.
    pub root: String,
    /// Where the line stands in the file, from 1.
    pub line: u64,
    /// The line.
    pub text: String,
}

/// The parts of a file.
#[derive(Default)]
pub struct Parts {
    parts: Vec<Option<SpooledTempFile>>,
}

impl Parts {
    /// Puts an entry into the part of a key.
    pub fn put(&mut self, key: &str, root: &str, line: u64, text: &str) -> io::Result<()> {
        let part = (content_hash(key.as_bytes()) % PARTS as u128) as usize;
        self.parts.resize_with(PARTS, || None);
        let Some(slot) = self.parts.get_mut(part) else { return Ok(()) };
        let file = slot.get_or_insert_with(|| SpooledTempFile::new(SPOOL_BYTES));
        let mut record = Vec::with_capacity(text.len() + 64);
        record.extend_from_slice(&line.to_le_bytes());
        for field in [key, root, text] {
            record.extend_from_slice(&(field.len() as u64).to_le_bytes());
            record.extend_from_slice(field.as_bytes());
        }
        file.write_all(&record)
    }

    /// Gives every entry of a part with its key, and forgets the part.
    pub fn take(&mut self, part: usize, mut each: impl FnMut(String, Entry)) -> io::Result<()> {
        let Some(mut file) = self.parts.get_mut(part).and_then(Option::take) else {
            return Ok(());
        };
        file.seek(SeekFrom::Start(0))?;
        let mut reader = io::BufReader::new(file);
        let mut number = [0; 8];
        loop {
            match reader.read_exact(&mut number) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
            let line = u64::from_le_bytes(number);
            let key = field(&mut reader)?;
            let root = field(&mut reader)?;
            let text = field(&mut reader)?;
            each(key, Entry { root, line, text });
        }
    }
}

fn field(reader: &mut impl Read) -> io::Result<String> {
    let mut number = [0; 8];
    reader.read_exact(&mut number)?;
    let mut text = String::new();
    let length = u64::from_le_bytes(number);
    if reader.take(length).read_to_string(&mut text)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(text)
}

/// The lines of an export, put by their parents and given back by their roots.
#[derive(Default)]
pub struct Family {
    /// Every line, by its parent, or by itself for a root.
    lines: Parts,
    /// Which node is whose child, by the child: to find a grandchild's root.
    links: Parts,
}

impl Family {
    /// Puts a line that is a node of an id, of a parent, or both.
    pub fn put(
        &mut self,
        own: Option<String>,
        parent: Option<String>,
        line: u64,
        text: &str,
    ) -> io::Result<()> {
        if let (Some(own), Some(parent)) = (&own, &parent) {
            self.links.put(own, parent, line, "")?;
        }
        let root = parent.or(own).unwrap_or_default();
        self.lines.put(&root, &root, line, text)
    }

    /// Moves every line from its parent to its root: one more step up, as exports nest two deep.
    pub fn by_root(mut self) -> io::Result<Parts> {
        let mut roots = Parts::default();
        for part in 0..PARTS {
            let mut above = std::collections::HashMap::new();
            self.links.take(part, |key, entry: Entry| {
                above.insert(key, entry.root);
            })?;
            let mut lines = Vec::new();
            self.lines.take(part, |_, entry| lines.push(entry))?;
            for entry in lines {
                let root = above.get(&entry.root).unwrap_or(&entry.root);
                roots.put(root, root, entry.line, &entry.text)?;
            }
        }
        Ok(roots)
    }
}

/// The lines of one part by their roots, in the order the first of each stands in the file.
pub fn families(mut lines: Vec<Entry>) -> Vec<Vec<Entry>> {
    lines.sort_by_key(|entry| entry.line);
    let mut families: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in lines {
        families.entry(entry.root.clone()).or_default().push(entry);
    }
    let mut families: Vec<Vec<Entry>> = families.into_values().collect();
    families.sort_by_key(|family| family.first().map(|entry| entry.line));
    families
}
