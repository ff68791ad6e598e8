//! The options of the sink, checked before anything connects.
//!
//! Invariant: the password comes by the name of its variable, and no message and no `Debug` shows
//! it; topics are named by the prefix and by names of views, never by input.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use ionflux_schemas::line::{Mechanism, Protocol};
use ionflux_schemas::view::View;
use rdkafka::ClientConfig;
use serde::Deserialize;

use crate::error::{ConfigError, wrong};
use crate::registry::SchemaIds;
use crate::sink::{ANSWER_S, check_answer_s};

/// The most partitions that one topic is given.
const PARTITIONS_MAX: i32 = 1_000;
/// Leaves room for the name of a view in the 249 bytes of a topic's name.
const PREFIX_BYTES_MAX: usize = 128;
const NAME_BYTES_MAX: usize = 128;
const SOCKET_MS: &str = "10000";

/// A cluster that carries every view as a changelog.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// Addresses to begin with, `host:port` between commas.
    pub brokers: String,
    /// How the line is secured.
    pub security_protocol: Protocol,
    /// The certificates that are trusted, as PEM; those of the system if there is none.
    pub ca_file: Option<PathBuf>,
    /// How the broker is shown the password.
    pub sasl_mechanism: Option<Mechanism>,
    /// The user.
    pub user: Option<String>,
    /// The name of the user's password, in the environment or the secrets file.
    pub password_variable: Option<String>,
    /// What the names of the topics begin with; the rest is the view's name. Two programs of one
    /// cluster must not have the same.
    pub topic_prefix: String,
    /// How keys and values are written.
    pub format: Format,
    /// What a value says.
    pub envelope: Envelope,
    /// Whether what agents found is told as events in the topic `ionflux.agent.outputs`.
    pub outputs: bool,
    /// Whether topics that are missing are made.
    pub create_topics: bool,
    /// How many partitions a topic gets that is made.
    pub partitions: i32,
    /// How long a batch may take, in seconds, before it is aborted and tried again. It is one
    /// transaction: brokers take 900 unless their `transaction.max.timeout.ms` says otherwise.
    pub answer_s: u32,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            security_protocol: Protocol::default(),
            ca_file: None,
            sasl_mechanism: None,
            user: None,
            password_variable: None,
            topic_prefix: "ionflux.views.".to_owned(),
            format: Format::default(),
            envelope: Envelope::default(),
            outputs: false,
            create_topics: true,
            partitions: 6,
            answer_s: ANSWER_S,
        }
    }
}

/// How keys and values are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// JSON: amounts as decimal texts, dates and times in ISO 8601.
    #[default]
    Json,
    /// Avro by the view's schema, behind the id that a schema registry gave it.
    Avro,
}

/// What a value says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    /// The row as it is now.
    #[default]
    Upsert,
    /// The row before and after, as Debezium tells it.
    Debezium,
}

/// What the configuration only names.
#[derive(Clone, Default)]
pub struct Access {
    /// What the secret named by `password_variable` holds.
    pub password: Option<String>,
    /// The registry of schemas; Avro needs one.
    pub schema_ids: Option<Arc<dyn SchemaIds>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("password", &self.password.is_some()).finish_non_exhaustive()
    }
}

