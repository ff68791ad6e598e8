//! A shop as it is asked: where, in which version, and with which token.
//!
//! Invariant: a token is shown nowhere, not even in debug output; its name is.

use std::fmt;

use ionflux_schemas::key::Id;

/// The version of the Admin API that is asked for where none is given.
pub const API_VERSION: &str = "2026-10";

/// The oldest version that has every field we ask for.
pub const API_VERSION_MIN: &str = "2026-01";

/// Whether a version is one of the quarterly ones, and has what we ask for.
#[must_use]
pub fn version_known(version: &str) -> bool {
    let quarter = version.split_once('-').is_some_and(|(year, month)| {
        let digits = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
        digits && ["01", "04", "07", "10"].contains(&month)
    });
    quarter && version >= API_VERSION_MIN
}

/// An access token.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A token as it was handed out.
    #[must_use]
    pub fn new(token: String) -> Self {
        Self(token)
    }

    pub(super) fn shown_to_the_shop(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// A shop and how to ask it.
#[derive(Clone, Debug)]
pub struct Account {
    /// The tenant the shop belongs to.
    pub workspace: Id,
    /// The shop, such as `acme.myshopify.com`.
    pub shop: Id,
    /// Where the shop answers, such as `https://acme.myshopify.com`.
    pub base_url: Box<str>,
    /// The version of the API.
    pub version: Box<str>,
    /// The access token.
    pub token: Token,
    /// What the token is called in the configuration, for messages.
    pub token_name: Box<str>,
}

impl Account {
    pub(super) fn endpoint(&self) -> String {
        let base = self.base_url.trim_end_matches('/');
        format!("{base}/admin/api/{}/graphql.json", self.version)
    }

    /// Whether everything has to go over TLS.
    pub(super) fn secure(&self) -> bool {
        self.base_url.starts_with("https://")
    }

    /// A text that may hold what a server sent back, without the token.
    pub(super) fn without_token(&self, text: &str) -> String {
        text.replace(&self.token.0, "[token]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_quarters_that_have_our_fields() {
        for (version, known) in [
            (API_VERSION, true),
            ("2026-01", true),
            ("2027-04", true),
            ("2025-10", false),
            ("2026-02", false),
            ("26-01", false),
            ("unstable", false),
        ] {
            assert_eq!(version_known(version), known, "{version}");
        }
    }
}
