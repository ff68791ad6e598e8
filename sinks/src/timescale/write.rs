//! One batch in one transaction: rows and mark together.
//!
//! Invariant: the transaction holds the mark's row from its first statement and goes on only from
//! the epoch the batch begins at, so that a write that lands late or twice changes nothing.
//!
//! ```text
//!   BEGIN, lock the mark ▶ COPY ▶ DELETE, UPDATE ▶ COPY ▶ mark ▶ COMMIT
//!                          stage  keys that go,   new rows
//!                                 rows that change
//! ```
//!
//! Where tables are missing or of another layout, a snapshot makes them in its transaction.
//!
//! What the program knows of a table decides which way a row goes, for that is fastest. Where the
//! table is otherwise (somebody else was at it), the same batch goes again by a way that fits any.

use ionflux_schemas::time::UtcMs;
use ionflux_schemas::view::Row;

use super::binary::Encoder;
use super::diff::Diff;
use super::error::{Stop, failed};
use super::hyper::spans;
use super::layout::Layout;
use super::migrate;
use super::session::Session;
use super::table::Table;
use crate::error::SinkError;
use crate::sink::{Mark, Outgoing, Step};

/// How much goes to the server at a time, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// Whether the tables hold what the program thinks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Full,
    None,
}

/// Writes a batch.
pub(super) async fn write(session: &mut Session, batch: &Outgoing) -> Result<(), SinkError> {
    let layout = std::sync::Arc::clone(&session.layout);
    let mut diffs = diffs(&layout, batch)?;
    if let Some(before) = kept_from(session, layout.retention_days).await? {
        diffs.iter_mut().for_each(|diff| diff.forget(before));
    }
    if !session.staged {
        let staging: Vec<String> = layout.tables.iter().map(Table::staging).collect();
        session.run("make staging tables", &staging.join("; ")).await?;
        session.staged = true;
    }
    let answer = match step(session, batch, &diffs, Trust::Full).await {
        Err(Stop::Differs) => {
            session.run("roll back", "ROLLBACK").await?;
            tracing::warn!("the tables were not as they were left; rows are written over");
            step(session, batch, &diffs, Trust::None).await
        }
        answer => answer,
    };
    answer.map_err(|stop| match stop {
        Stop::Failed(error) => error,
        Stop::Differs => SinkError::transient("PostgreSQL: somebody else writes to our tables"),
    })
}

/// The changes by table, in the layout's order; in a snapshot every table has its part.
fn diffs<'a>(layout: &'a Layout, batch: &'a Outgoing) -> Result<Vec<Diff<'a>>, SinkError> {
    let foreign = |view| !layout.tables.iter().any(|table| table.view == view);
    if let Some((view, _)) = batch.views.iter().find(|(view, _)| foreign(*view)) {
        let what = format!("PostgreSQL: the view {} is not among those of the sink", view.name);
        return Err(SinkError::permanent(what));
    }
    let changes = |table: &Table| {
        let found = batch.views.iter().find(|(view, _)| *view == table.view);
        found.map_or(&[][..], |(_, changes)| changes)
    };
    layout.tables.iter().map(|table| Diff::new(table, changes(table))).collect()
}

/// The time before which rows are kept no more, by the clock that the policies go by.
async fn kept_from(session: &mut Session, days: u32) -> Result<Option<UtcMs>, SinkError> {
    if days == 0 {
        return Ok(None);
    }
    let query = format!(
        "SELECT (extract(epoch FROM now() - {days} * INTERVAL '24 hours') * 1000)::bigint::text"
    );
    let answer = session.one("ask for the time", &query).await?;
    let before = answer.and_then(|text| text.parse().ok()).map(UtcMs);
    before.map(Some).ok_or_else(|| SinkError::transient("PostgreSQL: the server says no time"))
}

