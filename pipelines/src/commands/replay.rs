//! `ionflux replay`: years of history through the very same dataflow.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use ionflux_ledger::BaseZone;
use ionflux_schemas::currency::Currency;
use ionflux_schemas::key::Id;
use ionflux_schemas::time::Zone;
use ionflux_service::store::Phase;
use ionflux_sinks::files::{Form, export};
use ionflux_sources::files::mapping::Mapping;
use ionflux_sources::list::{Format, Opened};
use ionflux_sources::reading::Setting;
use ionflux_sources::shop;

use super::summary;
use crate::assemble::{Books, Options};
use crate::config::Config;
use crate::failure::Failure;
use crate::files::FileProgress;
use crate::progress::Progress;

/// Replay files of history and look at exact revenue
///
/// Files may be compressed (.gz, .zst). A record that cannot be counted becomes a row of the view
/// `faults`, with its file, line, reason and remedy, and the replay goes on. Reading a file again
/// into the same state changes nothing.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ionflux replay orders.ndjson.gz --format shopify-webhooks --timezone Europe/Berlin --state books
  ionflux replay lines.csv --format csv --mapping mapping.toml --export out
  ionflux query --state books \"SELECT * FROM revenue_by_day ORDER BY day\"

Formats:
  shopify-webhooks  JSON or NDJSON of webhook bodies, optionally {\"headers\": ..., \"body\": ...}
  shopify-bulk      JSONL of a bulk operation, children grouped or not
  shopify-csv       the orders export of the Shopify admin
  platform-events   NDJSON of platform events, as POST /v1/events takes them
  tiktok-webhooks   JSON or NDJSON of webhook bodies of TikTok Shop and for Developers
  tiktok-api        answers of TikTok's APIs: orders, returns, cancellations, videos, reports
  csv               any CSV of order lines; --mapping says which column is what")]
pub struct Replay {
    /// Files to read, in any order
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// What the files hold
    #[arg(long, value_enum)]
    pub format: FormatName,
    /// For --format csv: which column is what (TOML)
    #[arg(long, value_name = "FILE", required_if_eq("format", "csv"))]
    pub mapping: Option<PathBuf>,
    /// The tenant the records belong to
    #[arg(long, value_name = "W", default_value = "default", value_parser = name)]
    pub workspace: String,
    /// The shop of records that name none [default: the mapping's, or "default"]
    #[arg(long, value_name = "S", value_parser = shop)]
    pub shop: Option<String>,
    /// The currency of amounts that name none, such as EUR
    #[arg(long, value_name = "C", value_parser = currency)]
    pub currency: Option<Currency>,
    /// The zone of days and of times without an offset, such as Europe/London [default: the
    /// mapping's, or what the shop tells, or UTC]
    #[arg(long, value_name = "TZ", value_parser = zone)]
    pub timezone: Option<Zone>,
    /// Keep ledger and views here, to query, continue and serve
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Write every view here, as VIEW.csv and VIEW.parquet
    #[arg(long, value_name = "DIR")]
    pub export: Option<PathBuf>,
    /// Worker threads of the dataflow [default: the configuration's, or 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: Option<u16>,
    /// Defaults for --state and --workers
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The longest name of a workspace or a shop: a domain name has no more.
const NAME_BYTES_MAX: usize = 255;

/// The formats by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum FormatName {
    /// Bodies of Shopify webhooks
    ShopifyWebhooks,
    /// A Shopify bulk operation
    ShopifyBulk,
    /// The Shopify orders export
    ShopifyCsv,
    /// Events of the platform
    PlatformEvents,
    /// Bodies of TikTok webhooks
    TiktokWebhooks,
    /// Answers of TikTok's APIs
    TiktokApi,
    /// Any CSV of order lines
    Csv,
}

fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.len() {
        0 => Err("a name cannot be empty".to_owned()),
        1..=NAME_BYTES_MAX => Ok(text.to_owned()),
        _ => Err(format!("a name has at most {NAME_BYTES_MAX} bytes")),
    }
}

pub(super) fn shop(text: &str) -> Result<String, String> {
    shop::name(text).map(Into::into).map_err(|wrong| wrong.to_string())
}

pub(super) fn currency(text: &str) -> Result<Currency, String> {
    Currency::parse(text).map_err(|problem| problem.to_string())
}

pub(super) fn zone(text: &str) -> Result<Zone, String> {
    Zone::parse(text).map_err(|problem| problem.to_string())
}

/// How often what was counted is made to last, so that an interrupted replay goes on there.
const SYNC_EVERY: Duration = Duration::from_secs(2);

/// What is read and how.
struct Job {
    format: Format,
    setting: Setting,
    files: Vec<PathBuf>,
    bytes: u64,
}

impl Job {
    /// What the files are read as, in one text: an interrupted reading goes on only as the same.
    fn meaning(&self) -> String {
        format!("{:?} {:?}", self.format, self.setting)
    }
}

