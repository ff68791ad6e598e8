//! Totals of all views at one epoch, and what they must say of each other wherever they are read.
//!
//! Invariant: they are made of the same facts, so that none fits the others of another epoch.

use std::collections::BTreeMap;

use ionflux_operators::list;
use ionflux_schemas::avro::ColumnKind;
use ionflux_schemas::view::View;
use rust_decimal::Decimal;

const DAYS: &str = "revenue_by_day";
const HOURS: &str = "metrics_hourly";
const PRODUCTS: &str = "revenue_by_product_day";

/// By view: the number of its rows, then the sum of each of its numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Totals(BTreeMap<&'static str, Vec<Decimal>>);

/// The columns of a view that are added up.
pub fn numbers(view: &View) -> Vec<String> {
    let schema = view.parsed();
    let number = |kind| matches!(kind, ColumnKind::Int | ColumnKind::Money);
    let columns = schema.columns.iter().enumerate();
    let added = columns.filter(|(at, column)| !schema.key.contains(at) && number(column.kind));
    added.map(|(_, column)| column.name.clone()).collect()
}

impl Totals {
    /// Of no rows.
    pub fn new() -> Self {
        let zeros =
            |view: &&'static View| (view.name, vec![Decimal::ZERO; numbers(view).len() + 1]);
        Self(list::views().iter().map(zeros).collect())
    }

    /// Adds a number of rows and their sums, or takes them away.
    pub fn add(&mut self, view: &View, rows: &[Decimal], sign: Decimal) {
        let held = self.0.get_mut(view.name).unwrap();
        assert_eq!(held.len(), rows.len());
        held.iter_mut().zip(rows).for_each(|(held, more)| *held += sign * more);
    }

    /// That the views are of one epoch.
    pub fn agree(&self, place: &str) {
        let day = |column: &str| self.of(DAYS, column);
        let same = |left: Decimal, right: Decimal, what: &str| {
            assert_eq!(left, right, "{place}, {what}: {self:?}");
        };
        same(day("orders"), self.of(HOURS, "orders"), "orders by hour");
        same(day("gross_sales") - day("discounts"), self.of(HOURS, "revenue"), "revenue by hour");
        same(day("returns"), self.of(HOURS, "returns"), "returns by hour");
        // The made-up shop sells and takes back nothing but products.
        for column in numbers(view(PRODUCTS)) {
            same(day(&column), self.of(PRODUCTS, &column), &format!("{column} by product"));
        }
        let customers = ["new", "returning"].map(|column| self.of("customers_by_day", column));
        let customers: Decimal = customers.iter().sum();
        assert!(customers <= day("orders"), "{place}, customers without orders: {self:?}");
    }

    /// Whether every number that is compared stands for something.
    pub fn some(&self) -> bool {
        [HOURS, PRODUCTS].iter().all(|view| self.0[view].iter().all(|sum| !sum.is_zero()))
    }

    fn of(&self, name: &str, column: &str) -> Decimal {
        let at = numbers(view(name)).iter().position(|number| number == column);
        self.0[name][1 + at.unwrap()]
    }
}

fn view(name: &str) -> &'static View {
    list::views().into_iter().find(|view| view.name == name).unwrap()
}
