//! Brings a batch: files of the partitions it touches, then the parts, then the manifest.
//!
//! Invariant: nothing that is there is written over; until the manifest is there nobody sees any of
//! it, and it is there only if no other followed the one that was read.

use std::collections::{BTreeMap, HashMap};

use ionflux_schemas::snapshot::Change;
use tokio::task::JoinSet;

use super::content::{self, Edit, Encoded};
use super::manifest::{self, Files, Head, Live, Manifest, Part, Shown, Whole};
use super::place::{Place, Table, sha256};
use super::{Lake, sweep};
use crate::error::SinkError;
use crate::sink::{Outgoing, Step as Stand};

/// Files on their way at the same time.
const PUTS_MAX: usize = 16;
/// A partition is in memory as a whole, so that its file may not be arbitrarily large.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// A file by its folder and the digest of its content.
pub(super) type Made = HashMap<(String, String), Live>;

/// Files on their way.
type Puts = JoinSet<Result<((String, String), Live), SinkError>>;

/// One view on its way to the next manifest.
struct Step<'a> {
    table: &'a Table,
    batch: &'a Outgoing,
    /// The files of before, where they can be gone on from.
    held: Option<&'a Files>,
    /// The sizes of what is there, for a snapshot, which trusts no manifest.
    there: Option<HashMap<String, u64>>,
    nonce: u64,
}

/// Makes a batch the newest epoch.
pub(super) async fn write(lake: &mut Lake, head: Head, batch: &Outgoing) -> Result<(), SinkError> {
    // What cannot be gone on from counts as nothing.
    let fits = head.fits(&lake.tables)? && !lake.distrust;
    let held = head.mark().filter(|_| fits);
    if batch.at(held).map_err(|error| error.within("lake"))? == Stand::Done {
        lake.head = Some(head);
        return Ok(());
    }
    let known = |name| lake.tables.iter().any(|table| table.view.name == name);
    if let Some((view, _)) = batch.views.iter().find(|(view, _)| !known(view.name)) {
        let what = format!("lake: the view {} is not one of this sink", view.name);
        return Err(SinkError::permanent(what));
    }
    let nonce = super::nonce();
    let tables = lake.tables.clone();
    let (mut shown, mut files) = (Vec::new(), BTreeMap::new());
    for table in &tables {
        let named = batch.views.iter().filter(|(view, _)| view.name == table.view.name);
        let changes: Vec<&Change> = named.flat_map(|(_, changes)| changes).collect();
        let held = head.files(table).filter(|_| !lake.distrust);
        let there = match batch.from {
            None => Some(lake.there(table).await?),
            Some(_) => None,
        };
        let step = Step { table, batch, held, there, nonce };
        let next = partitions(lake, &step, &changes).await?;
        shown.push(part(lake, &head, &step, &next).await?);
        files.insert(table.view.name.to_owned(), next);
    }
    let manifest = Manifest::new(&head, batch, shown);
    finish(lake, head, Whole { manifest, files }, nonce).await
}

/// Puts the manifest, and then what needs no haste.
async fn finish(lake: &mut Lake, head: Head, mut next: Whole, nonce: u64) -> Result<(), SinkError> {
    if let Some(whole) = &head.whole {
        let named = next.objects();
        let dropped = whole.objects().into_iter().filter(|object| !named.contains(object));
        let dropped: Vec<String> = dropped.map(str::to_owned).collect();
        next.manifest.dropped = dropped;
    }
    let sequence = next.manifest.sequence;
    let path = manifest::path_of(sequence);
    let bytes = manifest::encode(&next.manifest)?;
    let store = lake.store()?;
    let created = store.create("put the manifest", &path, bytes.clone(), nonce).await?;
    // A client that tries again by itself meets what it put when the answer was lost.
    if !created && !manifest::is(&store, &path, &bytes).await? {
        let what = "lake: another manifest followed the one that was read";
        return Err(SinkError::transient(what));
    }
    lake.made.clear();
    lake.distrust = false;
    lake.dropped.insert(sequence, next.manifest.dropped.clone());
    let head = Head { last: sequence, whole: Some(next) };
    // The epoch is there. What fails from here on is done by a later write.
    let hint = format!("{{\"manifest\": \"{path}\"}}\n");
    if let Err(error) = store.put("put the hint", manifest::HINT, hint.into_bytes()).await {
        tracing::debug!(%error, "the hint of the lake is old");
    }
    if sequence.is_multiple_of(lake.keep as u64)
        && let Err(error) = sweep::sweep(&store, &head, lake.keep, &mut lake.dropped).await
    {
        tracing::warn!(%error, "old objects of the lake are left for later");
    }
    lake.head = Some(head);
    Ok(())
}

