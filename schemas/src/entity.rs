//! Entities beside orders: what moved, what changed, what was measured, what was set.
//!
//! Invariant: an entity is named by its kind and its id inside a shop, and the higher version of
//! one name wins. What must keep its history (a unit cost, a setting) has the instant from which
//! it holds in its id, so that a later value is another entity and not another version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::currency::Currency;
use crate::key::Id;
use crate::money::AMOUNT_MINOR_MAX;
use crate::time::UtcMs;

/// The longest id an entity may have, in bytes.
pub const ENTITY_ID_BYTES_MAX: usize = 512;

/// One entity of a shop; of a workspace as a whole where the shop's name is empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entity {
    /// Its name among those of its kind in its shop.
    pub id: Id,
    /// When it happened, or from when it holds.
    pub at: UtcMs,
    /// What is known of it.
    pub body: Body,
}

/// What is known of an entity. Amounts are minor units of the currency beside them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Body {
    /// Money that moved, or was to move, for an order.
    Transaction(Transaction),
    /// A chargeback or an inquiry.
    Dispute(Dispute),
    /// A product and its variants.
    Product(Product),
    /// What one unit of a stock item costs from an instant on.
    UnitCost(UnitCost),
    /// A checkout that was begun.
    Checkout(Checkout),
    /// A cart.
    Cart(Cart),
    /// Something about the store that changed: a theme, an app, its settings.
    StoreChange(StoreChange),
    /// What a user or an agent did on the platform.
    Activity(Activity),
    /// What was measured in a shop over a span of time.
    Metric(Metric),
    /// What a user did about an incident.
    IncidentAction(IncidentAction),
    /// What was spent on marketing over a span of time.
    Spend(Spend),
    /// Counters of a video or an account as they stood; cumulative, and they may fall.
    Counters(Counters),
    /// A setting: costs, fees, calendars, rules, definitions.
    Setting(Setting),
    /// The entity is gone.
    Gone(Kind),
}

/// The kinds of entities, as names and as the first byte of their keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Kind {
    /// [`Body::Transaction`].
    Transaction = 1,
    /// [`Body::Dispute`].
    Dispute = 2,
    /// [`Body::Product`].
    Product = 3,
    /// [`Body::UnitCost`].
    UnitCost = 4,
    /// [`Body::Checkout`].
    Checkout = 5,
    /// [`Body::Cart`].
    Cart = 6,
    /// [`Body::StoreChange`].
    StoreChange = 7,
    /// [`Body::Activity`].
    Activity = 8,
    /// [`Body::Metric`].
    Metric = 9,
    /// [`Body::IncidentAction`].
    IncidentAction = 10,
    /// [`Body::Spend`].
    Spend = 11,
    /// [`Body::Counters`].
    Counters = 12,
    /// [`Body::Setting`].
    Setting = 13,
}

/// Money that moved, or was to move, for an order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Transaction {
    /// The order.
    pub order: Id,
    /// `authorization`, `capture`, `sale`, `void`, `refund`; lower case.
    pub kind: Id,
    /// `success`, `failure`, `pending`, `error`; lower case.
    pub status: Id,
    /// Through whom; empty if unknown.
    pub gateway: Id,
    /// How much, zero or more.
    pub amount: i64,
    /// In which currency.
    pub currency: Currency,
    /// What the gateway kept, where it says so.
    pub fee: Option<i64>,
    /// The transaction this one captures, voids or gives back.
    pub parent: Option<Id>,
    /// It moved no money.
    pub test: bool,
}

/// A chargeback or an inquiry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Dispute {
    /// The order, where it is known.
    pub order: Option<Id>,
    /// `chargeback` or `inquiry`.
    pub kind: Id,
    /// `needs_response`, `won`, `lost`, ...
    pub status: Id,
    /// `fraudulent`, `product_not_received`, ...
    pub reason: Id,
    /// What is in dispute.
    pub amount: i64,
    /// In which currency; it may differ from the order's.
    pub currency: Currency,
}

/// A product and its variants.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Product {
    /// What it is called.
    pub title: Box<str>,
    /// `active`, `draft`, `archived`, ...; empty if unknown.
    pub status: Id,
    /// Its variants, in the order of their ids.
    pub variants: Vec<Variant>,
    /// Whether there are variants beyond those named.
    pub partial: bool,
}

/// One variant of a product.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Variant {
    /// The platform's id.
    pub id: Id,
    /// The merchant's name of it; may be empty.
    pub sku: Id,
    /// The stock item whose unit cost is its cost.
    pub item: Option<Id>,
    /// Its price in the shop's currency, as a decimal number in its shortest form.
    pub price: Option<Id>,
}

/// What one unit of a stock item costs from an instant on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UnitCost {
    /// The stock item.
    pub item: Id,
    /// The merchant's name of it; may be empty.
    pub sku: Id,
    /// The cost as a decimal number in its shortest form; `None` is unknown, `0` is free.
    pub cost: Option<Id>,
    /// In which currency; the shop's where it does not say.
    pub currency: Option<Currency>,
}

