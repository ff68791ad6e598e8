//! How fast the ledger takes orders in, and how fast it tells them again.
//!
//! ```text
//! cargo bench -p ionflux-ledger --bench upserts                 everything, each in a process
//! cargo bench -p ionflux-ledger --bench upserts -- 1000000      with another number of orders
//! ```
//!
//! Invariant: the stream depends on a seed alone. Every measurement has a process of its own, so
//! that its peak of memory is its own.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ionflux_ledger::codec::{dossier, key};
use ionflux_ledger::disk::Disk;
use ionflux_ledger::dossier::Dossier;
use ionflux_ledger::{BaseZone, Ledger, LedgerError, Said};
use ionflux_schemas::currency::Currency;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::event::{Envelope, Event, Order, OrderLine};
use ionflux_schemas::key::{ShopKey, Version};
use ionflux_schemas::time::{Epoch, UtcMs};

/// Orders of one epoch.
const EPOCH_ORDERS: u64 = 100_000;
/// Epochs between two syncs: at 300,000 orders a second, one sync in three seconds.
const SYNC_EPOCHS: u64 = 10;
const SHOPS: u64 = 100;

/// Splitmix64: every bit of the result depends on every bit of the seed.
fn random(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The n-th order of the stream: a few shops are huge, ids grow with time.
fn envelope(n: u64, version: u64, shops: &[Arc<ShopKey>]) -> Envelope {
    let dice = random(n);
    // A tenth of the shops has nine tenths of the orders.
    let shop = if dice % 10 < 9 { dice / 10 % (SHOPS / 10) } else { dice / 10 % SHOPS };
    let placed_at = UtcMs(1_700_000_000_000 + n as i64 * 6_000);
    let line = |place: u64| {
        let dice = random(n * 4 + place);
        let (units, price) = (1 + (dice % 3) as i32, 500 + (dice >> 8) as i64 % 20_000);
        OrderLine {
            id: (14_000_000_000_000 + n * 3 + place).to_string().into(),
            product: Some((7_900_000_000_000 + (dice >> 24) % 5_000).to_string().into()),
            units,
            gross: price * i64::from(units),
            discounts: (dice >> 40) as i64 % 2 * price / 10 + version as i64,
        }
    };
    let lines: Vec<_> = (0..2 + dice % 2).map(line).collect();
    let order = Order {
        id: (5_800_000_000_000 + n).to_string().into(),
        placed_at,
        currency: Currency::parse("EUR").unwrap(),
        channel: if dice.is_multiple_of(5) { "pos".into() } else { "web".into() },
        customer: Some((6_500_000_000_000 + random(dice) % 800_000).to_string().into()),
        test: false,
        shipping: 490,
        taxes: lines.iter().map(|line| line.gross / 5).sum(),
        lines,
        tips: 0,
        duties_and_fees: 0,
    };
    let changed_at = UtcMs(placed_at.0 + version as i64 * 3_600_000);
    let content = [n.to_be_bytes(), version.to_be_bytes()].concat();
    let version = Version::new(changed_at, UtcMs(0), &content);
    Envelope { shop: Arc::clone(&shops[shop as usize]), version, event: Event::Order(order) }
}

fn shops() -> Vec<Arc<ShopKey>> {
    let name = |shop| Arc::new(ShopKey::new("acme", format!("shop-{shop}.myshopify.com")));
    (0..SHOPS).map(name).collect()
}

/// The place of the n-th update: every order once, in an order without a pattern.
fn shuffled(n: u64, orders: u64) -> u64 {
    // A step that shares no factor with the number of orders visits each of them once.
    let gcd = |mut a: u64, mut b: u64| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let mut step = (random(orders) % orders) | 1;
    while gcd(step, orders) != 1 {
        step += 2;
    }
    (u128::from(n) * u128::from(step) % u128::from(orders)) as u64
}

fn open(folder: &Path, workers: usize) -> Ledger {
    let disk = Box::new(Disk::open(folder).unwrap());
    Ledger::open(disk, Arc::new(Dictionary::new()), BaseZone::Unknown, workers).unwrap()
}

/// Time on the clock, and time on processors by all threads: on a machine that others use too, the
/// second says what the first would be without them.
#[derive(Clone, Copy, Default)]
struct Took {
    clock: Duration,
    processors_ms: u64,
}

impl Took {
    /// Adds what it takes to do something.
    fn time<T>(&mut self, run: impl FnOnce() -> T) -> T {
        let (started_at, before_ms) = (Instant::now(), processors_ms());
        let result = run();
        self.clock += started_at.elapsed();
        self.processors_ms += processors_ms() - before_ms;
        result
    }
}

/// Milliseconds this process has had of processors, in steps of ten, where the system tells.
fn processors_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap());
    // A tick is a hundredth of a second on every Linux.
    ticks.sum::<u64>() * 10
}

