//! What a delivery said, in one vocabulary for every platform.
//!
//! Invariant: amounts are exact minor units of the entity's currency, already in the meaning of
//! our views (tax taken out of prices, gift cards and tips left out of sales), so that whoever
//! folds events needs no platform knowledge.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::currency::Currency;
use crate::entity::Entity;
use crate::key::{Id, ShopKey, Version};
use crate::money::AMOUNT_MINOR_MAX;
use crate::time::UtcMs;

/// The largest number of units one line may have.
pub const UNITS_MAX: i32 = 1_000_000_000;

/// One event with its shop and its version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// Whose event it is.
    pub shop: Arc<ShopKey>,
    /// Which snapshot of the entity this is; the higher wins.
    pub version: Version,
    /// What was said.
    pub event: Event,
}

/// What a delivery can say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A full snapshot of an order.
    Order(Order),
    /// An order is gone from all reports, for good.
    OrderDeleted {
        /// The order.
        order: Id,
    },
    /// The buyer of an order asked to be forgotten: from now on, whatever is said of the order, it
    /// has no customer.
    Redacted {
        /// The order.
        order: Id,
    },
    /// Units that were added to an order after it was placed.
    OrderEdit(OrderEdit),
    /// Goods or money given back.
    Refund(Refund),
    /// One line of an order, from a file that knows only lines.
    Row(OrderRow),
    /// The shop's time zone from an instant on.
    Zone {
        /// From when the zone holds; [`UtcMs`] of `i64::MIN` for all earlier time.
        from: UtcMs,
        /// An IANA name that parses.
        zone: Id,
    },
    /// Something beside orders.
    Entity(Box<Entity>),
}

/// A snapshot of an order as it was placed and edited; refunds are entities of their own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The platform's id.
    pub id: Id,
    /// When the order was placed.
    pub placed_at: UtcMs,
    /// The shop's currency, of every amount below.
    pub currency: Currency,
    /// Where the order came from: `web`, `pos`, `tiktok_shop`; empty if unknown.
    pub channel: Id,
    /// The buyer, where known.
    pub customer: Option<Id>,
    /// A test order counts nowhere.
    pub test: bool,
    /// Lines that are sales: no gift cards, no tips.
    pub lines: Vec<OrderLine>,
    /// Shipping after its discounts.
    pub shipping: i64,
    /// All tax of the order.
    pub taxes: i64,
    /// Tips, which are not sales.
    pub tips: i64,
    /// Duties and additional fees.
    pub duties_and_fees: i64,
}

/// One line of an [`Order`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderLine {
    /// The platform's id of the line.
    pub id: Id,
    /// The product; `None` for a custom line.
    pub product: Option<Id>,
    /// Units ordered, zero or more.
    pub units: i32,
    /// Unit price times units, before tax and discounts.
    pub gross: i64,
    /// The line's discounts and its share of the order's, before tax; zero or more.
    pub discounts: i64,
}

/// Units added to lines of an order at a later time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderEdit {
    /// The platform's id of the edit.
    pub id: Id,
    /// The order edited.
    pub order: Id,
    /// When the edit was made.
    pub edited_at: UtcMs,
    /// Line id and the units added to it.
    pub additions: Vec<(Id, i32)>,
}

/// What was taken back of an order; every amount is positive when it is given back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refund {
    /// The platform's id.
    pub id: Id,
    /// The order refunded.
    pub order: Id,
    /// The sum of what was taken back of the order, where no more is told. With lines that name
    /// theirs, it counts those that no refund of its own names; without, only while no refund of
    /// its own is known.
    pub aggregate: bool,
    /// When the refund was processed.
    pub processed_at: UtcMs,
    /// The shop's currency.
    pub currency: Currency,
    /// Goods taken back: no gift cards.
    pub lines: Vec<RefundLine>,
    /// Given back beyond goods, shipping and tax; negative where less was given than computed.
    pub adjustment: i64,
    /// Shipping given back.
    pub shipping: i64,
    /// Tax given back.
    pub taxes: i64,
    /// Duties and fees given back.
    pub duties_and_fees: i64,
}

/// Goods of one line taken back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefundLine {
    /// The platform's id of the order's line; `None` where a sum of refunds never names it.
    // Left out of versions where it is not known, which are those of earlier releases then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<Id>,
    /// The product; `None` for a custom line.
    pub product: Option<Id>,
    /// Units taken back, zero or more.
    pub units: i32,
    /// What they had sold for, after discounts and before tax.
    pub amount: i64,
}

/// One line of a file of order lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderRow {
    /// The order (invoice) the line belongs to.
    pub order: Id,
    /// A hash of every column of the row. Equal rows are separate lines, as many as the file that
    /// has most of them.
    pub content: u128,
    /// Which reading of which file brought the row; equal rows are counted within one reading.
    pub reading: u64,
    /// The line itself.
    pub line: RowLine,
}

/// What a row of a file of order lines says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct RowLine {
    /// When the line was sold or returned.
    pub at: UtcMs,
    /// Goods came back instead of going out.
    pub returned: bool,
    /// The product; `None` where the row names none.
    pub product: Option<Id>,
    /// Units, zero or more.
    pub units: i32,
    /// Quantity times unit price, zero or more.
    pub amount: i64,
    /// Discounts inside the amount's gross; zero or more.
    pub discounts: i64,
    /// The currency of the amounts.
    pub currency: Currency,
    /// The buyer, where known.
    pub customer: Option<Id>,
    /// Where the order came from; empty if unknown.
    pub channel: Id,
}

impl Event {
    /// Whether every amount and number of units is within what one record may hold, so that sums
    /// of an epoch stay exact whatever a decoder computed.
    #[must_use]
    pub fn within_limits(&self) -> bool {
        let amount = |minor: &i64| minor.unsigned_abs() <= AMOUNT_MINOR_MAX.unsigned_abs();
        let units = |units: &i32| (0..=UNITS_MAX).contains(units);
        match self {
            Self::Order(order) => {
                let Order { shipping, taxes, tips, duties_and_fees, .. } = order;
                let line =
                    |l: &OrderLine| units(&l.units) && [l.gross, l.discounts].iter().all(amount);
                [*shipping, *taxes, *tips, *duties_and_fees].iter().all(amount)
                    && order.lines.iter().all(line)
            }
            Self::Refund(refund) => {
                let Refund { adjustment, shipping, taxes, duties_and_fees, .. } = refund;
                let line = |line: &RefundLine| units(&line.units) && amount(&line.amount);
                [*adjustment, *shipping, *taxes, *duties_and_fees].iter().all(amount)
                    && refund.lines.iter().all(line)
            }
            Self::OrderEdit(edit) => edit.additions.iter().all(|(_, added)| units(added)),
            Self::Row(row) => {
                units(&row.line.units) && [row.line.amount, row.line.discounts].iter().all(amount)
            }
            Self::Entity(entity) => entity.within_limits(),
            Self::OrderDeleted { .. } | Self::Redacted { .. } | Self::Zone { .. } => true,
        }
    }
}
