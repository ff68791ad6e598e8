//! Replay of order events into all views, beside the hand-written loop over the same file.
//!
//! Programs run as processes of their own, interleaved; those on one worker are pinned to one core
//! with all their threads, so that the reader and the publisher get no core for free. Ratios are
//! of medians. `cargo bench -p ionflux-benches --bench replay -- [EVENTS] [ROUNDS]`.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use ionflux::runtime::threads::Threads;
use ionflux::runtime::{Computation, Moment};
use ionflux_benches::baseline::{Baseline, Checksums, checksum};
use ionflux_benches::form::{read_epoch, write_epoch};
use ionflux_benches::generator::{Generator, World};
use ionflux_operators::list;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::fact::Differences;
use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::time::{Epoch, UtcMs};

type Failure = Box<dyn std::error::Error>;

/// Facts of one epoch of a replay (DESIGN.md section 5).
const EPOCH_FACTS: usize = 100_000;
const SEED: u64 = 20_261_121;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["child", "loop", file] => child(|| hand_written(file)),
        ["child", workers, file] => child(|| ionflux(file, workers.parse()?)),
        [] => compare(5_000_000, 7),
        [events] => compare(events.parse()?, 7),
        [events, rounds, ..] => compare(events.parse()?, rounds.parse()?),
    }
}

/// Runs one program and prints what it took: milliseconds, peak bytes, checksums.
fn child(program: impl FnOnce() -> Result<Checksums, Failure>) -> Result<(), Failure> {
    let start = Instant::now();
    let checksums = program()?;
    let taken = start.elapsed().as_millis();
    println!("{taken} {} {}", peak_kib()?, checksums.map(|sum| sum.to_string()).join(" "));
    Ok(())
}

/// The process's peak resident memory in KiB.
fn peak_kib() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.ok_or("no VmHWM")?.trim().trim_end_matches(" kB").parse()?)
}

fn hand_written(file: &str) -> Result<Checksums, Failure> {
    let mut input = BufReader::with_capacity(1 << 20, File::open(file)?);
    let (mut buffer, mut views) = (Vec::new(), Baseline::default());
    while let Some(updates) = read_epoch(&mut input, &mut buffer)? {
        updates.iter().for_each(|(fact, difference)| views.add(fact, *difference));
    }
    Ok(views.finish())
}

fn ionflux(file: &str, workers: usize) -> Result<Checksums, Failure> {
    let mut input = BufReader::with_capacity(1 << 20, File::open(file)?);
    let empty = Snapshot::empty(&list::views(), Arc::new(Dictionary::new()));
    let snapshot = Arc::new(Mutex::new(empty));
    let published = Arc::clone(&snapshot);
    let mut runtime = Threads::start(workers, move |batch| {
        if let Ok(mut snapshot) = published.lock() {
            *snapshot = snapshot.after(&batch);
        }
    })?;
    let mut buffer = Vec::new();
    let mut upper = Epoch(0);
    while let Some(facts) = read_epoch(&mut input, &mut buffer)? {
        upper = Epoch(upper.0 + 1);
        let moment = Moment { as_of: UtcMs(0), upper: Some(upper) };
        runtime.count(Differences { facts, faults: Vec::new() }, moment)?;
    }
    runtime.finish()?;
    let snapshot = snapshot.lock().map_err(|_| "the publisher panicked")?;
    let sum = |name| {
        let mut sum = 0;
        snapshot.for_each_key(name, |_, totals| sum += checksum(totals));
        sum
    };
    let names = ["revenue_by_day", "revenue_by_product_day", "customers_by_day", "metrics_hourly"];
    Ok(names.map(sum))
}

fn generate(path: &Path, events: usize, world: World) -> Result<usize, Failure> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut generator = Generator::new(world, events as u64, SEED);
    let (mut updates, mut facts) = (Vec::new(), 0);
    for _ in 0..events {
        generator.event(&mut updates);
        if updates.len() >= EPOCH_FACTS {
            facts += updates.len();
            write_epoch(&mut out, &updates)?;
            updates.clear();
        }
    }
    write_epoch(&mut out, &updates)?;
    out.flush()?;
    Ok(facts + updates.len())
}

/// What one child printed.
struct Ran {
    ms: u64,
    kib: u64,
    checksums: String,
}

fn run(program: &str, cores: &str, file: &Path) -> Result<Ran, Failure> {
    let me = std::env::current_exe()?;
    let output = Command::new("taskset")
        .args(["-c", cores])
        .arg(me)
        .args(["child", program])
        .arg(file)
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut parts = text.trim().splitn(3, ' ');
    let mut part = || parts.next().ok_or_else(|| format!("{program} printed {text:?}"));
    Ok(Ran { ms: part()?.parse()?, kib: part()?.parse()?, checksums: part()?.to_owned() })
}

fn compare(events: usize, rounds: usize) -> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("ionflux-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let small = folder.join("small.facts");
    let file = folder.join("replay.facts");
    let facts = generate(&file, events, World::STANDARD)?;
    println!("{events} order events, {facts} facts, {:?}", World::STANDARD);
    let programs = [("loop", "0"), ("1", "0"), ("2", "0,1")];
    let mut times = [const { Vec::new() }; 3];
    let mut peaks = [0; 3];
    for _ in 0..rounds {
        let mut checksums = Vec::new();
        for (place, (program, cores)) in programs.iter().enumerate() {
            let ran = run(program, cores, &file)?;
            times[place].push(ran.ms);
            peaks[place] = ran.kib.max(peaks[place]);
            checksums.push(ran.checksums);
        }
        checksums.dedup();
        assert_eq!(checksums.len(), 1, "the programs disagree: {checksums:?}");
    }
    let medians = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    println!("{:<30} median ms   events/s   ratio   peak MiB", "program");
    let names =
        ["hand-written loop, 1 core", "ionflux, 1 worker, 1 core", "ionflux, 2 workers, 2 cores"];
    for (place, name) in names.iter().enumerate() {
        let (ms, mib) = (medians[place], peaks[place] / 1024);
        let rate = events as u64 * 1000 / ms.max(1);
        let ratio = medians[0] as f64 / ms as f64;
        println!("{name:<30} {ms:>9} {rate:>10}   {ratio:>5.2}   {mib:>8}");
    }
    println!("\npeak memory over the same shops, products, days and customers, {:?}", World::SMALL);
    for events in [events / 5, events] {
        generate(&small, events, World::SMALL)?;
        for (program, cores) in programs {
            let mib = run(program, cores, &small)?.kib / 1024;
            println!("{events:>9} events, program {program:<5} {mib:>6} MiB");
        }
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
