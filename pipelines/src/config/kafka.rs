//! The sections `[kafka]` and `[registry]`: a cluster whose topics are read, and where its schemas
//! are.

use std::path::{Path, PathBuf};

use ionflux_schemas::line::{Mechanism, Protocol};
use ionflux_sources::kafka::topics::{self, Pattern};
use ionflux_sources::registry::{self, Credentials};
use serde::Deserialize;

use super::workspace;
use crate::failure::Failure;
use crate::secrets::Secrets;

/// The section `[kafka]`.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// Addresses to begin with, `host:port` between commas.
    pub brokers: String,
    /// The consumer group; those of one group share the partitions out.
    #[serde(default = "group")]
    pub group: String,
    /// The name of this member, if it is to keep its partitions over a restart.
    pub instance: Option<String>,
    /// The workspaces whose topics are read; all that there are if none is named.
    #[serde(default)]
    pub workspaces: Vec<String>,
    /// The topics that are read, instead of those that are known.
    pub topics: Option<Vec<String>>,
    /// How the line is secured.
    #[serde(default)]
    pub security_protocol: Protocol,
    /// The certificates that are trusted, as PEM; those of the system if there is none.
    pub ca_file: Option<PathBuf>,
    /// How the broker is shown the password.
    pub sasl_mechanism: Option<Mechanism>,
    /// The user.
    pub user: Option<String>,
    /// The name of the user's password, in the environment or the secrets file.
    pub password_variable: Option<String>,
}

fn group() -> String {
    "ionflux".into()
}

/// The section `[registry]`.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// The registry's URL.
    pub url: String,
    /// The user, or the name of an API key.
    pub user: Option<String>,
    /// The name of its password, in the environment or the secrets file.
    pub password_variable: Option<String>,
}

impl Kafka {
    /// Checks what can be checked without connecting.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn check(&self) -> Result<(), String> {
        let plain = |name: &str| {
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            !name.is_empty() && name.chars().all(legal)
        };
        if self.brokers.trim().is_empty() || self.group.trim().is_empty() {
            return Err("kafka.brokers and kafka.group must not be empty".into());
        }
        for name in &self.workspaces {
            workspace::check(name)
                .map_err(|problem| format!("kafka.workspaces: {name:?}: {problem}"))?;
        }
        if let Some(name) = self.workspaces.iter().find(|name| !plain(name)) {
            return Err(format!("kafka.workspaces: {name:?} cannot stand in the name of a topic"));
        }
        let login = [self.user.is_some(), self.password_variable.is_some()];
        let whole = login == [self.security_protocol.asks(); 2];
        if !whole || self.sasl_mechanism.is_some() != self.security_protocol.asks() {
            return Err("kafka: user, password_variable and sasl_mechanism belong to a \
                        security_protocol of sasl_plaintext or sasl_ssl, and it needs all three"
                .into());
        }
        self.patterns().map(|_| ())
    }

    /// The topics that are read.
    ///
    /// # Errors
    /// What is no pattern.
    pub fn patterns(&self) -> Result<Vec<Pattern>, String> {
        let parse = |text: &str| text.parse().map_err(|problem| format!("kafka.topics: {problem}"));
        match &self.topics {
            Some(own) => own.iter().map(|text| parse(text)).collect(),
            None => topics::DEFAULT.iter().map(|text| parse(text)).collect(),
        }
    }

    /// Takes paths as relative to a folder.
    pub fn relative_to(&mut self, folder: &Path) {
        self.ca_file = self.ca_file.take().map(|file| folder.join(file));
    }
}

impl Registry {
    /// Checks what can be checked without connecting.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn check(&self) -> Result<(), String> {
        if self.user.is_some() != self.password_variable.is_some() {
            return Err("registry: user and password_variable need each other".into());
        }
        let made = registry::Registry::new(&self.url, None);
        made.map(|_| ()).map_err(|problem| format!("registry.url: {problem}"))
    }

    /// The registry's client.
    ///
    /// # Errors
    /// A usage failure when the password is missing.
    pub fn client(&self, secrets: &Secrets) -> Result<registry::Registry, Failure> {
        let purpose = "the password of the schema registry";
        let credentials = match (&self.user, &self.password_variable) {
            (Some(user), Some(name)) => {
                let (user, password) = (user.clone(), secrets.get(name, purpose)?);
                Some(Credentials { user, password })
            }
            _ => None,
        };
        let made = registry::Registry::new(&self.url, credentials);
        made.map_err(|problem| Failure::usage(problem, "see the section [registry]"))
    }
}

