//! Whether a Shopify webhook was sent by Shopify: a keyed hash over the raw bytes.
//!
//! Invariant: compared in constant time; any of several secrets will do, so that a secret can be
//! rotated without a gap.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::doors::keyring::Keys;

/// The most secrets one workspace may have at once: one in use, and those being rotated out.
pub const SECRETS_MAX: usize = 8;

/// The client secrets of one workspace's app.
#[derive(Clone, Default)]
pub struct Secrets {
    keys: Vec<Hmac<Sha256>>,
}

impl Secrets {
    /// Secrets as Shopify shows them; at most [`SECRETS_MAX`] of them are used.
    #[must_use]
    pub fn new<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Self {
        let key = |secret: S| Hmac::new_from_slice(secret.as_ref().trim().as_bytes()).ok();
        Self { keys: secrets.into_iter().filter_map(key).take(SECRETS_MAX).collect() }
    }

    /// Whether `signature`, the base64 of `X-Shopify-Hmac-Sha256`, is of these bytes under one of
    /// the secrets.
    #[must_use]
    pub fn signed(&self, body: &[u8], signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature.trim()) else { return false };
        // Every secret is tried, so that the time does not tell which one fits.
        let fits = |key: &Hmac<Sha256>| key.clone().chain_update(body).verify_slice(&signature);
        self.keys.iter().fold(false, |signed, key| fits(key).is_ok() | signed)
    }

    /// The signature of bytes under the first secret, for whoever sends rather than receives.
    #[must_use]
    pub fn sign(&self, body: &[u8]) -> Option<String> {
        let key = self.keys.first()?.clone().chain_update(body);
        Some(STANDARD.encode(key.finalize().into_bytes()))
    }
}

impl Keys for Secrets {
    fn keys(&mut self) -> &mut Vec<Hmac<Sha256>> {
        &mut self.keys
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vectors() {
        let body = br#"{"id":820982911946154508,"total_price":"404.95"}"#;
        let signature = "CkyGqz6NpIQP3V1NeH5k286eMqM3LWKQl02gPJjPRQ8=";
        assert_eq!(Secrets::new(["shpss_example"]).sign(body).unwrap(), signature);
        // RFC 4231, case 2.
        let signed = Secrets::new(["Jefe"]).sign(b"what do ya want for nothing?").unwrap();
        let hex: String =
            STANDARD.decode(signed).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn rotation_and_refusal() {
        let (old, new) = (Secrets::new(["old"]), Secrets::new(["new", "old"]));
        let signature = old.sign(b"body").unwrap();
        assert!(new.signed(b"body", &signature) && new.signed(b"body", &format!(" {signature} ")));
        assert!(!Secrets::new(["new"]).signed(b"body", &signature));
        assert!(!new.signed(b"body ", &signature));
        for broken in ["", "AAAA", "not base64!", &signature[..20]] {
            assert!(!new.signed(b"body", broken), "{broken}");
        }
        assert!(!Secrets::new(Vec::<String>::new()).signed(b"", ""));
        assert!(!format!("{new:?}").contains("old"));
    }
}
