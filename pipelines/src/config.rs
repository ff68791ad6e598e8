//! The configuration file: plain sections, every option with a default, checked before anything
//! is opened. `config/reference.toml` holds every option and a test reads it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::failure::Failure;
use crate::runtime::WORKERS_MAX;

/// The file as it is written.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the ledger and the views are kept.
    pub state_dir: PathBuf,
    /// Worker threads of the dataflow.
    pub workers: usize,
    /// The read service.
    pub http: Http,
}

/// The section `[http]`.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// The address the service listens at.
    pub listen: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self { state_dir: "state".into(), workers: 1, http: Http::default() }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)) }
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// A usage failure that names the file, the line and the option.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|cause| {
            Failure::usage(
                format!("{shown}: {cause}"),
                "see config/reference.toml for every option",
            )
        })?;
        Self::parse(&text).map_err(|problem| {
            Failure::usage(
                format!("{shown}: {problem}"),
                "see config/reference.toml for every option",
            )
        })
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
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_holds_every_option_at_its_default() {
        let reference = include_str!("../../config/reference.toml");
        assert_eq!(Config::parse(reference), Ok(Config::default()));
        assert_eq!(Config::parse(""), Ok(Config::default()));
    }

    #[test]
    fn mistakes_are_named() {
        let problem = Config::parse("[http]\nlisten = \"nowhere\"").unwrap_err();
        assert!(problem.contains("line 2"), "{problem}");
        let problem = Config::parse("stat_dir = \"x\"").unwrap_err();
        assert!(problem.contains("stat_dir") && problem.contains("state_dir"), "{problem}");
        assert!(Config::parse("workers = 0").unwrap_err().contains("outside 1 to 64"));
    }
}
