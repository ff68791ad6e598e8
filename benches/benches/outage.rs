//! A target that is away: what waits for it in memory, and how soon it has everything again.
//!
//! Two processes count the same deliveries at the same rate into a database of their own. For one
//! of them a gate before the database is closed for all that time, and opens then while events go
//! on at their rate. What that process holds more than the other is what waits.
//!
//! Invariant: the run fails if the target does not have everything within a minute, or if a table
//! ends with other rows or counts than its view.
//!
//! `IONFLUX_POSTGRES=… cargo bench -p ionflux-benches --bench outage -- [SECONDS] [EVENTS_PER_S]
//! [WARM_UP_EVENTS]`; the address is one without a password, of a server on this machine.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use ionflux_benches::fleet::{Fleet, Pace};
use ionflux_benches::gate::Gate;
use ionflux_benches::instance::Instance;
use ionflux_operators::list;
use ionflux_schemas::avro::ColumnKind;
use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::view::Value;
use ionflux_sinks::sink::Sink;
use ionflux_sinks::timescale::{self, TimescaleConfig};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _};
use tokio::runtime::{Builder, Runtime};

type Failure = Box<dyn std::error::Error>;

const SHOPS: u64 = 50;
/// Says to a process of this bench what it is.
const PART: &str = "IONFLUX_BENCH_PART";
const AWAY: &str = "target away";
const DATABASE: &str = "ionflux_outage";
/// How long the target may take to have everything again.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What is asked of a run.
#[derive(Clone, Copy)]
struct Asked {
    seconds: usize,
    rate: usize,
    /// Deliveries before the outage.
    warm_up: usize,
}

fn main() -> Result<(), Failure> {
    let mut given = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let mut number = |default: usize| given.next().map_or(Ok(default), |text| text.parse());
    let (seconds, rate, warm_up) = (number(600)?, number(2_000)?, number(200_000)?);
    let asked = Asked { seconds, rate, warm_up };
    match std::env::var(PART).as_deref() {
        Ok(part) => run(asked, part == AWAY),
        Err(_) => {
            println!("{seconds} s of {rate} events/s after {warm_up} events, {SHOPS} shops");
            for part in ["target there", AWAY] {
                println!("{part}");
                let mut command = Command::new(std::env::current_exe()?);
                command.env(PART, part).args([seconds, rate, warm_up].map(|n| n.to_string()));
                if !command.status()?.success() {
                    return Err(format!("{part}: failed").into());
                }
            }
            Ok(())
        }
    }
}

fn run(asked: Asked, away: bool) -> Result<(), Failure> {
    let server = std::env::var("IONFLUX_POSTGRES")
        .map_err(|_| "IONFLUX_POSTGRES is not set: eval \"$(scripts/services up)\"")?;
    let mut database = Database::new(&server)?;
    let gate = Gate::new(database.server)?;
    let address = format!("postgres://{}@{}/{DATABASE}", database.user, gate.address);
    let config = TimescaleConfig::default();
    let sink: Box<dyn Sink> = timescale::build("timescale", &config, &address, &list::views())?;
    let folder = tempfile::tempdir()?;
    let instance = Instance::start(folder.path(), vec![sink])?;
    let mut fleet = Fleet::new(SHOPS);
    fleet.send(&instance, asked.warm_up, Pace::Fast)?;
    fleet.counted(&instance)?;
    caught_up(&instance)?;
    let before = Prints::of(&instance.store.newest());
    let memory = Memory::now()?;
    gate.set(!away);
    let begun = Instant::now();
    fleet.send(&instance, asked.seconds * asked.rate, Pace::Rate(asked.rate))?;
    let sent_s = begun.elapsed().as_secs_f64();
    fleet.counted(&instance)?;
    memory.print(&format!("all sent in {sent_s:.1} s"))?;
    before.print_changed(&instance.store.newest());
    let owed = owed(&instance);
    gate.set(true);
    let caught = going_on(&instance, &mut fleet, asked.rate)?;
    let after = format!("{owed} owed epochs there in {:.1} s", caught.as_secs_f64());
    memory.print(&after)?;
    caught_up(&instance)?;
    let store = instance.store.clone();
    instance.end()?;
    database.check(&store.newest())?;
    database.end()
}

/// Waits until what was owed is there, while events go on; gives how long.
fn going_on(instance: &Instance, fleet: &mut Fleet, rate: usize) -> Result<Duration, Failure> {
    let (begun, ended) = (Instant::now(), AtomicBool::new(false));
    thread::scope(|scope| {
        let events = scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                fleet.send(instance, rate, Pace::Rate(rate)).map_err(|e| e.to_string())?;
            }
            fleet.counted(instance).map_err(|e| e.to_string())
        });
        let caught = caught_up(instance).map(|()| begun.elapsed());
        ended.store(true, Ordering::SeqCst);
        events.join().map_err(|_| "a caller panicked")??;
        caught
    })
}

fn owed(instance: &Instance) -> u64 {
    let sinks = instance.board.sinks();
    let epochs = |epoch: Option<ionflux_schemas::time::Epoch>| epoch.map_or(0, |epoch| epoch.0);
    sinks.iter().map(|sink| epochs(sink.offered) - epochs(sink.epoch)).sum()
}

