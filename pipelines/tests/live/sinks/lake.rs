//! A lake, read as docs/lake.md says.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::util::display::array_value_to_string;
use ionflux_schemas::view::View;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value as Json;

/// The newest epoch of a lake.
pub struct Lake {
    pub epoch: u64,
    files: BTreeMap<String, Vec<PathBuf>>,
}

pub fn read(folder: &Path) -> Lake {
    let json = |path: &Path| -> Json { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let manifests = fs::read_dir(folder.join("manifests")).unwrap();
    let newest = manifests.map(|entry| entry.unwrap().path()).max().unwrap();
    let manifest = json(&newest);
    let views = manifest["views"].as_array().unwrap().iter();
    let files = views.map(|view| {
        let part = json(&folder.join(view["part"].as_str().unwrap()));
        let files = part["files"].as_array().unwrap().iter();
        let files = files.map(|file| folder.join(file["path"].as_str().unwrap())).collect();
        (view["view"].as_str().unwrap().to_owned(), files)
    });
    Lake { epoch: manifest["epoch"].as_u64().unwrap(), files: files.collect() }
}

impl Lake {
    /// The rows of a view, as the program shows them.
    pub fn rows(&self, view: &View) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for path in &self.files[view.name] {
            let file = File::open(path).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
            for batch in reader {
                let batch = batch.unwrap();
                let cell = |row, column| array_value_to_string(batch.column(column), row).unwrap();
                let whole = |row| (0..batch.num_columns()).map(|at| cell(row, at)).collect();
                rows.extend((0..batch.num_rows()).map(whole));
            }
        }
        rows
    }
}
