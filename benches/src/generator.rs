//! Seeded commerce: a few huge shops and many small ones, popular and rare products, returning
//! customers, edits that take an old line out and put a new one in, refunds days later, and one
//! order in twenty that arrives late. History comes as it happened, day after day.

use ionflux_schemas::fact::{Fact, FactKind, Hour};
use ionflux_schemas::key::CustomerKey;
use ionflux_schemas::time::Day;

use crate::form::Update;

/// Shops, products, customers and days that all orders share, however many there are.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// Number of shops.
    pub shops: u32,
    /// Products of each shop.
    pub products: u32,
    /// Customers of each shop.
    pub customers: u64,
    /// Days of history.
    pub days: i32,
}

impl World {
    /// The world of the committed runs.
    pub const STANDARD: Self = Self { shops: 200, products: 40, customers: 1_000, days: 60 };

    /// A world small enough that a million orders touch every key of every view.
    pub const SMALL: Self = Self { shops: 40, products: 20, customers: 200, days: 30 };
}

/// A stream of order events.
pub struct Generator {
    world: World,
    /// How many events there will be, and how many there were.
    events: u64,
    made: u64,
    state: u64,
    recent: Vec<[Fact; 2]>,
}

/// How many past orders edits and refunds choose from.
const RECENT: usize = 50_000;

impl Generator {
    /// A generator of so many events of a world; the same seed gives the same events.
    #[must_use]
    pub fn new(world: World, events: u64, seed: u64) -> Self {
        Self { world, events, made: 0, state: seed, recent: Vec::with_capacity(RECENT) }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Small numbers far more often than large ones: the square of an even spread.
    fn skewed(&mut self, bound: u64) -> u64 {
        let (a, b) = (self.below(bound), self.below(bound));
        a * b / bound
    }

    /// Adds the facts of one more order event: 88 % new orders, 7 % edits, 5 % refunds.
    pub fn event(&mut self, out: &mut Vec<Update>) {
        self.made += 1;
        match self.below(100) {
            0..7 if !self.recent.is_empty() => self.edit(out),
            7..12 if !self.recent.is_empty() => self.refund(out),
            _ => self.order(out),
        }
    }

    fn order(&mut self, out: &mut Vec<Update>) {
        let shop = self.skewed(self.world.shops.into()) as u32;
        let today = (self.made * self.world.days as u64 / self.events.max(1)) as i32;
        let late = if self.below(20) == 0 { self.below(10) as i32 } else { 0 };
        let day = (today - late).clamp(0, self.world.days - 1);
        let minute = self.below(24 * 60) as u32;
        let order = Fact {
            shop,
            product: 0,
            customer: CustomerKey(1 + self.skewed(self.world.customers)),
            day: Day(20_000 + day),
            hour: Hour((45_567 + day as u32) * 96 + minute / 60 * 4),
            currency: 0,
            channel: self.below(3) as u32,
            kind: FactKind::Order,
            units: 0,
            amounts: [490, self.below(5_000) as i64],
        };
        out.push((order, 1));
        let lines = 1 + self.below(10) / 7;
        for line in 0..lines {
            let sale = self.sale(&order);
            out.push((sale, 1));
            if line == 0 {
                let place = self.below(RECENT as u64) as usize;
                match self.recent.get_mut(place) {
                    Some(held) => *held = [order, sale],
                    None => self.recent.push([order, sale]),
                }
            }
        }
    }

    fn sale(&mut self, order: &Fact) -> Fact {
        let units = 1 + self.skewed(5) as i32;
        let product = 1 + order.shop * self.world.products;
        let product = product + self.skewed(self.world.products.into()) as u32;
        let gross = i64::from(units) * (500 + i64::from(product % 97) * 50);
        let amounts = [gross, if self.below(5) == 0 { gross / 10 } else { 0 }];
        let customer = CustomerKey::GUEST;
        Fact { product, customer, kind: FactKind::Sale, units, amounts, ..*order }
    }

    /// The line's old contribution out, the new one in.
    fn edit(&mut self, out: &mut Vec<Update>) {
        let place = self.below(self.recent.len() as u64) as usize;
        let [order, old] = self.recent[place];
        let new = self.sale(&order);
        self.recent[place][1] = new;
        out.extend([(old, -1), (new, 1)]);
    }

    fn refund(&mut self, out: &mut Vec<Update>) {
        let place = self.below(self.recent.len() as u64) as usize;
        let [order, sale] = self.recent.swap_remove(place);
        let later = (self.below(14) as i32).min(20_000 + self.world.days - 1 - order.day.0);
        let day = Day(order.day.0 + later);
        let hour = Hour(order.hour.0 + later as u32 * 96);
        let amounts = [sale.amounts[0] - sale.amounts[1], 0];
        let back = Fact { day, hour, kind: FactKind::Return, amounts, ..sale };
        let product = 0;
        let refund = Fact { product, kind: FactKind::Refund, units: 0, amounts: [0, 0], ..back };
        out.extend([(back, 1), (refund, 1)]);
    }
}
