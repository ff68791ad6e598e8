//! What the journal holds of a cluster behind the cursor: messages that were kept just before a
//! crash, and are not read again.
//!
//! Invariant: what is not known to be in the journal is read again; knowing less costs time only.

use std::collections::{BTreeMap, BTreeSet};

use ionflux_schemas::delivery::{Delivery, Entry, Position};

use super::delivery::{CLUSTER, OFFSET, PARTITION, SOURCE, TOPIC};
use super::progress::Partition;
use crate::journal::error::JournalError;
use crate::journal::reader::Reader;

/// How many messages are known at most; a cursor is kept every second.
const MESSAGES_MAX: usize = 1_000_000;

/// Offsets that are in the journal.
#[derive(Default, Debug)]
pub struct Tail(BTreeMap<Partition, BTreeSet<i64>>);

impl Tail {
    /// What a journal holds of a cluster, as far as it can be read.
    ///
    /// `read` gives a reader from a position on; `durable` is where the journal ends.
    pub fn of(
        cluster: &str,
        from: Position,
        durable: Position,
        read: impl Fn(Position) -> Reader,
    ) -> Self {
        let mut tail = Self::default();
        let (mut reader, mut messages) = (read(from), 0);
        while messages < MESSAGES_MAX {
            match reader.next(durable) {
                Ok(None) => break,
                Ok(Some(record)) => {
                    if let Entry::Delivery(delivery) = record.entry
                        && let Some((partition, offset)) = place(&delivery, cluster)
                    {
                        tail.0.entry(partition).or_default().insert(offset);
                        messages += 1;
                    }
                }
                // What was trimmed is counted, and is behind the cursor but for a moment's worth.
                Err(JournalError::Trimmed { first, .. }) if first > reader.position() => {
                    reader = read(first);
                }
                Err(error) => {
                    tracing::warn!(%error, "the journal's end is not known: messages come again");
                    break;
                }
            }
        }
        tail
    }

    /// Where to go on in a partition that would begin at an offset: behind everything that follows
    /// without a gap. A gap may be a message that was not kept.
    pub fn skip(&mut self, partition: &Partition, start: i64) -> i64 {
        let Some(offsets) = self.0.remove(partition) else { return start };
        let behind = offsets.range(start..).zip(start..).take_while(|(held, at)| *held == at);
        behind.last().map_or(start, |(_, last)| last + 1)
    }
}

fn place(delivery: &Delivery, cluster: &str) -> Option<(Partition, i64)> {
    let header = |name: &str| delivery.headers.get(name);
    if *delivery.source != *SOURCE || **header(CLUSTER)? != *cluster {
        return None;
    }
    let partition = (header(TOPIC)?.to_string(), header(PARTITION)?.parse().ok()?);
    Some((partition, header(OFFSET)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_follows_without_a_gap_is_skipped() {
        let at = |partition| ("t".to_owned(), partition);
        let tail = || {
            let offsets = BTreeSet::from([3, 5, 6, 7, 9]);
            Tail(BTreeMap::from([(at(0), offsets)]))
        };
        for (start, next) in [(0, 0), (3, 4), (4, 4), (5, 8), (6, 8), (9, 10), (10, 10)] {
            assert_eq!(tail().skip(&at(0), start), next, "{start}");
        }
        assert_eq!(tail().skip(&at(1), 5), 5);
    }
}