/// What needs Kafka and is asked of a program without it.
#[cfg(not(feature = "kafka"))]
pub fn not_built() -> Failure {
    Failure::usage(
        "the configuration has a section [kafka], and this program was built without Kafka",
        "install make, pkg-config and libssl-dev and build with --features kafka, or take the \
         section out",
    )
}

#[cfg(feature = "kafka")]
mod connected {
    use std::path::PathBuf;

    use ionflux_schemas::line::{Mechanism, Protocol};
    use ionflux_sinks::kafka::KafkaConfig;
    use ionflux_sources::kafka::connection::{Connection, Login};

    use super::{Failure, Kafka, Secrets};

    /// What a section says of a cluster.
    struct Cluster<'a> {
        brokers: &'a str,
        protocol: Protocol,
        ca_file: &'a Option<PathBuf>,
        mechanism: Option<Mechanism>,
        user: &'a Option<String>,
        password_variable: &'a Option<String>,
    }

    impl Cluster<'_> {
        fn connection(&self, secrets: &Secrets) -> Result<Connection, Failure> {
            let login = match (self.mechanism, self.user, self.password_variable) {
                (Some(mechanism), Some(user), Some(name)) => {
                    let password = secrets.get(name, "the password of the Kafka user")?;
                    Some(Login { mechanism, user: user.clone(), password })
                }
                _ => None,
            };
            let (brokers, ca_file) = (self.brokers.to_owned(), self.ca_file.clone());
            Ok(Connection { brokers, tls: self.protocol.encrypts(), ca_file, login })
        }
    }

    /// How the cluster of the section `[sinks.kafka]` is spoken to.
    ///
    /// # Errors
    /// A usage failure when the password is missing.
    pub fn of_sink(section: &KafkaConfig, secrets: &Secrets) -> Result<Connection, Failure> {
        let cluster = Cluster {
            brokers: &section.brokers,
            protocol: section.security_protocol,
            ca_file: &section.ca_file,
            mechanism: section.sasl_mechanism,
            user: &section.user,
            password_variable: &section.password_variable,
        };
        cluster.connection(secrets)
    }

    impl Kafka {
        /// How the cluster is spoken to.
        ///
        /// # Errors
        /// A usage failure when the password is missing.
        pub fn connection(&self, secrets: &Secrets) -> Result<Connection, Failure> {
            let cluster = Cluster {
                brokers: &self.brokers,
                protocol: self.security_protocol,
                ca_file: &self.ca_file,
                mechanism: self.sasl_mechanism,
                user: &self.user,
                password_variable: &self.password_variable,
            };
            cluster.connection(secrets)
        }
    }
}

#[cfg(feature = "kafka")]
pub use connected::of_sink;

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn what_does_not_fit_together_is_named() {
        for (text, why) in [
            ("[kafka]", "brokers"),
            ("[kafka]\nbrokers = \" \"", "must not be empty"),
            ("[kafka]\nbrokers = \"b:1\"\nworkspaces = [\"a.b\"]", "a.b"),
            ("[kafka]\nbrokers = \"b:1\"\nworkspaces = [\"a\", \"\"]", "1 to 100 bytes"),
            ("[kafka]\nbrokers = \"b:1\"\ntopics = [\"^x$\"]", "kafka.topics"),
            ("[kafka]\nbrokers = \"b:1\"\nuser = \"u\"", "all three"),
            ("[kafka]\nbrokers = \"b:1\"\nsecurity_protocol = \"sasl_ssl\"", "all three"),
            ("[kafka]\nbrokers = \"b:1\"\npassword = \"x\"", "password"),
            ("[registry]\nurl = \"u:1\"", "registry.url"),
            ("[registry]\nurl = \"http://r\"\nuser = \"u\"", "need each other"),
        ] {
            let problem = Config::parse(text).unwrap_err();
            assert!(problem.contains(why), "{text}: {problem}");
        }
    }
}
