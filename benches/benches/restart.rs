//! Restart: how long it takes until the views are back from the ledger, and how much memory.
//!
//! For each size a process of its own fills a state folder, and others open it and hydrate, on one
//! and on two workers. `cargo bench -p ionflux-benches --bench restart -- [ORDERS ...]`.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use ionflux::assemble::{Books, Options};
use ionflux_benches::generator::World;
use ionflux_benches::orders::Orders;
use ionflux_ledger::BaseZone;
use ionflux_schemas::currency::Currency;
use ionflux_sources::reading::Decoded;

type Failure = Box<dyn std::error::Error>;

/// Rounds of each measurement; the median counts.
const ROUNDS: usize = 3;
/// Orders that are added after hydration, to see what memory settles at.
const AFTER: u64 = 200_000;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["child", "fill", folder, orders] => fill(Path::new(folder), orders.parse()?),
        ["child", "open", folder, workers] => open(Path::new(folder), workers.parse()?),
        [] => compare(&[100_000, 1_000_000, 5_000_000]),
        sizes => compare(&sizes.iter().map(|size| size.parse()).collect::<Result<Vec<_>, _>>()?),
    }
}

fn books(folder: &Path, workers: usize) -> Result<Books, Failure> {
    let base_zone = BaseZone::Unknown;
    Books::open(&Options { state: Some(folder), base_zone, workers }).map_err(said)
}

fn said(failure: ionflux::failure::Failure) -> Failure {
    failure.problem.into()
}

fn add(
    books: &mut Books,
    orders: impl Iterator<Item = ionflux_schemas::event::Envelope>,
) -> Result<(), Failure> {
    for envelope in orders {
        books.engine.add(Decoded { envelopes: vec![envelope], ..Decoded::default() });
        if books.engine.full() {
            books.engine.close_epoch(None).map_err(said)?;
        }
    }
    Ok(())
}

fn fill(folder: &Path, orders: u64) -> Result<(), Failure> {
    let start = Instant::now();
    let mut books = books(folder, 2)?;
    add(&mut books, Orders::new(World::STANDARD, Currency::parse("EUR")?, orders))?;
    books.finish().map_err(said)?;
    println!("{}", start.elapsed().as_millis());
    Ok(())
}

/// Prints milliseconds until the views are back, the peak until then, and what memory is at once
/// and after a further stream of updates, in KiB.
fn open(folder: &Path, workers: usize) -> Result<(), Failure> {
    let start = Instant::now();
    let mut books = books(folder, workers)?;
    let taken = start.elapsed().as_millis();
    let (peak, at_once) = (memory("VmHWM:")?, memory("VmRSS:")?);
    // The same orders again change nothing in the ledger, and touch it as live traffic does.
    let again = Orders::new(World::STANDARD, Currency::parse("EUR")?, AFTER);
    add(&mut books, again)?;
    books.engine.settle().map_err(said)?;
    println!("{taken} {peak} {at_once} {}", memory("VmRSS:")?);
    Ok(())
}

fn memory(field: &str) -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    Ok(line.ok_or("no such field")?.trim().trim_end_matches(" kB").parse()?)
}

fn compare(sizes: &[u64]) -> Result<(), Failure> {
    println!(
        "   orders   filled s   workers   hydrated s    orders/s   peak MiB   steady MiB   ratio"
    );
    for size in sizes {
        let folder = std::env::temp_dir().join(format!("ionflux-restart-{}", std::process::id()));
        let filled = run(&["fill", path(&folder)?, &size.to_string()])?[0];
        for workers in ["1", "2"] {
            let mut rounds = Vec::new();
            for _ in 0..ROUNDS {
                rounds.push(run(&["open", path(&folder)?, workers])?);
            }
            rounds.sort();
            let [taken, peak, at_once, later] = rounds[ROUNDS / 2][..] else {
                return Err("a child printed something else".into());
            };
            let steady = at_once.max(later);
            println!(
                "{size:>9} {:>10.1} {workers:>9} {:>12.2} {:>11.0} {:>10} {:>12} {:>7.2}",
                filled as f64 / 1000.0,
                taken as f64 / 1000.0,
                *size as f64 * 1000.0 / taken.max(1) as f64,
                peak / 1024,
                steady / 1024,
                peak as f64 / steady as f64,
            );
        }
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

fn path(folder: &Path) -> Result<&str, Failure> {
    Ok(folder.to_str().ok_or("the temporary folder's name is not UTF-8")?)
}

fn run(arguments: &[&str]) -> Result<Vec<u64>, Failure> {
    let output = Command::new(std::env::current_exe()?).arg("child").args(arguments).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}
