//! Views in a real PostgreSQL, a real Kafka and a lake while everything around them breaks: the
//! program is killed, servers fall over and start again, connections are cut, answers are lost. At
//! the end every target holds what the views show, row by row, and what it showed on the way was
//! one epoch each time: a reader of the database watches, topics are folded up to each mark.
//!
//! `IONFLUX_SINK_ROUNDS` (30) says how many rounds, `IONFLUX_SEED` (1) by which dice.

mod database;
#[cfg(feature = "kafka")]
mod epochs;
mod lake;
#[cfg(feature = "kafka")]
mod registry;
#[cfg(feature = "kafka")]
mod topics;
mod totals;
mod watcher;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use ionflux_operators::list;
use ionflux_schemas::avro::ColumnKind;
use ionflux_schemas::view::View;
use rust_decimal::Decimal;

use self::database::Database;
#[cfg(feature = "kafka")]
use self::topics::Topics;
use self::watcher::{Seen, Watcher};
use crate::instance::{Instance, Load, SECRET, SECRET_VARIABLE, Starting};
use crate::kill::{Dice, setting, verified};

/// Deliveries of the whole test, broken and repeated ones included.
const DELIVERIES: usize = 3_000;
const CALLERS: usize = 16;
const ROUNDS: u64 = 30;
/// What is left after the rounds comes in so many parts, each of which is an epoch or more that all
/// targets show.
const PARTS: usize = 15;

/// How many epochs the database must at least be seen at, and how many of them in the topics too.
const EPOCHS_MIN: usize = 20;
#[cfg(feature = "kafka")]
const MET_MIN: usize = 8;

/// One test at a time: each restarts servers that the other reads from.
static SERVERS: Mutex<()> = Mutex::new(());

/// Everything views go to.
struct Targets {
    folder: PathBuf,
    database: Database,
    #[cfg(feature = "kafka")]
    topics: Topics,
}