/// Commits `orders` orders of a version; the time that took, without making the envelopes.
fn stream(ledger: &mut Ledger, (orders, version): (u64, u64)) -> Took {
    let shops = shops();
    let mut took = Took::default();
    let first = ledger.epoch().unwrap().0;
    for epoch in 0..orders / EPOCH_ORDERS {
        let place = |n| if version == 0 { n } else { shuffled(n, orders) };
        let range = epoch * EPOCH_ORDERS..(epoch + 1) * EPOCH_ORDERS;
        let envelopes = range.map(|n| envelope(place(n), version, &shops)).collect();
        let said = Said { envelopes, ..Said::default() };
        let differences = took.time(|| {
            let differences = ledger.commit(Epoch(first + epoch + 1), said).unwrap();
            if epoch % SYNC_EPOCHS == SYNC_EPOCHS - 1 {
                ledger.sync().unwrap();
            }
            differences
        });
        assert!(differences.facts.len() as u64 >= EPOCH_ORDERS * 2, "every order says something");
    }
    took.time(|| ledger.sync().unwrap());
    took
}

/// The same values put into a hash table: no merging, no disk, no differences.
fn baseline(orders: u64) -> Took {
    let shops = shops();
    let mut table: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    let mut took = Took::default();
    for epoch in 0..orders / EPOCH_ORDERS {
        let range = epoch * EPOCH_ORDERS..(epoch + 1) * EPOCH_ORDERS;
        let envelopes: Vec<_> = range.map(|n| envelope(n, 0, &shops)).collect();
        took.time(|| {
            for Envelope { version, event, .. } in envelopes {
                let Event::Order(order) = &event else { continue };
                let (_, key) = key::dossier(0, &order.id);
                let (mut held, mut value) = (Dossier::default(), Vec::new());
                held.merge(version, event);
                dossier::encode(&held, &mut value);
                table.insert(key.to_vec(), value);
            }
        });
    }
    assert_eq!(table.len() as u64, orders);
    took
}

/// Opens a state and tells all of it: the two times, and how many orders there were.
fn hydrate(folder: &Path, workers: usize) -> (Took, Took, u64) {
    let (mut opening, mut telling) = (Took::default(), Took::default());
    let ledger = opening.time(|| open(folder, workers));
    let mut facts = 0;
    let each = |differences: ionflux_schemas::fact::Differences| {
        facts += differences.facts.len() as u64;
        Ok::<_, LedgerError>(())
    };
    telling.time(|| ledger.hydrate(50_000, each).unwrap());
    assert!(facts >= ledger.stats().entities * 3, "an order has at least three facts");
    (opening, telling, ledger.stats().entities)
}

/// The peak of this process's memory, in MiB, where the system tells.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn bytes_of(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_of(&entry.path()),
        // The log is allocated ahead; what it does not hold takes no room.
        Ok(metadata) if entry.path().extension().is_some_and(|end| end == "jnl") => {
            std::os::unix::fs::MetadataExt::blocks(&metadata) * 512
        }
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

fn report(what: &str, orders: u64, took: Took) {
    let rate = |ms: u64| orders * 1_000 / ms.max(1);
    let ms = took.clock.as_millis() as u64;
    let (clock, processors) = (rate(ms), rate(took.processors_ms));
    let processors_ms = took.processors_ms;
    println!(
        "| {what} | {orders} | {ms} | {clock} | {processors_ms} | {processors} | {} |",
        peak_mib()
    );
}

fn measure(arguments: &[String]) {
    let orders = |place: usize| arguments[place].parse::<u64>().unwrap();
    let folder = || Path::new(&arguments[3]);
    let workers = orders(2) as usize;
    match arguments[0].as_str() {
        "baseline" => report("hash table", orders(1), baseline(orders(1))),
        "new" => {
            let took = stream(&mut open(folder(), workers), (orders(1), 0));
            report(&format!("new orders, {workers} workers"), orders(1), took);
        }
        "changed" => {
            let took = stream(&mut open(folder(), workers), (orders(1), 1));
            report(&format!("updates, {workers} workers"), orders(1), took);
        }
        _ => {
            let (opening, telling, held) = hydrate(folder(), workers);
            report(&format!("open, {workers} workers"), held, opening);
            report(&format!("hydrate, {workers} workers"), held, telling);
        }
    }
}

/// Measures in a process of its own.
fn apart(measurement: &str, orders: u64, workers: usize, folder: &Path) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([measurement, &orders.to_string(), &workers.to_string()]).arg(folder);
    assert!(command.status().unwrap().success(), "the measurement {measurement} failed");
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if arguments.len() == 4 {
        return measure(&arguments);
    }
    let most: u64 = arguments.first().map_or(5_000_000, |orders| orders.parse().unwrap());
    println!("| measurement | orders | ms | orders/s | CPU ms | orders/CPU s | peak RSS, MiB |");
    println!("|---|---|---|---|---|---|---|");
    apart("baseline", most, 1, Path::new("-"));
    for workers in [1, 2] {
        for orders in [100_000, 1_000_000, most] {
            let folder = tempfile::tempdir().unwrap();
            apart("new", orders, workers, folder.path());
            apart("hydrate", orders, workers, folder.path());
            if orders == most {
                apart("changed", orders, workers, folder.path());
                apart("hydrate", orders, workers, folder.path());
                println!("\n{} MiB on disk\n", bytes_of(folder.path()) >> 20);
            }
        }
    }
}
