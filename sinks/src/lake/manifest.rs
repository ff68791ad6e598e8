//! Manifests: which files are the lake at one epoch, and how far it is.
//!
//! Invariant: a manifest, its parts and its files never change once they are there. What follows
//! manifest 7 is manifest 8, which only one writer can put.
//!
//! ```text
//!   manifests/00…08.json        mark, and for each view ──▶ parts/<view>/….json ──▶ the files
//!   manifests/00…07.json        the epoch before; views that did not change share their part
//! ```

use std::collections::{BTreeMap, BTreeSet};

use ionflux_schemas::time::{Epoch, UtcMs, Zone};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::place::{Place, Table, sha256};
use super::store::{Listed, Store};
use crate::error::SinkError;
use crate::sink::{Mark, Outgoing};

pub(super) const FOLDER: &str = "manifests";
/// The newest manifest's name, for readers that cannot list; only a hint.
pub(super) const HINT: &str = "_current";
const FORMAT: u32 = 1;
const BYTES_MAX: u64 = 512 << 20;
const DIGITS: usize = 20;

/// A manifest as it is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) sequence: u64,
    pub(super) previous: Option<u64>,
    /// 32 hexadecimal digits.
    pub(super) state: String,
    pub(super) epoch: u64,
    pub(super) as_of: String,
    pub(super) views: Vec<Shown>,
    /// What the manifest before named and this one does not.
    pub(super) dropped: Vec<String>,
}

/// A view of a manifest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Shown {
    pub(super) view: String,
    pub(super) version: u32,
    pub(super) fingerprint: String,
    pub(super) rows: u64,
    pub(super) files: u64,
    /// Where the list of its files is.
    pub(super) part: String,
    pub(super) sha256: String,
}

/// The files of a view.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) view: String,
    pub(super) files: Vec<Live>,
}

/// A file and the partition it holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Live {
    pub(super) path: String,
    #[serde(flatten)]
    pub(super) place: Place,
    pub(super) rows: u64,
    pub(super) size: u64,
    pub(super) sha256: String,
}

/// The files of a view by partition.
pub(super) type Files = BTreeMap<Place, Live>;

/// A manifest with its parts.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) manifest: Manifest,
    pub(super) files: BTreeMap<String, Files>,
}

/// What a lake has to say.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    /// The highest number of a manifest, whole or not; 0 for none.
    pub(super) last: u64,
    /// The newest whole manifest.
    pub(super) whole: Option<Whole>,
}

/// The name of a manifest.
pub(super) fn path_of(sequence: u64) -> String {
    format!("{FOLDER}/{sequence:0DIGITS$}.json")
}

/// The number of a manifest by its name.
pub(super) fn sequence_of(path: &str) -> Option<u64> {
    let digits = path.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".json")?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// All manifests after one, by number.
pub(super) async fn list(store: &Store, after: u64) -> Result<Vec<(u64, Listed)>, SinkError> {
    let offset = path_of(after);
    let mut found = Vec::new();
    let keep = |listed: Listed| {
        let numbered = sequence_of(&listed.path).map(|sequence| (sequence, listed));
        found.extend(numbered.filter(|(sequence, _)| *sequence > after));
    };
    store.list(FOLDER, Some(&offset), keep).await?;
    found.sort_unstable_by_key(|(sequence, _)| *sequence);
    Ok(found)
}

/// The newest manifest whose parts are all there and as they were put.
pub(super) async fn newest(store: &Store) -> Result<Head, SinkError> {
    let found = list(store, 0).await?;
    let last = found.last().map_or(0, |(sequence, _)| *sequence);
    for (sequence, _) in found.into_iter().rev() {
        if let Some(whole) = open(store, sequence).await? {
            return Ok(Head { last, whole: Some(whole) });
        }
        tracing::warn!(sequence, "a manifest of the lake is not whole and counts as not there");
    }
    Ok(Head { last, whole: None })
}

/// A manifest alone; `None` when it is not there or not whole.
pub(super) async fn read(store: &Store, sequence: u64) -> Result<Option<Manifest>, SinkError> {
    let bytes = store.read("read a manifest", &path_of(sequence), BYTES_MAX).await?;
    let manifest: Option<Manifest> = bytes.and_then(|bytes| parse(&bytes));
    if manifest.as_ref().is_some_and(|manifest| manifest.format > FORMAT) {
        let what = "lake: a newer program has written manifests; use that one";
        return Err(SinkError::permanent(what));
    }
    Ok(manifest.filter(|m| m.sequence == sequence && m.mark().is_some()))
}

