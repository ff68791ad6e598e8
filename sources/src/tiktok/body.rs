//! The shapes of TikTok's bodies; no meaning here.
//!
//! Invariant: every field may be absent or null and unknown ones are skipped, so that a trimmed,
//! older or newer body still reads and whoever needs a field says so. None of them is a buyer's
//! name, address or message.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::shopify::scalar::Scalar;

/// The envelope of a webhook of TikTok Shop.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct ShopWebhook<'a> {
    #[serde(rename = "type")]
    pub kind: Scalar<'a>,
    pub tts_notification_id: Scalar<'a>,
    pub shop_id: Scalar<'a>,
    pub seller_open_id: Scalar<'a>,
    pub creator_open_id: Scalar<'a>,
    pub timestamp: Scalar<'a>,
    pub data: Option<&'a RawValue>,
}

/// What a hint names.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Named<'a> {
    pub order_id: Scalar<'a>,
    pub update_time: Scalar<'a>,
}

/// A webhook of TikTok for Developers; `content` is JSON inside a string.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct DeveloperWebhook<'a> {
    pub event: Scalar<'a>,
    pub create_time: Scalar<'a>,
    pub user_openid: Scalar<'a>,
    pub content: Scalar<'a>,
}

/// An order.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Order<'a> {
    pub id: Scalar<'a>,
    pub status: Scalar<'a>,
    pub user_id: Scalar<'a>,
    pub create_time: Scalar<'a>,
    pub update_time: Scalar<'a>,
    pub paid_time: Scalar<'a>,
    pub cancel_time: Scalar<'a>,
    pub request_cancel_time: Scalar<'a>,
    pub is_sample_order: Scalar<'a>,
    pub is_replacement_order: Scalar<'a>,
    pub is_exchange_order: Scalar<'a>,
    pub is_cod: Scalar<'a>,
    pub payment: Option<Payment<'a>>,
    pub line_items: Option<Vec<Line<'a>>>,
}

/// What an order costs its buyer, and who pays for the discounts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Payment<'a> {
    pub currency: Scalar<'a>,
    pub seller_discount: Scalar<'a>,
    pub shipping_fee: Scalar<'a>,
    pub tax: Scalar<'a>,
    pub product_tax: Scalar<'a>,
    pub shipping_fee_tax: Scalar<'a>,
    pub retail_delivery_fee: Scalar<'a>,
    pub small_order_fee: Scalar<'a>,
    pub buyer_service_fee: Scalar<'a>,
    pub handling_fee: Scalar<'a>,
    pub shipping_insurance_fee: Scalar<'a>,
    pub item_insurance_fee: Scalar<'a>,
    pub item_insurance_tax: Scalar<'a>,
}

/// One unit of an order.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Line<'a> {
    pub id: Scalar<'a>,
    pub product_id: Scalar<'a>,
    pub original_price: Scalar<'a>,
    pub seller_discount: Scalar<'a>,
    pub platform_discount: Scalar<'a>,
    pub display_status: Scalar<'a>,
    pub currency: Scalar<'a>,
    pub pfand_fee: Scalar<'a>,
    pub item_tax: Option<Vec<ItemTax<'a>>>,
}

/// One tax on one unit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct ItemTax<'a> {
    pub tax_amount: Scalar<'a>,
}

/// A return or a cancellation.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Reversal<'a> {
    pub order_id: Scalar<'a>,
    #[serde(alias = "cancel_id")]
    pub return_id: Scalar<'a>,
    pub return_type: Scalar<'a>,
    #[serde(alias = "cancel_status")]
    pub return_status: Scalar<'a>,
    pub next_return_id: Scalar<'a>,
    pub create_time: Scalar<'a>,
    pub update_time: Scalar<'a>,
    pub refund_amount: Option<RefundAmount<'a>>,
    pub discount_amount: Option<Vec<Discounted<'a>>>,
    #[serde(alias = "cancel_line_items")]
    pub return_line_items: Option<Vec<ReversedLine<'a>>>,
}

/// What a buyer gets back.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct RefundAmount<'a> {
    pub currency: Scalar<'a>,
    pub refund_total: Scalar<'a>,
    pub refund_subtotal: Scalar<'a>,
    pub refund_shipping_fee: Scalar<'a>,
    pub refund_tax: Scalar<'a>,
    pub retail_delivery_fee: Scalar<'a>,
    pub buyer_service_fee: Scalar<'a>,
}

/// Whose discounts lie on what comes back.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Discounted<'a> {
    pub product_platform_discount: Scalar<'a>,
}

/// One unit that comes back.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct ReversedLine<'a> {
    pub order_line_item_id: Scalar<'a>,
    pub refund_amount: Option<RefundAmount<'a>>,
}
