//! What is known of a record beside its body: whose it is and when its delivery was raised.
//!
//! Invariant: a version hashes the meaning, not the bytes, so that two renderings of the same
//! content (topics, API versions, export and webhook) are one version and not a change.

use std::sync::Arc;

use ionflux_schemas::event::{Envelope, Event};
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::{ShopKey, Version};
use ionflux_schemas::time::UtcMs;
use serde::Serialize;

use crate::reading::{Refusal, Setting};
use crate::shop::{self, WrongName};

/// One record's envelopes, or why it has none.
pub type Outcome = Result<Vec<Envelope>, Refusal>;

/// Why a record is refused that names no shop where nobody else does.
pub const NAMELESS: &str = "the record names no shop: give --shop";

/// The surroundings of one record.
pub struct Record<'a> {
    /// What the reader was told.
    pub setting: &'a Setting,
    /// Whose record it is.
    pub shop: Arc<ShopKey>,
    /// When the delivery was raised; 0 where nobody says.
    pub raised_at: UtcMs,
}

impl<'a> Record<'a> {
    /// A record of a named shop, or of the setting's.
    pub fn new(
        shop: Option<&str>,
        raised_at: UtcMs,
        setting: &'a Setting,
    ) -> Result<Self, Refusal> {
        let named = shop.map(str::trim).filter(|name| !name.is_empty());
        let told = setting.shop.as_deref();
        let name = named.or(told).ok_or_else(|| field(NAMELESS))?;
        let name = match shop::name(name) {
            // A number tells no shop, but whoever reads may know which one it is.
            Err(WrongName::Number(_)) => shop::first([name].into_iter().chain(shop::known(told))),
            read => read.map(Some),
        };
        let name = name.map_err(|wrong| field(wrong.to_string()))?.unwrap_or_default();
        let shop = Arc::new(ShopKey::new(setting.workspace.clone(), name));
        Ok(Self { setting, shop, raised_at })
    }

    /// The version of a meaning that last changed at an instant.
    pub fn version(&self, changed_at: UtcMs, meaning: &impl Serialize) -> Version {
        version(changed_at, self.raised_at, meaning)
    }

    /// An envelope of this record.
    pub fn envelope(&self, version: Version, event: Event) -> Envelope {
        Envelope { shop: Arc::clone(&self.shop), version, event }
    }
}

/// The version of a meaning with two stamps.
pub fn version(changed_at: UtcMs, raised_at: UtcMs, meaning: &impl Serialize) -> Version {
    // Our own types hold only names, numbers and lists, which always serialise; an empty hash
    // would still be a total order.
    let content = serde_json::to_vec(meaning).unwrap_or_default();
    Version::new(changed_at, raised_at, &content)
}

/// A refusal that says what the record was about, unless it already does.
pub fn about(subject: &str, refusal: Refusal) -> Refusal {
    if refusal.subject.is_empty() {
        Refusal { subject: subject.into(), ..refusal }
    } else {
        refusal
    }
}

/// A refusal of a missing or misshapen field.
pub fn field(reason: impl Into<Box<str>>) -> Refusal {
    Refusal::new(FaultKind::Field, "", reason)
}
