//! How far every partition was read: one cursor for a group on a cluster.
//!
//! Invariant: an offset is here only when everything before it is in the journal, or was when
//! another journal of the group had the partition.

use std::collections::BTreeMap;

use ionflux_schemas::delivery::Position;
use serde::{Deserialize, Serialize};

/// A partition of a topic.
pub type Partition = (String, i32);

/// How far one journal has read the partitions of a group.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Whose journal it is: goes with what is committed, to tell our own commits from others'.
    pub owner: String,
    /// Where the journal ended when this was so; what stands behind may be further.
    pub journal: Position,
    /// The next offset of each partition.
    next: BTreeMap<Partition, i64>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    owner: String,
    journal: Position,
    next: BTreeMap<String, BTreeMap<i32, i64>>,
}

impl Progress {
    /// Nothing was read yet by a journal.
    #[must_use]
    pub fn new(owner: String, journal: Position) -> Self {
        Self { owner, journal, next: BTreeMap::new() }
    }

    /// What a cursor says.
    ///
    /// # Errors
    /// When it is no cursor of ours.
    pub fn parse(cursor: &str) -> Result<Self, String> {
        let kept: Kept = serde_json::from_str(cursor)
            .map_err(|error| format!("the cursor is not readable: {error}"))?;
        let mut next = BTreeMap::new();
        for (topic, partitions) in kept.next {
            next.extend(partitions.into_iter().map(|(at, offset)| ((topic.clone(), at), offset)));
        }
        Ok(Self { owner: kept.owner, journal: kept.journal, next })
    }

    /// The cursor that says it.
    #[must_use]
    pub fn cursor(&self) -> String {
        let mut next: BTreeMap<String, BTreeMap<i32, i64>> = BTreeMap::new();
        for ((topic, partition), offset) in &self.next {
            next.entry(topic.clone()).or_default().insert(*partition, *offset);
        }
        let kept = Kept { owner: self.owner.clone(), journal: self.journal, next };
        // Names and numbers always serialise.
        serde_json::to_string(&kept).unwrap_or_default()
    }

    /// The next offset of a partition.
    #[must_use]
    pub fn next(&self, partition: &Partition) -> Option<i64> {
        self.next.get(partition).copied()
    }

    /// Everything of a partition before an offset is in the journal.
    pub fn reached(&mut self, partition: Partition, next: i64) {
        self.next.insert(partition, next);
    }

    /// Where to go on in a partition, given what the group committed last and who did; `None` is
    /// where the partition begins.
    ///
    /// Our own commit says less than our cursor, also when the journal was put back to an older
    /// state: the cursor went back with it. Another's says that the partition was read there.
    #[must_use]
    pub fn start(&self, partition: &Partition, committed: Option<(i64, &str)>) -> Option<i64> {
        match (self.next(partition), committed) {
            (Some(own), Some((offset, owner))) if owner != self.owner => Some(own.max(offset)),
            (Some(own), _) => Some(own),
            (None, committed) => committed.map(|(offset, _)| offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32) -> Partition {
        ("a.b".into(), partition)
    }

    #[test]
    fn a_cursor_is_read_back() {
        let mut progress = Progress::new("me".into(), Position(3));
        progress.reached(at(0), 7);
        progress.reached(at(11), 0);
        progress.reached(("c".into(), 1), i64::MAX);
        assert_eq!(Progress::parse(&progress.cursor()), Ok(progress));
        assert!(Progress::parse("7").is_err());
    }

    #[test]
    fn a_partition_goes_on_where_it_was_read_to() {
        let mut progress = Progress::new("me".into(), Position(3));
        progress.reached(at(0), 7);
        // The journal is put back: what was committed then is not in it.
        assert_eq!(progress.start(&at(0), Some((9, "me"))), Some(7));
        // Stopped between cursor and commit.
        assert_eq!(progress.start(&at(0), Some((5, "me"))), Some(7));
        // Another had it meanwhile, or before.
        assert_eq!(progress.start(&at(0), Some((9, "you"))), Some(9));
        assert_eq!(progress.start(&at(0), Some((5, "you"))), Some(7));
        assert_eq!(progress.start(&at(0), None), Some(7));
        assert_eq!(progress.start(&at(1), Some((5, "you"))), Some(5));
        assert_eq!(progress.start(&at(1), None), None);
    }
}
