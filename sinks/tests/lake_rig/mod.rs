//! A lake for a test, and a reader of it that knows only what the documentation says.
//!
//! Invariant: what is read is what a manifest names, and every name leads to whole rows of the
//! partition it says.

#![allow(dead_code, clippy::unwrap_used)]

pub mod store;

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type, TimestampMillisecondType};
use ionflux_schemas::avro::{ColumnKind, Schema};
use ionflux_schemas::currency::Currency;
use ionflux_schemas::money::Money;
use ionflux_schemas::time::{Day, UtcMs};
use ionflux_schemas::view::{Row, Value, View};
use ionflux_sinks::conformance::{Bench, Trouble};
use ionflux_sinks::history::VIEWS;
use ionflux_sinks::lake::{LakeConfig, build, over};
use ionflux_sinks::memory::Contents;
use ionflux_sinks::sink::{BoxFuture, Sink};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, Error, ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value as Json;
use store::{Strike, Troubled, When};
use tempfile::TempDir;
use tokio_stream::StreamExt;

/// A lake and ways in.
pub struct Lake {
    pub store: Troubled,
    pub config: LakeConfig,
    /// Where sinks open the lake by its address rather than through the troubled store.
    by_address: bool,
    pub folder: Option<TempDir>,
}

impl Lake {
    /// In memory.
    pub fn in_memory() -> Self {
        Self::new(Arc::new(InMemory::new()), false, None)
    }

    /// On a disk; by the address, or through a store that makes trouble.
    pub fn on_disk(by_address: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let root = folder.path().join("a lake");
        std::fs::create_dir(&root).unwrap();
        let mut lake = Self::new(
            Arc::new(LocalFileSystem::new_with_prefix(&root).unwrap()),
            by_address,
            Some(folder),
        );
        lake.config.url = format!("file://{}", root.display());
        lake
    }

    /// In a bucket of S3, as the environment says it is to be reached.
    pub fn on_s3(bucket: &str, prefix: &str) -> Self {
        let url = format!("s3://{bucket}");
        let plain = ClientOptions::new().with_allow_http(true);
        let client = AmazonS3Builder::from_env().with_client_options(plain).with_url(&url);
        let inner = PrefixStore::new(client.build().unwrap(), prefix);
        let mut lake = Self::new(Arc::new(inner), true, None);
        lake.config.url = format!("{url}/{prefix}");
        lake
    }

    fn new(inner: Arc<dyn ObjectStore>, by_address: bool, folder: Option<TempDir>) -> Self {
        let config = LakeConfig { keep_manifests: 3, ..LakeConfig::default() };
        Self { store: Troubled::over(inner), config, by_address, folder }
    }

    /// A sink of some views.
    pub fn sink_of(&self, views: &[&'static View]) -> Box<dyn Sink> {
        if self.by_address {
            return build("lake", &self.config, views).unwrap();
        }
        over("lake", &self.config, Arc::new(self.store.clone()), views).unwrap()
    }

    /// Every object there is.
    pub async fn objects(&self) -> Vec<String> {
        let mut found = self.store.inner.list(None);
        let mut paths = Vec::new();
        while let Some(object) = found.next().await {
            paths.push(object.unwrap().location.to_string());
        }
        paths.sort();
        paths
    }

    pub async fn manifests(&self) -> Vec<String> {
        let numbered = |path: &String| path.starts_with("manifests/") && path.ends_with(".json");
        self.objects().await.into_iter().filter(numbered).collect()
    }

    pub async fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        match self.store.inner.get(&Path::parse(path).unwrap()).await {
            Err(Error::NotFound { .. }) => None,
            got => Some(got.unwrap().bytes().await.unwrap().to_vec()),
        }
    }

    async fn json(&self, path: &str) -> Option<Json> {
        serde_json::from_slice(&self.bytes(path).await?).ok()
    }

    /// The files of a view in the newest manifest.
    pub async fn files(&self, view: &str) -> Vec<String> {
        let newest = self.manifests().await.pop().unwrap();
        let manifest = self.json(&newest).await.unwrap();
        let shown = manifest["views"].as_array().unwrap().iter();
        let shown = shown.clone().find(|shown| shown["view"] == view).unwrap();
        let part = self.json(shown["part"].as_str().unwrap()).await.unwrap();
        let files = part["files"].as_array().unwrap().iter();
        files.map(|file| file["path"].as_str().unwrap().to_owned()).collect()
    }

