//! What is known of a record beside its body, and the times and versions of all of them.
//!
//! Invariant: a version hashes the meaning, not the bytes, so that the same said by two answers
//! is one version and not a change.

use std::sync::Arc;

use ionflux_schemas::entity::Entity;
use ionflux_schemas::event::{Envelope, Event};
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::{Id, ShopKey, Version};
use ionflux_schemas::time::UtcMs;
use serde::Serialize;

use crate::reading::{Refusal, Setting};
use crate::shopify::record::field;
use crate::shopify::scalar::Scalar;

pub use crate::shopify::record::{Outcome, about};

/// The longest name a shop may have.
const SHOP_BYTES_MAX: usize = 255;
/// What is larger are milliseconds, whatever is documented.
const SECONDS_MAX: i64 = 100_000_000_000;
/// 2200-01-01; what lies behind is a broken clock.
const LATEST_MS: i64 = 7_258_118_400_000;

/// The surroundings of one record.
pub struct Record<'a> {
    /// What the reader was told.
    pub setting: &'a Setting,
    /// Whose record it is; the workspace's as a whole where the shop has no name.
    pub shop: Arc<ShopKey>,
}

impl<'a> Record<'a> {
    /// A record of a named shop, or of the setting's, or of the workspace as a whole.
    pub fn of(shop: Option<&str>, setting: &'a Setting) -> Result<Self, Refusal> {
        if shop.is_some_and(|name| name.len() > SHOP_BYTES_MAX) {
            return Err(field(format!("the shop's id has more than {SHOP_BYTES_MAX} bytes")));
        }
        Ok(Self { setting, shop: Arc::new(setting.shop_key(shop)) })
    }

    /// The same of a shop that must have a name.
    pub fn of_shop(setting: &'a Setting) -> Result<Self, Refusal> {
        let record = Self::of(None, setting)?;
        match record.shop.shop.is_empty() {
            true => Err(field("the answer does not say whose it is: give --shop")),
            false => Ok(record),
        }
    }

    /// An envelope whose version is of the meaning at two instants.
    pub fn envelope(
        &self,
        (changed_at, raised_at): (UtcMs, UtcMs),
        meaning: &impl Serialize,
        event: Event,
    ) -> Envelope {
        // Our own types hold only names, numbers and lists, which always serialise; an empty hash
        // would still be a total order.
        let content = serde_json::to_vec(meaning).unwrap_or_default();
        let version = Version::new(changed_at, raised_at, &content);
        Envelope { shop: Arc::clone(&self.shop), version, event }
    }

    /// The envelope of an entity.
    pub fn entity(&self, stamps: (UtcMs, UtcMs), entity: Entity) -> Envelope {
        let boxed = Box::new(entity);
        let event = Event::Entity(boxed.clone());
        self.envelope(stamps, &*boxed, event)
    }
}

/// An instant in seconds or milliseconds since 1970, as a number or digits in quotes; 0 is none.
pub fn instant(scalar: Scalar<'_>, what: &str) -> Result<Option<UtcMs>, Refusal> {
    let Some(text) = scalar.text() else { return Ok(None) };
    let wrong = || Refusal::new(FaultKind::Time, "", format!("{what} is no time in seconds"));
    let at: i64 = text.parse().map_err(|_| wrong())?;
    let at_ms = if at > SECONDS_MAX { at } else { at.saturating_mul(1_000) };
    match at_ms {
        0 => Ok(None),
        1..LATEST_MS => Ok(Some(UtcMs(at_ms))),
        _ => Err(wrong()),
    }
}

/// An id that must be there.
pub fn id(scalar: Scalar<'_>, what: &str) -> Result<Id, Refusal> {
    scalar.id(what)?.ok_or_else(|| field(format!("{what} has no id")))
}

/// A refusal of what no view counts.
pub fn unsupported(what: &str) -> Refusal {
    Refusal::new(FaultKind::Unsupported, "", format!("{what}: no view counts it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<i64>, ()> {
        let scalar: Scalar<'_> = serde_json::from_str(text).unwrap();
        instant(scalar, "it").map(|at| at.map(|at| at.0)).map_err(|_| ())
    }

    #[test]
    fn instants_are_seconds_or_milliseconds() {
        assert_eq!(read("1644412885"), Ok(Some(1_644_412_885_000)));
        assert_eq!(read("\"1644412885\""), Ok(Some(1_644_412_885_000)));
        assert_eq!(read("1752894700622"), Ok(Some(1_752_894_700_622)));
        assert_eq!(read("0"), Ok(None));
        assert_eq!(read("null"), Ok(None));
        for wrong in ["-1", "1.5", "\"soon\"", "9223372036854775807", "99999999999999999999"] {
            assert_eq!(read(wrong), Err(()), "{wrong}");
        }
    }
}
