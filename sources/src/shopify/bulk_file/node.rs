//! The head of a node: its id, its parent's, and the kind of thing it is.
//!
//! Invariant: the kind comes from the global id, else from `__typename`, else from its members.

use serde::Deserialize;

use crate::reading::Refusal;
use crate::shopify::record::field;
use crate::shopify::scalar::{Scalar, gid_kind};

/// What a node is, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An order.
    Order,
    /// A line of an order.
    Line,
    /// A shipping line of an order.
    Shipping,
    /// A refund.
    Refund,
    /// A line of a refund.
    RefundLine,
    /// Shipping given back by a refund.
    RefundShipping,
    /// The gap between a refund that was computed and the one that was made.
    Adjustment,
    /// A transaction of an order or a refund.
    Transaction,
    /// A product.
    Product,
    /// A variant of a product.
    Variant,
    /// A stock item.
    Item,
    /// A dispute.
    Dispute,
    /// Anything else.
    Other,
}

/// What joins a node to others.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Head<'a> {
    id: Scalar<'a>,
    #[serde(rename = "__parentId")]
    parent: Scalar<'a>,
    #[serde(rename = "__typename")]
    name: Scalar<'a>,
    quantity: Scalar<'a>,
    #[serde(rename = "originalUnitPriceSet")]
    price: Scalar<'a>,
    #[serde(rename = "lineItem")]
    line_item: Scalar<'a>,
    #[serde(rename = "restockType")]
    restock: Scalar<'a>,
}

impl Head<'_> {
    /// The node's id and its parent's; it has one of them.
    pub fn place(&self) -> Result<(Option<String>, Option<String>), Refusal> {
        let text = |scalar: Scalar<'_>| scalar.text().map(std::borrow::Cow::into_owned);
        match (text(self.id), text(self.parent)) {
            (None, None) => Err(field(
                "the line has neither id nor __parentId, so it is no node of a bulk export",
            )),
            placed => Ok(placed),
        }
    }

    /// The node's id, as the export writes it.
    pub fn id(&self) -> Option<String> {
        self.id.text().map(std::borrow::Cow::into_owned)
    }

    /// The parent's id, as the export writes it.
    pub fn parent(&self) -> Option<String> {
        self.parent.text().map(std::borrow::Cow::into_owned)
    }

    /// The name of the node's kind, if it says so.
    pub fn kind_name(&self) -> Option<String> {
        let id = self.id.text();
        let of_id = id.as_deref().and_then(gid_kind).map(str::to_owned);
        of_id.or_else(|| self.name.text().map(std::borrow::Cow::into_owned))
    }

    /// What the node is.
    pub fn kind(&self) -> Kind {
        match self.kind_name().as_deref() {
            Some("Order") => Kind::Order,
            Some("LineItem") => Kind::Line,
            Some("ShippingLine") => Kind::Shipping,
            Some("Refund") => Kind::Refund,
            Some("RefundLineItem") => Kind::RefundLine,
            Some("RefundShippingLine") => Kind::RefundShipping,
            Some("OrderAdjustment") => Kind::Adjustment,
            Some("OrderTransaction") => Kind::Transaction,
            Some("Product") => Kind::Product,
            Some("ProductVariant") => Kind::Variant,
            Some("InventoryItem") => Kind::Item,
            Some("ShopifyPaymentsDispute") => Kind::Dispute,
            Some(_) => Kind::Other,
            // Refund lines may have no id, but still have their parent's.
            None if self.line_item.present() || self.restock.present() => Kind::RefundLine,
            None if self.price.present() && self.quantity.present() => Kind::Line,
            None => Kind::Other,
        }
    }
}
