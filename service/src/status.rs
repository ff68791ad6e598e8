//! What the program says of its sources and sinks, as two tables beside the views.
//!
//! Invariant: their rows are made when they are asked for and are of that moment; whatever else is
//! in the same answer is of the epoch that the answer names.

use std::sync::{Arc, LazyLock};

use ionflux_schemas::avro::Schema;
use ionflux_schemas::health::{Health, Standing};
use ionflux_schemas::time::Epoch;
use ionflux_schemas::view::{Row, Value};

use crate::health::HealthBoard;
use crate::tables::{Table, Tables};

/// How sources are.
static SOURCES: LazyLock<Arc<Schema>> =
    LazyLock::new(|| parsed(include_str!("../../schemas/avro/views/sources.avsc")));
/// How sinks are, and how far their targets.
static SINKS: LazyLock<Arc<Schema>> =
    LazyLock::new(|| parsed(include_str!("../../schemas/avro/views/sinks.avsc")));

/// The version of both, as views have one.
const VERSION: u32 = 1;
const NAMES: [&str; 2] = ["sources", "sinks"];

fn parsed(text: &str) -> Arc<Schema> {
    Arc::new(Schema::parse(text).unwrap_or_else(|error| panic!("a schema is malformed: {error}")))
}

/// The tables of an epoch, and those of the board as they are now beside them.
pub(crate) fn beside(tables: &Tables, board: &HealthBoard) -> Result<Arc<Tables>, String> {
    let sources = board.sources().iter().map(|source| Row(told(source).into())).collect();
    let sinks = board.sinks().iter().map(row).collect();
    let more = [(NAMES[0], &*SOURCES, sources), (NAMES[1], &*SINKS, sinks)];
    let more = more.into_iter().map(|(name, schema, rows): (_, _, Vec<Row>)| {
        Table::of_rows((name, VERSION), schema, &rows).map(Arc::new)
    });
    Ok(Arc::new(tables.with(more.collect::<Result<_, _>>()?)))
}

/// The same, for an SQL text that may speak of them; the tables alone, whose queries then share
/// what they need, for all others.
pub(crate) fn beside_if_asked(
    tables: Arc<Tables>,
    board: &HealthBoard,
    sql: &str,
) -> Result<Arc<Tables>, String> {
    let sql = sql.to_ascii_lowercase();
    let asked = NAMES.iter().any(|name| sql.contains(name));
    if asked { beside(&tables, board) } else { Ok(tables) }
}

fn told(health: &Health) -> [Value; 4] {
    let Health { component, state, since, reason } = health;
    [
        Value::text(&**component),
        Value::text(state.name()),
        Value::Instant(*since),
        Value::text(&**reason),
    ]
}

fn row(sink: &Standing) -> Row {
    let number = |epoch: u64| Value::Int(i64::try_from(epoch).unwrap_or(i64::MAX));
    let reached = sink.epoch.unwrap_or(Epoch(0)).0;
    let mut values = Vec::from(told(&sink.health));
    values.push(sink.epoch.map_or(Value::Null, |epoch| number(epoch.0)));
    let lag = sink.offered.map(|offered| number(offered.0.saturating_sub(reached)));
    values.push(lag.unwrap_or(Value::Null));
    Row(values)
}