/// What it is, and what does it; false if there was nothing to trouble.
type Trouble = (&'static str, fn(&Targets) -> bool);

/// What is done to the targets while the program writes to them.
const TROUBLES: [Trouble; 6] = [
    ("nothing", |_| true),
    ("cut connections", Targets::cut),
    ("lost the answers to commits", Targets::lose_answers),
    ("a process of the database killed", |targets| targets.database.fall_over()),
    ("the database restarted", |_| restart("postgres")),
    ("the broker restarted", |_| restart("kafka")),
];

#[test]
fn targets_equal_views_whatever_breaks() {
    let _alone = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let Some(targets) = Targets::new(folder.path(), "ionflux_live_sinks") else { return };
    let (rounds, seed) = (setting("IONFLUX_SINK_ROUNDS", ROUNDS), setting("IONFLUX_SEED", 1));
    eprintln!("IONFLUX_SINK_ROUNDS={rounds} IONFLUX_SEED={seed}");
    let (load, mut dice) = (Load::new(seed, DELIVERIES), Dice::new(seed));
    let share = DELIVERIES as u64 / rounds.max(1);
    let watcher = Watcher::start(targets.database.direct());
    let mut times = [0; TROUBLES.len()];
    for round in 0..rounds {
        let instance = targets.start(1 + round as usize % 2).listening();
        let before = 1 + dice.roll(share / 2 + 1) as usize;
        instance.send_until(&load, CALLERS, load.acknowledged() + before);
        let calm = dice.roll(2) == 0;
        let drawn = dice.roll(TROUBLES.len() as u64) as usize;
        // The last rounds are for those that never happened.
        let mut due = (0..times.len()).filter(|trouble| times[*trouble] == 0);
        let forced = due.clone().count() as u64 >= rounds - round;
        let trouble = due.next_back().filter(|_| forced).unwrap_or(drawn);
        // Half of the times it meets targets that have all, and otherwise a first batch; one that
        // is due must not meet a sink that has yet to connect.
        if calm || forced {
            instance.delivered();
        }
        times[trouble] += u64::from(TROUBLES[trouble].1(&targets));
        instance.send_and_kill(&load, CALLERS, 1 + dice.roll(share / 3 + 1) as usize);
    }
    let told = TROUBLES.iter().zip(times).map(|((name, _), times)| format!("{name}: {times}"));
    eprintln!("{}", told.collect::<Vec<_>>().join(", "));
    assert!(rounds < ROUNDS || times.iter().all(|times| *times > 0), "{times:?}");
    let instance = targets.start(2).listening();
    instance.ready();
    for part in (1..=PARTS).rev() {
        let (before, sent) = (instance.delivered(), load.acknowledged());
        instance.send_until(&load, CALLERS, sent + (DELIVERIES - sent) / part);
        instance.delivered_after(before);
    }
    instance.terminate();
    assert!(targets.lost(), "an answer that was to be lost was not");
    targets.whole(&watcher.finish());
    targets.check(seed);
}

/// What targets hold of the time after the copy is of another history with the same numbers.
#[test]
fn a_state_put_back_from_a_copy_is_what_targets_show_again() {
    let _alone = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let Some(mut targets) = Targets::new(folder.path(), "ionflux_live_restored") else { return };
    targets.counts_anew();
    let run = |load: &Load, total: usize| {
        let instance = targets.start(1).listening();
        instance.send_until(load, CALLERS, total);
        instance.ready();
        instance.delivered();
        instance.terminate();
    };
    let (load, others) = (Load::new(3, 400), Load::new(4, 400));
    let (state, copy) = (folder.path().join("state"), folder.path().join("copy"));
    run(&load, 100);
    let copied = Command::new("cp").arg("-r").args([&state, &copy]).status().unwrap();
    assert!(copied.success());
    run(&load, 400);
    fs::remove_dir_all(&state).unwrap();
    fs::rename(&copy, &state).unwrap();
    run(&others, 400);
    targets.check(4);
}

impl Targets {
    /// `None`, said loudly, where there are no servers.
    fn new(folder: &Path, database: &'static str) -> Option<Self> {
        Some(Self {
            folder: folder.into(),
            database: Database::new(&server("IONFLUX_POSTGRES")?, database),
            #[cfg(feature = "kafka")]
            topics: Topics::new(&server("IONFLUX_KAFKA")?),
        })
    }

    fn start(&self, workers: usize) -> Starting {
        let secrets = self.folder.join("secrets");
        let address = self.database.address();
        let held = format!("IONFLUX_POSTGRES_URL={address}\n{SECRET_VARIABLE}={SECRET}\n");
        fs::write(&secrets, held).unwrap();
        fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
        let config = format!(
            "workers = {workers}\nsecrets_file = \"secrets\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [shopify.secret_variables]\nacme = [\"{SECRET_VARIABLE}\"]\n[sinks.timescale]\n\
             [sinks.lake]\nevery_s = 0\nurl = \"file://{}\"\n",
            self.lake().display()
        );
        #[cfg(feature = "kafka")]
        let config = config + &self.topics.section() + "outputs = true\n";
        Instance::configured(&self.folder, &config)
    }

    /// Says that epochs will be counted anew at some point.
    fn counts_anew(&mut self) {
        #[cfg(feature = "kafka")]
        {
            self.topics.anew = true;
        }
    }

    fn lake(&self) -> PathBuf {
        self.folder.join("lake")
    }

    fn cut(&self) -> bool {
        let cut = self.database.proxy.cut() > 0;
        #[cfg(feature = "kafka")]
        let cut = (self.topics.proxy.cut() > 0) & cut;
        cut
    }

    /// Whether all answers that were to be lost are.
    fn lost(&self) -> bool {
        let lost = self.database.proxy.done();
        #[cfg(feature = "kafka")]
        let lost = self.topics.proxy.done() && lost;
        lost
    }

    fn lose_answers(&self) -> bool {
        self.database.proxy.lose_answer(b"COMMIT");
        // The request that ends a transaction: 26, of version 1.
        #[cfg(feature = "kafka")]
        self.topics.proxy.lose_answer(b"\0\x1a\0\x01\0\0");
        true
    }

    /// That targets showed whole epochs on their way, and the same at the same epoch.
    fn whole(&self, seen: &Seen) {
        let Seen { epochs, readings, lost, .. } = seen;
        eprintln!("the database: {} epochs in {readings} readings, {lost} lost", epochs.len());
        assert!(epochs.len() >= EPOCHS_MIN, "the database was seen at too few epochs");
        let (_, last) = epochs.last_key_value().unwrap();
        assert!(last.some(), "{last:?}");
        #[cfg(feature = "kafka")]
        {
            let marks = self.topics.epochs();
            let both = || epochs.iter().filter_map(|(at, here)| Some((at, here, marks.get(at)?)));
            eprintln!("the topics: {} marks, {} of them seen in both", marks.len(), both().count());
            assert!(both().count() >= MET_MIN, "the targets met at too few epochs");
            for (epoch, here, there) in both() {
                assert_eq!(here, there, "the database and the topics at {epoch}");
            }
            eprintln!("{} events", self.topics.events());
        }
    }

    /// Compares every target with the views, and their marks with the views' epoch.
    fn check(&self, seed: u64) {
        let state = self.folder.join("state");
        assert!(verified(&state).starts_with("equal: "));
        let current = fs::read_to_string(state.join("views/CURRENT")).unwrap();
        let epoch: u64 = current.trim().trim_start_matches("epoch-").parse().unwrap();
        let lake = lake::read(&self.lake());
        assert_eq!((self.database.epoch(), lake.epoch), (epoch, epoch));
        #[cfg(feature = "kafka")]
        assert_eq!(self.topics.epoch(), epoch);
        for view in list::views() {
            let shown = shown(&state, view);
            assert!(!shown.is_empty(), "{view:?} has rows");
            assert_eq!(alike(self.database.rows(view), view), shown, "{view:?}, seed {seed}");
            assert_eq!(alike(lake.rows(view), view), shown, "{view:?}, seed {seed}");
            #[cfg(feature = "kafka")]
            assert_eq!(alike(self.topics.rows(view), view), shown, "{view:?}, seed {seed}");
        }
        self.database.drop();
    }
}

/// The address of a server; `None`, said loudly, where there is none.
fn server(name: &str) -> Option<String> {
    let found = std::env::var(name).ok().filter(|address| !address.is_empty());
    if found.is_none() {
        eprintln!("SKIPPED: {name} is unset, no sink was put through trouble");
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "scripts/services must run under CI=true");
    }
    found
}

/// A power cut for one of the servers.
fn restart(server: &str) -> bool {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/services");
    let restarted = Command::new(script).args(["restart", server]).status().unwrap();
    assert!(restarted.success(), "{server} was not restarted; did scripts/services start it?");
    true
}

/// A view's rows as the program shows them.
fn shown(state: &Path, view: &View) -> Vec<Vec<String>> {
    let output = Command::new(env!("CARGO_BIN_EXE_ionflux"))
        .args(["query", "--output", "csv", "--state"])
        .arg(state)
        .arg(format!("SELECT * FROM {}", view.name))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut reader = csv::Reader::from_reader(&*output.stdout);
    let rows = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect());
    alike(rows.collect(), view)
}

/// Rows in one order, amounts without the zeros at their end.
fn alike(mut rows: Vec<Vec<String>>, view: &View) -> Vec<Vec<String>> {
    let columns = &view.parsed().columns;
    for row in &mut rows {
        assert_eq!(row.len(), columns.len());
        for (cell, column) in row.iter_mut().zip(columns) {
            if column.kind == ColumnKind::Money && !cell.is_empty() {
                *cell = cell.parse::<Decimal>().unwrap().normalize().to_string();
            }
        }
    }
    rows.sort();
    rows
}
