//! Verification: every view again by plain loops over the ledger, compared with what the dataflow
//! gives and with what is kept on disk.
//!
//! ```text
//! ledger ─▶ facts held ─┬─▶ plain loops ─▶ rows ─┬─ = rows of the dataflow
//!                       └─▶ dataflow ────────────┘  = rows kept on disk, when of the same epoch
//! ```
//!
//! Invariant: verifying changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use ionflux_ledger::Ledger;
use ionflux_operators::{list, oracle};
use ionflux_schemas::columns::record_batch;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::fact::{Differences, Fact};
use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_schemas::view::{Row, View};

use crate::assemble;
use crate::failure::Failure;
use crate::runtime::threads::Threads;
use crate::runtime::{Computation, Moment, count_all};
use crate::state::Views;

/// Facts that are read from the ledger at once.
const PORTION_FACTS: usize = 100_000;

/// One row that is not as the plain loops have it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The view.
    pub view: &'static str,
    /// Where the other row was found: `dataflow` or `disk`.
    pub found: &'static str,
    /// The primary key, as `column=value` pairs.
    pub key: String,
    /// The row by the plain loops; `None` if there should be none.
    pub expected: Option<String>,
    /// The row that was found; `None` if there is none.
    pub got: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |row: &Option<String>| row.clone().unwrap_or_else(|| "no row".to_owned());
        writeln!(f, "{} ({}): {}", self.view, self.found, self.key)?;
        writeln!(f, "  expected {}", row(&self.expected))?;
        write!(f, "  found    {}", row(&self.got))
    }
}

/// What verification found.
pub struct Verdict {
    /// The epoch of the ledger.
    pub epoch: Epoch,
    /// Facts that are held.
    pub facts: usize,
    /// Each view and its rows.
    pub rows: Vec<(&'static str, usize)>,
    /// The epoch of the kept views, if there are any; they are compared only when it is the
    /// ledger's.
    pub kept: Option<Epoch>,
    /// Kept views that are of another version of their definition.
    pub outdated: Vec<String>,
    /// Every row that differs.
    pub differences: Vec<Difference>,
}

/// Recomputes every view of a ledger and compares.
///
/// # Errors
/// When the ledger cannot be read or the dataflow cannot run.
pub fn verify(
    ledger: &Ledger,
    dictionary: &Arc<Dictionary>,
    kept: Option<&Views>,
    workers: usize,
) -> Result<Verdict, Failure> {
    let epoch = ledger.epoch()?;
    let (held, snapshot) = held(ledger, dictionary, workers)?;
    let (facts, expected) = held.by_plain_loops(dictionary);
    let mut verdict = Verdict {
        epoch,
        facts,
        rows: Vec::new(),
        kept: kept.map(|views| views.epoch),
        outdated: Vec::new(),
        differences: Vec::new(),
    };
    let kept = kept.filter(|views| views.epoch == epoch);
    for (view, expected) in expected {
        verdict.rows.push((view.name, expected.len()));
        let flowed = snapshot.rows(view.name).unwrap_or_default();
        let sides = Sides::of(view, &expected)?;
        sides.compare("dataflow", &table(view, &flowed)?, &mut verdict.differences);
        let on_disk = kept.and_then(|views| views.tables.iter().find(|t| t.name == view.name));
        match on_disk {
            Some(table) if table.version != view.version => {
                verdict.outdated.push(view.name.to_owned());
            }
            Some(table) => sides.compare("disk", &table.rows, &mut verdict.differences),
            None if kept.is_some() => verdict.differences.push(Difference {
                view: view.name,
                found: "disk",
                key: format!("the file {}.parquet is missing", view.name),
                expected: None,
                got: None,
            }),
            None => {}
        }
    }
    Ok(verdict)
}

/// Facts and faults with how often each is held.
#[derive(Default)]
struct Held {
    facts: HashMap<Fact, i64>,
    faults: HashMap<u32, i64>,
}

impl Held {
    fn add(&mut self, differences: &Differences) {
        for (fact, difference) in &differences.facts {
            *self.facts.entry(*fact).or_default() += difference;
        }
        for (fault, difference) in &differences.faults {
            *self.faults.entry(*fault).or_default() += difference;
        }
    }

