//! The options of the sink, checked before anything connects.
//!
//! Invariant: the address holds a password, so it comes by the name of its variable and is shown by
//! no message and no `Debug`.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::error::{ConfigError, wrong};
use crate::sink::{ANSWER_S, check_answer_s};

/// The most days that an option may say: a century.
const DAYS_MAX: u32 = 36_500;
const NAME_BYTES_MAX: usize = 128;
/// What an address may say behind its `?`; a misspelt one would be ignored, and shown in a log.
const PARAMETERS: [&str; 15] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
];

/// A PostgreSQL or TimescaleDB database that shows the views as tables.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimescaleConfig {
    /// The name of the secret that holds the address, such as
    /// `postgres://user:password@host:5432/database?sslmode=require`. Not through a pooler that
    /// shares connections between transactions.
    pub url_variable: String,
    /// Whether tables by time become hypertables where TimescaleDB is there.
    pub hypertables: bool,
    /// After how many days a chunk of a hypertable goes to the columnstore; 0 for never.
    pub columnstore_after_days: u32,
    /// After how many days rows of a hypertable are kept no more; 0 for never. Rows older than that
    /// do not come, and go when they change; the others go with their chunk. Totals of days stay.
    pub retention_days: u32,
    /// How long a batch may take, in seconds, before it counts as unanswered and is tried again: a
    /// first snapshot of millions of rows takes minutes.
    pub answer_s: u32,
}

impl Default for TimescaleConfig {
    fn default() -> Self {
        Self {
            url_variable: "IONFLUX_POSTGRES_URL".to_owned(),
            hypertables: true,
            columnstore_after_days: 30,
            retention_days: 0,
            answer_s: ANSWER_S,
        }
    }
}

impl TimescaleConfig {
    /// Checks the options as far as that goes without the secret.
    ///
    /// # Errors
    /// [`ConfigError`] with the first option that does not work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let name = &self.url_variable;
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
            return Err(wrong(
                "url_variable",
                "is no name of a variable, such as IONFLUX_POSTGRES_URL",
            ));
        }
        check_answer_s(self.answer_s).map_err(|problem| wrong("answer_s", problem))?;
        for (option, days) in [
            ("columnstore_after_days", self.columnstore_after_days),
            ("retention_days", self.retention_days),
        ] {
            if days > DAYS_MAX {
                return Err(wrong(option, format!("is more than {DAYS_MAX} days")));
            }
        }
        if self.retention_days > 0 && self.retention_days <= self.columnstore_after_days {
            let problem = "must be more than columnstore_after_days, or 0 to keep all";
            return Err(wrong("retention_days", problem));
        }
        Ok(())
    }
}

/// Where the database is and how to get in.
#[derive(Clone)]
pub(super) struct Address(PgConnectOptions);

impl Address {
    /// Reads an address; a message about it never holds any of it.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let shape = "holds no address such as postgres://user:password@host:5432/database";
        let text = text.trim();
        if !["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Err(wrong("url_variable", shape));
        }
        let query = text.split_once('?').map_or("", |(_, query)| query);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
            if !PARAMETERS.contains(&name) {
                let problem = "holds an address with an unknown parameter behind its ?";
                return Err(wrong("url_variable", problem));
            }
        }
        let options = PgConnectOptions::from_str(text).map_err(|_| wrong("url_variable", shape))?;
        let named = options.application_name("ionflux").disable_statement_logging();
        Ok(Self(named.statement_cache_capacity(0)))
    }

    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.0
    }

    /// Where the database is, without user and password.
    pub(super) fn place(&self) -> String {
        let (host, port) = (self.0.get_host(), self.0.get_port());
        format!("{host}:{port}/{}", self.0.get_database().unwrap_or_default())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let got = toml_like(text).validate().map_or_else(|e| e.to_string(), |()| "good".to_owned());
        assert_eq!(got, expected);
    }

    fn toml_like(text: &str) -> TimescaleConfig {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn options_are_checked() {
        check("{}", "good");
        check(r#"{"retention_days": 400}"#, "good");
        let days = "retention_days: must be more than columnstore_after_days, or 0 to keep all";
        check(r#"{"retention_days": 30}"#, days);
        check(r#"{"retention_days": 40000}"#, "retention_days: is more than 36500 days");
        let name = "url_variable: is no name of a variable, such as IONFLUX_POSTGRES_URL";
        check(r#"{"url_variable": "postgres://a:b@c/d"}"#, name);
        assert!(serde_json::from_str::<TimescaleConfig>(r#"{"url": ""}"#).is_err());
    }

    #[test]
    fn no_message_shows_the_address() {
        for text in [
            "mysql://user:hunter2@host/d",
            "postgres://user:hunter2@host:port/d",
            "postgres://user@host/d?pasword=hunter2",
            "postgres://user@host/d?sslmode=hunter2",
            "postgres://user:hunter2@[::/d",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{text}: {error}");
        }
        let good = Address::parse("postgres://user:hunter2@db:5433/shop?sslmode=require").unwrap();
        assert_eq!(format!("{good:?}"), "db:5433/shop");
    }
}
