//! SQL over the tables of one epoch: read only, one statement, bounded in text, memory, time, rows.
//!
//! Invariant: nothing a query says can change a table, reach a file or outlive its limits, and an
//! answer that was cut says so.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::{ScalarValue, SchemaError};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use ionflux_schemas::time::{Epoch, UtcMs};
use thiserror::Error;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;

use crate::keywords;
use crate::tables::Tables;

/// The longest SQL text: larger than anyone writes by hand, small enough to parse at once.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// The memory of one query's sorts, joins and groups: all our views fit, a cross join does not.
pub const MEMORY_BYTES_MAX: usize = 512 * 1024 * 1024;
/// The longest run of one query: longer ones belong on an export.
pub const RUN_MAX: Duration = Duration::from_secs(30);
/// The most rows of an answer: what a spreadsheet or a person can still use.
pub const ROWS_MAX: usize = 100_000;
/// The most bytes of an answer, since rows may be wide.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Rows per batch of a scan: between two of them a query can be stopped.
const SCAN_ROWS: usize = 8192;
/// One query may use two cores and no more, so that a page stays alive beside it.
const PARTITIONS: usize = 2;
/// Functions that make any amount of data out of a number, outside what the pool can count.
const BANNED: [&str; 10] = [
    "repeat",
    "lpad",
    "rpad",
    "range",
    "gen_series",
    "generate_series",
    "array_repeat",
    "list_repeat",
    "array_resize",
    "list_resize",
];

/// Threads of clients' queries, apart from those that answer requests: a join that never pauses
/// may hold one of them for long, and nothing else. Their stacks are deep, for a text of 64 KiB can
/// nest thousands of operators.
static POOL: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(PARTITIONS)
        .thread_name("sql")
        .thread_stack_size(64 << 20)
        .enable_all()
        .build()
});

/// What a query gave.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Everything below this epoch is counted.
    pub epoch: Epoch,
    /// The shop clock at the epoch.
    pub as_of: UtcMs,
    /// The columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// Whether there were more rows than [`ROWS_MAX`] or than fit an answer.
    pub truncated: bool,
}

impl Answer {
    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Why a query gave nothing.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SqlError {
    /// The text is too long.
    #[error("the SQL text has {0} bytes, more than the {TEXT_BYTES_MAX} allowed")]
    TooLong(usize),
    /// The text is not SQL, or speaks of what is not there.
    #[error("{detail}")]
    Invalid {
        /// What is wrong.
        detail: String,
        /// What is there instead.
        hint: String,
    },
    /// The text is not exactly one statement.
    #[error("the text holds {0}")]
    NotOne(&'static str),
    /// The statement would change something.
    #[error("{0}")]
    NotReadOnly(String),
    /// The query ran out of its memory.
    #[error("the query needs more than {mib} MiB of memory", mib = MEMORY_BYTES_MAX >> 20)]
    Memory,
    /// The query ran out of its time.
    #[error("the query took longer than {secs} seconds", secs = RUN_MAX.as_secs())]
    Timeout,
    /// The text asks for a view that cannot be read yet.
    #[error("the view {0} is being rebuilt")]
    Rebuilding(String),
    /// The query failed while it ran.
    #[error("{0}")]
    Failed(String),
}

impl SqlError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::TooLong(_) => "shorten the query".to_owned(),
            Self::Invalid { hint, .. } => hint.clone(),
            Self::NotOne(_) => "send one SELECT; a trailing semicolon is fine".to_owned(),
            Self::NotReadOnly(_) => {
                "views are read only: use SELECT, WITH, VALUES or EXPLAIN".to_owned()
            }
            Self::Memory | Self::Timeout => {
                "narrow it with WHERE, or join fewer rows; exports hold everything".to_owned()
            }
            Self::Rebuilding(_) => {
                "this release makes it anew: try again when /readyz says ready".to_owned()
            }
            Self::Failed(_) => "check casts and divisions for values that do not fit".to_owned(),
        }
    }
}

/// Runs one query over the tables.
///
/// # Errors
/// [`SqlError`], whose [`SqlError::hint`] says what to do.
pub async fn query(tables: &Arc<Tables>, sql: &str) -> Result<Answer, SqlError> {
    let pool = POOL.as_ref().map_err(|error| SqlError::Failed(error.to_string()))?;
    bounded(tables, sql, Vec::new(), pool.handle()).await
}

/// Runs one query with values for `$1`, `$2` and so on.
pub(crate) async fn query_with(
    tables: &Arc<Tables>,
    sql: &str,
    params: Vec<ScalarValue>,
) -> Result<Answer, SqlError> {
    bounded(tables, sql, params, &Handle::current()).await
}

async fn bounded(
    tables: &Arc<Tables>,
    sql: &str,
    params: Vec<ScalarValue>,
    on: &Handle,
) -> Result<Answer, SqlError> {
    if sql.len() > TEXT_BYTES_MAX {
        return Err(SqlError::TooLong(sql.len()));
    }
    // A task of its own: a panic below ends the query alone, and leaving early aborts it.
    let mut task = JoinSet::new();
    let (tables, sql) = (Arc::clone(tables), sql.to_owned());
    task.spawn_on(async move { run(&tables, &sql, params).await }, on);
    match tokio::time::timeout(RUN_MAX, task.join_next()).await {
        Ok(Some(Ok(answer))) => answer,
        Ok(_) => Err(SqlError::Failed("the query stopped unexpectedly".to_owned())),
        Err(_) => Err(SqlError::Timeout),
    }
}

