//! Packed keys: a view's key as one integer, shop first.
//!
//! ```text
//! bits  127..96   95..64    63..32            31..16     15..0
//! day     shop     day      channel           currency
//! product shop     day      product           currency
//! hour    shop     hour                       currency
//! ```
//!
//! Invariant: unpacking gives back what was packed, and keys of one shop are neighbours.

use ionflux_schemas::fact::{Fact, Hour};
use ionflux_schemas::time::Day;

/// Days before 1970 are negative; shifted by this they sort as unsigned integers do.
const DAY_ZERO: i64 = 1 << 31;

/// A packed key of any view.
pub type Key = u128;

const fn pack(shop: u32, time: u32, name: u32, currency: u16) -> Key {
    (shop as u128) << 96 | (time as u128) << 64 | (name as u128) << 32 | (currency as u128) << 16
}

#[inline]
fn day_bits(day: Day) -> u32 {
    (i64::from(day.0) + DAY_ZERO) as u32
}

/// Shop, day, currency and channel of a fact.
#[inline]
#[must_use]
pub fn of_day(fact: &Fact) -> Key {
    pack(fact.shop, day_bits(fact.day), fact.channel, fact.currency)
}

/// Shop, day, currency and product of a fact.
#[inline]
#[must_use]
pub fn of_product_day(fact: &Fact) -> Key {
    pack(fact.shop, day_bits(fact.day), fact.product, fact.currency)
}

/// Shop, hour and currency of a fact.
#[inline]
#[must_use]
pub fn of_hour(fact: &Fact) -> Key {
    pack(fact.shop, fact.hour.0, 0, fact.currency)
}

/// Shop and day alone.
#[inline]
#[must_use]
pub fn of_shop_day(shop: u32, day: Day) -> Key {
    pack(shop, day_bits(day), 0, 0)
}

/// The shop's number in any key.
#[must_use]
pub fn shop(key: Key) -> u32 {
    (key >> 96) as u32
}

/// The day of a key made of a day.
#[must_use]
pub fn day(key: Key) -> Day {
    Day((i64::from((key >> 64) as u32) - DAY_ZERO) as i32)
}

/// The hour of a key made by [`of_hour`].
#[must_use]
pub fn hour(key: Key) -> Hour {
    Hour((key >> 64) as u32)
}

/// The product or channel number of a key.
#[must_use]
pub fn name(key: Key) -> u32 {
    (key >> 32) as u32
}

/// The currency's number of a key.
#[must_use]
pub fn currency(key: Key) -> u16 {
    (key >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_unpack_to_what_was_packed() {
        for at in [-25_567, -1, 0, 20_000] {
            let key = pack(u32::MAX, day_bits(Day(at)), 7, 170);
            assert_eq!(
                (shop(key), day(key), name(key), currency(key)),
                (u32::MAX, Day(at), 7, 170)
            );
        }
        assert!(of_shop_day(1, Day(-1)) < of_shop_day(1, Day(0)));
        assert_eq!(hour(pack(1, 99, 0, 3)), Hour(99));
    }
}
