//! A customer's days: on which of a shop's days a customer ordered, in a few bytes.
//!
//! A block is 32 days: its number in the upper half of a `u64`, a bit for each day in the lower.
//! A customer who ordered within one block, as most do, costs no allocation. How often a customer
//! ordered on one day matters only for retraction; the rare counts other than one are kept apart.
//!
//! Invariant: blocks ascend and none is without bits.

use hashbrown::HashMap;
use ionflux_schemas::key::CustomerKey;
use ionflux_schemas::time::Day;

/// The days of one customer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Days {
    #[default]
    None,
    One(u64),
    Many(Vec<u64>),
}

const DAYS_PER_BLOCK: i64 = 32;
/// Blocks before 1970 are negative; shifted by this they sort as unsigned integers do.
const BLOCK_ZERO: i64 = 1 << 31;

fn block_of(day: Day) -> (u64, u64) {
    let day = i64::from(day.0);
    let block = (day.div_euclid(DAYS_PER_BLOCK) + BLOCK_ZERO) as u64;
    (block << 32, 1 << day.rem_euclid(DAYS_PER_BLOCK))
}

impl Days {
    fn blocks(&self) -> &[u64] {
        match self {
            Self::None => &[],
            Self::One(block) => std::slice::from_ref(block),
            Self::Many(blocks) => blocks,
        }
    }

    /// Whether the customer ordered on a day.
    pub(super) fn contains(&self, day: Day) -> bool {
        let (block, bit) = block_of(day);
        let at = self.blocks().partition_point(|held| *held < block);
        self.blocks().get(at).is_some_and(|held| held >> 32 == block >> 32 && held & bit != 0)
    }

    /// The first day with an order.
    pub(super) fn first(&self) -> Option<Day> {
        let first = *self.blocks().first()?;
        let block = (first >> 32) as i64 - BLOCK_ZERO;
        let day = block * DAYS_PER_BLOCK + i64::from((first as u32).trailing_zeros());
        Some(Day(day as i32))
    }

    /// Marks or clears a day.
    pub(super) fn set(&mut self, day: Day, ordered: bool) {
        let (block, bit) = block_of(day);
        let at = self.blocks().partition_point(|held| *held < block);
        let held = self.blocks().get(at).copied().filter(|held| held >> 32 == block >> 32);
        match (held, ordered) {
            (Some(bits), true) => self.replace(at, bits | bit),
            (None, true) => self.insert(at, block | bit),
            (Some(bits), false) if (bits & !bit) as u32 == 0 => self.remove(at),
            (Some(bits), false) => self.replace(at, bits & !bit),
            (None, false) => {}
        }
    }

    fn replace(&mut self, at: usize, block: u64) {
        match self {
            Self::None => {}
            Self::One(held) => *held = block,
            Self::Many(blocks) => blocks[at] = block,
        }
    }

    fn insert(&mut self, at: usize, block: u64) {
        match self {
            Self::None => *self = Self::One(block),
            Self::One(held) => {
                let mut blocks = vec![*held];
                blocks.insert(at, block);
                *self = Self::Many(blocks);
            }
            Self::Many(blocks) => blocks.insert(at, block),
        }
    }

    fn remove(&mut self, at: usize) {
        match self {
            Self::None | Self::One(_) => *self = Self::None,
            Self::Many(blocks) => {
                blocks.remove(at);
                if let [last] = blocks.as_slice() {
                    *self = Self::One(*last);
                }
            }
        }
    }
}

/// A customer of a shop.
pub(super) type Buyer = (u32, CustomerKey);

/// The histories of all customers on one worker.
#[derive(Default)]
pub(super) struct Histories {
    days: HashMap<Buyer, Days>,
    /// Orders of a customer on a day beyond its bit: 1 where there are two, -1 where a retraction
    /// came before what it retracts.
    beyond: HashMap<(Buyer, Day), i64>,
}

impl Histories {
    /// Adds orders of one customer by day, and calls `moved(day, new, returning)` with what changes
    /// in the rows of each day.
    pub(super) fn add(
        &mut self,
        buyer: Buyer,
        orders: &[(Day, i64)],
        mut moved: impl FnMut(Day, i64, i64),
    ) {
        let days = self.days.entry(buyer).or_default();
        let before = days.first();
        for (day, added) in orders {
            let held = days.contains(*day);
            let place = (buyer, *day);
            let beyond = self.beyond.get(&place).copied().unwrap_or(0);
            let count = i64::from(held) + beyond + added;
            let holds = count > 0;
            match count - i64::from(holds) {
                rest if rest == beyond => {}
                0 => drop(self.beyond.remove(&place)),
                rest => drop(self.beyond.insert(place, rest)),
            }
            if held != holds {
                days.set(*day, holds);
                // As if every day were a returning one; the first is put right below.
                moved(*day, 0, if holds { 1 } else { -1 });
            }
        }
        let after = days.first();
        if after.is_none() {
            self.days.remove(&buyer);
        }
        if before != after {
            before.inspect(|day| moved(*day, -1, 1));
            after.inspect(|day| moved(*day, 1, -1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn days_are_a_set_in_order() {
        let mut days = Days::default();
        let mut model = BTreeSet::new();
        // A walk over days of several blocks, before and after 1970, marking and clearing.
        let mut state = 7_u64;
        for _ in 0..5_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let day = Day((state >> 40) as i32 % 120 - 60);
            let ordered = state >> 63 == 0;
            days.set(day, ordered);
            if ordered {
                model.insert(day)
            } else {
                model.remove(&day)
            };
            assert_eq!(days.first(), model.first().copied());
            assert_eq!(days.contains(day), model.contains(&day));
        }
        model.iter().for_each(|day| days.set(*day, false));
        assert_eq!(days, Days::None);
    }

    #[test]
    fn an_earlier_order_moves_two_rows_and_a_retraction_moves_them_back() {
        let mut histories = Histories::default();
        let mut rows: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
        let mut add = |day, count| {
            histories.add((1, CustomerKey(9)), &[(Day(day), count)], |day, new, returning| {
                let row = rows.entry(day.0).or_default();
                *row = (row.0 + new, row.1 + returning);
            });
            rows.retain(|_, row| *row != (0, 0));
            rows.clone()
        };
        assert_eq!(add(10, 1), BTreeMap::from([(10, (1, 0))]));
        assert_eq!(add(10, 1), BTreeMap::from([(10, (1, 0))]));
        assert_eq!(add(5, 1), BTreeMap::from([(5, (1, 0)), (10, (0, 1))]));
        assert_eq!(add(10, -1), BTreeMap::from([(5, (1, 0)), (10, (0, 1))]));
        assert_eq!(add(5, -1), BTreeMap::from([(10, (1, 0))]));
        assert_eq!(add(10, -2), BTreeMap::new());
        assert_eq!(add(10, 1), BTreeMap::new());
        assert_eq!(add(10, 1), BTreeMap::from([(10, (1, 0))]));
    }
}
