//! What the topic of a view holds while a snapshot replaces it.
//!
//! Invariant: a row is written again only where it differs, and a key stays only where the snapshot
//! has it, on the partition it belongs to.

use std::collections::{BTreeMap, HashMap};

use ionflux_schemas::key::content_hash;
use rdkafka::message::Message;

use super::encode::Encoder;
use super::reader::Reader;
use crate::error::SinkError;

/// The keys of one topic, by partition.
pub(super) struct Held(Vec<HashMap<Box<[u8]>, Found>>);

/// What stands under a key.
struct Found {
    /// Of the row.
    hash: u128,
    /// Whether the snapshot has the key.
    stays: bool,
}

impl Held {
    /// Reads the topics of some views, each with so many partitions.
    pub(super) fn read(
        reader: &Reader,
        encoders: &[Encoder],
        partitions: &[i32],
    ) -> Result<Vec<Self>, SinkError> {
        let places: BTreeMap<&str, usize> =
            encoders.iter().enumerate().map(|(at, e)| (e.topic.as_str(), at)).collect();
        let empty = |count: &i32| Self((0..*count).map(|_| HashMap::new()).collect());
        let mut held: Vec<Self> = partitions.iter().take(encoders.len()).map(empty).collect();
        let topics = encoders.iter().map(|e| e.topic.as_str()).zip(partitions.iter().copied());
        reader.all(topics, |message| {
            let (Some(at), Some(key)) = (places.get(message.topic()), message.key()) else {
                return;
            };
            let Some(found) = held[*at].partition(message.partition()) else { return };
            match message.payload() {
                // A row that is not as it would be written has no hash of any row.
                Some(value) => {
                    let row = encoders[*at].row_of(value);
                    let hash = row.map_or(0, |row| content_hash(&row));
                    found.insert(key.into(), Found { hash, stays: false });
                }
                None => {
                    found.remove(key);
                }
            }
        })?;
        Ok(held)
    }

    fn partition(&mut self, partition: i32) -> Option<&mut HashMap<Box<[u8]>, Found>> {
        self.0.get_mut(usize::try_from(partition).ok()?)
    }

    /// Whether a row stands under its key already; the key stays.
    pub(super) fn has(&mut self, partition: i32, key: &[u8], row: &[u8]) -> bool {
        let found = self.partition(partition).and_then(|found| found.get_mut(key));
        found.is_some_and(|found| {
            found.stays = true;
            found.hash == content_hash(row)
        })
    }

    /// The keys that the snapshot does not have, with their partitions, in order.
    pub(super) fn left(&self) -> Vec<(i32, &[u8])> {
        let mut left: Vec<(i32, &[u8])> = Vec::new();
        for (partition, found) in (0..).zip(&self.0) {
            let gone = found.iter().filter(|(_, found)| !found.stays);
            left.extend(gone.map(|(key, _)| (partition, &**key)));
        }
        left.sort_unstable();
        left
    }
}