/// A checkout that was begun.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Checkout {
    /// The platform's number of it, by which some deletions name it; its id is its token.
    pub number: Option<Id>,
    /// When it became an order.
    pub completed_at: Option<UtcMs>,
    /// What it comes to.
    pub amount: i64,
    /// In which currency.
    pub currency: Currency,
    /// How many units are in it.
    pub units: i32,
}

/// A cart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cart {
    /// How many units are in it.
    pub units: i32,
}

/// Something about the store that changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoreChange {
    /// `theme_published`, `app_uninstalled`, `app_installed`, `shop_updated`, `deauthorized`, ...
    pub change: Id,
    /// What it was about, such as the name of the theme or the app; may be empty.
    pub title: Box<str>,
    /// What else is known, by name.
    pub details: BTreeMap<Id, Box<str>>,
}

/// What a user or an agent did on the platform.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Activity {
    /// `saas_connected`, `video_posted`, ...
    pub name: Id,
    /// Who did it, as the subject's pseudonym.
    pub user: Option<Id>,
    /// Which agent did it.
    pub agent: Option<Id>,
    /// Scalars of its properties, by name.
    pub properties: BTreeMap<Id, Box<str>>,
}

/// What was measured in a shop over a span of time that begins at the entity's instant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Metric {
    /// `sessions`, `page_load_ms`, `checkout_errors`, ...
    pub name: Id,
    /// The value as a decimal number in its shortest form.
    pub value: Id,
    /// How long the span is; 0 where it is an instant.
    pub span_ms: i64,
    /// What it is the value of: a page, a device, ...
    pub dimensions: BTreeMap<Id, Box<str>>,
}

/// What a user did about an incident.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IncidentAction {
    /// The incident.
    pub incident: Id,
    /// `acknowledged`, `resolved`, `dismissed`, ...
    pub action: Id,
    /// Who did it, as the subject's pseudonym.
    pub user: Option<Id>,
}

/// What was spent on marketing over a span of time that begins at the entity's instant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Spend {
    /// `tiktok`, `meta`, ...
    pub platform: Id,
    /// The campaign; empty for the account as a whole.
    pub campaign: Id,
    /// How much.
    pub amount: i64,
    /// In which currency.
    pub currency: Currency,
    /// How long the span is.
    pub span_ms: i64,
    /// What was counted beside it: impressions, clicks, conversions.
    pub counts: BTreeMap<Id, i64>,
}

/// Counters of a video or an account as they stood at the entity's instant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Counters {
    /// `video` or `account`.
    pub of: Id,
    /// The video or the account.
    pub subject: Id,
    /// `views`, `likes`, `followers`, ...; as they stood, not as they grew.
    pub counts: BTreeMap<Id, i64>,
}

/// A setting that holds from the entity's instant on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Setting {
    /// `product-costs`, `fee-rules`, `calendars`, ...
    pub kind: Id,
    /// What it sets among those of its kind: a variant, a rule's name, ...
    pub name: Id,
    /// Until when it holds, where it says so.
    pub until: Option<UtcMs>,
    /// What was set: a JSON object in canonical form; `None` takes the setting back.
    pub document: Option<Box<str>>,
    /// Who set it, as the name of a token or a file.
    pub by: Id,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Transaction,
        Self::Dispute,
        Self::Product,
        Self::UnitCost,
        Self::Checkout,
        Self::Cart,
        Self::StoreChange,
        Self::Activity,
        Self::Metric,
        Self::IncidentAction,
        Self::Spend,
        Self::Counters,
        Self::Setting,
    ];
}

impl Entity {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.body {
            Body::Transaction(_) => Kind::Transaction,
            Body::Dispute(_) => Kind::Dispute,
            Body::Product(_) => Kind::Product,
            Body::UnitCost(_) => Kind::UnitCost,
            Body::Checkout(_) => Kind::Checkout,
            Body::Cart(_) => Kind::Cart,
            Body::StoreChange(_) => Kind::StoreChange,
            Body::Activity(_) => Kind::Activity,
            Body::Metric(_) => Kind::Metric,
            Body::IncidentAction(_) => Kind::IncidentAction,
            Body::Spend(_) => Kind::Spend,
            Body::Counters(_) => Kind::Counters,
            Body::Setting(_) => Kind::Setting,
            Body::Gone(kind) => *kind,
        }
    }

    /// Whether its id and every amount are within what one entity may hold.
    #[must_use]
    pub fn within_limits(&self) -> bool {
        let amount = |minor: i64| minor.unsigned_abs() <= AMOUNT_MINOR_MAX.unsigned_abs();
        let amounts = match &self.body {
            Body::Transaction(Transaction { amount: moved, fee, .. }) => {
                amount(*moved) && fee.is_none_or(amount)
            }
            Body::Dispute(dispute) => amount(dispute.amount),
            Body::Checkout(checkout) => amount(checkout.amount),
            Body::Spend(spend) => amount(spend.amount),
            _ => true,
        };
        (1..=ENTITY_ID_BYTES_MAX).contains(&self.id.len()) && amounts
    }
}
