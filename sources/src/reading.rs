//! Reading: the shape every decoder has, from a record to envelopes or a refusal.
//!
//! Invariant: a decoder is pure; the same bytes and setting give the same answer years later.

use ionflux_schemas::currency::Currency;
use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::event::Envelope;
use ionflux_schemas::fault::{Fault, FaultKind, Place};
use ionflux_schemas::key::{Id, ShopKey};
use ionflux_schemas::letter::Letter;
use ionflux_schemas::time::Zone;

use crate::shop;

/// What a reader knows beside the bytes: whose they are, and what they leave unsaid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// The tenant every record belongs to.
    pub workspace: Id,
    /// The shop of records that name none.
    pub shop: Option<Id>,
    /// The currency of amounts that name none.
    pub currency: Option<Currency>,
    /// The zone of civil times without an offset.
    pub zone: Zone,
    /// Which reading of which file this is; a new number for each.
    pub reading: u64,
}

impl Setting {
    /// What a reader knows whom nobody tells anything.
    pub(crate) fn nothing() -> Self {
        Self { workspace: "".into(), shop: None, currency: None, zone: Zone::UTC, reading: 0 }
    }

    /// What a delivery alone tells its reader.
    pub(crate) fn of_delivery(delivery: &Delivery) -> Self {
        Self { workspace: delivery.workspace.clone(), ..Self::nothing() }
    }

    /// A shop that a record names, or the setting's; without either it has no name.
    pub(crate) fn shop_key(&self, shop: Option<&str>) -> ShopKey {
        let shop = shop.or(self.shop.as_deref()).unwrap_or_default();
        ShopKey::new(self.workspace.clone(), shop::folded(shop))
    }
}

/// Why one record was refused; its place is added by whoever knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// What is wrong.
    pub kind: FaultKind,
    /// What the record was about, such as `order 1001`; may be empty.
    pub subject: Box<str>,
    /// What exactly was wrong, in words, without the body.
    pub reason: Box<str>,
}

impl Refusal {
    /// A refusal of a kind about a subject, for a reason.
    pub fn new(kind: FaultKind, subject: impl Into<Box<str>>, reason: impl Into<Box<str>>) -> Self {
        Self { kind, subject: subject.into(), reason: reason.into() }
    }

    /// The fault this refusal is at a place of a shop.
    #[must_use]
    pub fn at(self, shop: ShopKey, place: Place) -> Fault {
        let Self { kind, subject, reason } = self;
        Fault { shop, kind, place, subject, reason }
    }
}

/// What one record said: any number of envelopes, or faults, or both.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Decoded {
    /// What was understood.
    pub envelopes: Vec<Envelope>,
    /// What was not.
    pub faults: Vec<Fault>,
    /// The record itself, where it has faults.
    pub letter: Option<Letter>,
}
