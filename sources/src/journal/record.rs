//! One record in a segment: a frame of numbers with two checksums, then an entry in postcard.
//!
//! ```text
//! length u32 | since durable u32 | format u8 | xxh3 of the payload u64 | xxh3 of all before u64
//! ```
//!
//! Both checksums are seeded with the position and with the segment's salt, so that a copy of a
//! record inside a body, or bytes left from an older file, never pass for a record. `since durable`
//! says how far before the record lay what was durable when it was written: it is how a record
//! bears witness for what came before it.
//!
//! Invariant: a record that does not say exactly what was written never yields an entry.

use std::collections::BTreeMap;

use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::key::Id;
use ionflux_schemas::time::UtcMs;
use serde::{Deserialize, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::error::JournalError;

/// How long the frame before a payload is.
pub(super) const FRAME_BYTES: usize = 25;
/// Bytes of the frame that its own checksum covers.
const SUMMED_BYTES: usize = 17;
/// How long the payload of one record may be: the largest document there may be, 32 MiB, and its
/// headers. What an allocation for a record is bounded by.
pub const RECORD_BYTES_MAX: usize = 33 << 20;
/// An entry in postcard, first edition.
const FORMAT: u8 = 1;

/// What a valid frame says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    /// Bytes of the payload.
    pub(super) length: usize,
    /// What was durable when the record was written.
    pub(super) durable: Position,
    format: u8,
    payload_sum: u64,
}

/// Why a payload is no entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unread {
    /// The bytes are not what was written.
    Corrupt(&'static str),
    /// A form this release does not know.
    UnknownFormat(u16),
}

/// The same on the wire as [`Entry`], with the body as one piece in place of byte by byte.
#[derive(Serialize, Deserialize)]
enum Wire<'a> {
    #[serde(borrow)]
    Delivery(WireDelivery<'a>),
    Tick(UtcMs),
}

#[derive(Serialize, Deserialize)]
struct WireDelivery<'a> {
    source: &'a str,
    workspace: &'a str,
    received_at: UtcMs,
    headers: BTreeMap<&'a str, &'a str>,
    #[serde(serialize_with = "as_bytes")]
    body: &'a [u8],
}

fn as_bytes<S: Serializer>(body: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(body)
}

impl<'a> Wire<'a> {
    fn of(entry: &'a Entry) -> Self {
        match entry {
            Entry::Tick(at) => Self::Tick(*at),
            Entry::Delivery(delivery) => Self::Delivery(WireDelivery {
                source: &delivery.source,
                workspace: &delivery.workspace,
                received_at: delivery.received_at,
                headers: delivery.headers.iter().map(|(name, text)| (&**name, &**text)).collect(),
                body: &delivery.body,
            }),
        }
    }

    fn owned(self) -> Entry {
        match self {
            Self::Tick(at) => Entry::Tick(at),
            Self::Delivery(wire) => Entry::Delivery(Delivery {
                source: wire.source.into(),
                workspace: wire.workspace.into(),
                received_at: wire.received_at,
                headers: wire
                    .headers
                    .into_iter()
                    .map(|(name, text)| (Id::from(name), Id::from(text)))
                    .collect(),
                body: wire.body.into(),
            }),
        }
    }
}

/// Where a record is to stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) at: Position,
    pub(super) durable: Position,
    pub(super) salt: u64,
}

