//! One message as a delivery: its place in the headers, its schema beside it, its bytes as they
//! are.
//!
//! Invariant: every message with a payload becomes a delivery, now or when the registry is back.

use std::collections::BTreeMap;
use std::sync::Arc;

use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::key::Id;
use rdkafka::message::{BorrowedMessage, Message as _};

use super::again::{header_of, unknown};
use super::delivery::{CLUSTER, KEY, OFFSET, PARTITION, SHOP, SOURCE, TOPIC, TROUBLE, plain};
use super::metrics::KafkaMetrics;
use super::progress::Partition;
use super::topics::{Pattern, workspace_of};
use crate::clock::Clock;
use crate::registry::wire::{Content, content};
use crate::registry::{Registry, RegistryError};

/// The largest message that is carried whole, and what is kept of a larger one.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;
const CUT_BYTES: usize = 64 << 10;
/// The longest key that is kept.
const KEY_BYTES_MAX: usize = 512;

/// A message as it came.
pub struct Message {
    /// Where it stands in its partition.
    pub offset: i64,
    key: Option<Id>,
    /// The bytes, and how many there were; none of a tombstone.
    payload: Option<(Box<[u8]>, usize)>,
}

impl Message {
    /// What is needed of a message, out of the client's memory.
    pub fn taken(message: &BorrowedMessage<'_>) -> Self {
        let payload = message.payload().map(|bytes| {
            let kept = if bytes.len() > MESSAGE_BYTES_MAX { &bytes[..CUT_BYTES] } else { bytes };
            (Box::from(kept), bytes.len())
        });
        let key = message.key().filter(|key| key.len() <= KEY_BYTES_MAX);
        let key = key.and_then(|key| std::str::from_utf8(key).ok()).map(Id::from);
        Self { offset: message.offset(), key, payload }
    }
}

/// What is known of names.
pub struct Names {
    /// What topics are called.
    pub patterns: Vec<Pattern>,
    /// The shop of each workspace that has one only.
    pub shops: BTreeMap<String, String>,
}

/// Makes deliveries.
pub struct Framer {
    cluster: Id,
    names: Names,
    registry: Option<Registry>,
    /// Why the registry is not asked any more in this round.
    away: Option<String>,
    clock: Arc<dyn Clock>,
    metrics: KafkaMetrics,
}

impl Framer {
    /// Deliveries by the names of topics and the schemas of a registry.
    pub fn new(
        names: Names,
        registry: Option<Registry>,
        clock: Arc<dyn Clock>,
        metrics: KafkaMetrics,
    ) -> Self {
        Self { cluster: "".into(), names, registry, away: None, clock, metrics }
    }

    /// Says which cluster this is.
    pub fn joined(&mut self, cluster: &str) {
        self.cluster = cluster.into();
    }

    /// Begins a round: a registry that was away may be back.
    pub fn begin(&mut self) {
        self.away = None;
    }

    /// A message as a delivery; none if it says nothing. Fails while the registry is away.
    pub fn delivery(
        &mut self,
        (topic, number): &Partition,
        message: Message,
    ) -> Result<Option<Delivery>, String> {
        let Some((body, whole)) = message.payload else {
            self.metrics.tombstones.with_label_values(&[topic]).inc();
            return Ok(None);
        };
        let mut headers: BTreeMap<Id, Id> = BTreeMap::from([
            (CLUSTER.into(), self.cluster.clone()),
            (TOPIC.into(), topic.as_str().into()),
            (PARTITION.into(), number.to_string().into()),
            (OFFSET.into(), message.offset.to_string().into()),
        ]);
        headers.extend(message.key.map(|key| (KEY.into(), key)));
        let mut trouble = None;
        if whole > body.len() {
            trouble = Some(format!(
                "a message of {whole} bytes, more than the {MESSAGE_BYTES_MAX} that may be"
            ));
        } else if let Content::Framed { id, .. } = content(&body) {
            match self.schema(id)? {
                Ok((name, text)) => {
                    headers.insert(name, text);
                }
                Err(unknown) => trouble = Some(unknown),
            }
        }
        if let Some(trouble) = trouble {
            self.metrics.dead_letters.with_label_values(&[topic]).inc();
            headers.insert(TROUBLE.into(), trouble.into());
        }
        let workspace = workspace_of(&self.names.patterns, topic).unwrap_or_default().into();
        let received_at = self.clock.now();
        let source = SOURCE.into();
        let mut delivery = plain(Delivery { source, workspace, received_at, headers, body });
        if let Some(shop) = self.names.shops.get(&*delivery.workspace) {
            delivery.headers.insert(SHOP.into(), shop.as_str().into());
        }
        Ok(Some(delivery))
    }

    /// The header that says the schema of an id; or why there never will be one.
    fn schema(&mut self, id: u32) -> Result<Result<(Id, Id), String>, String> {
        let Some(registry) = &mut self.registry else {
            let trouble = "there is no schema registry in the configuration";
            return Ok(Err(unknown(id, &trouble)));
        };
        if let Some(reason) = &self.away {
            return Err(reason.clone());
        }
        match registry.schema(id) {
            Ok(found) => Ok(Ok(header_of(&found))),
            Err(away @ RegistryError::Transient(_)) => {
                self.away = Some(away.to_string());
                Err(away.to_string())
            }
            Err(lasting) => Ok(Err(unknown(id, &lasting))),
        }
    }
}
