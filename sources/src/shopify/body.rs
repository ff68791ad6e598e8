//! The shapes of Shopify's bodies, REST and GraphQL in one, by aliases; no meaning here.
//!
//! Invariant: every field may be absent or null and unknown ones are skipped, so that a trimmed,
//! older or newer body still reads and whoever needs a field says so.

use serde::Deserialize;

use super::entities::body::Transaction;
use super::list::List;
use super::scalar::Scalar;

/// An amount with its currency.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Amount<'a> {
    pub amount: Scalar<'a>,
    #[serde(alias = "currencyCode", alias = "currency")]
    pub currency_code: Scalar<'a>,
}

/// An amount in the shop's currency and in the buyer's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Bag<'a> {
    #[serde(alias = "shopMoney")]
    pub shop_money: Option<Amount<'a>>,
    #[serde(alias = "presentmentMoney")]
    pub presentment_money: Option<Amount<'a>>,
}

/// Anything of which only the id matters: a product, a customer, an order.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Reference<'a> {
    pub id: Scalar<'a>,
    pub admin_graphql_api_id: Scalar<'a>,
    pub name: Scalar<'a>,
}

/// The request to forget a customer, of which only the orders matter.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Redaction<'a> {
    pub orders_to_redact: Option<List<Scalar<'a>>>,
}

/// One tax on a line.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct TaxLine<'a> {
    pub price: Scalar<'a>,
    #[serde(alias = "priceSet")]
    pub price_set: Option<Bag<'a>>,
    pub rate: Scalar<'a>,
}

/// A line's part of one discount.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Allocation<'a> {
    pub amount: Scalar<'a>,
    #[serde(alias = "amountSet", alias = "allocatedAmountSet")]
    pub amount_set: Option<Bag<'a>>,
}

/// One line of an order.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Line<'a> {
    pub id: Scalar<'a>,
    pub admin_graphql_api_id: Scalar<'a>,
    pub product_id: Scalar<'a>,
    pub product: Option<Reference<'a>>,
    pub title: Scalar<'a>,
    pub quantity: Scalar<'a>,
    pub price: Scalar<'a>,
    #[serde(alias = "originalUnitPriceSet")]
    pub price_set: Option<Bag<'a>>,
    #[serde(alias = "isGiftCard")]
    pub gift_card: Scalar<'a>,
    pub tip: Scalar<'a>,
    #[serde(alias = "requiresShipping")]
    pub requires_shipping: Scalar<'a>,
    pub total_discount: Scalar<'a>,
    #[serde(alias = "totalDiscountSet")]
    pub total_discount_set: Option<Bag<'a>>,
    #[serde(alias = "discountAllocations")]
    pub discount_allocations: Option<List<Allocation<'a>>>,
    #[serde(alias = "taxLines")]
    pub tax_lines: Option<List<TaxLine<'a>>>,
}

/// What was charged for one delivery.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct ShippingLine<'a> {
    pub price: Scalar<'a>,
    #[serde(alias = "originalPriceSet")]
    pub price_set: Option<Bag<'a>>,
    pub discounted_price: Scalar<'a>,
    #[serde(alias = "discountedPriceSet")]
    pub discounted_price_set: Option<Bag<'a>>,
    #[serde(alias = "discountAllocations")]
    pub discount_allocations: Option<List<Allocation<'a>>>,
    #[serde(alias = "taxLines")]
    pub tax_lines: Option<List<TaxLine<'a>>>,
}

/// A full snapshot of an order.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Order<'a> {
    pub id: Scalar<'a>,
    pub admin_graphql_api_id: Scalar<'a>,
    #[serde(alias = "createdAt")]
    pub created_at: Scalar<'a>,
    #[serde(alias = "processedAt")]
    pub processed_at: Scalar<'a>,
    #[serde(alias = "updatedAt")]
    pub updated_at: Scalar<'a>,
    pub test: Scalar<'a>,
    #[serde(alias = "currencyCode")]
    pub currency: Scalar<'a>,
    #[serde(alias = "taxesIncluded")]
    pub taxes_included: Scalar<'a>,
    #[serde(alias = "sourceName")]
    pub source_name: Scalar<'a>,
    pub app: Option<Reference<'a>>,
    pub customer: Option<Reference<'a>>,
    pub total_price: Scalar<'a>,
    #[serde(alias = "totalPriceSet")]
    pub total_price_set: Option<Bag<'a>>,
    pub total_tax: Scalar<'a>,
    #[serde(alias = "totalTaxSet")]
    pub total_tax_set: Option<Bag<'a>>,
    pub total_discounts: Scalar<'a>,
    #[serde(alias = "totalDiscountsSet")]
    pub total_discounts_set: Option<Bag<'a>>,
    pub total_tip_received: Scalar<'a>,
    #[serde(alias = "totalTipReceivedSet")]
    pub total_tip_received_set: Option<Bag<'a>>,
    #[serde(alias = "totalShippingPriceSet")]
    pub total_shipping_price_set: Option<Bag<'a>>,
    #[serde(alias = "originalTotalDutiesSet")]
    pub original_total_duties_set: Option<Bag<'a>>,
    #[serde(alias = "currentTotalDutiesSet")]
    pub current_total_duties_set: Option<Bag<'a>>,
    #[serde(alias = "originalTotalAdditionalFeesSet")]
    pub original_total_additional_fees_set: Option<Bag<'a>>,
    #[serde(alias = "currentTotalAdditionalFeesSet")]
    pub current_total_additional_fees_set: Option<Bag<'a>>,
    #[serde(alias = "taxLines")]
    pub tax_lines: Option<List<TaxLine<'a>>>,
    #[serde(alias = "lineItems")]
    pub line_items: Option<List<Line<'a>>>,
    #[serde(alias = "shippingLines")]
    pub shipping_lines: Option<List<ShippingLine<'a>>>,
    pub refunds: Option<List<Refund<'a>>>,
    pub transactions: Option<List<Transaction<'a>>>,
}

