//! The list of file formats: a name and a line each.

use std::io::BufRead;
use std::path::Path;

use crate::error::SourceError;
use crate::files::input::{Input, Origin};
use crate::files::mapped_csv;
use crate::files::mapping::Mapping;
use crate::reading::{Decoded, Setting};
use crate::shopify::{bulk_file, orders_csv, webhook_file};

/// What a file holds.
#[derive(Clone, Debug)]
pub enum Format {
    /// Bodies of Shopify webhooks, as JSON or NDJSON, with or without their headers.
    ShopifyWebhooks,
    /// The JSONL of a Shopify bulk operation.
    ShopifyBulk,
    /// Shopify's export of orders as CSV.
    ShopifyCsv,
    /// Any CSV of order lines.
    Csv(Box<Mapping>),
}

/// The records of one file.
pub type Records = Box<dyn Iterator<Item = Result<Decoded, SourceError>>>;

/// A file that is open, with what a progress bar needs.
pub struct Opened {
    /// What is read.
    pub input: Input,
    origin: Origin,
}

impl Opened {
    /// Opens a file; its faults name it by its file name, wherever it lies.
    ///
    /// # Errors
    /// [`SourceError`] when it is missing, a folder, unreadable or not what its name says.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let origin = Origin { path: path.into(), source: name.into() };
        Ok(Self { input: Input::open(path)?, origin })
    }

    /// The records of the file as a format.
    ///
    /// # Errors
    /// [`SourceError`] when the file is not of the format or does not fit its mapping.
    pub fn records(self, format: &Format, setting: Setting) -> Result<Records, SourceError> {
        let Self { input, origin } = self;
        let reader: Box<dyn BufRead + Send> = input.reader;
        let Origin { path, source } = origin.clone();
        Ok(match format {
            Format::ShopifyWebhooks => Box::new(webhook_file::read(reader, source, path, setting)),
            Format::ShopifyBulk => Box::new(bulk_file::read(reader, source, path, setting)),
            Format::ShopifyCsv => Box::new(orders_csv::read(reader, source, path, setting)),
            Format::Csv(mapping) => Box::new(mapped_csv::read(reader, origin, mapping, &setting)?),
        })
    }
}