async fn run(
    tables: &Arc<Tables>,
    sql: &str,
    params: Vec<ScalarValue>,
) -> Result<Answer, SqlError> {
    let refused = |error: DataFusionError| refusal(tables, sql, &error);
    let context = context(tables).map_err(&refused)?;
    let state = context.state();
    let dialect = state.config_options().sql_parser.dialect;
    let statement = state.sql_to_statement(&keywords::quoted(sql), &dialect).map_err(&refused)?;
    let names = state.resolve_table_references(&statement).map_err(&refused)?;
    for name in names.iter().map(|name| name.table().to_owned()) {
        if tables.rebuilding(&name) {
            return Err(SqlError::Rebuilding(name));
        }
        register(tables, &context, name).await?;
    }
    let plan = context.state().statement_to_plan(statement).await.map_err(&refused)?;
    let options =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    options.verify_plan(&plan).map_err(|error| SqlError::NotReadOnly(told(&error)))?;
    let frame = context.execute_logical_plan(plan).await.map_err(&refused)?;
    let frame = if params.is_empty() { Ok(frame) } else { frame.with_param_values(params) };
    let mut stream = frame.map_err(&refused)?.execute_stream().await.map_err(&refused)?;
    let mut answer = Answer {
        epoch: tables.epoch,
        as_of: tables.as_of,
        schema: stream.schema(),
        batches: Vec::new(),
        truncated: false,
    };
    let (mut rows, mut bytes) = (0, 0);
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|error| stopped(&error))?;
        let room = ROWS_MAX - rows;
        bytes += batch.get_array_memory_size();
        if batch.num_rows() > room || bytes > ANSWER_BYTES_MAX {
            answer.truncated = true;
            answer.batches.push(batch.slice(0, room.min(batch.num_rows())));
            break;
        }
        rows += batch.num_rows();
        answer.batches.push(batch);
    }
    Ok(answer)
}

/// The one context of an epoch's tables, made when the epoch is first asked something.
fn context(tables: &Tables) -> Result<SessionContext, DataFusionError> {
    if let Some(context) = tables.context.get() {
        return Ok(context.clone());
    }
    let mut config = SessionConfig::new().with_target_partitions(PARTITIONS);
    config.options_mut().execution.enable_recursive_ctes = false;
    // Literals such as 0.2 stay exact when they meet money.
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_limit(MEMORY_BYTES_MAX, 1.0)
        .with_disk_manager_builder(disk)
        .build_arc()?;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .build();
    let context = SessionContext::new_with_state(state);
    BANNED.iter().for_each(|name| context.deregister_udf(name));
    Ok(tables.context.get_or_init(|| context).clone())
}

/// Puts a table into the context unless it is there; an unknown name is left to the planner.
async fn register(
    tables: &Arc<Tables>,
    context: &SessionContext,
    name: String,
) -> Result<(), SqlError> {
    let Some(table) = tables.get(&name).map(Arc::clone) else { return Ok(()) };
    if context.table_exist(name.as_str()).unwrap_or(false) {
        return Ok(());
    }
    let built = tokio::task::spawn_blocking(move || {
        let batch = table.rows()?;
        let starts = (0..batch.num_rows()).step_by(SCAN_ROWS);
        let slice = |start| batch.slice(start, SCAN_ROWS.min(batch.num_rows() - start));
        let slices = starts.map(slice).collect();
        MemTable::try_new(batch.schema(), vec![slices]).map_err(|error| told(&error))
    });
    let built = built.await.map_err(|_| "the table could not be built".to_owned());
    let table = built.and_then(|built| built).map_err(SqlError::Failed)?;
    context
        .register_table(name.as_str(), Arc::new(table))
        .map_err(|error| SqlError::Failed(told(&error)))?;
    Ok(())
}

/// Why the planner refused, with what there is instead.
fn refusal(tables: &Tables, sql: &str, error: &DataFusionError) -> SqlError {
    let detail = told(error);
    if detail.contains("single SQL statement") {
        return SqlError::NotOne("more than one statement");
    }
    if detail.starts_with("No SQL statements") {
        return SqlError::NotOne("no statement");
    }
    if detail.starts_with("Unsupported SQL statement") {
        return SqlError::NotReadOnly(detail);
    }
    let root = error.find_root();
    let column = matches!(root, DataFusionError::SchemaError(e, _)
        if matches!(**e, SchemaError::FieldNotFound { .. }));
    let lower = sql.to_ascii_lowercase();
    let spoken = tables.iter().filter(|table| lower.contains(&*table.name));
    let columns = spoken.map(|table| format!("{} has {}", table.name, table.columns()));
    let hint = match root {
        _ if column => columns.collect::<Vec<_>>().join("; "),
        DataFusionError::SQL(..) => {
            "a name that is also a keyword needs double quotes, such as \"returning\"".to_owned()
        }
        _ => format!("the views are {}", tables.names()),
    };
    let detail = match root {
        DataFusionError::SchemaError(e, _) => match &**e {
            SchemaError::FieldNotFound { field, .. } => format!("there is no column {field}"),
            _ => detail,
        },
        _ => detail.replace("datafusion.public.", ""),
    };
    SqlError::Invalid { detail, hint }
}

/// Why a running query stopped.
fn stopped(error: &DataFusionError) -> SqlError {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => SqlError::Memory,
        _ => SqlError::Failed(told(error)),
    }
}

/// The first line of an error without the engine's prefixes, short enough for a message.
fn told(error: &DataFusionError) -> String {
    let text = match error.find_root() {
        DataFusionError::SQL(error, _) => error.to_string(),
        error => error.strip_backtrace(),
    };
    let line = text.lines().next().unwrap_or_default();
    let prefixes =
        ["Error during planning: ", "sql parser error: ", "This feature is not implemented: "];
    let line = prefixes.iter().fold(line, |line, prefix| line.strip_prefix(prefix).unwrap_or(line));
    line.chars().take(400).collect()
}