/// The files of a view after its changes.
async fn partitions(
    lake: &mut Lake,
    step: &Step<'_>,
    changes: &[&Change],
) -> Result<Files, SinkError> {
    let whole = step.batch.from.is_none();
    let edits = edits(step.table, changes, whole)?;
    let held = step.held;
    let mut files: Files = held.filter(|_| !whole).cloned().unwrap_or_default();
    let (mut puts, mut wanted) = (Puts::new(), Vec::new());
    for (place, edit) in edits {
        let old = held.and_then(|held| held.get(&place));
        let base = match old.filter(|_| !whole) {
            Some(old) => lake.rows(step.table, old).await?,
            None => Vec::new(),
        };
        let encoded = content::apply(step.table, base, &edit, lake.compression)?;
        let Some(encoded) = encoded else {
            files.remove(&place);
            continue;
        };
        if let Some(old) = old.filter(|old| old.sha256 == encoded.sha256 && step.has(old)) {
            files.insert(place, old.clone());
            continue;
        }
        let key = (step.table.folder(&place), encoded.sha256.clone());
        wanted.push((place.clone(), key.clone()));
        if !lake.made.contains_key(&key) {
            if puts.len() >= PUTS_MAX {
                landed(lake, &mut puts).await?;
            }
            put(lake, step, &mut puts, (place, key, encoded))?;
        }
    }
    while !puts.is_empty() {
        landed(lake, &mut puts).await?;
    }
    for (place, key) in wanted {
        let made = lake.made.get(&key).cloned();
        let lost = || SinkError::transient("lake: a file that was put is not known");
        files.insert(place, made.ok_or_else(lost)?);
    }
    Ok(files)
}

/// Begins to put a file.
fn put(
    lake: &Lake,
    step: &Step<'_>,
    puts: &mut Puts,
    (place, key, encoded): (Place, (String, String), Encoded),
) -> Result<(), SinkError> {
    let Encoded { bytes, rows, sha256 } = encoded;
    let size = bytes.len() as u64;
    if size > FILE_BYTES_MAX {
        let what = format!("a partition has over {FILE_BYTES_MAX} bytes; use another sink for it");
        return Err(step.table.refused(&what));
    }
    let path = format!("{}/{}.parquet", key.0, step.name(&sha256));
    let live = Live { path, place, rows, size, sha256 };
    let store = lake.store()?;
    puts.spawn(async move {
        store.put("put a file", &live.path, bytes).await?;
        Ok((key, live))
    });
    Ok(())
}

/// Waits for one file to be there.
async fn landed(lake: &mut Lake, puts: &mut Puts) -> Result<(), SinkError> {
    if let Some(done) = puts.join_next().await {
        let lost = |_| SinkError::transient("lake: a file was not put: the program stops");
        let (key, live) = done.map_err(lost)??;
        lake.made.insert(key, live);
    }
    Ok(())
}

/// The list of a view's files: that of before, or a new one.
async fn part(
    lake: &Lake,
    head: &Head,
    step: &Step<'_>,
    files: &Files,
) -> Result<Shown, SinkError> {
    let name = step.table.view.name;
    let part = Part { view: name.to_owned(), files: files.values().cloned().collect() };
    let bytes = manifest::encode(&part)?;
    let sha256 = sha256(&bytes);
    let old = head.whole.as_ref().and_then(|whole| whole.manifest.view(name));
    let mut shown = Shown {
        view: name.to_owned(),
        version: step.table.view.version,
        fingerprint: step.table.fingerprint.clone(),
        rows: files.values().map(|live| live.rows).sum(),
        files: files.len() as u64,
        part: format!("parts/{name}/{}.json", step.name(&sha256)),
        sha256,
    };
    match old.filter(|old| old.sha256 == shown.sha256 && !lake.distrust) {
        Some(old) => shown.part.clone_from(&old.part),
        None => lake.store()?.put("put a part of the manifest", &shown.part, bytes).await?,
    }
    Ok(shown)
}

/// The rows that go and come, by partition.
fn edits<'a>(
    table: &Table,
    changes: &[&'a Change],
    whole: bool,
) -> Result<BTreeMap<Place, Edit<'a>>, SinkError> {
    let mut edits: BTreeMap<Place, Edit<'a>> = BTreeMap::new();
    for change in changes {
        if let Some(old) = &change.old {
            if whole {
                return Err(table.refused("a snapshot replaces a row"));
            }
            edits.entry(table.place(old)?).or_default().gone.push(old);
        }
        if let Some(new) = &change.new {
            edits.entry(table.place(new)?).or_default().new.push(new);
        }
    }
    Ok(edits)
}

impl Step<'_> {
    /// Whether a file of before is still there.
    fn has(&self, live: &Live) -> bool {
        self.there.as_ref().is_none_or(|there| there.get(&live.path) == Some(&live.size))
    }

    /// The name of a new object, which none has had.
    fn name(&self, sha256: &str) -> String {
        let (epoch, head) = (self.batch.to.epoch.0, sha256.get(..16).unwrap_or_default());
        format!("{epoch:020}-{head}-{:016x}", self.nonce)
    }
}

impl Lake {
    /// The rows of a live file, as the manifest says they are.
    async fn rows(
        &mut self,
        table: &Table,
        live: &Live,
    ) -> Result<Vec<arrow::array::RecordBatch>, SinkError> {
        let bytes = self.store()?.read("read a file", &live.path, FILE_BYTES_MAX).await?;
        let bytes = bytes.filter(|bytes| sha256(bytes) == live.sha256);
        if let Some(rows) = bytes.and_then(|bytes| content::decode(table, bytes)) {
            return Ok(rows);
        }
        // The courier asks again, and a snapshot sets it right.
        self.distrust = true;
        let name = table.view.name;
        let what = format!("lake: a file of the view {name} is gone or damaged; all is put anew");
        Err(SinkError::transient(what))
    }

    /// The sizes of what is in a view's folder.
    async fn there(&self, table: &Table) -> Result<HashMap<String, u64>, SinkError> {
        let mut there = HashMap::new();
        let keep = |listed: super::store::Listed| {
            there.insert(listed.path, listed.size);
        };
        self.store()?.list(table.view.name, None, keep).await?;
        Ok(there)
    }
}
