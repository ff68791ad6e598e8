//! The journal's door under load: acknowledged deliveries per second and how long callers wait,
//! beside a loop that does nothing but write and sync the same groups on the same disk.
//!
//! Invariant: both write to the same folder in the same run, in turn; only the ratio is a claim.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_sources::clock::{Clock, Wall};
use ionflux_sources::inbox::Inbox;
use ionflux_sources::inbox::metrics::JournalMetrics;
use ionflux_sources::inbox::scribe::Scribe;
use ionflux_sources::journal::folder::Folder;
use ionflux_sources::journal::{Journal, Limits};
use prometheus::{Registry, proto::MetricFamily};

const BODY_BYTES: usize = 6_000;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A body that is not all zeros, different for each caller.
fn body(caller: usize) -> Box<[u8]> {
    (0..BODY_BYTES).map(|i| (i * 131 + caller * 29 + i / 251) as u8).collect()
}

fn count_and_sum(families: &[MetricFamily], name: &str) -> (u64, f64) {
    families
        .iter()
        .find(|family| family.name() == name)
        .and_then(|family| family.get_metric().first())
        .map_or((0, 0.0), |metric| {
            let histogram = metric.get_histogram();
            (histogram.get_sample_count(), histogram.get_sample_sum())
        })
}

struct Run {
    rate: f64,
    p50: Duration,
    p99: Duration,
    group: f64,
    sync_ms: f64,
}

/// So many callers, each with one delivery on its way at a time.
fn door(folder: &Path, callers: usize, time: Duration) -> Outcome<Run> {
    let registry = Registry::new();
    let clock = Arc::new(Wall::default());
    let storage = Box::new(Folder::open(folder)?);
    let (journal, opened) = Journal::open(storage, Limits::new(64 << 30))?;
    let metrics = JournalMetrics::new(&registry)?;
    let inbox = Inbox::open(Scribe::new(journal, &opened, clock.clone(), metrics))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let stop = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (inbox, stop, clock) = (inbox.clone(), Arc::clone(&stop), clock.clone());
            runtime.spawn(async move {
                let body = body(caller);
                let mut waits = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let delivery = Delivery {
                        source: "shopify-webhooks".into(),
                        workspace: "acme".into(),
                        received_at: clock.now(),
                        headers: BTreeMap::from([("topic".into(), "orders/create".into())]),
                        body: body.clone(),
                    };
                    let asked = Instant::now();
                    inbox.deliver(delivery).await?;
                    waits.push(asked.elapsed());
                }
                Ok::<_, ionflux_sources::inbox::Refused>(waits)
            })
        })
        .collect();
    // The callers do the work; this thread only looks at the time now and then.
    let mut end = Position(0);
    while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        end = inbox.wait_durable(Position(end.0 + (64 << 20)), left);
    }
    stop.store(true, Ordering::Relaxed);
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(runtime.block_on(task)??);
    }
    let took = begun.elapsed();
    inbox.close();
    waits.sort_unstable();
    let families = registry.gather();
    let (groups, delivered) = count_and_sum(&families, "ionflux_journal_group_deliveries");
    let (syncs, sync_s) = count_and_sum(&families, "ionflux_journal_fsync_seconds");
    Ok(Run {
        rate: waits.len() as f64 / took.as_secs_f64(),
        p50: waits[waits.len() / 2],
        p99: waits[waits.len() * 99 / 100],
        group: delivered / groups as f64,
        sync_ms: sync_s * 1e3 / syncs as f64,
    })
}

/// Nothing but write and sync, with groups of so many bodies; bodies per second.
fn bare(path: &Path, group: usize, time: Duration) -> Outcome<f64> {
    let mut file = OpenOptions::new().append(true).create_new(true).open(path)?;
    let bytes: Vec<u8> = (0..group.max(1)).flat_map(body).collect();
    let begun = Instant::now();
    let mut groups = 0_u32;
    while begun.elapsed() < time {
        file.write_all(&bytes)?;
        file.sync_data()?;
        groups += 1;
    }
    let took = begun.elapsed();
    std::fs::remove_file(path)?;
    Ok(f64::from(groups) * group.max(1) as f64 / took.as_secs_f64())
}

fn main() -> Outcome<()> {
    let mut numbers = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let seconds = numbers.next().map_or(Ok(5), |text| text.parse())?;
    let rounds = numbers.next().map_or(Ok(3), |text| text.parse::<u32>())?;
    let home = numbers.next().map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let time = Duration::from_secs(seconds);
    std::fs::create_dir_all(&home)?;
    let folder = tempfile::tempdir_in(&home)?;
    println!("{BODY_BYTES}-byte bodies, {seconds} s each, in turn");
    println!(
        "callers  acknowledged/s   p50 ms   p99 ms   group  sync ms   bare bodies/s   ratio  \
         bare syncs/s"
    );
    for round in 0..rounds {
        for callers in [1, 64, 512] {
            let run = door(&folder.path().join(format!("{round}-{callers}")), callers, time)?;
            let group = run.group.round() as usize;
            let bare = bare(&folder.path().join("bare"), group, time)?;
            println!(
                "{callers:7}  {:14.0}  {:7.2}  {:7.2}  {:6.1}  {:7.2}  {bare:14.0}  {:6.2}  \
                 {:12.0}",
                run.rate,
                run.p50.as_secs_f64() * 1e3,
                run.p99.as_secs_f64() * 1e3,
                run.group,
                run.sync_ms,
                run.rate / bare,
                bare / group.max(1) as f64,
            );
            std::fs::remove_dir_all(folder.path().join(format!("{round}-{callers}")))?;
        }
    }
    Ok(())
}
