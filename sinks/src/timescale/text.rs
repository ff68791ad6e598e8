//! Text as PostgreSQL can hold it.
//!
//! Invariant: two texts that differ stay different. U+0000, which no text of PostgreSQL can hold,
//! becomes U+2400 and `0`, and U+2400 itself becomes two of them, so that all of it reads back.
//! Only a text of a key that no index could hold is cut: its head, U+2400, `~` and its SHA-256.

use std::borrow::Cow;
use std::fmt::Write;

use sha2::{Digest, Sha256};

const MARK: char = '\u{2400}';
/// What follows the head of a text that was cut: the mark, `~` and 64 hexadecimal digits.
const TAIL_BYTES: usize = 3 + 1 + 64;

/// A text with what cannot be held written otherwise.
pub(super) fn stored(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', MARK]) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    text.chars().for_each(|letter| push(&mut out, letter));
    Cow::Owned(out)
}

fn push(out: &mut String, letter: char) {
    match letter {
        '\0' => out.extend([MARK, '0']),
        MARK => out.extend([MARK, MARK]),
        plain => out.push(plain),
    }
}

/// The same for a column of a key, in so many bytes.
pub(super) fn stored_in_key(text: &str, bytes_max: usize) -> Cow<'_, str> {
    let whole = stored(text);
    if whole.len() <= bytes_max {
        return whole;
    }
    let mut out = String::with_capacity(bytes_max);
    for letter in text.chars() {
        let before = out.len();
        push(&mut out, letter);
        if out.len() + TAIL_BYTES > bytes_max {
            out.truncate(before);
            break;
        }
    }
    out.extend([MARK, '~']);
    out.push_str(&digest(text));
    Cow::Owned(out)
}

/// The text that was stored; `None` where it was cut.
#[must_use]
pub fn read_back(held: &str) -> Option<String> {
    let mut out = String::with_capacity(held.len());
    let mut letters = held.chars();
    while let Some(letter) = letters.next() {
        match letter {
            MARK => match letters.next()? {
                '0' => out.push('\0'),
                MARK => out.push(MARK),
                _ => return None,
            },
            plain => out.push(plain),
        }
    }
    Some(out)
}

/// The SHA-256 of a text in hexadecimal digits.
pub(super) fn digest(text: &str) -> String {
    let mut shown = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a string cannot fail.
        let _ = write!(shown, "{byte:02x}");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_cannot_be_held_is_written_otherwise() {
        assert_eq!(stored("plain"), "plain");
        assert_eq!(stored("a\0b"), "a\u{2400}0b");
        assert_eq!(stored("a\u{2400}0b"), "a\u{2400}\u{2400}0b");
        let long = "x".repeat(700);
        let cut = stored_in_key(&long, 600);
        assert_eq!(cut.len(), 600);
        assert!(cut.starts_with("xxx") && cut.contains("\u{2400}~"), "{cut}");
        assert_eq!(read_back(&cut), None);
    }

    proptest! {
        #[test]
        fn text_reads_back_and_keys_stay_apart(
            a in "[ab\u{0}\u{2400}0~é]{0,40}",
            b in "[ab\u{0}\u{2400}0~é]{0,40}",
        ) {
            prop_assert!(!stored(&a).contains('\0'));
            prop_assert_eq!(read_back(&stored(&a)), Some(a.clone()));
            let (key_a, key_b) = (stored_in_key(&a, 80), stored_in_key(&b, 80));
            prop_assert!(key_a.len() <= 80 && !key_a.contains('\0'));
            prop_assert_eq!(key_a == key_b, a == b);
        }
    }
}