impl Replay {
    /// Reads every file, keeps and exports what was asked for, and says what came of it.
    ///
    /// # Errors
    /// When a file cannot be opened or read to its end, or results cannot be kept. What was read
    /// until then is kept.
    pub fn execute(&self) -> Result<(), Failure> {
        let started = Instant::now();
        let config = self.config.as_deref().map(Config::read).transpose()?;
        let kept = config.as_ref().map(|config| config.state_dir.clone());
        let state = self.state.clone().or(kept);
        let workers = config.map_or(1, |config| config.workers);
        let workers = self.workers.map_or(workers, usize::from);

        let mut job = self.job()?;
        let base_zone = self.base_zone(&job.format);
        let options = Options { state: state.as_deref(), base_zone: base_zone.clone(), workers };
        let mut books = Books::open(&options)?;
        books.store().set_phase(Phase::Replaying);
        // Times without an offset are in the zone that came with the files, if one did.
        job.setting.zone = match (base_zone, books.base_zone()) {
            (BaseZone::Asked(zone) | BaseZone::Proposed(zone), _) => zone,
            (BaseZone::Unknown, held) => held.cloned().unwrap_or(Zone::UTC),
        };
        let (records, broken) = read(&mut books, job)?;
        let store = books.finish()?;
        let snapshot = store.newest();
        if let Some(folder) = &self.export {
            export(&snapshot, folder, &[Form::Csv, Form::Parquet])?;
        }
        let said = summary::text(&snapshot, records, started.elapsed());
        let said = said + &summary::whereabouts(state.as_deref(), self.export.as_deref());
        super::print(said.as_bytes())?;
        broken.map_or(Ok(()), Err)
    }

    /// Opens everything that can be wrong before any state is touched.
    fn job(&self) -> Result<Job, Failure> {
        let mapping = self.mapping.as_deref();
        let format = match (self.format, mapping) {
            (FormatName::Csv, Some(path)) => {
                let mapping = Mapping::open(path).map_err(|e| Failure::from(e).of_usage())?;
                Format::Csv(Box::new(mapping))
            }
            (_, Some(path)) => {
                let problem = format!("--mapping {} goes with --format csv only", path.display());
                return Err(Failure::usage(problem, "leave --mapping out, or give --format csv"));
            }
            (FormatName::Csv, None) => {
                let hint = "see examples/online_retail.toml for one that explains itself";
                return Err(Failure::usage("--format csv needs a --mapping FILE", hint));
            }
            (FormatName::ShopifyWebhooks, None) => Format::ShopifyWebhooks,
            (FormatName::ShopifyBulk, None) => Format::ShopifyBulk,
            (FormatName::ShopifyCsv, None) => Format::ShopifyCsv,
            (FormatName::PlatformEvents, None) => Format::PlatformEvents,
            (FormatName::TiktokWebhooks, None) => Format::TiktokWebhooks,
            (FormatName::TiktokApi, None) => Format::TiktokApi,
        };
        // Each is opened once to see that it can be, and again when its turn comes.
        let sizes = self.inputs.iter().map(|path| Ok(Opened::open(path)?.input.bytes_total));
        let bytes = sizes.sum::<Result<u64, Failure>>()?;
        let named = match &format {
            Format::Csv(mapping) => mapping.shop.as_deref().or(Some("default")),
            // An event that names no shop is about the workspace as a whole.
            Format::PlatformEvents => None,
            _ => Some("default"),
        };
        let shop = self.shop.as_deref().or(named);
        let setting = Setting {
            workspace: self.workspace.as_str().into(),
            shop: shop.map(Id::from),
            currency: self.currency,
            zone: Zone::UTC,
            reading: 0,
        };
        Ok(Job { format, setting, files: self.inputs.clone(), bytes })
    }

    fn base_zone(&self, format: &Format) -> BaseZone {
        match (&self.timezone, format) {
            (Some(zone), _) => BaseZone::Asked(zone.clone()),
            (None, Format::Csv(mapping)) => {
                mapping.zone.clone().map_or(BaseZone::Unknown, BaseZone::Proposed)
            }
            (None, _) => BaseZone::Unknown,
        }
    }
}

/// Reads the files one after another; gives how many records there were, and what broke off a
/// file before its end. What came before the break counts, and the other files do.
fn read(books: &mut Books, job: Job) -> Result<(u64, Option<Failure>), Failure> {
    let mut progress = Progress::bytes("replaying", job.bytes);
    let (mut records, mut before, mut broken) = (0, 0, None);
    let mut synced_at = Instant::now();
    for path in &job.files {
        let mut file = FileProgress::of(books, path, &job.meaning())?;
        let setting = Setting { reading: file.reading(), ..job.setting.clone() };
        let opened = Opened::open(path).and_then(|opened| {
            let done: Arc<AtomicU64> = Arc::clone(&opened.input.bytes_read);
            Ok((done, opened.records(&job.format, setting)?))
        });
        let (done, decoded) = match opened {
            Ok(opened) => opened,
            Err(problem) => {
                broken = Some(Failure::from(problem));
                continue;
            }
        };
        for decoded in decoded {
            records += 1;
            match decoded {
                // What an interrupted replay has counted is read past.
                Ok(_) if file.counted_before() => {}
                Ok(decoded) => books.engine.add_file(decoded)?,
                Err(problem) => broken = Some(Failure::from(problem)),
            }
            if books.engine.full() {
                file.note(&mut books.engine, false)?;
                books.engine.close_epoch(None)?;
                if synced_at.elapsed() >= SYNC_EVERY {
                    books.engine.sync()?;
                    synced_at = Instant::now();
                }
            }
            if records % 1024 == 0 {
                progress.at(before + done.load(Ordering::Relaxed));
            }
        }
        file.note(&mut books.engine, true)?;
        before += done.load(Ordering::Relaxed);
    }
    progress.done();
    Ok((records, broken))
}