    /// What the newest whole manifest shows of some views.
    pub async fn contents_of(&self, views: &[&'static View]) -> Contents {
        for path in self.manifests().await.into_iter().rev() {
            if let Some(contents) = self.contents_at(&path, views).await {
                return contents;
            }
        }
        Contents::new()
    }

    /// What a manifest shows; `None` for one that is cut short.
    pub async fn contents_at(&self, path: &str, views: &[&'static View]) -> Option<Contents> {
        let manifest = self.json(path).await?;
        let mut contents = Contents::new();
        for shown in manifest["views"].as_array().unwrap() {
            let name = shown["view"].as_str().unwrap();
            let part = self.json(shown["part"].as_str().unwrap()).await.unwrap();
            let Some(view) = views.iter().find(|view| view.name == name) else { continue };
            for file in part["files"].as_array().unwrap() {
                let bytes = self.bytes(file["path"].as_str().unwrap()).await;
                let bytes = bytes.unwrap_or_else(|| panic!("{path} names {file}, which is gone"));
                assert_eq!(bytes.len() as u64, file["size"].as_u64().unwrap());
                let rows = rows(view, bytes);
                assert_eq!(rows.len() as u64, file["rows"].as_u64().unwrap(), "{file}");
                keep(view, file, rows, &mut contents);
            }
        }
        Some(contents)
    }
}

fn keep(view: &'static View, file: &Json, rows: Vec<Row>, contents: &mut Contents) {
    let schema = view.parsed();
    let mut before = None;
    for row in rows {
        let key: Vec<Value> = schema.key.iter().map(|place| row.0[*place].clone()).collect();
        assert!(before < Some(key.clone()), "rows are sorted");
        if let Some((at, _)) = schema.column("workspace_id") {
            assert_eq!(file["workspace"].as_str().unwrap(), row.0[at].to_string());
        }
        if let Some((at, _)) = schema.column("day") {
            assert_eq!(file["day"].as_str().unwrap(), row.0[at].to_string());
        }
        before = Some(key.clone());
        assert!(contents.entry(view.name).or_default().insert(key, row).is_none());
    }
}

fn rows(view: &View, bytes: Vec<u8>) -> Vec<Row> {
    use std::io::Write;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let schema = view.parsed();
    reader.flat_map(|batch| rows_of(&schema, &batch.unwrap())).collect()
}

fn rows_of(schema: &Schema, batch: &RecordBatch) -> Vec<Row> {
    let names: Vec<String> =
        batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    let expected: Vec<String> = schema.columns.iter().map(|column| column.name.clone()).collect();
    assert_eq!(names, expected);
    let value = |row: usize, at: usize| {
        let column = batch.column(at);
        if column.is_null(row) {
            return Value::Null;
        }
        match schema.columns[at].kind {
            ColumnKind::Text => Value::text(column.as_string::<i32>().value(row)),
            ColumnKind::Int => Value::Int(column.as_primitive::<Int64Type>().value(row)),
            ColumnKind::Day => Value::Day(Day(column.as_primitive::<Date32Type>().value(row))),
            ColumnKind::Instant => {
                let at = column.as_primitive::<TimestampMillisecondType>().value(row);
                Value::Instant(UtcMs(at))
            }
            ColumnKind::Money => {
                let ten_thousandths = column.as_primitive::<Decimal128Type>().value(row);
                assert_eq!(ten_thousandths % 100, 0, "euro have two decimals");
                let euro = Currency::parse("EUR").unwrap();
                Value::Money(Money::new(ten_thousandths / 100, euro))
            }
        }
    };
    let row = |row| Row((0..schema.columns.len()).map(|at| value(row, at)).collect());
    (0..batch.num_rows()).map(row).collect()
}

impl Bench for Lake {
    fn sink(&mut self) -> Box<dyn Sink> {
        self.sink_of(&VIEWS)
    }

    fn contents(&mut self) -> BoxFuture<'_, Contents> {
        Box::pin(self.contents_of(&VIEWS))
    }

    fn disturb(&mut self, trouble: Trouble) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match trouble {
                Trouble::Wipe => {
                    self.store.calm();
                    for path in self.objects().await {
                        self.store.inner.delete(&Path::parse(path).unwrap()).await.unwrap();
                    }
                }
                Trouble::Refuse => self.store.strike(When::Call(0), Strike::Before),
                Trouble::LoseAnswer => self.store.strike(When::Manifest, Strike::After),
                Trouble::Corrupt => self.store.strike(When::Manifest, Strike::Torn),
                Trouble::Restart => {
                    for _ in 0..3 {
                        self.store.strike(When::Call(0), Strike::Before);
                    }
                }
                Trouble::Delay => self.store.slow(1),
                Trouble::Stray => {
                    let file = "00000000000000000001-0123456789abcdef-0123456789abcdef.parquet";
                    let folder = "conformance_counts/workspace_id=stray";
                    let path = Path::parse(format!("{folder}/{file}")).unwrap();
                    self.store.inner.put(&path, "stray".into()).await.unwrap();
                    let torn = Path::parse("manifests/00000000000000000001.json").unwrap();
                    self.store.inner.put(&torn, "{\"format\": 1".into()).await.unwrap();
                }
            }
        })
    }
}
