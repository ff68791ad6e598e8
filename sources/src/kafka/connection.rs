//! How brokers are spoken to: addresses, TLS, SASL.
//!
//! Invariant: no message and no `Debug` holds a password.

use std::fmt;
use std::path::PathBuf;

use ionflux_schemas::line::{Mechanism, Protocol};
use rdkafka::ClientConfig;

/// Who speaks.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// How the broker is shown the password.
    pub mechanism: Mechanism,
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Login");
        shown.field("mechanism", &self.mechanism).field("user", &self.user).finish_non_exhaustive()
    }
}

/// A cluster, and how to speak to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connection {
    /// Addresses to begin with, `host:port` between commas.
    pub brokers: String,
    /// Whether the line is encrypted.
    pub tls: bool,
    /// The certificates that are trusted, as PEM; those of the system where there is none.
    pub ca_file: Option<PathBuf>,
    /// Who speaks, where the broker asks.
    pub login: Option<Login>,
}

impl Connection {
    /// The settings of a client.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        let protocol = Protocol::of(self.tls, self.login.is_some());
        config.set("bootstrap.servers", &self.brokers);
        config.set("security.protocol", protocol.name());
        config.set("client.id", "ionflux").set("socket.timeout.ms", "10000");
        config.set("reconnect.backoff.max.ms", "5000");
        if let Some(file) = &self.ca_file {
            config.set("ssl.ca.location", file.display().to_string());
        }
        if let Some(Login { mechanism, user, password }) = &self.login {
            config.set("sasl.mechanisms", mechanism.name());
            config.set("sasl.username", user).set("sasl.password", password);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let login =
            Login { mechanism: Mechanism::Plain, user: "u".into(), password: "p4ss".into() };
        let (brokers, tls, ca_file) = ("b:1".to_owned(), true, None);
        let connection = Connection { brokers, tls, ca_file, login: Some(login) };
        assert!(!format!("{connection:?}").contains("p4ss"));
        let client = connection.client();
        assert_eq!(client.get("security.protocol"), Some("sasl_ssl"));
        assert_eq!(client.get("sasl.password"), Some("p4ss"));
    }
}