/// Waits until the target has what was handed over a moment ago.
fn caught_up(instance: &Instance) -> Result<(), Failure> {
    let due = instance.board.sinks().iter().filter_map(|sink| sink.offered).max();
    let begun = Instant::now();
    while let Some(late) = instance.board.sinks().into_iter().find(|sink| sink.epoch < due) {
        if begun.elapsed() > CATCH_UP_MAX {
            return Err(format!("the target is late: {:?}", late.health).into());
        }
        thread::park_timeout(LOOK_AGAIN);
    }
    Ok(())
}

/// Of every key its totals as a hash, to tell later which changed.
struct Prints(Vec<HashMap<u128, u64>>);

impl Prints {
    fn of(snapshot: &Snapshot) -> Self {
        let of = |name| {
            let mut prints = HashMap::new();
            snapshot.for_each_key(name, |key, totals| {
                prints.insert(key, print(totals));
            });
            prints
        };
        Self(snapshot.views().map(|view| of(view.name)).collect())
    }

    fn print_changed(&self, snapshot: &Snapshot) {
        let (mut rows, mut changed, mut packed) = (0, 0, 0);
        for (view, prints) in snapshot.views().zip(&self.0) {
            snapshot.for_each_key(view.name, |key, totals| {
                rows += 1;
                if prints.get(&key) != Some(&print(totals)) {
                    changed += 1;
                    packed += 16 + 16 * totals.len();
                }
            });
        }
        println!(
            "  {rows} rows, {changed} of them changed: {} MiB as keys and totals",
            packed >> 20
        );
    }
}

fn print(totals: &[i128]) -> u64 {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    BuildHasherDefault::<DefaultHasher>::default().hash_one(totals)
}

/// What this process holds, in KiB.
struct Memory(u64);

impl Memory {
    /// What it holds now; the peak is counted from here.
    fn now() -> Result<Self, Failure> {
        std::fs::write("/proc/self/clear_refs", "5")?;
        Ok(Self(status("VmRSS:")?))
    }

    fn print(&self, when: &str) -> Result<(), Failure> {
        let (now, peak) = (status("VmRSS:")?, status("VmHWM:")?);
        let rise = (now as f64 - self.0 as f64) / 1024.0;
        let [before, now, peak] = [self.0, now, peak].map(|kib| kib / 1024);
        println!("  {before} MiB, then {now} MiB ({rise:+.0}), peak {peak} MiB: {when}");
        Ok(())
    }
}

fn status(field: &str) -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok());
    kib.ok_or_else(|| format!("/proc/self/status tells no {field}").into())
}

fn count(value: &Value) -> i64 {
    match value {
        Value::Int(count) => *count,
        _ => 0,
    }
}

/// A database of the bench's own.
struct Database {
    user: String,
    server: SocketAddr,
    runtime: Runtime,
    /// Past the gate and the sink.
    admin: PgConnection,
}

impl Database {
    fn new(address: &str) -> Result<Self, Failure> {
        let options: PgConnectOptions = address.parse()?;
        let options = options.disable_statement_logging();
        let server = format!("{}:{}", options.get_host(), options.get_port()).parse()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let admin = runtime.block_on(options.connect())?;
        let user = options.get_username().to_owned();
        let mut database = Self { user, server, runtime, admin };
        database.run(&format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"))?;
        database.run(&format!("CREATE DATABASE {DATABASE} TEMPLATE template0"))?;
        let inside = database.runtime.block_on(options.database(DATABASE).connect())?;
        let outside = std::mem::replace(&mut database.admin, inside);
        database.runtime.block_on(outside.close())?;
        Ok(database)
    }

    fn run(&mut self, sql: &str) -> Result<(), Failure> {
        self.runtime.block_on(sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.admin))?;
        Ok(())
    }

    /// Whether every table has as many rows as its view, and counts the same in them.
    fn check(&mut self, snapshot: &Snapshot) -> Result<(), Failure> {
        for view in snapshot.views() {
            let schema = view.parsed();
            let places =
                (0..schema.columns.len()).filter(|at| schema.columns[*at].kind == ColumnKind::Int);
            let places: Vec<usize> = places.collect();
            let sum = |at: &usize| format!(", coalesce(sum(\"{}\"), 0)", schema.columns[*at].name);
            let sums: String = places.iter().map(sum).collect();
            let sql = format!("SELECT concat_ws(' ', count(*){sums}) FROM ionflux.{}", view.name);
            let asked = sqlx::raw_sql(AssertSqlSafe(&*sql)).fetch_one(&mut self.admin);
            let held: String = self.runtime.block_on(asked)?.try_get(0)?;
            let rows = snapshot.rows(view.name).unwrap_or_default();
            let counted = |at: &usize| rows.iter().map(|row| count(&row.0[*at])).sum::<i64>();
            let shown = std::iter::once(rows.len() as i64).chain(places.iter().map(counted));
            let shown: Vec<String> = shown.map(|count| count.to_string()).collect();
            if held != shown.join(" ") {
                let what = format!("{} holds {held}, not {}", view.name, shown.join(" "));
                return Err(what.into());
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<(), Failure> {
        let Self { user, server, .. } = &self;
        let address: PgConnectOptions = format!("postgres://{user}@{server}/postgres").parse()?;
        let outside = self.runtime.block_on(address.disable_statement_logging().connect())?;
        self.admin = outside;
        self.run(&format!("DROP DATABASE {DATABASE} WITH (FORCE)"))
    }
}
