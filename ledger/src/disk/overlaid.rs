//! A scan of files with what recent dossiers know better.
//!
//! Invariant: each key is told once, in order, as it was written last; removed ones are not told.

use std::iter::Peekable;
use std::vec::IntoIter;

use super::recent::Entry;
use crate::entities::{Bytes, EntitiesError};

/// What a table holds with what is known since.
pub(super) struct Overlaid<'a, I: Iterator> {
    known: Peekable<IntoIter<Entry<'a>>>,
    held: Peekable<I>,
}

impl<'a, I: Iterator> Overlaid<'a, I> {
    /// Both in order of the keys, `known` with each key once.
    pub(super) fn new(known: Vec<Entry<'a>>, held: I) -> Self {
        Self { known: known.into_iter().peekable(), held: held.peekable() }
    }
}

impl<I: Iterator<Item = Result<(Bytes, Bytes), EntitiesError>>> Iterator for Overlaid<'_, I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        loop {
            let Some((key, _)) = self.known.peek() else { return self.held.next() };
            match self.held.peek() {
                Some(Err(_)) => return self.held.next(),
                Some(Ok((held, _))) if held < *key => return self.held.next(),
                Some(Ok((held, _))) if held == *key => drop(self.held.next()),
                _ => {}
            }
            if let Some((key, Some(value))) = self.known.next() {
                return Some(Ok((key.clone(), Bytes::from(value))));
            }
        }
    }
}
