//! Bodies without what nobody needs: what is written to the journal of a buyer.
//!
//! Invariant: only members that are named here are kept, so that a field TikTok adds tomorrow is
//! not kept either. Values stay text: no id and no amount goes through a number.

use serde_json::value::RawValue;

use super::record::unsupported;
use crate::reading::Refusal;
use crate::shopify::broken;
use crate::shopify::shape::Members;

/// The members of an order that mean something to a view: no names, addresses, messages, numbers
/// of taxpayers or of parcels.
pub const ORDER: &[&str] = &[
    "id",
    "status",
    "user_id",
    "create_time",
    "update_time",
    "paid_time",
    "cancel_time",
    "request_cancel_time",
    "delivery_time",
    "is_sample_order",
    "is_replacement_order",
    "replaced_order_id",
    "is_exchange_order",
    "exchange_source_order_id",
    "is_cod",
    "is_on_hold_order",
    "order_type",
    "fulfillment_type",
    "payment",
    "line_items",
];

/// The members of one unit of an order.
pub const LINE: &[&str] = &[
    "id",
    "sku_id",
    "product_id",
    "seller_sku",
    "sku_type",
    "original_price",
    "sale_price",
    "seller_discount",
    "platform_discount",
    "currency",
    "display_status",
    "is_gift",
    "item_tax",
    "pfand_fee",
    "combined_listing_skus",
];

/// The members of a return or a cancellation.
pub const REVERSAL: &[&str] = &[
    "order_id",
    "return_id",
    "cancel_id",
    "return_type",
    "cancel_type",
    "return_status",
    "cancel_status",
    "return_reason",
    "cancel_reason",
    "role",
    "pre_return_id",
    "next_return_id",
    "can_buyer_keep_item",
    "create_time",
    "update_time",
    "refund_amount",
    "discount_amount",
    "shipping_fee_amount",
    "partial_refund",
    "return_line_items",
    "cancel_line_items",
];

/// The members of a webhook whose `data` is a buyer's.
pub const ENVELOPE: &[&str] = &["type", "tts_notification_id", "shop_id", "timestamp"];

/// An object with those of its members that are named.
pub fn object(text: &str, kept: &[&str]) -> Result<String, Refusal> {
    each(text, kept, |_, value| Ok(value.get().to_owned()))
}

/// An order as it is kept.
pub fn order(text: &str) -> Result<String, Refusal> {
    each(text, ORDER, |name, value| match name {
        "line_items" => list(value.get(), LINE),
        _ => Ok(value.get().to_owned()),
    })
}

fn list(text: &str, kept: &[&str]) -> Result<String, Refusal> {
    let elements: Vec<&RawValue> = match serde_json::from_str::<Option<_>>(text) {
        Ok(elements) => elements.unwrap_or_default(),
        Err(error) => return Err(broken::refusal(&error)),
    };
    let kept = elements.into_iter().map(|element| object(element.get(), kept));
    Ok(format!("[{}]", kept.collect::<Result<Vec<_>, _>>()?.join(",")))
}

fn each(
    text: &str,
    kept: &[&str],
    mut value_of: impl FnMut(&str, &RawValue) -> Result<String, Refusal>,
) -> Result<String, Refusal> {
    if !text.trim_start().starts_with('{') {
        return Err(unsupported("something that is no object"));
    }
    let members: Members<'_> =
        serde_json::from_str(text).map_err(|error| broken::refusal(&error))?;
    let mut parts = Vec::with_capacity(kept.len());
    for (name, value) in &members.0 {
        if kept.contains(&&**name) {
            parts.push(format!("\"{name}\":{}", value_of(name, value)?));
        }
    }
    Ok(format!("{{{}}}", parts.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_kept_and_values_stay_text() {
        let text = r#"{"id":123456789012345678901,"buyer_email":"a@b","recipient_address":{"name":
            "n"},"payment":{"tax":"1.50"},"line_items":[{"id":"1","tracking_number":"T",
            "original_price":1.10}],"cpf":"3"}"#;
        let kept = concat!(
            r#"{"id":123456789012345678901,"payment":{"tax":"1.50"},"#,
            r#""line_items":[{"id":"1","original_price":1.10}]}"#
        );
        assert_eq!(order(text).unwrap(), kept);
        assert_eq!(order(r#"{"line_items":null}"#).unwrap(), r#"{"line_items":[]}"#);
        assert!(order("[]").is_err() && order("{\"id\":").is_err());
        assert_eq!(
            object(r#"{"type":14,"data":{"content":"x"}}"#, ENVELOPE).unwrap(),
            r#"{"type":14}"#
        );
    }
}
