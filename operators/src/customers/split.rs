//! The operator that splits a day's customers into new and returning, keeping every customer's
//! days and saying at each epoch's end what moved.

use std::collections::BTreeMap;

use differential_dataflow::AsCollection;
use differential_dataflow::difference::IsZero;
use hashbrown::HashMap;
use ionflux_schemas::fact::{Fact, FactKind};
use ionflux_schemas::key::CustomerKey;
use ionflux_schemas::time::Day;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

use super::history::{Buyer, Histories};
use super::{NEW, RETURNING, WIDTH};
use crate::key::{self, Key};
use crate::sums::Sums;
use crate::{Rows, Time};

/// New and returning customers per shop and day, from orders.
pub(super) fn new_and_returning<'s>(facts: Rows<'s, Fact>) -> Rows<'s, Key, Sums<WIDTH>> {
    facts
        .inner
        .unary_frontier(Pipeline, "CustomersByDay", |_, _| {
            let mut open = BTreeMap::new();
            let mut histories = Histories::default();
            move |(input, frontier), output| {
                input.for_each_time(|capability, containers| {
                    let retained = || (capability.retain(0), Vec::new());
                    let (_, orders) = open.entry(*capability.time()).or_insert_with(retained);
                    for (fact, _, difference) in containers.flat_map(|facts| facts.drain(..)) {
                        if fact.kind == FactKind::Order && fact.customer != CustomerKey::GUEST {
                            orders.push(((fact.shop, fact.customer), fact.day, difference));
                        }
                    }
                });
                while let Some(entry) = open.first_entry() {
                    if frontier.less_equal(entry.key()) {
                        break;
                    }
                    let (time, (capability, orders)) = entry.remove_entry();
                    let mut moved = moved(&mut histories, orders, time);
                    output.session(&capability).give_container(&mut moved);
                }
            }
        })
        .as_collection()
}

/// What the orders of one epoch change in the rows.
fn moved(
    histories: &mut Histories,
    mut orders: Vec<(Buyer, Day, i64)>,
    time: Time,
) -> Vec<(Key, Time, Sums<WIDTH>)> {
    orders.sort_unstable();
    let mut rows: HashMap<Key, Sums<WIDTH>> = HashMap::new();
    let mut days = Vec::new();
    for group in orders.chunk_by(|a, b| a.0 == b.0) {
        days.clear();
        days.extend(group.iter().map(|(_, day, difference)| (*day, *difference)));
        let buyer = group[0].0;
        histories.add(buyer, &days, |day, new, returning| {
            let key = key::of_shop_day(buyer.0, day);
            let sums = rows.entry(key).or_insert(Sums([0; WIDTH]));
            sums.0[NEW] += new;
            sums.0[RETURNING] += returning;
        });
    }
    let rows = rows.into_iter().filter(|(_, sums)| !sums.is_zero());
    let mut rows: Vec<_> = rows.map(|(key, sums)| (key, time, sums)).collect();
    rows.sort_unstable_by_key(|(key, _, _)| *key);
    rows
}
