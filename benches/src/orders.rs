//! Orders as a platform tells them: envelopes for the ledger, from a seed.

use std::sync::Arc;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::event::{Envelope, Event, Order, OrderLine};
use ionflux_schemas::key::{Id, ShopKey, Version};
use ionflux_schemas::time::UtcMs;

use crate::generator::World;

/// 2026-01-01.
const START_MS: u64 = 1_767_225_600_000;
const DAY_MS: u64 = 86_400_000;

/// Makes the orders of a world one by one.
pub struct Orders {
    world: World,
    currency: Currency,
    shops: Vec<Arc<ShopKey>>,
    total: u64,
    made: u64,
}

impl Orders {
    /// So many orders, spread over the days of the world.
    #[must_use]
    pub fn new(world: World, currency: Currency, total: u64) -> Self {
        let shop = |n| Arc::new(ShopKey::new("acme", format!("shop-{n}.example")));
        Self { world, currency, shops: (0..world.shops).map(shop).collect(), total, made: 0 }
    }

    fn order(&self, nth: u64) -> Order {
        let World { products, customers, days, .. } = self.world;
        let throw = mixed(nth);
        let day = nth * u64::from(days.unsigned_abs()) / self.total.max(1);
        let lines = 1 + throw % 3;
        let line = |place: u64| {
            let throw = mixed(throw ^ place);
            let gross = 500 + (throw % 20_000) as i64;
            OrderLine {
                id: Id::from((nth * 4 + place).to_string()),
                product: Some((throw % u64::from(products)).to_string().into()),
                units: 1 + ((throw >> 20) % 3) as i32,
                gross,
                discounts: if throw.is_multiple_of(4) { gross / 10 } else { 0 },
            }
        };
        Order {
            id: (5_000_000_000 + nth).to_string().into(),
            placed_at: UtcMs((START_MS + day * DAY_MS + throw % DAY_MS) as i64),
            currency: self.currency,
            channel: "web".into(),
            customer: Some((1 + throw % customers).to_string().into()),
            test: false,
            lines: (0..lines).map(line).collect(),
            shipping: 490,
            taxes: 310,
            tips: 0,
            duties_and_fees: 0,
        }
    }
}

impl Iterator for Orders {
    type Item = Envelope;

    fn next(&mut self) -> Option<Envelope> {
        if self.made == self.total {
            return None;
        }
        let order = self.order(self.made);
        self.made += 1;
        let shop = Arc::clone(&self.shops[(mixed(!self.made) % self.shops.len() as u64) as usize]);
        let version = Version::new(order.placed_at, UtcMs(0), order.id.as_bytes());
        Some(Envelope { shop, version, event: Event::Order(order) })
    }
}

/// SplitMix64's last step: a well-mixed number for each number.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
