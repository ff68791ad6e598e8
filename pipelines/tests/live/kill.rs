//! kill -9 at random phases under load: at the end every view is, byte for byte, what an
//! uninterrupted run gives.
//!
//! From 64 connections at once, so that many deliveries are on their way when it is killed.
//!
//! `IONFLUX_KILL_CYCLES` (50) says how often it is killed, `IONFLUX_SEED` (1) by which dice; both
//! are printed, so that a failure can be repeated with the same phases.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::instance::{Instance, Load, SECRET, SECRET_VARIABLE};

/// Deliveries of the whole test, broken and repeated ones included.
const DELIVERIES: usize = 3_000;
/// Callers that send at once.
const CALLERS: usize = 64;

pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// SplitMix64: small, and the same on every machine.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

#[test]
fn views_after_kills_are_those_of_an_uninterrupted_run() {
    let (cycles, seed) = (setting("IONFLUX_KILL_CYCLES", 50), setting("IONFLUX_SEED", 1));
    eprintln!("IONFLUX_KILL_CYCLES={cycles} IONFLUX_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();

    let calm = folder.path().join("calm");
    let load = Load::new(seed, DELIVERIES);
    let instance = Instance::start(&calm, 2).listening();
    instance.send_until(&load, CALLERS, DELIVERIES);
    instance.ready();
    instance.terminate();

    let killed = folder.path().join("killed");
    let load = Load::new(seed, DELIVERIES);
    let mut dice = Dice::new(seed);
    let mut phases = [0; 4];
    for cycle in 0..cycles {
        let phase = dice.roll(4) as usize;
        phases[phase] += 1;
        // Workers change between runs, too.
        let starting = Instance::start(&killed, 1 + cycle as usize % 3);
        match phase {
            0 => starting.kill_after_lines(dice.roll(2) as usize),
            1 => starting.listening().kill_after_requests(dice.roll(8) as usize),
            _ => {
                let instance = starting.listening();
                let share = (2 * DELIVERIES as u64 / cycles.max(1)).max(2);
                instance.send_and_kill(&load, CALLERS, 1 + dice.roll(share) as usize);
            }
        }
    }
    eprintln!(
        "killed while opening {}, idle {}, under load {}+{}",
        phases[0], phases[1], phases[2], phases[3]
    );
    let instance = Instance::start(&killed, 2).listening();
    instance.send_until(&load, CALLERS, DELIVERIES);
    instance.ready();
    instance.terminate();

    let (expected, found) = (views(&calm), views(&killed));
    assert!(expected.len() >= 5, "{:?}", expected.keys());
    for (view, bytes) in &expected {
        assert!(!bytes.is_empty() && found.get(view) == Some(bytes), "{view} differs, seed {seed}");
    }
    assert_eq!(expected.len(), found.len());
    for state in [&calm, &killed] {
        let text = verified(&state.join("state"));
        assert!(text.starts_with("equal: ") && !text.contains("not compared"), "{text}");
    }
}

/// The files of the views that were kept at the end.
fn views(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let views = folder.join("state/views");
    let current = fs::read_to_string(views.join("CURRENT")).unwrap();
    let files =
        fs::read_dir(views.join(current.trim())).unwrap().map(|entry| entry.unwrap().path());
    let parquet = files.filter(|path| path.extension().is_some_and(|e| e == "parquet"));
    let named = parquet.map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read(path).unwrap())
    });
    named.collect()
}

pub fn verified(state: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ionflux"))
        .args(["verify", "--state"])
        .arg(state)
        .env(SECRET_VARIABLE, SECRET)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}
