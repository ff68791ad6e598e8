//! The whole program from a seed: journal, ledger, dataflow, store and sinks on one thread, on a
//! stepped clock, over disks and targets that fail.
//!
//! Deliveries come late, twice, in any order and broken; the disk tears writes, fails and fills up;
//! targets refuse, lose their answers and go away; the power goes between any two effects. After
//! each crash and at the end: views = plain loops = what every target shows, and nothing that was
//! acknowledged is missing.
//!
//! `IONFLUX_SIMULATIONS` (1000) says how many seeds are run from `IONFLUX_SEED` (1) on. A failure
//! names its seed: `IONFLUX_SIMULATIONS=1 IONFLUX_SEED=417 cargo test -p ionflux --test simulation`
//! repeats it.

#![allow(clippy::unwrap_used)]

mod dice;
mod program;
mod world;

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use world::World;

/// Steps of one simulation, before everything is mended and driven to its end.
const STEPS: usize = 120;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn views_are_plain_loops_are_targets_over_any_trouble() {
    let (first, seeds) = (setting("IONFLUX_SEED", 1), setting("IONFLUX_SIMULATIONS", 1000));
    let (next, seen) = (AtomicU64::new(first), Mutex::new(world::Seen::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= first + seeds {
                return;
            }
            match catch_unwind(|| simulate(seed)) {
                Ok(one) => seen.lock().unwrap().add(&one),
                Err(panic) => {
                    eprintln!("failed with IONFLUX_SIMULATIONS=1 IONFLUX_SEED={seed}");
                    std::panic::resume_unwind(panic);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    // Each simulation has a thread to itself; several run side by side.
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let seen = seen.into_inner().unwrap();
    eprintln!("{seeds} simulations from seed {first}: {seen:?}");
    // Trouble that never happens proves nothing.
    if seeds >= 100 {
        seen.assert_every_kind();
    }
}

fn simulate(seed: u64) -> world::Seen {
    let mut world = World::new(seed);
    (0..STEPS).for_each(|_| world.step());
    world.end()
}
