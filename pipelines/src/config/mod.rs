//! The configuration file: plain sections, every option with a default, checked before anything
//! is opened. `config/reference.toml` holds every option and a test reads it.

mod http;
pub mod kafka;
mod platform;
mod shopify;
pub mod tiktok;
mod workspace;

use std::path::{Path, PathBuf};

use ionflux_sinks::list::Sinks;
use serde::Deserialize;

pub use http::Http;
pub use kafka::{Kafka, Registry};
pub use platform::{Limits, Platform};
pub use shopify::{Shop, Shopify};
pub use tiktok::Tiktok;

use crate::failure::Failure;
use crate::runtime::WORKERS_MAX;

/// The file as it is written.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where journal, ledger and views are kept.
    pub state_dir: PathBuf,
    /// Worker threads of the dataflow and of the ledger.
    pub workers: usize,
    /// A file of `NAME=value` lines with the secrets that are not in the environment.
    pub secrets_file: Option<PathBuf>,
    /// The read service and the doors of the sources.
    pub http: Http,
    /// What was acknowledged and is not in the ledger yet.
    pub journal: Journal,
    /// Shopify webhooks; there is a door for them when this section is there.
    pub shopify: Option<Shopify>,
    /// A Kafka cluster whose topics are read when this section is there.
    pub kafka: Option<Kafka>,
    /// The schema registry of the cluster.
    pub registry: Option<Registry>,
    /// What each workspace may send.
    pub limits: Limits,
    /// Platform events; there is a door for them when this section is there.
    pub platform: Option<Platform>,
    /// TikTok: webhooks, shops and advertisers, as far as the section names them.
    pub tiktok: Option<Tiktok>,
    /// Where views go.
    pub sinks: Sinks,
}

/// The section `[journal]`.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Journal {
    /// Megabytes that may wait on disk for the ledger; beyond them, deliveries get a 503.
    pub max_mb: u64,
    /// Days for which parts behind the ledger are kept, compressed; 0 keeps nothing.
    pub keep_days: u32,
}

/// The least journal that is worth having: two segments.
const JOURNAL_MB_MIN: u64 = 128;

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: "state".into(),
            workers: 1,
            secrets_file: None,
            http: Http::default(),
            journal: Journal::default(),
            shopify: None,
            kafka: None,
            registry: None,
            limits: Limits::default(),
            platform: None,
            tiktok: None,
            sinks: Sinks::default(),
        }
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self { max_mb: 10_240, keep_days: 0 }
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// A usage failure that names the file, the line and the option.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |problem: &dyn std::fmt::Display| {
            let hint = "see config/reference.toml for every option";
            Failure::usage(format!("{}: {problem}", path.display()), hint)
        };
        let text = std::fs::read_to_string(path).map_err(|cause| failed(&cause))?;
        let mut config = Self::parse(&text).map_err(|problem| failed(&problem))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.sinks.relative_to(folder);
        if let Some(kafka) = &mut config.kafka {
            kafka.relative_to(folder);
        }
        Ok(config)
    }

    /// Checks the text of a file.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|problem| problem.to_string())?;
        if !(1..=WORKERS_MAX).contains(&config.workers) {
            return Err(format!("workers is {}, outside 1 to {WORKERS_MAX}", config.workers));
        }
        if config.journal.max_mb < JOURNAL_MB_MIN {
            let held = config.journal.max_mb;
            return Err(format!("journal.max_mb is {held}, less than {JOURNAL_MB_MIN}"));
        }
        config.http.check()?;
        config.shopify.as_ref().map_or(Ok(()), Shopify::check)?;
        config.kafka.as_ref().map_or(Ok(()), Kafka::check)?;
        config.registry.as_ref().map_or(Ok(()), Registry::check)?;
        config.limits.check()?;
        config.platform.as_ref().map_or(Ok(()), Platform::check)?;
        config.tiktok.as_ref().map_or(Ok(()), Tiktok::check)?;
        config.sinks.check(config.registry.is_some())?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_holds_every_option_at_its_default() {
        let reference = include_str!("../../../config/reference.toml");
        assert_eq!(Config::parse(reference), Ok(Config::default()));
        assert_eq!(Config::parse(""), Ok(Config::default()));
        // Sections that are off are shown commented out; they must be right too.
        let shown = reference.replace("\n#: ", "\n");
        let shown = Config::parse(&shown).unwrap();
        assert!(shown.shopify.is_some() && shown.platform.is_some());
        assert!(shown.kafka.is_some() && shown.registry.is_some());
        assert!(shown.sinks.timescale.is_some() && shown.sinks.lake.is_some());
        assert!(shown.sinks.kafka.is_some());
        let tiktok = shown.tiktok.unwrap();
        assert_eq!((tiktok.shops.len(), tiktok.advertisers.len()), (1, 1));
    }

    #[test]
    fn mistakes_are_named() {
        let problem = Config::parse("[http]\nlisten = \"nowhere\"").unwrap_err();
        assert!(problem.contains("line 2"), "{problem}");
        let problem = Config::parse("stat_dir = \"x\"").unwrap_err();
        assert!(problem.contains("stat_dir") && problem.contains("state_dir"), "{problem}");
        assert!(Config::parse("workers = 0").unwrap_err().contains("outside 1 to 64"));
        assert!(Config::parse("[journal]\nmax_mb = 1").unwrap_err().contains("journal.max_mb"));
        let problem = Config::parse("[shopify.secret_variables]\nacme = []").unwrap_err();
        assert!(problem.contains("acme"), "{problem}");
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn a_sink_in_avro_needs_a_registry() {
        let sink = "[sinks.kafka]\nbrokers = \"b:1\"\n";
        let avro = format!("{sink}format = \"avro\"\n");
        let problem = Config::parse(&avro).unwrap_err();
        assert!(problem.starts_with("sinks.kafka.format: avro needs"), "{problem}");
        assert!(problem.contains("add the section [registry]"), "{problem}");
        Config::parse(&format!("{avro}[registry]\nurl = \"http://r\"\n")).unwrap();
        Config::parse(sink).unwrap();
    }
}
