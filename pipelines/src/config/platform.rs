//! The sections `[platform]` and `[limits]`: who may send events, and how much anyone may send.

use std::collections::BTreeMap;

use ionflux_sources::doors::limits::Rate;
use serde::Deserialize;

use super::workspace;

/// The longest name of a token, which is told where something was done with it.
const NAME_BYTES_MAX: usize = 64;

/// The section `[platform]`.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Platform {
    /// Events each token may send in a second, in the long run.
    pub events_per_s: u32,
    /// Events each token may send at once after a silence.
    pub burst: u32,
    /// The tokens by their names.
    pub tokens: BTreeMap<String, Token>,
}

/// One token.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The workspace whose doors it opens.
    pub workspace: String,
    /// The name of the secret that is the token.
    pub secret: String,
}

/// The section `[limits]`: what each workspace may send, through all doors together.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Deliveries and events in a second, in the long run.
    pub events_per_s: u32,
    /// Deliveries and events at once after a silence.
    pub burst: u32,
}

impl Default for Platform {
    fn default() -> Self {
        Self { events_per_s: 2_000, burst: 20_000, tokens: BTreeMap::new() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { events_per_s: 20_000, burst: 40_000 }
    }
}

impl Platform {
    /// Checks what can be checked without connecting.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn check(&self) -> Result<(), String> {
        check("platform", self.rate())?;
        if self.tokens.is_empty() {
            return Err("platform.tokens: a door without a token opens to nobody".to_owned());
        }
        for (name, Token { workspace, secret }) in &self.tokens {
            let wrong = |what: &str| Err(format!("platform.tokens.{name:?}: {what}"));
            if name.trim().is_empty() || name.len() > NAME_BYTES_MAX {
                return wrong("the name of a token has 1 to 64 bytes");
            }
            workspace::check(workspace).or_else(|why| wrong(&format!("workspace: {why}")))?;
            if secret.trim().is_empty() {
                return wrong("secret is the name of a secret, and is missing");
            }
        }
        Ok(())
    }

    /// What each token may send.
    #[must_use]
    pub fn rate(&self) -> Rate {
        Rate { per_s: self.events_per_s, burst: self.burst }
    }
}

impl Limits {
    /// Checks what can be checked without connecting.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn check(&self) -> Result<(), String> {
        check("limits", self.rate())
    }

    /// What each workspace may send.
    #[must_use]
    pub fn rate(&self) -> Rate {
        Rate { per_s: self.events_per_s, burst: self.burst }
    }
}

fn check(section: &str, rate: Rate) -> Result<(), String> {
    match rate {
        Rate { per_s: 0, .. } => Err(format!("{section}.events_per_s is 0: nothing would come in")),
        Rate { burst: 0, .. } => Err(format!("{section}.burst is 0: nothing would come in")),
        Rate { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn mistakes_are_named() {
        let token = "[platform.tokens.ci]\nworkspace = \"acme\"\nsecret = \"A\"\n";
        let config = Config::parse(token).unwrap();
        assert_eq!(config.platform.map(|platform| platform.tokens.len()), Some(1));
        for (text, named) in [
            ("[platform]\n".to_owned(), "platform.tokens"),
            (format!("[platform]\nburst = 0\n{token}"), "platform.burst"),
            ("[limits]\nevents_per_s = 0".to_owned(), "limits.events_per_s"),
            (token.replace("acme", " "), "platform.tokens.\"ci\": workspace"),
            (token.replace("acme", "a/b"), "platform.tokens.\"ci\": workspace"),
            (token.replace("\"A\"", "\"\""), "platform.tokens.\"ci\": secret"),
            (token.replace("secret", "token"), "token"),
        ] {
            let problem = Config::parse(&text).unwrap_err();
            assert!(problem.contains(named), "{problem}");
        }
    }
}
