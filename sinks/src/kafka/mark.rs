//! How far the topics are, as the marks topic holds it.
//!
//! Invariant: a mark counts only for topics written as these options write them: what another
//! format, another version or another choice of views or partitions left is due a snapshot.

use ionflux_schemas::key::content_hash;
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_schemas::view::View;
use serde::{Deserialize, Serialize};

use super::bounds::{Bounds, shrunk};
use super::config::{Envelope, Format, KafkaConfig};
use crate::error::SinkError;
use crate::sink::Mark;

/// What the value of the record says.
#[derive(Serialize, Deserialize)]
struct Written {
    /// Hexadecimal digits.
    state: String,
    epoch: u64,
    as_of_ms: i64,
    /// How the topics are written, as a hash.
    layout: String,
    /// Where their partitions began and ended before.
    bounds: Bounds,
}

/// How the topic of a view is written.
#[derive(Clone, Copy)]
pub(super) struct Laid<'a> {
    pub(super) view: &'a View,
    /// Of the schemas of keys and values.
    pub(super) ids: Option<[u32; 2]>,
    pub(super) partitions: i32,
}

/// How the topics are written, as a hash: the format, the envelope, the views with their versions,
/// the ids of their schemas and the number of partitions of each.
pub(super) fn layout<'a>(config: &KafkaConfig, topics: impl Iterator<Item = Laid<'a>>) -> String {
    let format = match config.format {
        Format::Json => "json",
        Format::Avro => "avro",
    };
    let envelope = match config.envelope {
        Envelope::Upsert => "upsert",
        Envelope::Debezium => "debezium",
    };
    let named = |Laid { view, ids, partitions }: Laid<'_>| match ids {
        Some([key, value]) => format!("{view:?}/{partitions}/{key}/{value}"),
        None => format!("{view:?}/{partitions}"),
    };
    let mut names: Vec<String> = topics.map(named).collect();
    names.sort();
    let text = format!("{format} {envelope} {}", names.join(" "));
    format!("{:032x}", content_hash(text.as_bytes()))
}

/// The value of the record.
pub(super) fn written(to: &Mark, layout: &str, bounds: &Bounds) -> Vec<u8> {
    let state = format!("{:032x}", to.state);
    let (epoch, as_of_ms) = (to.epoch.0, to.as_of.0);
    let (layout, bounds) = (layout.to_owned(), bounds.clone());
    let mark = Written { state, epoch, as_of_ms, layout, bounds };
    // Texts and numbers are always JSON.
    serde_json::to_vec(&mark).unwrap_or_default()
}

/// The mark of a record; `None` when the topics are written otherwise, or hold less than they did.
pub(super) fn read(value: &[u8], layout: &str, bounds: &Bounds) -> Result<Option<Mark>, SinkError> {
    let strange = || {
        SinkError::permanent(
            "Kafka: the marks topic holds something else under the name of the sink: choose \
             another topic_prefix",
        )
    };
    let mark: Written = serde_json::from_slice(value).map_err(|_| strange())?;
    let state = u128::from_str_radix(&mark.state, 16).map_err(|_| strange())?;
    let less = mark.layout == layout && shrunk(&mark.bounds, bounds);
    if less {
        tracing::warn!("a topic of the sink was made anew or lost records: it gets a snapshot");
    }
    Ok((mark.layout == layout && !less).then_some(Mark {
        state,
        epoch: Epoch(mark.epoch),
        as_of: UtcMs(mark.as_of_ms),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{COUNTS, SALES};

    #[test]
    fn a_mark_counts_for_its_layout_alone() {
        let json = KafkaConfig::default();
        let avro = KafkaConfig { format: Format::Avro, ..KafkaConfig::default() };
        let of = |config, views: &[(&'static View, i32)]| {
            let laid = |(view, partitions)| Laid { view, ids: None, partitions };
            layout(config, views.iter().copied().map(laid))
        };
        let ours = of(&json, &[(&SALES, 6), (&COUNTS, 6)]);
        assert_eq!(ours, of(&json, &[(&COUNTS, 6), (&SALES, 6)]));
        assert_ne!(ours, of(&avro, &[(&SALES, 6), (&COUNTS, 6)]));
        assert_ne!(ours, of(&json, &[(&SALES, 6), (&COUNTS, 7)]));
        assert_ne!(ours, of(&json, &[(&SALES, 6)]));
        let laid = |ids| Laid { view: &SALES, ids: Some(ids), partitions: 6 };
        let registered = |ids| layout(&avro, [laid(ids)].into_iter());
        assert_eq!(registered([1, 2]), registered([1, 2]));
        assert_ne!(registered([1, 2]), registered([3, 2]));
        assert_ne!(registered([1, 2]), registered([1, 3]));
        let mark = Mark { state: u128::MAX - 1, epoch: Epoch(9), as_of: UtcMs(5) };
        let bounds = vec![vec![(0, 7)]];
        let value = written(&mark, &ours, &bounds);
        assert_eq!(read(&value, &ours, &bounds).unwrap(), Some(mark));
        assert_eq!(read(&value, "other", &bounds).unwrap(), None);
        assert_eq!(read(&value, &ours, &vec![vec![(0, 6)]]).unwrap(), None);
        assert!(!read(b"{}", &ours, &bounds).unwrap_err().passing());
    }
}
