//! Customers: who ordered on a day, for the first time or again.
//!
//! ```text
//! new(day)       = customers whose first order was placed on the day
//! returning(day) = customers who ordered on the day and on an earlier one
//! ```
//!
//! Not linear: a late order or a deleted one moves the first day of its customer, and with it two
//! rows. The decision note `docs/decisions/0003-new-and-returning.md` says why the split is by
//! first day.

mod history;
mod split;

use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::view::{Row, Value, View};

use crate::agent::{Agent, Inputs, Outputs};
use crate::key::{self, Key};
use crate::revenue::{count, lead};

/// `customers_by_day`: new and returning customers of a shop and day.
pub static BY_DAY: View = View {
    name: "customers_by_day",
    version: 1,
    schema: include_str!("../../../schemas/avro/views/customers_by_day.avsc"),
    width: WIDTH,
    row,
};

pub(crate) const NEW: usize = 0;
pub(crate) const RETURNING: usize = 1;
pub(crate) const WIDTH: usize = 2;

/// New and returning customers.
pub struct Customers;

impl Agent for Customers {
    fn views(&self) -> Vec<&'static View> {
        vec![&BY_DAY]
    }

    fn build<'s>(&self, inputs: &Inputs<'s>, outputs: &mut Outputs<'_>) {
        outputs.view(&BY_DAY, split::new_and_returning(inputs.facts.clone()));
    }
}

fn row(dictionary: &Dictionary, key: Key, totals: &[i128]) -> Row {
    let mut row = lead(dictionary, key, Value::Day(key::day(key)));
    row.extend([count(totals[NEW]), count(totals[RETURNING])]);
    Row(row)
}
