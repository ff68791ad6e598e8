//! How a line to a Kafka broker is secured, by the names that configurations and clients share.
//!
//! Invariant: a name in a configuration is the name of the same thing in a client.

use serde::Deserialize;

/// How a line is secured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Not at all.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// A password.
    SaslPlaintext,
    /// TLS and a password.
    SaslSsl,
}

/// How a broker is shown a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum Mechanism {
    /// As it is: whoever listens to a line without TLS reads it.
    #[serde(rename = "PLAIN")]
    Plain,
    /// By SCRAM with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    Scram256,
    /// By SCRAM with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    Scram512,
}

impl Protocol {
    /// Whether there is a password.
    #[must_use]
    pub fn asks(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    /// Whether the line is encrypted.
    #[must_use]
    pub fn encrypts(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// The protocol of a line.
    #[must_use]
    pub fn of(encrypted: bool, asked: bool) -> Self {
        match (encrypted, asked) {
            (false, false) => Self::Plaintext,
            (true, false) => Self::Ssl,
            (false, true) => Self::SaslPlaintext,
            (true, true) => Self::SaslSsl,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }
}

impl Mechanism {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram256 => "SCRAM-SHA-256",
            Self::Scram512 => "SCRAM-SHA-512",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a configuration says for a name.
    fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
        serde_json::from_value(name.into()).unwrap()
    }

    #[test]
    fn configurations_and_clients_use_the_same_names() {
        for (encrypted, asked) in [(false, false), (false, true), (true, false), (true, true)] {
            let protocol = Protocol::of(encrypted, asked);
            assert_eq!((protocol.encrypts(), protocol.asks()), (encrypted, asked));
            assert_eq!(read::<Protocol>(protocol.name()), protocol);
        }
        for mechanism in [Mechanism::Plain, Mechanism::Scram256, Mechanism::Scram512] {
            assert_eq!(read::<Mechanism>(mechanism.name()), mechanism);
        }
    }
}
