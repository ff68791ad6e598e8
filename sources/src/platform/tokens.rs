//! Bearer tokens: each opens the doors of one workspace.
//!
//! Invariant: tokens are held as hashes, and looking one up takes no time that tells how much of
//! it was right.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use ionflux_schemas::key::Id;
use sha2::{Digest, Sha256};

/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 512;

/// What a token grants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The tenant whose doors it opens.
    pub workspace: Id,
    /// The name of the token, which is told where something was done with it.
    pub name: Id,
}

/// The tokens of a configuration.
#[derive(Clone, Default)]
pub struct Tokens {
    // A hash is looked up, not the token: what a comparison betrays of a hash is of no use.
    grants: BTreeMap<[u8; 32], Grant>,
}

impl Tokens {
    /// Tokens and what they grant.
    pub fn new(tokens: impl IntoIterator<Item = (String, Grant)>) -> Self {
        let hashed = |(token, grant): (String, Grant)| (hash(token.trim()), grant);
        Self { grants: tokens.into_iter().map(hashed).collect() }
    }

    /// What the token of a request's `Authorization: Bearer` grants.
    #[must_use]
    pub fn grant(&self, headers: &HeaderMap) -> Option<&Grant> {
        let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = text.split_once(' ')?;
        let bearer = scheme.eq_ignore_ascii_case("bearer") && token.len() <= TOKEN_BYTES_MAX;
        self.grants.get(&hash(token.trim())).filter(|_| bearer)
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_grants_its_own_workspace() {
        let grant = |workspace: &str| Grant { workspace: workspace.into(), name: "ci".into() };
        let tokens = Tokens::new([("one".into(), grant("a")), ("two".into(), grant("b"))]);
        let asked = |text: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, text.parse().unwrap())]);
            tokens.grant(&headers).map(|grant| grant.workspace.to_string())
        };
        assert_eq!(asked("Bearer one").as_deref(), Some("a"));
        assert_eq!(asked("bearer  two ").as_deref(), Some("b"));
        for wrong in ["Bearer three", "Basic one", "one", "Bearer", "Bearer ", ""] {
            assert_eq!(asked(wrong), None, "{wrong}");
        }
    }
}
