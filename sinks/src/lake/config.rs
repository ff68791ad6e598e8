//! The options of the lake, checked before anything is opened.
//!
//! Invariant: credentials come from the environment alone, under the names the clients of each
//! store know; an address that holds any is refused and not shown.

use std::path::PathBuf;

use parquet::basic::Compression;
use serde::Deserialize;

use crate::error::{ConfigError, wrong};
use crate::files::columnar::zstd;
use crate::sink::{ANSWER_S, check_answer_s};

const URL_BYTES_MAX: usize = 1_024;
/// Fewer would take a file from whoever reads the epoch before.
const KEEP_MIN: u32 = 2;
/// A day.
const EVERY_S_MAX: u32 = 86_400;
/// All of them are read when the sink starts to collect what is old.
const KEEP_MAX: u32 = 10_000;

/// A data lake: Parquet files of every view by workspace and day.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LakeConfig {
    /// Where it is: `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix`,
    /// `az://container/prefix` or `abfss://container@account.dfs.core.windows.net/prefix`.
    pub url: String,
    /// How Parquet pages are compressed.
    pub compression: Pages,
    /// How many manifests, and with them epochs, stay readable at least; none goes before an hour
    /// has passed since the next.
    pub keep_manifests: u32,
    /// How many seconds pass between two manifests at least: each costs as much as there are
    /// partitions, and what happens in between is written once.
    pub every_s: u32,
    /// How long a batch may take, in seconds, before it counts as unanswered and is tried again: a
    /// first snapshot of millions of rows takes minutes.
    pub answer_s: u32,
}

/// How Parquet pages are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pages {
    /// With Zstandard.
    Zstd,
    /// Not at all.
    None,
}

impl Pages {
    pub(super) fn codec(self) -> Compression {
        match self {
            Self::Zstd => zstd(),
            Self::None => Compression::UNCOMPRESSED,
        }
    }
}

impl Default for LakeConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            compression: Pages::Zstd,
            keep_manifests: 64,
            every_s: 60,
            answer_s: ANSWER_S,
        }
    }
}

impl LakeConfig {
    /// Checks the options.
    ///
    /// # Errors
    /// [`ConfigError`] with the first option that does not work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        Home::parse(&self.url)?;
        self.validate_rest()
    }

    /// Checks what is not the address.
    pub(super) fn validate_rest(&self) -> Result<(), ConfigError> {
        if !(KEEP_MIN..=KEEP_MAX).contains(&self.keep_manifests) {
            let problem = format!("is not between {KEEP_MIN} and {KEEP_MAX}");
            return Err(wrong("keep_manifests", problem));
        }
        if self.every_s > EVERY_S_MAX {
            return Err(wrong("every_s", format!("is not 0 to {EVERY_S_MAX}")));
        }
        check_answer_s(self.answer_s).map_err(|problem| wrong("answer_s", problem))
    }
}

/// Which client opens an object store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cloud {
    S3,
    Google,
    Azure,
}

/// Where a lake is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Home {
    /// A folder of this machine.
    Disk(PathBuf),
    /// A bucket, as the client takes it, and the names before all of ours.
    Bucket { cloud: Cloud, bucket: String, prefix: String },
}

impl Home {
    pub(super) fn parse(url: &str) -> Result<Self, ConfigError> {
        let shape = "is no address such as file:///folder, s3://bucket/prefix, \
                     gs://bucket/prefix or az://container/prefix";
        let refused = |problem: &str| Err(wrong("url", problem));
        let Some((scheme, rest)) = url.split_once("://") else { return refused(shape) };
        if url.len() > URL_BYTES_MAX || url.chars().any(char::is_control) {
            return refused(shape);
        }
        if rest.contains(['?', '#', '%', '\\']) {
            return refused("holds a letter that no address of a lake may: one of ? # % \\");
        }
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_end_matches('/');
        let dots = |segment: &str| matches!(segment, "" | "." | "..");
        if !path.is_empty() && path.split('/').any(dots) {
            return refused("has an empty name, . or .. in its path");
        }
        let cloud = match scheme {
            "file" if host.is_empty() && !path.is_empty() => {
                return Ok(Self::Disk(PathBuf::from(format!("/{path}"))));
            }
            "s3" => Cloud::S3,
            "gs" => Cloud::Google,
            "az" | "abfss" => Cloud::Azure,
            _ => return refused(shape),
        };
        // The account of Azure stands where others have a user; no scheme has a password.
        if host.contains(':') || (host.contains('@') && scheme != "abfss") {
            return refused("holds credentials or a port; they come from the environment");
        }
        if host.is_empty() {
            return refused(shape);
        }
        let bucket = format!("{scheme}://{host}");
        Ok(Self::Bucket { cloud, bucket, prefix: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let config: LakeConfig = serde_json::from_str(text).unwrap();
        let got = config.validate().map_or_else(|e| e.to_string(), |()| "good".to_owned());
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn options_are_checked() {
        let shape = "url: is no address such as file:///folder, s3://bucket/prefix, \
                     gs://bucket/prefix or az://container/prefix";
        check("{}", shape);
        for url in [
            "file:///var/lib/lake",
            "s3://bucket",
            "s3://bucket/a/b/",
            "gs://bucket/lake",
            "az://container/lake",
            "abfss://container@account.dfs.core.windows.net/lake",
        ] {
            check(&format!(r#"{{"url": "{url}", "compression": "none"}}"#), "good");
        }
        for url in ["file://host/lake", "file:///", "/lake", "http://host/lake", "s3://"] {
            check(&format!(r#"{{"url": "{url}"}}"#), shape);
        }
        check(r#"{"url": "s3://b/a/../c"}"#, "url: has an empty name, . or .. in its path");
        let keep = "keep_manifests: is not between 2 and 10000";
        check(r#"{"url": "s3://b", "keep_manifests": 1}"#, keep);
        assert!(serde_json::from_str::<LakeConfig>(r#"{"secret": ""}"#).is_err());
        assert!(serde_json::from_str::<LakeConfig>(r#"{"compression": "lzo"}"#).is_err());
    }

    #[test]
    fn no_message_shows_a_secret() {
        for url in ["s3://user:hunter2@bucket/p", "az://c/p?sig=hunter2", "abfss://c:hunter2@a/p"] {
            let error = Home::parse(url).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
