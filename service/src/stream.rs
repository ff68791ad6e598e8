//! `GET /v1/stream`: first the rows of some views, then every change to them.
//!
//! Invariant: an event is of one epoch over all its views. A reader that lags gets fewer and larger
//! changes, and beyond the store's bound a fresh snapshot; nothing piles up for it. What replaces
//! the views as last kept is a fresh snapshot too, never a change to them.

use std::sync::Arc;

use axum::http::StatusCode;
use ionflux_schemas::avro::Schema;
use ionflux_schemas::batch::Batch;
use ionflux_schemas::snapshot::{Change, Snapshot};
use ionflux_schemas::view::{Row, Value};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};

use crate::params::{Filter, filter, shown, unique};
use crate::problem::Problem;
use crate::render::{Cells, json_text};
use crate::select::kept;
use crate::sse::{Gone, Outlet};
use crate::store::{Phase, Published, Signal, Step, Store};
use crate::tables::Tables;

/// The most rows of one event over all views: some ten megabytes of JSON.
const EVENT_ROWS_MAX: usize = 50_000;
/// The most batches merged into one event.
const MERGED_MAX: usize = 64;

/// What a reader follows.
pub(crate) struct Wanted {
    views: Vec<(Box<str>, Arc<Schema>, Vec<Filter>)>,
}

impl Wanted {
    /// Reads `views=a,b` and filters on key columns that all of them have.
    pub fn parse(tables: &Tables, pairs: &[(String, String)]) -> Result<Self, Problem> {
        unique(pairs)?;
        let names = pairs.iter().find(|(name, _)| name == "views").map(|(_, value)| value);
        let hint = || format!("use views= with some of {}", tables.names());
        let names = names.ok_or_else(|| Problem::bad("the parameter views is missing", hint()))?;
        let mut views: Vec<(Box<str>, Arc<Schema>, Vec<Filter>)> = Vec::new();
        for name in names.split(',').map(str::trim) {
            if tables.rebuilding(name) {
                return Err(Problem::rebuilding(name));
            }
            let table = tables.get(name).and_then(|table| Some((table, table.schema.clone()?)));
            let (table, schema) = table.ok_or_else(|| {
                Problem::missing(format!("there is no view {}", shown(name)), hint())
            })?;
            if views.iter().any(|(earlier, ..)| *earlier == table.name) {
                return Err(Problem::bad(format!("the view {name} is asked for twice"), hint()));
            }
            let filters = pairs.iter().filter(|(name, _)| name != "views");
            let filters = filters.map(|(name, value)| filter(&schema, name, value));
            let filters = filters.collect::<Result<_, _>>()?;
            views.push((table.name.clone(), schema, filters));
        }
        Ok(Self { views })
    }