async fn step(
    session: &mut Session,
    batch: &Outgoing,
    diffs: &[Diff<'_>],
    trust: Trust,
) -> Result<(), Stop> {
    let layout = std::sync::Arc::clone(&session.layout);
    let (held, plan) = match session.whole {
        true => (session.begin().await?, None),
        // What the mark says is of tables that go.
        false => (None, Some(migrate::begin(session, &layout).await?)),
    };
    if batch.at(held).map_err(|error| error.within("PostgreSQL"))? == Step::Done {
        session.run("roll back", "ROLLBACK").await?;
        return Ok(());
    }
    let mark = mark(&batch.to)?;
    for diff in diffs {
        match batch.from {
            Some(_) => change(session, diff, trust).await?,
            None => {
                let instead = plan.as_ref().and_then(|plan| plan.instead(diff.table));
                replace(session, instead.unwrap_or(diff.table), diff, trust).await?;
            }
        }
    }
    if let Some(plan) = &plan {
        migrate::finish(session, &layout, plan).await?;
    }
    session.run("commit", &mark).await?;
    session.whole = true;
    Ok(())
}

/// Sets the mark and commits. All in it are numbers.
fn mark(to: &Mark) -> Result<String, SinkError> {
    let epoch = i64::try_from(to.epoch.0);
    let epoch =
        epoch.map_err(|_| SinkError::permanent("PostgreSQL: the epoch is beyond a bigint"))?;
    Ok(format!(
        "UPDATE ionflux.sink_mark SET state = '{:032x}', epoch = {epoch}, \
         as_of = timestamptz 'epoch' + {} * interval '1 millisecond', \
         written_at = clock_timestamp() WHERE one; COMMIT",
        to.state, to.as_of.0
    ))
}

/// Changes to rows that are there.
async fn change(session: &mut Session, diff: &Diff<'_>, trust: Trust) -> Result<(), Stop> {
    let table = diff.table;
    let staged = diff.gone.iter().map(|row| (*row, true));
    let staged = staged.chain(diff.changed.iter().map(|row| (*row, false)));
    let strange: &[&Row] = if trust == Trust::Full { &[] } else { &diff.new };
    let staged = staged.chain(strange.iter().map(|row| (*row, false)));
    if staged.clone().next().is_some() {
        stage(session, table, staged).await?;
    }
    let extension = session.layout.extension;
    if !diff.gone.is_empty() {
        for span in spans(table, extension, diff.gone.iter().copied()) {
            session.run("delete rows", &table.delete_gone(&span)).await?;
        }
    }
    if trust == Trust::None {
        if !diff.changed.is_empty() || !diff.new.is_empty() {
            session.run("write rows over", &table.upsert()).await?;
        }
        return Ok(());
    }
    if !diff.changed.is_empty() {
        let mut found = 0;
        for span in spans(table, extension, diff.changed.iter().copied()) {
            found += session.run("update rows", &table.update(&span)).await?;
        }
        if found != diff.changed.len() as u64 {
            return Err(Stop::Differs);
        }
    }
    insert(session, table, &diff.new).await
}

/// The rows of a snapshot, and no others.
async fn replace(
    session: &mut Session,
    table: &Table,
    diff: &Diff<'_>,
    trust: Trust,
) -> Result<(), Stop> {
    if !diff.gone.is_empty() || !diff.changed.is_empty() {
        return Err(table.refused("a snapshot replaces a row").into());
    }
    let empty = session.one("look at a table", &table.empty()).await?.as_deref() == Some("true");
    if empty && trust == Trust::Full {
        return insert(session, table, &diff.new).await;
    }
    stage(session, table, diff.new.iter().map(|row| (*row, false))).await?;
    session.run("count staged rows", &table.analyze_stage()).await?;
    for statement in table.replace() {
        session.run("replace rows", &statement).await?;
    }
    Ok(())
}

/// Brings rows of keys that are not there.
async fn insert(session: &mut Session, table: &Table, rows: &[&Row]) -> Result<(), Stop> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut rows = rows.iter();
    let encode = |encoder: &mut Encoder<'_>| match rows.next() {
        Some(row) => encoder.whole(row).map(|()| true),
        None => Ok(false),
    };
    copy(session, table, &table.copy_in(), encode).await
}

/// Puts rows where the database can join them with the table.
async fn stage<'r>(
    session: &mut Session,
    table: &Table,
    mut rows: impl Iterator<Item = (&'r Row, bool)> + Send,
) -> Result<(), Stop> {
    let encode = |encoder: &mut Encoder<'_>| match rows.next() {
        Some((row, gone)) => encoder.staged(row, gone).map(|()| true),
        None => Ok(false),
    };
    copy(session, table, &table.copy_to_stage(), encode).await
}

/// Sends what `encode` gives, piece by piece; it says false when there is no more.
async fn copy(
    session: &mut Session,
    table: &Table,
    statement: &str,
    mut encode: impl FnMut(&mut Encoder<'_>) -> Result<bool, SinkError> + Send,
) -> Result<(), Stop> {
    let step = "copy rows";
    let mut encoder = Encoder::new(table);
    let mut copying =
        session.connection.copy_in_raw(statement).await.map_err(|error| failed(step, error))?;
    while encode(&mut encoder)? {
        if encoder.len() >= CHUNK_BYTES {
            copying.send(encoder.bytes()).await.map_err(|error| Stop::trusting(step, error))?;
            encoder.clear();
        }
    }
    encoder.end();
    copying.send(encoder.bytes()).await.map_err(|error| Stop::trusting(step, error))?;
    copying.finish().await.map_err(|error| Stop::trusting(step, error))?;
    Ok(())
}
