//! The list of file formats and of sources of deliveries: a name and a line each.
//!
//! Invariant: every format that is read has a line that reads its letters again, and what no line
//! is there for is a fault, never nothing.

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::fault::{FaultKind, Place};
use ionflux_schemas::letter::Letter;

use crate::draft::delivered;
use crate::error::SourceError;
use crate::files::input::{Input, Origin};
use crate::files::mapped_csv;
use crate::files::mapping::Mapping;
use crate::kafka;
use crate::letters::LetterError;
use crate::platform::{self, file};
use crate::reading::{Decoded, Refusal, Setting};
use crate::settings;
use crate::shopify::{admin, bulk_file, delivery, orders_csv, webhook_file};
use crate::subjects;
use crate::tiktok::{delivery as tiktok, file as tiktok_file};

/// What a file holds.
#[derive(Clone, Debug)]
pub enum Format {
    /// Bodies of Shopify webhooks, as JSON or NDJSON, with or without their headers.
    ShopifyWebhooks,
    /// The JSONL of a Shopify bulk operation.
    ShopifyBulk,
    /// Shopify's export of orders as CSV.
    ShopifyCsv,
    /// Events of the platform, as NDJSON.
    PlatformEvents,
    /// Bodies of TikTok's webhooks, as JSON or NDJSON, with or without their headers.
    TiktokWebhooks,
    /// Answers of TikTok's APIs, as JSON or NDJSON.
    TiktokApi,
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
            Format::PlatformEvents => Box::new(file::read(reader, source, path, setting)),
            Format::TiktokWebhooks | Format::TiktokApi => {
                let holds = match format {
                    Format::TiktokApi => tiktok_file::Holds::Answers,
                    _ => tiktok_file::Holds::Webhooks,
                };
                let whence = tiktok_file::Whence { source, path };
                Box::new(tiktok_file::read(reader, holds, whence, setting))
            }
            Format::Csv(mapping) => Box::new(mapped_csv::read(reader, origin, mapping, &setting)?),
        })
    }
}

/// What a letter of a file is read again with: what its reader was told, and by which mapping.
type Again = fn(&Letter, &Setting, Option<&Mapping>) -> Result<Decoded, LetterError>;

const FORMATS: &[(&str, Again)] = &[
    (webhook_file::FORMAT, |letter, setting, _| Ok(webhook_file::again(letter, setting))),
    (bulk_file::FORMAT, |letter, setting, _| Ok(bulk_file::again(letter, setting))),
    (orders_csv::FORMAT, |letter, setting, _| Ok(orders_csv::again(letter, setting)?)),
    (file::FORMAT, |letter, setting, _| Ok(file::again(letter, setting))),
    (tiktok_file::WEBHOOKS, |letter, setting, _| {
        Ok(tiktok_file::again(letter, tiktok_file::Holds::Webhooks, setting))
    }),
    (tiktok_file::API, |letter, setting, _| {
        Ok(tiktok_file::again(letter, tiktok_file::Holds::Answers, setting))
    }),
    (mapped_csv::FORMAT, |letter, setting, mapping| {
        let mapping = mapping.ok_or(LetterError::Context("mapping"))?;
        Ok(mapped_csv::again(letter, setting, mapping)?)
    }),
];

/// What reads the letters of a format.
pub(crate) fn again(format: &str) -> Option<Again> {
    FORMATS.iter().find(|(name, _)| *name == format).map(|(_, again)| *again)
}

/// What reads the deliveries of a source.
type Deliveries = fn(&Delivery, Position, &Setting) -> Decoded;

const SOURCES: &[(&str, Deliveries)] = &[
    (delivery::SOURCE, delivery::read_as),
    (platform::read::SOURCE, platform::read::read_as),
    (tiktok::SHOP_WEBHOOKS, tiktok::shop_webhook),
    (tiktok::DEVELOPER_WEBHOOKS, tiktok::developer_webhook),
    (tiktok::SHOP_API, tiktok::answer),
    (tiktok::SAMPLES, tiktok::answer),
    (tiktok::ADS, tiktok::answer),
    (settings::delivery::SOURCE, settings::delivery::read_as),
    (kafka::delivery::SOURCE, kafka::delivery::read_as),
    (admin::delivery::SOURCE, admin::delivery::read_as),
    // A request about a person says nothing that counts.
    (subjects::SOURCE, |_, _, _| Decoded::default()),
];

/// What a delivery says; `position` is where the journal has it. One of a source that nobody knows
/// is a fault with its letter.
#[must_use]
pub fn read_delivery(delivery: &Delivery, position: Position) -> Decoded {
    read_delivery_as(delivery, position, &Setting::of_delivery(delivery))
}

/// What a delivery says where its reader is told more than the delivery.
pub(crate) fn read_delivery_as(
    delivery: &Delivery,
    position: Position,
    setting: &Setting,
) -> Decoded {
    let source = SOURCES.iter().find(|(name, _)| **name == *delivery.source);
    if let Some((_, read)) = source {
        return read(delivery, position, setting);
    }
    let name: String = delivery.source.chars().take(60).collect();
    let reason = format!("nothing reads deliveries of {name:?}");
    let refusal = delivery::named(Refusal::new(FaultKind::Unsupported, "", reason), delivery);
    let place = Place { source: Arc::from(&*delivery.source), line: 0 };
    let faults = vec![refusal.at(setting.shop_key(None), place)];
    delivered(Decoded { faults, ..Decoded::default() }, delivery, position, setting)
}

/// The names of all sources whose deliveries are read.
pub fn sources() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().map(|(name, _)| *name)
}
