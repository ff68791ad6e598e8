//! Faults: what was refused, as a view like any other.

use std::collections::BTreeMap;

use differential_dataflow::AsCollection;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::view::{Row, Value, View};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

use crate::agent::{Agent, Inputs, Outputs};
use crate::key::Key;
use crate::sums::Sums;
use crate::{Rows, Time};

/// `faults`: records that could not be counted.
pub static FAULTS: View = View {
    name: "faults",
    version: 1,
    schema: include_str!("../../../schemas/avro/views/faults.avsc"),
    width: 1,
    row,
};

/// The dead letters' view.
pub struct Faults;

impl Agent for Faults {
    fn views(&self) -> Vec<&'static View> {
        vec![&FAULTS]
    }

    fn build<'s>(&self, inputs: &Inputs<'s>, outputs: &mut Outputs<'_>) {
        outputs.view(&FAULTS, counted(inputs.faults.clone()));
    }
}

/// Each fault's number as a key, with how often it is held.
fn counted<'s>(faults: Rows<'s, u32>) -> Rows<'s, Key, Sums<1>> {
    faults
        .inner
        .unary(Pipeline, "Faults", |_, _| {
            |input, output| {
                input.for_each_time(|capability, containers| {
                    let mut sums: BTreeMap<(Time, Key), i64> = BTreeMap::new();
                    for (fault, time, difference) in containers.flat_map(|held| held.drain(..)) {
                        *sums.entry((time, fault.into())).or_default() += difference;
                    }
                    let updates = sums.into_iter().filter(|(_, held)| *held != 0);
                    let updates = updates.map(|((time, key), held)| (key, time, Sums([held])));
                    output.session(&capability).give_container(&mut updates.collect());
                });
            }
        })
        .as_collection()
}

fn row(dictionary: &Dictionary, key: Key, _held: &[i128]) -> Row {
    let fault = dictionary.faults.name(key as u32);
    Row(vec![
        Value::text(&*fault.shop.workspace),
        Value::text(fault.id()),
        Value::text(&*fault.shop.shop),
        Value::text(fault.kind.name()),
        Value::Text(std::sync::Arc::clone(&fault.place.source)),
        Value::Int(i64::try_from(fault.place.line).unwrap_or(i64::MAX)),
        Value::text(&*fault.subject),
        Value::text(&*fault.reason),
        Value::text(fault.kind.remedy()),
    ])
}