/// Whether these bytes are a manifest that is there.
pub(super) async fn is(store: &Store, path: &str, bytes: &[u8]) -> Result<bool, SinkError> {
    let there = store.read("read a manifest", path, BYTES_MAX).await?;
    Ok(there.is_some_and(|there| there[..] == *bytes))
}

async fn open(store: &Store, sequence: u64) -> Result<Option<Whole>, SinkError> {
    let Some(manifest) = read(store, sequence).await? else { return Ok(None) };
    let mut files = BTreeMap::new();
    for shown in &manifest.views {
        let bytes = store.read("read a part of a manifest", &shown.part, BYTES_MAX).await?;
        let part = bytes.filter(|bytes| sha256(bytes) == shown.sha256);
        let Some(part) = part.and_then(|bytes| parse::<Part>(&bytes)) else { return Ok(None) };
        let by_place = part.files.into_iter().map(|live| (live.place.clone(), live));
        files.insert(shown.view.clone(), by_place.collect());
    }
    Ok(Some(Whole { manifest, files }))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

/// A manifest or a part as bytes.
pub(super) fn encode(value: &impl Serialize) -> Result<Vec<u8>, SinkError> {
    let bytes = serde_json::to_vec(value);
    let bytes = bytes.map_err(|_| SinkError::permanent("lake: a manifest cannot be encoded"))?;
    if bytes.len() as u64 > BYTES_MAX {
        let what = format!("lake: a manifest has over {BYTES_MAX} bytes; use several lakes");
        return Err(SinkError::permanent(what));
    }
    Ok(bytes)
}

impl Manifest {
    /// The manifest of a batch that follows what the lake holds.
    pub(super) fn new(head: &Head, batch: &Outgoing, views: Vec<Shown>) -> Self {
        Self {
            format: FORMAT,
            sequence: head.last + 1,
            previous: head.whole.as_ref().map(|whole| whole.manifest.sequence),
            state: format!("{:032x}", batch.to.state),
            epoch: batch.to.epoch.0,
            as_of: batch.to.as_of.to_string(),
            views,
            dropped: Vec::new(),
        }
    }

    /// How far the lake is.
    pub(super) fn mark(&self) -> Option<Mark> {
        let state = u128::from_str_radix(&self.state, 16).ok()?;
        let as_of = UtcMs::parse(&self.as_of, &Zone::UTC).ok()?;
        Some(Mark { state, epoch: Epoch(self.epoch), as_of })
    }

    /// A view of it.
    pub(super) fn view(&self, name: &str) -> Option<&Shown> {
        self.views.iter().find(|shown| shown.view == name)
    }
}

impl Whole {
    /// Every object that it names.
    pub(super) fn objects(&self) -> BTreeSet<&str> {
        let parts = self.manifest.views.iter().map(|shown| shown.part.as_str());
        let files = self.files.values().flat_map(BTreeMap::values).map(|live| live.path.as_str());
        parts.chain(files).collect()
    }
}

impl Head {
    pub(super) fn mark(&self) -> Option<Mark> {
        self.whole.as_ref().and_then(|whole| whole.manifest.mark())
    }

    /// The files that the table's rows are in, if they are of its schema.
    pub(super) fn files(&self, table: &Table) -> Option<&Files> {
        let whole = self.whole.as_ref()?;
        let shown = whole.manifest.view(table.view.name)?;
        let same = shown.version == table.view.version && shown.fingerprint == table.fingerprint;
        whole.files.get(table.view.name).filter(|_| same)
    }

    /// Whether every table is there as the program has it.
    ///
    /// # Errors
    /// A permanent one when a newer program wrote a view.
    pub(super) fn fits(&self, tables: &[Table]) -> Result<bool, SinkError> {
        for table in tables {
            let shown = self.whole.as_ref().and_then(|w| w.manifest.view(table.view.name));
            if shown.is_some_and(|shown| shown.version > table.view.version) {
                return Err(table.refused("a newer program has written it; use that one"));
            }
        }
        Ok(tables.iter().all(|table| self.files(table).is_some()))
    }
}
