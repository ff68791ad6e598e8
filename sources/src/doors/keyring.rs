//! The keys of every workspace's app, and those of nobody: what a stranger's signature is compared
//! with.
//!
//! Invariant: an unknown workspace is answered in the way, and takes the work, of a known one whose
//! signature does not fit; nobody learns who is a customer, by the answer or by its time.

use std::collections::BTreeMap;

use hmac::{Hmac, Mac};
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::Sha256;

/// A key of an app.
pub type Key = Hmac<Sha256>;

/// What has keys, each of which is tried with every signature.
pub trait Keys {
    /// The keys.
    fn keys(&mut self) -> &mut Vec<Key>;
}

/// The keys of workspaces.
pub struct Keyring<K> {
    known: BTreeMap<String, K>,
    nobody: K,
}

impl<K: Keys> Keyring<K> {
    /// The keys of workspaces, and something without a key for all others. Each is given as many
    /// as the one with the most has: those that are added fit no signature.
    pub fn new(mut known: BTreeMap<String, K>, mut nobody: K) -> Self {
        let most = known.values_mut().map(|keys| keys.keys().len()).max().unwrap_or_default();
        let mut secret = [0; 32];
        // Without chance nothing is added: what can be guessed must open nothing.
        if SystemRandom::new().fill(&mut secret).is_ok()
            && let Ok(lost) = Key::new_from_slice(&secret)
        {
            for keys in known.values_mut().chain([&mut nobody]) {
                let keys = keys.keys();
                let missing = most.saturating_sub(keys.len());
                keys.extend(std::iter::repeat_n(&lost, missing).cloned());
            }
        }
        Self { known, nobody }
    }

    /// Whether something is signed by a workspace; `fits` compares it with keys.
    pub fn signed(&self, workspace: &str, fits: impl FnOnce(&K) -> bool) -> bool {
        let known = self.known.get(workspace);
        fits(known.unwrap_or(&self.nobody)) & known.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shopify::signature::Secrets;

    #[test]
    fn strangers_cost_what_those_who_are_known_cost() {
        let known = [("one", vec!["a"]), ("two", vec!["b", "c"]), ("none", vec![])];
        let known = known.map(|(name, secrets)| (name.to_owned(), Secrets::new(secrets)));
        let ring = Keyring::new(BTreeMap::from(known), Secrets::default());
        let (body, signature) = (b"body", Secrets::new(["c"]).sign(b"body").unwrap());
        let mut tried = Vec::new();
        for workspace in ["one", "two", "none", "stranger"] {
            let signed = ring.signed(workspace, |secrets| {
                tried.push(secrets.clone().keys().len());
                secrets.signed(body, &signature)
            });
            assert_eq!(signed, workspace == "two", "{workspace}");
        }
        assert_eq!(tried, [2, 2, 2, 2]);
        assert!(!ring.signed("stranger", |_| true));
    }
}