impl KafkaConfig {
    /// Checks the options as far as that goes without the secret.
    ///
    /// # Errors
    /// [`ConfigError`] with the first option that does not work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.brokers.trim().is_empty() {
            return Err(wrong("brokers", "is empty; give one as host:port"));
        }
        let asks = self.security_protocol.asks();
        let login =
            [self.user.is_some(), self.password_variable.is_some(), self.sasl_mechanism.is_some()];
        if login != [asks; 3] {
            let problem = "sasl_plaintext and sasl_ssl need user, password_variable and \
                           sasl_mechanism, and no other does";
            return Err(wrong("security_protocol", problem));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if let Some(name) = &self.password_variable
            && (name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain))
        {
            let problem = "is no name of a variable, such as IONFLUX_KAFKA_PASSWORD";
            return Err(wrong("password_variable", problem));
        }
        let prefix = &self.topic_prefix;
        let legal = |byte: u8| plain(byte) || matches!(byte, b'.' | b'-');
        if prefix.is_empty() || prefix.len() > PREFIX_BYTES_MAX || !prefix.bytes().all(legal) {
            let problem = "is not 1 to 128 letters, digits, dots, dashes and underscores";
            return Err(wrong("topic_prefix", problem));
        }
        check_answer_s(self.answer_s).map_err(|problem| wrong("answer_s", problem))?;
        if !(1..=PARTITIONS_MAX).contains(&self.partitions) {
            return Err(wrong("partitions", format!("is not 1 to {PARTITIONS_MAX}")));
        }
        Ok(())
    }

    /// Checks that there is a registry of schemas where the format needs one.
    ///
    /// # Errors
    /// [`ConfigError`], naming the option.
    pub fn check_registry(&self, there: bool) -> Result<(), ConfigError> {
        if self.format == Format::Avro && !there {
            let problem = "avro needs a schema registry, and there is none: add the section \
                           [registry] with its url, or write format = \"json\"";
            return Err(wrong("format", problem));
        }
        Ok(())
    }

    /// The topic of a view.
    pub(super) fn topic(&self, view: &View) -> String {
        format!("{}{}", self.topic_prefix, view.name)
    }

    /// The settings that all clients share.
    pub(super) fn client(&self, password: Option<&str>) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set("security.protocol", self.security_protocol.name());
        config.set("client.id", "ionflux").set("socket.timeout.ms", SOCKET_MS);
        config.set("reconnect.backoff.ms", "20").set("reconnect.backoff.max.ms", "5000");
        config.set("socket.nagle.disable", "true");
        if let Some(file) = &self.ca_file {
            config.set("ssl.ca.location", file.display().to_string());
        }
        if let (Some(mechanism), Some(user)) = (self.sasl_mechanism, &self.user) {
            config.set("sasl.mechanisms", mechanism.name()).set("sasl.username", user);
            config.set("sasl.password", password.unwrap_or_default());
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: &str, expected: &str) {
        let text = format!(r#"{{"brokers": "b:1"{options}}}"#);
        let config: KafkaConfig = serde_json::from_str(&text).unwrap();
        let got = config.validate().map_or_else(|error| error.to_string(), |()| "good".to_owned());
        assert_eq!(got, expected);
    }

    #[test]
    fn options_are_checked() {
        check("", "good");
        check(r#", "format": "avro", "envelope": "debezium", "partitions": 12"#, "good");
        check(r#", "user": "u""#, SASL);
        check(r#", "security_protocol": "sasl_ssl""#, SASL);
        let login = r#", "security_protocol": "sasl_ssl", "user": "u",
            "sasl_mechanism": "SCRAM-SHA-512", "password_variable""#;
        check(&format!("{login}: \"KAFKA_PASSWORD\""), "good");
        let name = "password_variable: is no name of a variable, such as IONFLUX_KAFKA_PASSWORD";
        check(&format!("{login}: \"pass word\""), name);
        let prefix = "topic_prefix: is not 1 to 128 letters, digits, dots, dashes and underscores";
        check(r#", "topic_prefix": "a/b""#, prefix);
        check(r#", "topic_prefix": """#, prefix);
        check(r#", "partitions": 0"#, "partitions: is not 1 to 1000");
        let missing: KafkaConfig = serde_json::from_str("{}").unwrap();
        let error = missing.validate().unwrap_err().to_string();
        assert_eq!(error, "brokers: is empty; give one as host:port");
        assert!(serde_json::from_str::<KafkaConfig>(r#"{"password": "x"}"#).is_err());
    }

    const SASL: &str = "security_protocol: sasl_plaintext and sasl_ssl need user, \
                        password_variable and sasl_mechanism, and no other does";

    #[test]
    fn the_password_is_not_shown() {
        let access = Access { password: Some("hunter2".into()), schema_ids: None };
        assert!(!format!("{access:?}").contains("hunter2"));
    }
}