/// Adds one record to the bytes of a group. On an error the bytes are as before.
pub(super) fn encode(place: Place, entry: &Entry, out: &mut Vec<u8>) -> Result<(), JournalError> {
    let start = out.len();
    out.resize(start + FRAME_BYTES, 0);
    let too_large = |bytes: usize| JournalError::TooLarge {
        bytes: bytes as u64,
        max_bytes: RECORD_BYTES_MAX as u64,
    };
    // Writing to memory cannot fail, nor can our own types refuse to be written.
    let written = postcard::to_io(&Wire::of(entry), &mut *out).is_ok();
    let length = out.len() - start - FRAME_BYTES;
    let since = u32::try_from(place.at.0 - place.durable.0);
    let (true, true, Ok(since)) = (written, length <= RECORD_BYTES_MAX, since) else {
        out.truncate(start);
        return Err(too_large(length));
    };
    let seed = place.salt ^ place.at.0;
    let payload_sum = xxh3_64_with_seed(&out[start + FRAME_BYTES..], seed);
    let frame = &mut out[start..start + FRAME_BYTES];
    // The limit above is far below 4 GiB.
    frame[..4].copy_from_slice(&(length as u32).to_le_bytes());
    frame[4..8].copy_from_slice(&since.to_le_bytes());
    frame[8] = FORMAT;
    frame[9..17].copy_from_slice(&payload_sum.to_le_bytes());
    let frame_sum = xxh3_64_with_seed(&frame[..SUMMED_BYTES], seed);
    frame[17..].copy_from_slice(&frame_sum.to_le_bytes());
    Ok(())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// Reads the frame at the start of the bytes; none if there is no valid one, whatever they are.
pub(super) fn frame(at: Position, salt: u64, bytes: &[u8]) -> Option<Frame> {
    let bytes = bytes.get(..FRAME_BYTES)?;
    let length = u32_at(bytes, 0) as usize;
    if length == 0 || length > RECORD_BYTES_MAX {
        return None;
    }
    if xxh3_64_with_seed(&bytes[..SUMMED_BYTES], salt ^ at.0) != u64_at(bytes, 17) {
        return None;
    }
    let durable = Position(at.0.checked_sub(u64::from(u32_at(bytes, 4)))?);
    Some(Frame { length, durable, format: bytes[8], payload_sum: u64_at(bytes, 9) })
}

/// Reads the entry behind a frame.
pub(super) fn entry(seed: u64, frame: Frame, payload: &[u8]) -> Result<Entry, Unread> {
    if xxh3_64_with_seed(payload, seed) != frame.payload_sum {
        return Err(Unread::Corrupt("the record does not match its checksum"));
    }
    if frame.format != FORMAT {
        return Err(Unread::UnknownFormat(frame.format.into()));
    }
    match postcard::take_from_bytes::<Wire<'_>>(payload) {
        Ok((wire, [])) => Ok(wire.owned()),
        _ => Err(Unread::Corrupt("the record is whole but cannot be read")),
    }
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, Delivery, Entry, FRAME_BYTES, Place, Position, UtcMs, Wire};

    fn delivery() -> Entry {
        Entry::Delivery(Delivery {
            source: "shopify-webhooks".into(),
            workspace: "acme".into(),
            received_at: UtcMs(-5),
            headers: BTreeMap::from([("topic".into(), "orders/create".into())]),
            body: (0..=255).collect(),
        })
    }

    #[test]
    fn the_wire_is_that_of_the_entry() {
        for entry in [delivery(), Entry::Tick(UtcMs(1_700_000_000_000))] {
            let wire = postcard::to_stdvec(&Wire::of(&entry)).unwrap();
            assert_eq!(wire, postcard::to_stdvec(&entry).unwrap());
            assert_eq!(postcard::from_bytes::<Entry>(&wire).unwrap(), entry);
        }
    }

    #[test]
    fn a_record_is_read_at_its_own_place_only() {
        let place = Place { at: Position(700), durable: Position(600), salt: 3 };
        let mut bytes = Vec::new();
        super::encode(place, &delivery(), &mut bytes).unwrap();
        let frame = super::frame(Position(700), 3, &bytes).unwrap();
        assert_eq!(frame.durable, Position(600));
        assert_eq!(frame.length, bytes.len() - FRAME_BYTES);
        assert_eq!(super::entry(3 ^ 700, frame, &bytes[FRAME_BYTES..]).unwrap(), delivery());
        assert_eq!(super::frame(Position(701), 3, &bytes), None);
        assert_eq!(super::frame(Position(700), 4, &bytes), None);
        assert_eq!(super::frame(Position(700), 3, &[0; 64]), None);
    }
}