    /// How many facts there are, and the rows of every view.
    fn by_plain_loops(self, dictionary: &Dictionary) -> (usize, Vec<(&'static View, Vec<Row>)>) {
        let facts: Vec<Fact> = self.facts.into_iter().flat_map(repeated).collect();
        let faults: Vec<u32> = self.faults.into_iter().flat_map(repeated).collect();
        let contents = oracle::views(&facts, &faults);
        let rows = |view: &'static View| {
            let held = contents.get(view.name).into_iter().flatten();
            let rows = held.map(|(key, totals)| (view.row)(dictionary, *key, totals));
            (view, rows.collect())
        };
        (facts.len(), list::views().into_iter().map(rows).collect())
    }
}

/// The rows of every view by plain loops over what a ledger holds, without any dataflow.
///
/// # Errors
/// When the ledger cannot be read.
pub fn recompute(
    ledger: &Ledger,
    dictionary: &Dictionary,
) -> Result<Vec<(&'static View, Vec<Row>)>, Failure> {
    let mut held = Held::default();
    ledger.hydrate(PORTION_FACTS, |differences| {
        held.add(&differences);
        Ok::<_, Failure>(())
    })?;
    Ok(held.by_plain_loops(dictionary).1)
}

fn repeated<T: Copy>((held, times): (T, i64)) -> impl Iterator<Item = T> {
    std::iter::repeat_n(held, usize::try_from(times).unwrap_or(0))
}

/// Everything the ledger holds, as it is and through the dataflow.
fn held(
    ledger: &Ledger,
    dictionary: &Arc<Dictionary>,
    workers: usize,
) -> Result<(Held, Snapshot), Failure> {
    let snapshot = Arc::new(Mutex::new(assemble::empty(dictionary)));
    let flowing = Arc::clone(&snapshot);
    let mut dataflow = Threads::start(workers, move |batch| {
        let mut snapshot = flowing.lock().unwrap_or_else(PoisonError::into_inner);
        *snapshot = snapshot.after(&batch);
    })?;
    let mut held = Held::default();
    let part = Moment { as_of: UtcMs(0), upper: None };
    ledger.hydrate(PORTION_FACTS, |differences| {
        held.add(&differences);
        Ok::<_, Failure>(count_all(&mut dataflow, differences, part)?)
    })?;
    dataflow.count(Differences::default(), Moment { upper: Some(Epoch(1)), ..part })?;
    dataflow.finish()?;
    let snapshot = snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok((held, snapshot))
}

fn table(view: &View, rows: &[Row]) -> Result<RecordBatch, Failure> {
    record_batch(&view.parsed(), rows).map_err(|cause| Failure::world(cause, "report this bug"))
}

/// Rows as they should be, by primary key.
struct Sides {
    view: &'static View,
    expected: BTreeMap<String, String>,
}

impl Sides {
    fn of(view: &'static View, expected: &[Row]) -> Result<Self, Failure> {
        let expected = by_key(view, &table(view, expected)?)?;
        Ok(Self { view, expected })
    }

    fn compare(&self, found: &'static str, got: &RecordBatch, into: &mut Vec<Difference>) {
        let got = match by_key(self.view, got) {
            Ok(got) => got,
            Err(failure) => {
                into.push(Difference {
                    view: self.view.name,
                    found,
                    key: failure.problem,
                    expected: None,
                    got: None,
                });
                return;
            }
        };
        let keys =
            self.expected.keys().chain(got.keys().filter(|key| !self.expected.contains_key(*key)));
        for key in keys {
            let (expected, got) = (self.expected.get(key).cloned(), got.get(key).cloned());
            if expected != got {
                let key = key.clone();
                into.push(Difference { view: self.view.name, found, key, expected, got });
            }
        }
    }
}

/// Each row of a table as text, by the text of its key. Two rows of one key stand side by side, so
/// that they differ from what should be there.
fn by_key(view: &View, batch: &RecordBatch) -> Result<BTreeMap<String, String>, Failure> {
    let schema = view.parsed();
    let failed = |cause: arrow::error::ArrowError| Failure::world(cause, "");
    let options = FormatOptions::default().with_null("null");
    let mut columns = Vec::with_capacity(schema.columns.len());
    for column in &schema.columns {
        let values = batch
            .column_by_name(&column.name)
            .ok_or_else(|| Failure::world(format!("the column {} is missing", column.name), ""))?;
        columns.push((&column.name, ArrayFormatter::try_new(values, &options).map_err(failed)?));
    }
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let cell = |place: usize| format!("{}={}", columns[place].0, columns[place].1.value(row));
        let join = |places: &mut dyn Iterator<Item = usize>| {
            places.map(cell).collect::<Vec<_>>().join(" ")
        };
        let key = join(&mut schema.key.iter().copied());
        let text = join(&mut (0..columns.len()).filter(|place| !schema.key.contains(place)));
        rows.entry(key)
            .and_modify(|held| *held = format!("{held}, and again {text}"))
            .or_insert(text);
    }
    Ok(rows)
}
