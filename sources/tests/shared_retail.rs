//! The real retail history, through the example mapping, against plain loops: equal to the penny.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ionflux_schemas::event::{Event, OrderRow};
use ionflux_schemas::time::Zone;
use ionflux_sources::files::input::{Input, Origin};
use ionflux_sources::files::mapped_csv;
use ionflux_sources::files::mapping::Mapping;
use ionflux_sources::reading::Setting;
use rust_decimal::{Decimal, RoundingStrategy};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What was sold and returned, by day.
#[derive(PartialEq, Eq, Debug, Default)]
struct Seen {
    records: usize,
    price_faults: usize,
    other_faults: usize,
    sale_lines: usize,
    return_lines: usize,
    /// Sales and returns of a day, in pennies.
    days: BTreeMap<String, (i64, i64)>,
    /// Sales of orders that do not start with A.
    gross_without_bad_debt: i64,
    orders_without_bad_debt: BTreeSet<String>,
}

impl Seen {
    fn count(&mut self, day: String, order: &str, (pennies, returned): (i64, bool)) {
        let (sold, back) = self.days.entry(day).or_default();
        if returned {
            self.return_lines += 1;
            *back += pennies;
            return;
        }
        self.sale_lines += 1;
        *sold += pennies;
        if !order.starts_with('A') {
            self.gross_without_bad_debt += pennies;
            self.orders_without_bad_debt.insert(order.to_owned());
        }
    }
}

fn through_the_mapping(data: &Path) -> Seen {
    let mapping = Mapping::open(&root().join("examples/online_retail.toml")).unwrap();
    let zone = mapping.zone.clone().unwrap();
    let setting = Setting { workspace: "w".into(), shop: None, currency: None, zone, reading: 3 };
    let input = Input::open(data).unwrap();
    let rows = mapped_csv::read(input.reader, Origin::of(data), &mapping, &setting).unwrap();
    let mut seen = Seen::default();
    for decoded in rows {
        let decoded = decoded.unwrap();
        assert_eq!(decoded.envelopes.len() + decoded.faults.len(), 1);
        seen.records += 1;
        for fault in decoded.faults {
            match fault.kind.name() {
                "price" => seen.price_faults += 1,
                _ => seen.other_faults += 1,
            }
        }
        for envelope in decoded.envelopes {
            let Event::Row(OrderRow { order, reading: 3, line, .. }) = envelope.event else {
                panic!("not a row of this reading: {:?}", envelope.event);
            };
            let day = Zone::UTC.day(line.at).to_string();
            seen.count(day, &order, (line.amount, line.returned));
        }
    }
    seen
}

fn by_plain_loops(data: &Path) -> Seen {
    let file = std::fs::File::open(data).unwrap();
    let mut reader = csv::Reader::from_reader(flate2::read::GzDecoder::new(file));
    let mut seen = Seen::default();
    for record in reader.records() {
        let record = record.unwrap();
        let (invoice, day) = (&record[0], record[4][..10].to_owned());
        let quantity = Decimal::from_str(&record[3]).unwrap();
        seen.records += 1;
        let price = match Decimal::from_str(&record[5]) {
            Ok(price) if price > Decimal::ZERO => price,
            _ => {
                seen.price_faults += 1;
                continue;
            }
        };
        let pounds = quantity.abs() * price;
        let pounds = pounds.round_dp_with_strategy(2, RoundingStrategy::MidpointNearestEven);
        let pennies = i64::try_from(pounds * Decimal::ONE_HUNDRED).unwrap();
        let returned = invoice.starts_with('C') || quantity < Decimal::ZERO;
        seen.count(day, invoice, (pennies, returned));
    }
    seen
}

#[test]
fn the_retail_history_is_exact_to_the_penny() {
    let data = root().join("../shared/data/online_retail.csv.gz");
    if !data.exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "there is no {}", data.display());
        // Not a print macro: those are captured when a test passes.
        let text = format!("\nSKIPPED: no retail data at {}\n\n", data.display());
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        return;
    }
    let seen = through_the_mapping(&data);
    assert_eq!(seen, by_plain_loops(&data));
    assert_eq!((seen.records, seen.price_faults, seen.other_faults), (308_088, 1_725, 0));
    assert_eq!((seen.sale_lines, seen.return_lines), (300_791, 5_572));
    assert_eq!(seen.gross_without_bad_debt, 607_157_809);
    assert_eq!(seen.orders_without_bad_debt.len(), 12_043);
}
