//! Rows into PostgreSQL through the sink: those of new keys, then other values of the same keys;
//! beside nothing but `COPY` of the same rows, ready in its binary form, into a table of the same
//! shape.
//!
//! Invariant: all run against the same server in turn, with as many rows in a transaction and the
//! same durability; the bare table is empty before each round, and so is the sink's; the run fails
//! if the sink's table does not end with the rows it was given. Only the ratio is a claim.
//!
//! `IONFLUX_POSTGRES=… cargo bench -p ionflux-sinks --bench timescale -- [ROWS] [ROUNDS] [BATCH]`

use std::time::Instant;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::money::Money;
use ionflux_schemas::snapshot::Change;
use ionflux_schemas::time::{Day, Epoch, UtcMs};
use ionflux_schemas::view::{Row, Value, View};
use ionflux_sinks::sink::{Mark, Outgoing, Sink};
use ionflux_sinks::timescale::{TimescaleConfig, build};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _};
use tokio_stream::StreamExt;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

static VIEW: View = View {
    name: "revenue_by_product_day",
    version: 1,
    schema: include_str!("../../schemas/avro/views/revenue_by_product_day.avsc"),
    width: 1,
    row: |_, _, _| Row(Vec::new()),
};
const STATE: u128 = 1;
const DATABASE: &str = "ionflux_bench";
/// The rows of a day come from so many shops with so many products; a chunk holds 30 days.
const SHOPS: usize = 20;
const PRODUCTS: usize = 100;
const FIRST_DAY: i32 = 20_454;
const CHUNK_BYTES: usize = 256 * 1024;

/// A row of a key; `turn` changes its values alone.
fn row(at: usize, turn: i64) -> Outcome<Row> {
    let euro = Currency::parse("EUR").map_err(|_| "no euro")?;
    let (day, in_day) = (at / (SHOPS * PRODUCTS), at % (SHOPS * PRODUCTS));
    let (shop, product) = (in_day / PRODUCTS, in_day % PRODUCTS);
    let units = at as i64 % 97 + turn;
    let money = |minor: i64| Value::Money(Money::new(i128::from(minor), euro));
    Ok(Row(vec![
        Value::text(format!("workspace-{}", shop % 7)),
        Value::text(format!("shop-{shop:03}.example.com")),
        Value::Day(Day(FIRST_DAY + day as i32)),
        Value::text("EUR"),
        Value::text(format!("{}", 7_800_000_000_000 + product)),
        Value::Int(units),
        Value::Int(turn),
        money(units * 1_999),
        money(-units * 100),
        money(-turn * 1_999),
        money(units * 1_899 - turn * 1_999),
    ]))
}

/// One way of keeping the rows.
struct Side {
    name: &'static str,
    sink: Box<dyn Sink>,
    /// Past the sink.
    admin: PgConnection,
    batch: usize,
    epoch: u64,
}