/// Goods of one line taken back.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct RefundLine<'a> {
    pub quantity: Scalar<'a>,
    pub line_item_id: Scalar<'a>,
    #[serde(alias = "lineItem")]
    pub line_item: Option<Line<'a>>,
    pub subtotal: Scalar<'a>,
    #[serde(alias = "subtotalSet")]
    pub subtotal_set: Option<Bag<'a>>,
    pub total_tax: Scalar<'a>,
    #[serde(alias = "totalTaxSet")]
    pub total_tax_set: Option<Bag<'a>>,
}

/// Shipping given back, since API version 2024-10.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct RefundShipping<'a> {
    #[serde(alias = "subtotalAmountSet", alias = "subtotal_set", alias = "subtotalSet")]
    pub subtotal_amount_set: Option<Bag<'a>>,
    #[serde(alias = "taxAmountSet", alias = "total_tax_set", alias = "totalTaxSet")]
    pub tax_amount_set: Option<Bag<'a>>,
}

/// The gap between the refund that was computed and the one that was made.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Adjustment<'a> {
    pub kind: Scalar<'a>,
    pub reason: Scalar<'a>,
    pub amount: Scalar<'a>,
    #[serde(alias = "amountSet")]
    pub amount_set: Option<Bag<'a>>,
    pub tax_amount: Scalar<'a>,
    #[serde(alias = "taxAmountSet")]
    pub tax_amount_set: Option<Bag<'a>>,
}

/// A refund, embedded in its order or alone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Refund<'a> {
    pub id: Scalar<'a>,
    pub admin_graphql_api_id: Scalar<'a>,
    pub order_id: Scalar<'a>,
    pub order: Option<Reference<'a>>,
    #[serde(alias = "createdAt")]
    pub created_at: Scalar<'a>,
    #[serde(alias = "processedAt")]
    pub processed_at: Scalar<'a>,
    #[serde(alias = "updatedAt")]
    pub updated_at: Scalar<'a>,
    #[serde(alias = "refundLineItems")]
    pub refund_line_items: Option<List<RefundLine<'a>>>,
    #[serde(alias = "refundShippingLines")]
    pub refund_shipping_lines: Option<List<RefundShipping<'a>>>,
    #[serde(alias = "orderAdjustments")]
    pub order_adjustments: Option<List<Adjustment<'a>>>,
    pub duties: Option<List<Allocation<'a>>>,
    #[serde(alias = "totalDutiesSet")]
    pub total_duties_set: Option<Bag<'a>>,
    pub transactions: Option<List<Transaction<'a>>>,
}

/// An order edit, inside its `order_edit`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Edit<'a> {
    pub id: Scalar<'a>,
    pub order_id: Scalar<'a>,
    pub created_at: Scalar<'a>,
    pub committed_at: Scalar<'a>,
    pub line_items: EditLines<'a>,
}

/// What an edit did to lines; removals come again as refunds and are not read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct EditLines<'a> {
    pub additions: Option<List<EditLine<'a>>>,
}

/// Units added to one line.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct EditLine<'a> {
    pub id: Scalar<'a>,
    pub delta: Scalar<'a>,
}

/// The plan of a shop.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Plan<'a> {
    #[serde(rename = "displayName")]
    pub display_name: Scalar<'a>,
}

/// The shop itself, without the people behind it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Shop<'a> {
    #[serde(alias = "myshopifyDomain")]
    pub myshopify_domain: Scalar<'a>,
    #[serde(alias = "ianaTimezone")]
    pub iana_timezone: Scalar<'a>,
    #[serde(alias = "currencyCode")]
    pub currency: Scalar<'a>,
    #[serde(alias = "taxesIncluded")]
    pub taxes_included: Scalar<'a>,
    pub plan_name: Scalar<'a>,
    pub plan_display_name: Scalar<'a>,
    pub plan: Option<Plan<'a>>,
    #[serde(alias = "updatedAt")]
    pub updated_at: Scalar<'a>,
}
