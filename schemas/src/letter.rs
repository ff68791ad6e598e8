//! Dead letters: the raw bytes of a record that could not be counted, and all that is needed to
//! read it again.
//!
//! Invariant: a letter says everything its reader was told, so that reading it again years later,
//! by a better reader, needs nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::delivery::Position;
use crate::fault::Place;
use crate::key::{Id, content_hash};
use crate::time::UtcMs;

/// The raw bytes of one record with faults.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Letter {
    /// What reads it: a file format or the source of a delivery, such as `shopify-webhooks`.
    pub format: Id,
    /// Where it was found: a file and a line of it, or the source of a delivery.
    pub place: Place,
    /// Where the journal has it, if it came through the journal.
    pub position: Option<Position>,
    /// When it came by our clock, if that is known.
    pub received_at: Option<UtcMs>,
    /// What its reader was told, by name: `workspace`, `shop`, `currency`, `zone`, `mapping`,
    /// `columns`, `header.shopify-topic`, ...
    pub context: BTreeMap<Id, Box<str>>,
    /// The record as it came.
    pub bytes: Box<[u8]>,
}

impl Letter {
    /// A name for the letter that is the same on every machine: a hash of its bytes, its place, its
    /// reader and what that was told. When it came is no part of it, nor where the journal has it,
    /// nor which reading of its file found it, so that what comes twice is one letter.
    #[must_use]
    pub fn id(&self) -> u128 {
        let mut text = Vec::with_capacity(self.bytes.len() + 256);
        let mut push = |part: &[u8]| {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part);
        };
        push(self.format.as_bytes());
        push(self.place.to_string().as_bytes());
        for (name, value) in self.context.iter().filter(|(name, _)| &***name != "reading") {
            push(name.as_bytes());
            push(value.as_bytes());
        }
        push(&self.bytes);
        content_hash(&text)
    }
}

/// The shortest word that is looked for in prose; a shorter one, such as `id`, is in all of it.
const WORD_BYTES_MIN: usize = 5;

/// Whether bytes hold a word, in any case and not as a part of a longer one; a short one only as a
/// whole value of JSON, or a whole field of a row.
#[must_use]
pub fn holds(bytes: &[u8], word: &str) -> bool {
    let word = word.as_bytes();
    let Some(first) = word.first() else { return false };
    let part = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let short = word.len() < WORD_BYTES_MIN;
    let starts = bytes.iter().enumerate().filter(|(_, byte)| byte.eq_ignore_ascii_case(first));
    starts.map(|(at, _)| at).any(|at| {
        let end = at + word.len();
        bytes.get(at..end).is_some_and(|found| found.eq_ignore_ascii_case(word))
            && !part(at.checked_sub(1).and_then(|before| bytes.get(before)))
            && !part(bytes.get(end))
            && (!short || valued(&bytes[..at], &bytes[end..]))
    })
}

/// Whether a value is what stands between some bytes and others.
fn valued(before: &[u8], behind: &[u8]) -> bool {
    // Quoted, with escapes where the document is a text inside another; or not.
    let quotes: [&[u8]; 3] = [b"\\\"", b"\"", b""];
    let inside = |quote: &&[u8]| Some((before.strip_suffix(*quote)?, behind.strip_prefix(*quote)?));
    let Some((before, behind)) = quotes.iter().find_map(inside) else { return false };
    let (before, behind) = (before.trim_ascii_end().last(), behind.trim_ascii_start().first());
    // A name has its value behind it.
    matches!(before, None | Some(b':' | b',' | b'['))
        && matches!(behind, None | Some(b',' | b']' | b'}'))
}

#[cfg(test)]
mod tests {
    use super::holds;

    #[test]
    fn a_word_is_found_whole_and_in_any_case() {
        let bytes = br#"{"id":77,"e":"Ann@X.example", oops 123-4"#;
        for (word, found) in [
            ("77", true),
            ("7", false),
            ("ann@x.example", true),
            ("nn@x.example", false),
            ("123-4", true),
            ("", false),
            ("oops 123-45", false),
            ("id", false),
            ("oops", false),
            ("\"", false),
        ] {
            assert_eq!(holds(bytes, word), found, "{word}");
        }
    }
}