/// How long each took, in seconds.
#[derive(Default)]
struct Times {
    bare: Vec<f64>,
    inserts: Vec<f64>,
    upserts: Vec<f64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let mut given = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let mut number = |default: usize| given.next().map_or(Ok(default), |text| text.parse());
    let (rows, rounds, batch) = (number(200_000)?, number(5)?, number(20_000)?);
    let Ok(address) = std::env::var("IONFLUX_POSTGRES") else {
        return Err("IONFLUX_POSTGRES is not set: eval \"$(scripts/services up)\"".into());
    };
    let server: PgConnectOptions = address.parse()?;
    let server = server.disable_statement_logging();
    let first = (0..rows).map(|at| row(at, 0)).collect::<Outcome<Vec<Row>>>()?;
    let then = (0..rows).map(|at| row(at, 1)).collect::<Outcome<Vec<Row>>>()?;
    println!("{rows} rows, {batch} in a transaction, {rounds} rounds, medians");
    for (name, hypertables) in [("plain tables", false), ("hypertables", true)] {
        let Some(mut side) = Side::open(&server, name, hypertables, batch).await? else {
            println!("{name}: SKIPPED, the server has no TimescaleDB");
            continue;
        };
        println!("{}", side.name);
        let mut times = Times::default();
        for _ in 0..rounds {
            side.round(&first, &then, &mut times).await?;
        }
        let bare = median(times.bare);
        for (what, took) in [
            ("bare COPY", bare),
            ("new keys", median(times.inserts)),
            ("same keys", median(times.upserts)),
        ] {
            println!("  {what:<10} {:>9.0} rows/s  ratio {:.2}", rows as f64 / took, bare / took);
        }
        side.end(&server).await?;
    }
    Ok(())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn run(connection: &mut PgConnection, sql: &str) -> Outcome<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

async fn one(connection: &mut PgConnection, sql: &str) -> Outcome<String> {
    Ok(sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await?.try_get(0)?)
}

impl Side {
    /// Both tables, empty; `None` for hypertables where there are none.
    async fn open(
        server: &PgConnectOptions,
        name: &'static str,
        hypertables: bool,
        batch: usize,
    ) -> Outcome<Option<Self>> {
        let mut first = server.connect().await?;
        run(&mut first, &format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")).await?;
        run(&mut first, &format!("CREATE DATABASE {DATABASE} TEMPLATE template0")).await?;
        let user = server.get_username();
        let (host, port) = (server.get_host(), server.get_port());
        let address = format!("postgres://{user}@{host}:{port}/{DATABASE}");
        let config = TimescaleConfig { hypertables, ..TimescaleConfig::default() };
        let mut sink = build("timescale", &config, &address, &[&VIEW])?;
        sink.resume().await?;
        let admin = server.clone().database(DATABASE).connect().await?;
        let mut side = Self { name, sink, admin, batch, epoch: 0 };
        // The first snapshot makes the sink's tables.
        side.write(None, Vec::new()).await?;
        let bare = "CREATE TABLE bare (LIKE ionflux.revenue_by_product_day INCLUDING ALL)";
        run(&mut side.admin, bare).await?;
        if hypertables {
            let there = "SELECT count(*)::text FROM pg_extension WHERE extname = 'timescaledb'";
            if one(&mut side.admin, there).await? == "0" {
                return Ok(None);
            }
            let made =
                "SELECT create_hypertable('bare', by_range('day', INTERVAL '30 days'))::text";
            one(&mut side.admin, made).await?;
        }
        Ok(Some(side))
    }

    async fn end(self, server: &PgConnectOptions) -> Outcome<()> {
        drop(self.sink);
        self.admin.close().await?;
        let mut last = server.connect().await?;
        run(&mut last, &format!("DROP DATABASE {DATABASE} WITH (FORCE)")).await
    }

    async fn write(&mut self, from: Option<u64>, changes: Vec<Change>) -> Outcome<()> {
        self.epoch += 1;
        let batch = Outgoing {
            from: from.map(Epoch),
            to: Mark { state: STATE, epoch: Epoch(self.epoch), as_of: UtcMs(0) },
            views: vec![(&VIEW, changes)],
        };
        Ok(self.sink.write(&batch).await?)
    }

    /// Writes changes batch by batch; gives the seconds that the sink took.
    async fn changes(&mut self, changes: Vec<Change>) -> Outcome<f64> {
        run(&mut self.admin, "CHECKPOINT").await?;
        let mut took = 0.0;
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let batch: Vec<Change> = changes.by_ref().take(self.batch).collect();
            let begun = Instant::now();
            self.write(Some(self.epoch), batch).await?;
            took += begun.elapsed().as_secs_f64();
        }
        Ok(took)
    }

    async fn round(&mut self, first: &[Row], then: &[Row], times: &mut Times) -> Outcome<()> {
        let new = |row: &Row| Change { old: None, new: Some(row.clone()) };
        let other = |(old, new): (&Row, &Row)| {
            let (old, new) = (Some(old.clone()), Some(new.clone()));
            Change { old, new }
        };
        run(&mut self.admin, "TRUNCATE ionflux.revenue_by_product_day").await?;
        times.inserts.push(self.changes(first.iter().map(new).collect()).await?);
        let bytes = self.copied(first.len()).await?;
        times.bare.push(self.bare(&bytes).await?);
        times.upserts.push(self.changes(first.iter().zip(then).map(other).collect()).await?);
        let held = "SELECT (count(*) || ' ' || sum(units_returned))::text \
                    FROM ionflux.revenue_by_product_day";
        let (held, given) = (one(&mut self.admin, held).await?, then.len());
        if held != format!("{given} {given}") {
            return Err(format!("{given} rows were given, the table has {held}").into());
        }
        Ok(())
    }

    /// The rows as `COPY` takes them, batch by batch, in the order of the key.
    async fn copied(&mut self, rows: usize) -> Outcome<Vec<Vec<u8>>> {
        let mut batches = Vec::new();
        for from in (0..rows).step_by(self.batch) {
            // Days come in the order of the rows, so that a batch is as new as the sink's.
            let query = format!(
                "COPY (SELECT * FROM (SELECT * FROM ionflux.revenue_by_product_day \
                 ORDER BY day, shop_id, product_id OFFSET {from} LIMIT {}) AS batch \
                 ORDER BY workspace_id, shop_id, day, currency, product_id) \
                 TO STDOUT (FORMAT binary)",
                self.batch
            );
            let mut stream = self.admin.copy_out_raw(&query).await?;
            let mut bytes = Vec::new();
            while let Some(piece) = stream.next().await {
                bytes.extend_from_slice(&piece?);
            }
            batches.push(bytes);
        }
        Ok(batches)
    }

    /// Nothing but `COPY`; gives its seconds.
    async fn bare(&mut self, batches: &[Vec<u8>]) -> Outcome<f64> {
        run(&mut self.admin, "TRUNCATE bare").await?;
        run(&mut self.admin, "CHECKPOINT").await?;
        let mut took = 0.0;
        for bytes in batches {
            let begun = Instant::now();
            let mut copying =
                self.admin.copy_in_raw("COPY bare FROM STDIN (FORMAT binary)").await?;
            for piece in bytes.chunks(CHUNK_BYTES) {
                copying.send(piece).await?;
            }
            copying.finish().await?;
            took += begun.elapsed().as_secs_f64();
        }
        Ok(took)
    }
}
