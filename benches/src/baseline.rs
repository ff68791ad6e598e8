//! The hand-written loop: hash maps of totals and nothing else, the fastest honest program we can
//! write for the same views without retraction of epochs, restart or workers.

use hashbrown::HashMap;
use ionflux_schemas::fact::{Fact, FactKind};
use ionflux_schemas::key::CustomerKey;
use ionflux_schemas::time::Day;

/// The views of the first release as hash maps.
#[derive(Default)]
pub struct Baseline {
    days: HashMap<(u32, Day, u16, u32), [i64; 10]>,
    products: HashMap<(u32, Day, u16, u32), [i64; 5]>,
    hours: HashMap<(u32, u32, u16), [i64; 4]>,
    customers: HashMap<(u32, CustomerKey, Day), i64>,
}

/// Sums over each view, to compare programs by.
pub type Checksums = [i128; 4];

impl Baseline {
    /// Counts one fact.
    pub fn add(&mut self, fact: &Fact, difference: i64) {
        let [a, b] = fact.amounts.map(|amount| amount * difference);
        let units = i64::from(fact.units) * difference;
        let day = self.days.entry((fact.shop, fact.day, fact.currency, fact.channel)).or_default();
        let hour = self.hours.entry((fact.shop, fact.hour.0, fact.currency)).or_default();
        match fact.kind {
            FactKind::Order => {
                (day[5], day[6], day[7]) = (day[5] + difference, day[6] + a, day[7] + b);
                hour[0] += difference;
                if fact.customer != CustomerKey::GUEST {
                    let key = (fact.shop, fact.customer, fact.day);
                    *self.customers.entry(key).or_default() += difference;
                }
            }
            FactKind::Extras => (day[8], day[9]) = (day[8] + a, day[9] + b),
            FactKind::Refund => {
                (day[6], day[7]) = (day[6] - a, day[7] - b);
                hour[2] += difference;
            }
            FactKind::Sale | FactKind::Return => {
                let returned = usize::from(fact.kind == FactKind::Return);
                (day[returned], day[2 + 2 * returned]) =
                    (day[returned] + units, day[2 + 2 * returned] + a);
                hour[1 + 2 * returned] += a - b;
                if returned == 0 {
                    day[3] += b;
                }
                if fact.product != 0 {
                    let key = (fact.shop, fact.day, fact.currency, fact.product);
                    let product = self.products.entry(key).or_default();
                    product[returned] += units;
                    product[2 + 2 * returned] += a;
                    if returned == 0 {
                        product[3] += b;
                    }
                }
            }
        }
    }

    /// Ends the batch: the customers' days become new and returning; gives the checksums.
    #[must_use]
    pub fn finish(self) -> Checksums {
        let mut days: HashMap<(u32, CustomerKey), Vec<Day>> = HashMap::new();
        for ((shop, customer, day), orders) in self.customers {
            if orders > 0 {
                days.entry((shop, customer)).or_default().push(day);
            }
        }
        let mut split: HashMap<(u32, Day), [i64; 2]> = HashMap::new();
        for ((shop, _), days) in days {
            let first = days.iter().min().copied();
            for day in days {
                split.entry((shop, day)).or_default()[usize::from(Some(day) != first)] += 1;
            }
        }
        [sum(self.days), sum(self.products), sum(split), sum(self.hours)]
    }
}

fn sum<K, const N: usize>(rows: HashMap<K, [i64; N]>) -> i128 {
    rows.into_values().map(|row| checksum(row.map(i128::from).as_slice())).sum()
}

/// A row's part of its view's checksum: each place weighs differently.
#[must_use]
pub fn checksum(totals: &[i128]) -> i128 {
    totals.iter().zip(1..).map(|(total, place)| total * place).sum()
}
