//! The retail data, replayed by the program itself and recomputed by plain loops here: every view
//! of the export equals the recomputation to the penny, whatever the number of workers, and
//! replaying the file into the same state again changes nothing.
//!
//! Skipped, and says so, where the shared data is missing; then a failure under `CI=true`.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rust_decimal::{Decimal, RoundingStrategy};

fn shared() -> Option<PathBuf> {
    let path = "../../shared/data/online_retail.csv.gz";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is missing, the retail data is not replayed", path.display());
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "shared data must be there under CI");
    None
}

fn ionflux(arguments: &[&str]) -> String {
    let mapping = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/online_retail.toml");
    let output = Command::new(env!("CARGO_BIN_EXE_ionflux"))
        .args(arguments)
        .args(["--format", "csv", "--mapping"])
        .arg(mapping)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

type Table = BTreeMap<String, Vec<Decimal>>;

/// The columns of an exported view by its key columns.
fn exported(folder: &Path, view: &str, key: &[&str], columns: &[&str]) -> Table {
    let mut file = csv::Reader::from_path(folder.join(format!("{view}.csv"))).unwrap();
    let header = file.headers().unwrap().clone();
    let place = |name: &&str| header.iter().position(|column| column == *name).unwrap();
    let (key, columns) = (key.iter().map(place), columns.iter().map(place));
    let (key, columns): (Vec<_>, Vec<_>) = (key.collect(), columns.collect());
    let mut table = Table::new();
    for row in file.records() {
        let row = row.unwrap();
        let key: Vec<&str> = key.iter().map(|place| &row[*place]).collect();
        let values = columns.iter().map(|place| row[*place].parse().unwrap()).collect();
        assert!(table.insert(key.join(" "), values).is_none(), "a key is there twice");
    }
    table
}

/// The views by plain loops over the file, as the issue of the data defines them.
struct Recomputed {
    days: Table,
    products: Table,
    hours: Table,
    customers: Table,
    faults: usize,
}

fn recomputed(path: &Path) -> Recomputed {
    let bytes = flate2::read::GzDecoder::new(fs::File::open(path).unwrap());
    let mut file = csv::Reader::from_reader(bytes);
    let (mut days, mut products, mut hours) = (Table::new(), Table::new(), Table::new());
    let mut placed: BTreeMap<String, (String, bool, String)> = BTreeMap::new();
    let mut refunds: BTreeSet<(String, String)> = BTreeSet::new();
    let mut faults = 0;
    let add = |table: &mut Table, key: String, width, place: usize, amount: Decimal| {
        table.entry(key).or_insert_with(|| vec![Decimal::ZERO; width])[place] += amount;
    };
    for row in file.records() {
        let row = row.unwrap();
        let (invoice, product, at, customer) = (&row[0], &row[1], &row[4], &row[6]);
        let (day, hour) = (at[..10].to_owned(), format!("{}:00:00Z", &at[..13]));
        let quantity: Decimal = row[3].parse().unwrap();
        let price: Decimal = row[5].parse().unwrap();
        if price <= Decimal::ZERO {
            faults += 1;
            continue;
        }
        let returned = invoice.starts_with('C') || quantity < Decimal::ZERO;
        let amount = (quantity.abs() * price)
            .round_dp_with_strategy(2, RoundingStrategy::MidpointNearestEven);
        let side = usize::from(returned);
        let product = format!("{day} {product}");
        add(&mut days, day.clone(), 5, 1 + side, quantity.abs());
        add(&mut days, day, 5, 3 + side, amount);
        add(&mut products, product.clone(), 4, side, quantity.abs());
        add(&mut products, product, 4, 2 + side, amount);
        add(&mut hours, hour.clone(), 4, 1 + 2 * side, amount);
        if returned {
            refunds.insert((invoice.to_owned(), hour));
        }
        let order = placed.entry(invoice.to_owned());
        let order = order.or_insert_with(|| (at.to_owned(), false, customer.to_owned()));
        order.0 = order.0.clone().min(at.to_owned());
        order.1 |= !returned;
    }
    for (_, hour) in refunds {
        add(&mut hours, hour, 4, 2, Decimal::ONE);
    }
    let mut ordered: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (at, _, customer) in placed.into_values().filter(|(_, sale, _)| *sale) {
        add(&mut days, at[..10].to_owned(), 5, 0, Decimal::ONE);
        add(&mut hours, format!("{}:00:00Z", &at[..13]), 4, 0, Decimal::ONE);
        if !customer.is_empty() {
            ordered.entry(customer).or_default().insert(at[..10].to_owned());
        }
    }
    let mut customers = Table::new();
    for days in ordered.into_values() {
        for (nth, day) in days.into_iter().enumerate() {
            add(&mut customers, day, 2, usize::from(nth > 0), Decimal::ONE);
        }
    }
    Recomputed { days, products, hours, customers, faults }
}

#[test]
fn the_export_equals_an_independent_recomputation_to_the_penny() {
    let Some(path) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (file, folder) = (path.to_str().unwrap(), folder.path());
    let state = folder.join("state");
    let (first, again) = (folder.join("first"), folder.join("again"));
    let (state, first_name) = (state.to_str().unwrap(), first.to_str().unwrap());
    ionflux(&["replay", file, "--state", state, "--export", first_name]);

    let expected = recomputed(&path);
    let measures = ["orders", "units", "units_returned", "gross_sales", "returns"];
    assert_eq!(exported(&first, "revenue_by_day", &["day"], &measures), expected.days);
    let products =
        exported(&first, "revenue_by_product_day", &["day", "product_id"], &measures[1..]);
    assert_eq!(products, expected.products);
    let measures = ["orders", "revenue", "refunds", "returns"];
    assert_eq!(exported(&first, "metrics_hourly", &["hour"], &measures), expected.hours);
    let measures = ["new", "returning"];
    assert_eq!(exported(&first, "customers_by_day", &["day"], &measures), expected.customers);
    assert_eq!(exported(&first, "faults", &["source", "line"], &[]).len(), expected.faults);

    let workers = ["--workers", "2", "--export", again.to_str().unwrap()];
    ionflux(&[&["replay", file, "--state", state], &workers[..]].concat());
    for entry in fs::read_dir(&first).unwrap() {
        let name = entry.unwrap().file_name();
        let (one, two) =
            (fs::read(first.join(&name)).unwrap(), fs::read(again.join(&name)).unwrap());
        assert!(one == two, "{} changed when the file was replayed again", name.display());
    }
}
