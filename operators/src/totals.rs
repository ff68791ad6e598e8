//! Totals: facts into sums per packed key, one update per key and epoch.
//!
//! ```text
//! totals(key, epoch) = Σ difference × contribution(fact)   over the epoch's facts with that key
//! ```
//!
//! This is `explode` and consolidation in one step. A hot key (a shop's day) is hit by thousands
//! of facts an epoch; adding them up in a small hash map before anything is arranged keeps the
//! stream of updates as short as what truly changed.
//!
//! Invariant: the output of an epoch is sorted by key, distinct, and free of zeros.

use std::collections::BTreeMap;

use differential_dataflow::AsCollection;
use differential_dataflow::difference::{IsZero, Monoid, Semigroup};
use hashbrown::HashMap;
use ionflux_schemas::fact::Fact;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

use crate::key::Key;
use crate::sums::Sums;
use crate::{Rows, Time};

/// Sums per key of what each fact contributes; `None` for a fact that does not count here.
///
/// A contribution is that of difference +1; a retraction subtracts it.
pub fn totals<'s, const N: usize>(
    facts: Rows<'s, Fact>,
    name: &str,
    contribution: impl Fn(&Fact) -> Option<(Key, [i64; N])> + 'static,
) -> Rows<'s, Key, Sums<N>> {
    facts
        .inner
        .unary_frontier(Pipeline, name, move |_, _| {
            let mut open = BTreeMap::new();
            move |(input, frontier), output| {
                input.for_each_time(|capability, containers| {
                    let retained = || (capability.retain(0), HashMap::new());
                    let (_, sums) = open.entry(*capability.time()).or_insert_with(retained);
                    for (fact, _, difference) in containers.flat_map(|facts| facts.drain(..)) {
                        if let Some((key, amounts)) = contribution(&fact) {
                            add(sums.entry(key).or_insert([0; N]), &amounts, difference);
                        }
                    }
                });
                while let Some(entry) = open.first_entry() {
                    if frontier.less_equal(entry.key()) {
                        break;
                    }
                    let (time, (capability, sums)) = entry.remove_entry();
                    output.session(&capability).give_container(&mut sorted(time, sums));
                }
            }
        })
        .as_collection()
}

#[inline]
fn add<const N: usize>(sums: &mut [i64; N], amounts: &[i64; N], difference: i64) {
    for (sum, amount) in sums.iter_mut().zip(amounts) {
        *sum += amount * difference;
    }
}

fn sorted<const N: usize>(time: Time, sums: HashMap<Key, [i64; N]>) -> Vec<(Key, Time, Sums<N>)> {
    let sums = sums.into_iter().map(|(key, sums)| (key, time, Sums(sums)));
    let mut updates: Vec<_> = sums.filter(|(_, _, sums)| !sums.is_zero()).collect();
    updates.sort_unstable_by_key(|(key, _, _)| *key);
    updates
}

/// Adds updates of equal keys, for streams that several operators feed.
pub fn consolidate<const N: usize>(updates: &mut Vec<(Key, Sums<N>)>) {
    updates.sort_unstable_by_key(|(key, _)| *key);
    updates.dedup_by(|(key, sums), (kept, total)| {
        let equal = key == kept;
        if equal {
            total.plus_equals(sums);
        }
        equal
    });
    updates.retain(|(_, sums)| *sums != Sums::<N>::zero());
}
