//! How far the topics are, as the marks topic holds it.
//!
//! Invariant: a mark counts only for topics written as these options write them: what another
//! format, another version or another choice of views or partitions left is due a snapshot.

use ionflux_schemas::key::content_hash;
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_schemas::view::View;
use serde::{Deserialize, Serialize};

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
}

/// How the topics are written, as a hash: the format, the envelope, the views with their versions
/// and the number of partitions of each.
pub(super) fn layout<'a>(
    config: &KafkaConfig,
    views: impl Iterator<Item = (&'a View, i32)>,
) -> String {
    let format = match config.format {
        Format::Json => "json",
        Format::Avro => "avro",
    };
    let envelope = match config.envelope {
        Envelope::Upsert => "upsert",
        Envelope::Debezium => "debezium",
    };
    let named = |(view, partitions)| format!("{view:?}/{partitions}");
    let mut names: Vec<String> = views.map(named).collect();
    names.sort();
    let text = format!("{format} {envelope} {}", names.join(" "));
    format!("{:032x}", content_hash(text.as_bytes()))
}

/// The value of the record.
pub(super) fn written(to: &Mark, layout: &str) -> Vec<u8> {
    let state = format!("{:032x}", to.state);
    let mark =
        Written { state, epoch: to.epoch.0, as_of_ms: to.as_of.0, layout: layout.to_owned() };
    // Texts and numbers are always JSON.
    serde_json::to_vec(&mark).unwrap_or_default()
}

/// The mark of a record; `None` when the topics are written otherwise.
pub(super) fn read(value: &[u8], layout: &str) -> Result<Option<Mark>, SinkError> {
    let strange = || {
        SinkError::permanent(
            "Kafka: the marks topic holds something else under the name of the sink: choose \
             another topic_prefix",
        )
    };
    let mark: Written = serde_json::from_slice(value).map_err(|_| strange())?;
    let state = u128::from_str_radix(&mark.state, 16).map_err(|_| strange())?;
    Ok((mark.layout == layout).then_some(Mark {
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
        let of = |config, views: &[(&'static View, i32)]| layout(config, views.iter().copied());
        let ours = of(&json, &[(&SALES, 6), (&COUNTS, 6)]);
        assert_eq!(ours, of(&json, &[(&COUNTS, 6), (&SALES, 6)]));
        assert_ne!(ours, of(&avro, &[(&SALES, 6), (&COUNTS, 6)]));
        assert_ne!(ours, of(&json, &[(&SALES, 6), (&COUNTS, 7)]));
        assert_ne!(ours, of(&json, &[(&SALES, 6)]));
        let mark = Mark { state: u128::MAX - 1, epoch: Epoch(9), as_of: UtcMs(5) };
        let value = written(&mark, &ours);
        assert_eq!(read(&value, &ours).unwrap(), Some(mark));
        assert_eq!(read(&value, "other").unwrap(), None);
        assert!(!read(b"{}", &ours).unwrap_err().passing());
    }
}
