//! The lake: every view as Parquet files by workspace and day, on a disk or in an object store.
//!
//! Delivery: exactly once. An epoch is there when its manifest is, and a manifest is put only if
//! none followed the one that was read. Invariant: whoever reads by a manifest sees one epoch,
//! whole, for as long as that manifest is kept.
//!
//! ```text
//!   _current                                             a hint: the newest manifest
//!   manifests/00000000000000000008.json                  mark, views, their parts
//!   parts/revenue_by_day/<epoch>-<digest>-<try>.json     the files of a view
//!   revenue_by_day/workspace_id=acme/day=2026-03-01/<epoch>-<digest>-<try>.parquet
//! ```

mod config;
mod store;

mod content;
mod place;

mod manifest;
mod sweep;
mod write;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use ionflux_schemas::view::View;
use object_store::ObjectStore;
use parquet::basic::Compression;
use tokio::time::Instant;

use self::config::Home;
pub use self::config::{LakeConfig, Pages};
use self::manifest::Head;
use self::place::Table;
use self::store::Store;
use self::sweep::Dropped;
use self::write::Made;
use crate::error::{ConfigError, SinkError};
use crate::section::{Given, Section};
use crate::sink::{BoxFuture, Mark, Outgoing, Sink};

/// Files of a try that failed serve the next one, but not when a sweep could have taken them.
const MADE_FOR: Duration = Duration::from_secs(sweep::GRACE_MS as u64 / 2_000);

/// A sink over one address.
struct Lake {
    name: Box<str>,
    home: Option<Home>,
    store: Option<Store>,
    tables: Vec<Table>,
    compression: Compression,
    keep: usize,
    answer_s: u32,
    every_s: u32,
    /// What the lake held when it was last asked. Taken while a write is under way, so that after
    /// one that is given up the lake is asked.
    head: Option<Head>,
    /// A live file was not what the manifest says: nothing is gone on from.
    distrust: bool,
    dropped: Dropped,
    /// Files that were put and that no manifest names yet.
    made: Made,
    made_since: Instant,
}

/// A sink of these views; opens the address when it is first asked.
///
/// # Errors
/// [`ConfigError`] for options that cannot work, or a view that cannot be in a lake.
pub fn build(
    name: &str,
    config: &LakeConfig,
    views: &[&'static View],
) -> Result<Box<dyn Sink>, ConfigError> {
    config.validate()?;
    let home = Home::parse(&config.url)?;
    Ok(Box::new(Lake { home: Some(home), ..Lake::new(name, config, views)? }))
}

impl Section for LakeConfig {
    fn check(&self, _: bool) -> Result<(), ConfigError> {
        self.validate()
    }

    fn build(
        &self,
        name: &str,
        views: &[&'static View],
        _: &Given<'_>,
    ) -> Result<Box<dyn Sink>, ConfigError> {
        build(name, self, views)
    }
}

/// The same over a store that is open, whatever the address.
///
/// # Errors
/// [`ConfigError`], as [`build`].
pub fn over(
    name: &str,
    config: &LakeConfig,
    objects: Arc<dyn ObjectStore>,
    views: &[&'static View],
) -> Result<Box<dyn Sink>, ConfigError> {
    config.validate_rest()?;
    let store = Some(Store::over(objects));
    Ok(Box::new(Lake { store, ..Lake::new(name, config, views)? }))
}

/// A number that no other try has.
fn nonce() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl Lake {
    fn new(name: &str, config: &LakeConfig, views: &[&'static View]) -> Result<Self, ConfigError> {
        let tables: Result<Vec<Table>, ConfigError> =
            views.iter().map(|view| Table::new(view)).collect();
        Ok(Self {
            name: name.into(),
            home: None,
            store: None,
            tables: tables?,
            compression: config.compression.codec(),
            keep: config.keep_manifests as usize,
            answer_s: config.answer_s,
            every_s: config.every_s,
            head: None,
            distrust: false,
            dropped: Dropped::new(),
            made: Made::new(),
            made_since: Instant::now(),
        })
    }

    fn open(&mut self) -> Result<(), SinkError> {
        if let (None, Some(home)) = (&self.store, &self.home) {
            self.store = Some(Store::open(home)?);
        }
        Ok(())
    }

    fn store(&self) -> Result<Store, SinkError> {
        self.store.clone().ok_or_else(|| SinkError::transient("lake: the store is not open"))
    }

    async fn ask(&mut self) -> Result<Option<Mark>, SinkError> {
        self.head = None;
        self.open()?;
        let head = manifest::newest(&self.store()?).await?;
        let trusted = head.fits(&self.tables)? && !self.distrust;
        let mark = head.mark().filter(|_| trusted);
        self.head = Some(head);
        Ok(mark)
    }

    async fn put(&mut self, batch: &Outgoing) -> Result<(), SinkError> {
        self.open()?;
        if self.made_since.elapsed() > MADE_FOR {
            self.made.clear();
        }
        if self.made.is_empty() {
            self.made_since = Instant::now();
        }
        let store = self.store()?;
        let head = match self.head.take() {
            Some(head) if manifest::list(&store, head.last).await?.is_empty() => head,
            _ => manifest::newest(&store).await?,
        };
        write::write(self, head, batch).await
    }
}

impl Sink for Lake {
    fn name(&self) -> &str {
        &self.name
    }

    fn answer_within(&self) -> Duration {
        Duration::from_secs(self.answer_s.into())
    }

    fn rest(&self) -> Duration {
        Duration::from_secs(self.every_s.into())
    }

    fn resume(&mut self) -> BoxFuture<'_, Result<Option<Mark>, SinkError>> {
        Box::pin(self.ask())
    }

    fn write<'a>(&'a mut self, batch: &'a Outgoing) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(self.put(batch))
    }
}
