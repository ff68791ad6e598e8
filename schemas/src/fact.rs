//! Facts: what the ledger tells the dataflow, small and of fixed size.
//!
//! Invariant: an entity's contribution is a set of facts; when it changes, the old ones leave with
//! difference -1 and the new ones enter with +1. Nothing else moves a total.

use serde::{Deserialize, Serialize};

use crate::currency::Currency;
use crate::key::CustomerKey;
use crate::time::{Calendar, Day, UtcMs};

/// How many facts one epoch may hold, so that its sums fit 64 bits (see
/// [`crate::money::AMOUNT_MINOR_MAX`]).
pub const EPOCH_FACTS_MAX: usize = 400_000;

/// One thing that happened in one shop at one time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Fact {
    /// The shop's number in the [`crate::dictionary::Dictionary`].
    pub shop: u32,
    /// The product's number; 0 for none.
    pub product: u32,
    /// The buyer of an [`FactKind::Order`]; a guest elsewhere.
    pub customer: CustomerKey,
    /// The shop's civil day.
    pub day: Day,
    /// The shop's clock hour, see [`Hour`].
    pub hour: Hour,
    /// The currency's number.
    pub currency: u16,
    /// The channel's number; 0 for unknown.
    pub channel: u32,
    /// What happened.
    pub kind: FactKind,
    /// Units sold or returned, zero or more.
    pub units: i32,
    /// Two amounts in minor units; the kind says which.
    pub amounts: [i64; 2],
}

/// The start of a shop's clock hour, in quarter hours since 1900-01-01T00:00Z: local hours of every
/// zone begin on a quarter hour.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Hour(pub u32);

const MS_PER_QUARTER: i64 = 900_000;
const START_OF_1900: i64 = -2_208_988_800_000;

impl Hour {
    /// The hour that begins at an instant; an instant before 1900 is the first hour.
    #[must_use]
    pub fn starting_at(at: UtcMs) -> Self {
        let quarters = (at.0 - START_OF_1900).div_euclid(MS_PER_QUARTER);
        Self(u32::try_from(quarters).unwrap_or(0))
    }

    /// When the hour begins.
    #[must_use]
    pub fn start(self) -> UtcMs {
        UtcMs(i64::from(self.0) * MS_PER_QUARTER + START_OF_1900)
    }
}

/// What a [`Fact`] says and what its two amounts are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum FactKind {
    /// An order was placed: shipping, taxes.
    Order,
    /// Beside an order or a refund: tips, duties and fees.
    Extras,
    /// Units of a product were sold: gross, discounts.
    Sale,
    /// Goods or money came back: the amount, and nothing.
    Return,
    /// A refund was processed: shipping and taxes given back, zero or more.
    Refund,
}

/// What leaves the ledger in one epoch, and enters the dataflow.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Differences {
    /// Facts that entered (+1) or left (-1).
    pub facts: Vec<(Fact, i64)>,
    /// Faults by their number in the dictionary, likewise.
    pub faults: Vec<(u32, i64)>,
}

/// Where and when the facts of one entity happen; the parts its facts share.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The shop's number.
    pub shop: u32,
    /// The shop's days and hours.
    pub calendar: &'a Calendar,
    /// The currency of every amount.
    pub currency: Currency,
    /// The channel's number.
    pub channel: u32,
}

impl Scene<'_> {
    /// A fact of this entity at an instant, without product, customer and units.
    #[must_use]
    pub fn fact(&self, at: UtcMs, kind: FactKind, amounts: [i64; 2]) -> Fact {
        Fact {
            shop: self.shop,
            product: 0,
            customer: CustomerKey::GUEST,
            day: self.calendar.day(at),
            hour: Hour::starting_at(self.calendar.hour_start(at)),
            currency: self.currency.number(),
            channel: self.channel,
            kind,
            units: 0,
            amounts,
        }
    }

    /// A fact about units of a product at an instant.
    #[must_use]
    pub fn goods(&self, at: UtcMs, kind: FactKind, goods: (u32, i32), amounts: [i64; 2]) -> Fact {
        let (product, units) = goods;
        Fact { product, units, ..self.fact(at, kind, amounts) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_survive_packing() {
        for at in [UtcMs(0), UtcMs(-2_208_988_800_000), UtcMs(1_772_383_500_000)] {
            assert_eq!(Hour::starting_at(at).start(), at);
        }
    }

    #[test]
    fn a_fact_stays_small() {
        assert!(size_of::<Fact>() <= 56, "{}", size_of::<Fact>());
    }
}