    /// The rows of all views as one event; takes a while for large views.
    pub fn snapshot(&self, tables: &Tables) -> Result<String, Problem> {
        let mut room = EVENT_ROWS_MAX;
        let mut views = Vec::new();
        for (name, _, filters) in &self.views {
            let Some(table) = tables.get(name) else { continue };
            let batch = table.rows().map_err(Problem::ours)?;
            let rows = kept(batch, filters, room)?.ok_or_else(too_many)?;
            room -= rows.len();
            let cells = Cells::new(batch).map_err(|error| Problem::ours(error.to_string()))?;
            let mut out = format!("{}:[", json_text(name));
            for (at, row) in rows.into_iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                cells.json(row, &mut out).map_err(|error| Problem::ours(error.to_string()))?;
            }
            out.push(']');
            views.push(out);
        }
        let (epoch, as_of) = (tables.epoch, tables.as_of);
        let views = views.join(",");
        Ok(format!(r#"{{"epoch":{epoch},"as_of":"{as_of}","views":{{{views}}}}}"#))
    }

    /// What changed since `before`; empty text if nothing that is wanted did.
    fn changes(&self, before: &Snapshot, step: &Advance) -> Result<String, Problem> {
        let mut room = EVENT_ROWS_MAX;
        let mut views = Vec::new();
        for (name, schema, filters) in &self.views {
            let wanted = |row: &Row| filters.iter().all(|filter| filter.keeps_row(row));
            let either =
                |change: &Change| change.old.as_ref().or(change.new.as_ref()).is_some_and(wanted);
            let changes = before.changes(&step.batch, name).into_iter();
            let changes = changes.filter(|change| change.old != change.new && either(change));
            let changes: Vec<String> = changes.map(|change| pair(schema, &change)).collect();
            room = room.checked_sub(changes.len()).ok_or_else(too_many)?;
            if !changes.is_empty() {
                views.push(format!("{}:[{}]", json_text(name), changes.join(",")));
            }
        }
        if views.is_empty() {
            return Ok(String::new());
        }
        let (from, epoch, views) = (before.upper, step.after.upper, views.join(","));
        let as_of = step.after.as_of;
        Ok(format!(
            r#"{{"from_epoch":{from},"epoch":{epoch},"as_of":"{as_of}","views":{{{views}}}}}"#
        ))
    }
}

fn too_many() -> Problem {
    let detail = format!("the event would hold more than {EVENT_ROWS_MAX} rows");
    let hint = "narrow it with fewer views or filters such as shop_id= and day_gte=";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too many rows", detail, hint)
}

/// A change as `{"old":{..},"new":{..}}`, with null where there is no row.
fn pair(schema: &Schema, change: &Change) -> String {
    let row = |row: &Option<Row>| row.as_ref().map_or("null".to_owned(), |row| object(schema, row));
    format!(r#"{{"old":{},"new":{}}}"#, row(&change.old), row(&change.new))
}

fn object(schema: &Schema, row: &Row) -> String {
    let cells = schema.columns.iter().zip(&row.0).map(|(column, value)| {
        let value = match value {
            Value::Null => "null".to_owned(),
            Value::Int(number) => number.to_string(),
            other => json_text(&other.to_string()),
        };
        format!("{}:{value}", json_text(&column.name))
    });
    format!("{{{}}}", cells.collect::<Vec<_>>().join(","))
}

/// Feeds one reader until it goes or the store closes.
pub(crate) async fn feed(store: Arc<Store>, wanted: Arc<Wanted>, first: Begun, outlet: Outlet) {
    let closed = closed(store.watch());
    tokio::select! {
        _ = follow(&store, &wanted, first, &outlet) => {}
        () = outlet.gone() => {}
        () = closed => {}
    }
}

/// A stream that has its first snapshot.
pub(crate) struct Begun {
    steps: broadcast::Receiver<Step>,
    at: Arc<Snapshot>,
    event: String,
}

/// Takes the first snapshot, so that a request which asks too much is refused before it streams.
pub(crate) async fn begin(store: &Store, wanted: &Arc<Wanted>) -> Result<Begun, Problem> {
    let steps = store.follow();
    let (at, event) = fresh(store.published(), Arc::clone(wanted)).await?;
    Ok(Begun { steps, at, event })
}

async fn fresh(
    published: Published,
    wanted: Arc<Wanted>,
) -> Result<(Arc<Snapshot>, String), Problem> {
    let Published { tables, snapshot } = published;
    let built = tokio::task::spawn_blocking(move || wanted.snapshot(&tables)).await;
    let event = built.map_err(|_| Problem::ours("the snapshot could not be read"))??;
    Ok((snapshot, event))
}

async fn follow(
    store: &Store,
    wanted: &Arc<Wanted>,
    begun: Begun,
    outlet: &Outlet,
) -> Result<(), Gone> {
    let Begun { mut steps, mut at, event } = begun;
    outlet.send("snapshot", event).await?;
    loop {
        let changes = match next(&mut steps, &at).await {
            Next::Nothing => continue,
            Next::End => return Ok(()),
            Next::StartOver => None,
            Next::Advance(step) => {
                let (before, wanted) = (Arc::clone(&at), Arc::clone(wanted));
                at = Arc::clone(&step.after);
                let told = tokio::task::spawn_blocking(move || wanted.changes(&before, &step));
                told.await.ok().and_then(Result::ok)
            }
        };
        if let Some(changes) = changes {
            if !changes.is_empty() {
                outlet.send("change", changes).await?;
            }
            continue;
        }
        match fresh(store.published(), Arc::clone(wanted)).await {
            Ok((snapshot, event)) => {
                at = snapshot;
                outlet.send("snapshot", event).await?;
            }
            Err(problem) => return outlet.send("problem", problem.json()).await,
        }
    }
}

enum Next {
    Advance(Advance),
    Nothing,
    StartOver,
    End,
}

/// One batch or some merged, and the snapshot after them.
struct Advance {
    batch: Arc<Batch>,
    after: Arc<Snapshot>,
}

/// The next batch, merged with those that already wait behind it.
async fn next(steps: &mut broadcast::Receiver<Step>, at: &Snapshot) -> Next {
    let mut step = match steps.recv().await {
        Ok(Step::Batch { batch, after }) => Advance { batch, after },
        Ok(Step::Reset) | Err(RecvError::Lagged(_)) => return Next::StartOver,
        Err(RecvError::Closed) => return Next::End,
    };
    if step.after.upper <= at.upper {
        return Next::Nothing;
    }
    // A change is told only against the very rows that the reader has.
    if step.batch.lower != at.upper {
        return Next::StartOver;
    }
    for _ in 1..MERGED_MAX {
        match steps.try_recv() {
            Ok(Step::Batch { batch, after }) => {
                let merged = Arc::unwrap_or_clone(step.batch).merge(&batch);
                step = Advance { batch: Arc::new(merged), after };
            }
            Ok(Step::Reset) | Err(TryRecvError::Lagged(_)) => return Next::StartOver,
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    Next::Advance(step)
}

/// Returns when the store closes.
pub(crate) async fn closed(mut signal: watch::Receiver<Signal>) {
    // The sender goes only with the store, and then it is closed as well.
    let _either = signal.wait_for(|signal| signal.phase == Phase::Closed).await;
}
