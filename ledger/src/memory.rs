//! Entities in memory, for tests and for whoever wants no folder.

use std::collections::BTreeMap;

use crate::entities::{Entities, EntitiesError, Scan, Table, Write};

/// A sorted map; nothing survives it.
#[derive(Debug, Default)]
pub struct Memory {
    entries: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
}

impl Entities for Memory {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, EntitiesError> {
        Ok(self.entries.get(&(table, key.to_vec())).cloned())
    }

    fn scan<'a>(&'a self, table: Table, prefix: &[u8]) -> Scan<'a> {
        let prefix = prefix.to_vec();
        let from = self.entries.range((table, prefix.clone())..);
        let inside = from.take_while(move |((t, key), _)| *t == table && key.starts_with(&prefix));
        Box::new(inside.map(|((_, key), value)| Ok((key.clone(), value.clone()))))
    }

    fn commit(&mut self, writes: Vec<Write>) -> Result<(), EntitiesError> {
        self.entries.extend(writes.into_iter().map(|(table, key, value)| ((table, key), value)));
        Ok(())
    }
}
