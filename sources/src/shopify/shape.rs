//! What a body is, told by its keys, for files that have lost the topic.
//!
//! Invariant: everything has a name, so that a refusal can say what was seen.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::entities::Beside;

/// The members of an object, each still text.
pub struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

/// What a body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// An order's snapshot.
    Order,
    /// A refund.
    Refund,
    /// An order edit, without its wrapper.
    Edit,
    /// The shop itself.
    Shop,
    /// The request to forget a customer.
    Redaction,
    /// Something beside orders.
    Beside(Beside),
    /// Nothing but an id: a deletion.
    Id,
    /// Something that no view counts.
    Other(&'static str),
    /// Nothing we know.
    Unknown,
}

/// A text without the white space of JSON around it: any other is no part of a document, for
/// whoever reads it as for whoever looks for people in it.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\n', '\t', '\r'])
}

/// Members under which exports wrap what we read.
const WRAPPERS: [&str; 7] = ["order", "orders", "refund", "refunds", "shop", "order_edit", "data"];

/// Members under which exports wrap what stands beside orders, where they have no other member.
const ENTITY_WRAPPERS: &[(&str, Beside)] = &[
    ("transactions", Beside::Transaction),
    ("transaction", Beside::Transaction),
    ("checkouts", Beside::Checkout),
    ("checkout", Beside::Checkout),
    ("carts", Beside::Cart),
    ("cart", Beside::Cart),
    ("products", Beside::Product),
    ("product", Beside::Product),
    ("disputes", Beside::Dispute),
    ("dispute", Beside::Dispute),
    ("inventory_items", Beside::Item),
    ("inventory_item", Beside::Item),
    ("app_subscription", Beside::Subscription),
];

/// Bodies that no view counts, by a wrapper's only member.
const OTHER_WRAPPERS: &[(&str, &str)] = &[
    ("tender_transactions", "tender transactions"),
    ("themes", "themes"),
    ("theme", "a theme"),
    ("gift_cards", "gift cards"),
    ("gift_card", "a gift card"),
    ("adjustments", "gift card adjustments"),
    ("draft_orders", "draft orders"),
    ("draft_order", "a draft order"),
    ("currencies", "currencies"),
    ("payouts", "payouts"),
    ("customers", "customers"),
    ("customer", "a customer"),
    ("properties", "a part of an order line"),
];

/// Bodies that no view counts, by members they all have.
const OTHERS: &[(&[&str], &str)] = &[
    (&["invoice_sent_at"], "a draft order"),
    (&["data_request"], "a data request"),
    (&["return_line_items"], "a return"),
    (&["theme_store_id"], "a theme"),
    (&["inventory_item_id"], "an inventory level"),
    (&["remote_reference", "payment_method"], "a tender transaction"),
    (&["payout_id"], "a balance transaction"),
    (&["risk_level", "order_id"], "a risk assessment"),
    (&["initial_value", "balance"], "a gift card"),
    (&["fulfillable_quantity", "price"], "an order line without its order"),
    (&["discounted_price", "price"], "a shipping line without its order"),
    (&["buyer_accepts_sms_marketing"], "a checkout without its token"),
    (&["shop_id", "shop_domain"], "a redaction request"),
    (&["role", "processing"], "a theme"),
];

/// Bodies beside orders, by members they all have; the first that fits.
const BESIDE: &[(&[&str], Beside)] = &[
    (&["abandoned_checkout_url"], Beside::Checkout),
    (&["variants", "product_type"], Beside::Product),
    (&["variants", "title"], Beside::Product),
    (&["evidence_due_by"], Beside::Dispute),
    (&["evidenceDueBy"], Beside::Dispute),
    (&["kind", "gateway", "amount"], Beside::Transaction),
    (&["kind", "status", "amountSet"], Beside::Transaction),
    (&["tracked", "sku"], Beside::Item),
    (&["unitCost"], Beside::Item),
    (&["error_code", "completed_at"], Beside::BulkOperation),
    (&["capped_amount", "interval"], Beside::Subscription),
    (&["current", "previous", "updated_at"], Beside::Scopes),
    (&["line_items", "token", "updated_at"], Beside::Cart),
];

impl<'a> Members<'a> {
    /// The member of a name.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.has(name))
    }

    /// What stands beside orders inside a wrapper, as a record or a list of them.
    pub fn beside(&self) -> Option<(Beside, &'a RawValue)> {
        let [(name, value)] = self.0.as_slice() else { return None };
        let (_, what) = ENTITY_WRAPPERS.iter().find(|(wrapper, _)| wrapper == name)?;
        holds(value).then_some((*what, *value))
    }

    /// The wrapped record or list of records, with the wrapper's name.
    pub fn wrapped(&self) -> Option<(&'static str, &'a RawValue)> {
        if self.has("id") {
            return None;
        }
        WRAPPERS
            .into_iter()
            .find_map(|name| self.get(name).filter(|value| holds(value)).map(|value| (name, value)))
    }

    /// What these members make.
    pub fn shape(&self) -> Shape {
        let lines = self.any(&["line_items", "lineItems"]);
        let totals = self.any(&[
            "total_price",
            "total_price_set",
            "totalPriceSet",
            "financial_status",
            "current_total_price",
            "displayFinancialStatus",
        ]);
        // A list of orders trimmed to some fields: an order all the same, to be refused as one.
        let trimmed = totals && self.any(&["order_number", "order_status_url"]);
        let goods = self.any(&["refund_line_items", "refundLineItems", "order_adjustments"]);
        match () {
            () if self.0.len() == 1 && self.has("id") => Shape::Id,
            () if self.has("orders_to_redact") => Shape::Redaction,
            () if self.has("abandoned_checkout_url") => self.other(),
            () if self.any(&["invoice_sent_at", "invoice_url"]) => Shape::Other("a draft order"),
            () if (lines && totals) || trimmed => Shape::Order,
            () if goods && self.any(&["order_id", "order"]) => Shape::Refund,
            () if self.any(&["iana_timezone", "ianaTimezone", "myshopify_domain"]) => Shape::Shop,
            () if self.has("committed_at") && self.has("order_id") => Shape::Edit,
            () => self.other(),
        }
    }

    fn other(&self) -> Shape {
        let all = |keys: &[&str]| keys.iter().all(|key| self.has(key));
        if let Some((_, what)) = BESIDE.iter().find(|(keys, _)| all(keys)) {
            return Shape::Beside(*what);
        }
        let wrapped = OTHER_WRAPPERS.iter().find(|(key, _)| self.0.len() == 1 && self.has(key));
        let known = || OTHERS.iter().find(|(keys, _)| all(keys));
        match wrapped.map(|(_, name)| name).or_else(|| known().map(|(_, name)| name)) {
            Some(name) => Shape::Other(name),
            None => Shape::Unknown,
        }
    }
}

/// Whether a value can hold records.
fn holds(value: &RawValue) -> bool {
    value.get().starts_with(['{', '['])
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            members.push((key, map.next_value()?));
        }
        Ok(Members(members))
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}
