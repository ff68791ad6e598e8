//! Views in a real PostgreSQL while everything around them breaks: the program is killed, the database
//! falls over, connections are cut. At the end its tables hold what the views show, row by row.
//!
//! `IONFLUX_SINK_ROUNDS` (30) says how many rounds, `IONFLUX_SEED` (1) by which dice.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use ionflux_operators::list;
use ionflux_schemas::avro::ColumnKind;
use ionflux_schemas::view::View;
use rust_decimal::Decimal;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, raw_sql};
use tokio::runtime::Runtime;

use crate::instance::{Instance, Load, SECRET, SECRET_VARIABLE, Starting};
use crate::kill::{Dice, setting, verified};
use crate::proxy::Proxy;

/// Deliveries of the whole test, broken and repeated ones included.
const DELIVERIES: usize = 3_000;
const CALLERS: usize = 16;
const DATABASE: &str = "ionflux_live_sinks";

/// A database of its own on the real server, behind a proxy.
struct Database {
    runtime: Runtime,
    server: String,
    address: String,
    proxy: Proxy,
}

impl Database {
    /// `None`, said loudly, where there is no server.
    fn new() -> Option<Self> {
        let Ok(server) = std::env::var("IONFLUX_POSTGRES") else {
            eprintln!("SKIPPED: IONFLUX_POSTGRES is unset, no sink was put through trouble");
            let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!ci, "scripts/services must run under CI=true");
            return None;
        };
        let runtime = Runtime::new().unwrap();
        let (front, rest) = server.rsplit_once('@').unwrap();
        let (host, _) = rest.split_once('/').unwrap();
        let proxy = runtime.block_on(Proxy::start(host.parse().unwrap()));
        let address = format!("{front}@{}/{DATABASE}", proxy.address());
        let server = format!("{front}@{host}");
        let made = Self { runtime, server, address, proxy };
        made.ask("postgres", &format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"));
        made.ask("postgres", &format!("CREATE DATABASE {DATABASE}"));
        Some(made)
    }

    /// The rows of a statement, as text, past the proxy; asked again while the server comes up.
    fn ask(&self, database: &str, statement: &str) -> Vec<Vec<String>> {
        let address = format!("{}/{database}", self.server);
        let asked = || {
            self.runtime.block_on(async {
                let mut session = PgConnection::connect(&address).await?;
                let rows = raw_sql(AssertSqlSafe(statement)).fetch_all(&mut session).await?;
                session.close().await?;
                Ok::<_, sqlx::Error>(rows)
            })
        };
        let mut last = None;
        for _ in 0..TRIES_MAX {
            match asked() {
                Ok(rows) => {
                    let text = |row: &sqlx::postgres::PgRow| {
                        (0..row.len()).map(|at| row.try_get(at).unwrap_or_default()).collect()
                    };
                    return rows.iter().map(text).collect();
                }
                Err(error) => last = Some(error),
            }
        }
        panic!("{statement}: {last:?}");
    }

    /// Makes the server fall over and recover: one of its processes is killed while it writes.
    fn fall_over(&self) {
        let ours = "SELECT pid::text FROM pg_stat_activity WHERE application_name = 'ionflux'";
        for pid in self.ask("postgres", ours) {
            let _gone = Command::new("kill").args(["-KILL", &pid[0]]).status().unwrap();
        }
    }
}

/// Recovery takes a second or two, and a refused connection comes back at once.
const TRIES_MAX: usize = 20_000;

#[test]
fn tables_equal_views_whatever_breaks() {
    let Some(database) = Database::new() else { return };
    let (rounds, seed) = (setting("IONFLUX_SINK_ROUNDS", 30), setting("IONFLUX_SEED", 1));
    eprintln!("IONFLUX_SINK_ROUNDS={rounds} IONFLUX_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let (load, mut dice) = (Load::new(seed, DELIVERIES), Dice::new(seed));
    let share = DELIVERIES as u64 / rounds.max(1);
    let mut broken = [0; 3];
    for round in 0..rounds {
        let instance = start(folder.path(), &database, 1 + round as usize % 2).listening();
        let trouble = dice.roll(3) as usize;
        broken[trouble] += 1;
        let before = 1 + dice.roll(share / 2 + 1) as usize;
        instance.send_until(&load, CALLERS, load.acknowledged() + before);
        match trouble {
            0 => database.fall_over(),
            1 => database.proxy.cut(),
            _ => database.proxy.lose_answer(b"COMMIT"),
        }
        instance.send_and_kill(&load, CALLERS, 1 + dice.roll(share / 3 + 1) as usize);
    }
    eprintln!(
        "fell over {}, cut {}, lost the answer to COMMIT {}",
        broken[0], broken[1], broken[2]
    );
    let instance = start(folder.path(), &database, 2).listening();
    instance.send_until(&load, CALLERS, DELIVERIES);
    instance.ready();
    instance.terminate();
    let state = folder.path().join("state");
    assert!(verified(&state).starts_with("equal: "));
    for view in list::views() {
        let shown = shown(&state, view);
        assert!(!shown.is_empty(), "{view:?} has rows");
        assert_eq!(stored(&database, view), shown, "{view:?}, seed {seed}");
    }
    let mark = database.ask(DATABASE, "SELECT epoch::text FROM ionflux.sink_mark");
    let current = fs::read_to_string(state.join("views/CURRENT")).unwrap();
    assert_eq!(format!("epoch-{}", mark[0][0]), current.trim());
    database.ask("postgres", &format!("DROP DATABASE {DATABASE} WITH (FORCE)"));
}

fn start(folder: &Path, database: &Database, workers: usize) -> Starting {
    let secrets = folder.join("secrets");
    let held = format!("IONFLUX_POSTGRES_URL={}\n{SECRET_VARIABLE}={SECRET}\n", database.address);
    fs::write(&secrets, held).unwrap();
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
    let config = format!(
        "workers = {workers}\nsecrets_file = \"secrets\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [shopify.secret_variables]\nacme = [\"{SECRET_VARIABLE}\"]\n[sinks.timescale]\n"
    );
    Instance::configured(folder, &config)
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

/// The same rows as the database has them.
fn stored(database: &Database, view: &View) -> Vec<Vec<String>> {
    let column = |column: &ionflux_schemas::avro::Column| match column.kind {
        ColumnKind::Instant => {
            format!("to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')", column.name)
        }
        _ => format!("{}::text", column.name),
    };
    let columns: Vec<String> = view.parsed().columns.iter().map(column).collect();
    let statement = format!("SELECT {} FROM ionflux.{}", columns.join(", "), view.name);
    alike(database.ask(DATABASE, &statement), view)
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
