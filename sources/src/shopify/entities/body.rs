//! The shapes of bodies beside orders, REST and GraphQL in one, by aliases; no meaning here.
//!
//! Invariant: as of the bodies of orders, every field may be absent or null; of people nothing is
//! read at all.

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::value::RawValue;

use crate::shopify::body::{Amount, Bag, Reference};
use crate::shopify::list::List;
use crate::shopify::scalar::Scalar;

/// An amount by itself, or in an object that names its currency.
#[derive(Clone, Debug, Default)]
pub struct Price<'a> {
    /// Whether anything is said, be it null.
    pub said: bool,
    /// The amount, and its currency where it is named.
    pub amount: Amount<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Price<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'a RawValue>::deserialize(deserializer)?;
        let amount = if raw.get().starts_with('{') {
            serde_json::from_str(raw.get()).map_err(D::Error::custom)?
        } else {
            Amount { amount: Scalar::of(raw), ..Amount::default() }
        };
        Ok(Self { said: true, amount })
    }
}

/// A movement of money.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Transaction<'a> {
    pub id: Scalar<'a>,
    pub admin_graphql_api_id: Scalar<'a>,
    pub order_id: Scalar<'a>,
    pub order: Option<Reference<'a>>,
    pub kind: Scalar<'a>,
    pub status: Scalar<'a>,
    pub gateway: Scalar<'a>,
    pub amount: Scalar<'a>,
    #[serde(alias = "amountSet")]
    pub amount_set: Option<Bag<'a>>,
    pub currency: Scalar<'a>,
    pub fees: Option<List<Fee<'a>>>,
    pub parent_id: Scalar<'a>,
    #[serde(rename = "parentTransaction")]
    pub parent: Option<Reference<'a>>,
    pub test: Scalar<'a>,
    #[serde(alias = "createdAt")]
    pub created_at: Scalar<'a>,
    #[serde(alias = "processedAt")]
    pub processed_at: Scalar<'a>,
}

/// One fee on a transaction; only GraphQL tells them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Fee<'a> {
    pub amount: Price<'a>,
    /// The tax on the fee, beyond it.
    #[serde(alias = "taxAmount")]
    pub tax: Option<Price<'a>>,
}

/// A chargeback or an inquiry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Dispute<'a> {
    pub id: Scalar<'a>,
    pub admin_graphql_api_id: Scalar<'a>,
    pub order_id: Scalar<'a>,
    pub order: Option<Reference<'a>>,
    #[serde(rename = "type")]
    pub kind: Scalar<'a>,
    pub status: Scalar<'a>,
    pub reason: Scalar<'a>,
    #[serde(rename = "reasonDetails")]
    pub reason_details: Option<Reason<'a>>,
    pub amount: Price<'a>,
    pub currency: Scalar<'a>,
    #[serde(alias = "initiatedAt")]
    pub initiated_at: Scalar<'a>,
    #[serde(alias = "evidenceSentOn")]
    pub evidence_sent_on: Scalar<'a>,
    #[serde(alias = "finalizedOn")]
    pub finalized_on: Scalar<'a>,
}

/// Why something is in dispute.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Reason<'a> {
    pub reason: Scalar<'a>,
}

/// A line of a checkout or a cart.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Item<'a> {
    pub quantity: Scalar<'a>,
}

/// A checkout, without its buyer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Checkout<'a> {
    pub id: Scalar<'a>,
    pub token: Scalar<'a>,
    pub created_at: Scalar<'a>,
    pub updated_at: Scalar<'a>,
    pub completed_at: Scalar<'a>,
    pub total_price: Scalar<'a>,
    pub total_price_set: Option<Bag<'a>>,
    pub currency: Scalar<'a>,
    pub presentment_currency: Scalar<'a>,
    pub line_items: Option<List<Item<'a>>>,
}

/// A cart.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Cart<'a> {
    pub id: Scalar<'a>,
    pub token: Scalar<'a>,
    pub created_at: Scalar<'a>,
    pub updated_at: Scalar<'a>,
    pub line_items: Option<List<Item<'a>>>,
}

/// Something that was deleted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Deleted<'a> {
    pub id: Scalar<'a>,
    pub admin_graphql_api_id: Scalar<'a>,
    pub token: Scalar<'a>,
}

/// A product.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Product<'a> {
    pub id: Scalar<'a>,
    pub admin_graphql_api_id: Scalar<'a>,
    pub title: Scalar<'a>,
    pub status: Scalar<'a>,
    #[serde(alias = "createdAt")]
    pub created_at: Scalar<'a>,
    #[serde(alias = "updatedAt")]
    pub updated_at: Scalar<'a>,
    pub variants: Option<List<Variant<'a>>>,
    pub variant_gids: Option<List<Reference<'a>>>,
    #[serde(rename = "variantsCount")]
    pub variants_count: Option<Count<'a>>,
}

/// How many there are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Count<'a> {
    pub count: Scalar<'a>,
}

/// One variant of a product.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Variant<'a> {
    pub id: Scalar<'a>,
    pub admin_graphql_api_id: Scalar<'a>,
    pub sku: Scalar<'a>,
    pub price: Price<'a>,
    #[serde(alias = "updatedAt")]
    pub updated_at: Scalar<'a>,
    pub inventory_item_id: Scalar<'a>,
    #[serde(rename = "inventoryItem")]
    pub inventory_item: Option<Stock<'a>>,
}

/// A stock item.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Stock<'a> {
    pub id: Scalar<'a>,
    pub admin_graphql_api_id: Scalar<'a>,
    pub sku: Scalar<'a>,
    #[serde(alias = "createdAt")]
    pub created_at: Scalar<'a>,
    #[serde(alias = "updatedAt")]
    pub updated_at: Scalar<'a>,
    #[serde(alias = "unitCost")]
    pub cost: Price<'a>,
}

/// A theme.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Theme<'a> {
    pub id: Scalar<'a>,
    pub admin_graphql_api_id: Scalar<'a>,
    pub name: Scalar<'a>,
    pub role: Scalar<'a>,
    pub created_at: Scalar<'a>,
    pub updated_at: Scalar<'a>,
}

/// A bulk operation that ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct BulkOperation<'a> {
    pub id: Scalar<'a>,
    pub admin_graphql_api_id: Scalar<'a>,
    #[serde(alias = "createdAt")]
    pub created_at: Scalar<'a>,
    #[serde(alias = "completedAt")]
    pub completed_at: Scalar<'a>,
    pub status: Scalar<'a>,
    #[serde(rename = "type")]
    pub kind: Scalar<'a>,
    #[serde(alias = "errorCode")]
    pub error_code: Scalar<'a>,
}

/// What an app may do, before and after.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Scopes<'a> {
    pub previous: Option<List<Scalar<'a>>>,
    pub current: Option<List<Scalar<'a>>>,
    pub updated_at: Scalar<'a>,
}

/// What a merchant pays for the app, inside its `app_subscription`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Subscription<'a> {
    pub admin_graphql_api_id: Scalar<'a>,
    pub name: Scalar<'a>,
    pub status: Scalar<'a>,
    pub created_at: Scalar<'a>,
    pub updated_at: Scalar<'a>,
    pub currency: Scalar<'a>,
    pub price: Scalar<'a>,
    pub interval: Scalar<'a>,
}
