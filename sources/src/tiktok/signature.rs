//! Who signed what: webhooks of TikTok Shop, webhooks of TikTok for Developers, and our requests.
//!
//! Invariant: compared in constant time; any of several secrets will do, so that a secret can be
//! rotated without a gap. No secret is ever shown.

use std::fmt::{self, Write as _};

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::doors::keyring::Keys;

/// The most secrets one app may have at once: one in use, and those being rotated out.
pub const SECRETS_MAX: usize = 8;
/// The longest `TikTok-Signature` that is looked at.
const SIGNATURE_BYTES_MAX: usize = 512;

type Key = Hmac<Sha256>;

fn keys<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Vec<Key> {
    let key = |secret: S| Hmac::new_from_slice(secret.as_ref().trim().as_bytes()).ok();
    secrets.into_iter().filter_map(key).take(SECRETS_MAX).collect()
}

/// Whether a signature is of some parts under one of the keys. Every key is tried, so that the
/// time does not tell which one fits.
fn signed(keys: &[Key], parts: &[&[u8]], signature: &[u8]) -> bool {
    let fits = |key: &Key| mac(key, parts).verify_slice(signature).is_ok();
    keys.iter().fold(false, |signed, key| fits(key) | signed)
}

fn mac(key: &Key, parts: &[&[u8]]) -> Key {
    parts.iter().fold(key.clone(), |key, part| key.chain_update(part))
}

fn sign(keys: &[Key], parts: &[&[u8]]) -> Option<String> {
    Some(hex(&mac(keys.first()?, parts).finalize().into_bytes()))
}

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The SHA-256 of bytes, in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibble = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(nibble(*pair.first()?)? << 4 | nibble(*pair.get(1)?)?)).collect()
}

/// The app of one workspace on TikTok Shop: its key, and its secrets.
#[derive(Clone, Default)]
pub struct ShopApp {
    key: Box<str>,
    secrets: Vec<Key>,
}

impl ShopApp {
    /// An app; at most [`SECRETS_MAX`] of its secrets are used.
    #[must_use]
    pub fn new<S: AsRef<str>>(key: &str, secrets: impl IntoIterator<Item = S>) -> Self {
        Self { key: key.trim().into(), secrets: keys(secrets) }
    }

    /// Whether `signature`, the value of `Authorization`, is of these bytes.
    #[must_use]
    pub fn signed(&self, body: &[u8], signature: &str) -> bool {
        let Some(signature) = unhex(signature.trim()) else { return false };
        signed(&self.secrets, &[self.key.as_bytes(), body], &signature)
    }

    /// The signature of bytes under the first secret, for whoever sends rather than receives.
    #[must_use]
    pub fn sign(&self, body: &[u8]) -> Option<String> {
        sign(&self.secrets, &[self.key.as_bytes(), body])
    }
}

impl Keys for ShopApp {
    fn keys(&mut self) -> &mut Vec<Key> {
        &mut self.secrets
    }
}

impl fmt::Debug for ShopApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "app {} with {} secrets", self.key, self.secrets.len())
    }
}

/// The app of one workspace on TikTok for Developers.
#[derive(Clone, Default)]
pub struct DeveloperApp {
    secrets: Vec<Key>,
}

impl DeveloperApp {
    /// An app; at most [`SECRETS_MAX`] of its secrets are used.
    #[must_use]
    pub fn new<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Self {
        Self { secrets: keys(secrets) }
    }

    /// Whether `signature`, the value of `TikTok-Signature`, is of these bytes and was made within
    /// `tolerance_s` seconds of `now_s`.
    #[must_use]
    pub fn signed(&self, body: &[u8], signature: &str, now_s: i64, tolerance_s: i64) -> bool {
        let Some((at, signature)) = parts(signature) else { return false };
        let made_at = at.parse::<i64>().ok();
        let fresh = made_at.is_some_and(|at| at.abs_diff(now_s) <= tolerance_s.unsigned_abs());
        // Both are looked at, whatever one of them says.
        signed(&self.secrets, &[at.as_bytes(), b".", body], &signature) & fresh
    }

    /// The header for bytes that are signed at an instant, for whoever sends rather than receives.
    #[must_use]
    pub fn sign(&self, body: &[u8], at_s: i64) -> Option<String> {
        let at = at_s.to_string();
        let signature = sign(&self.secrets, &[at.as_bytes(), b".", body])?;
        Some(format!("t={at},s={signature}"))
    }
}

impl Keys for DeveloperApp {
    fn keys(&mut self) -> &mut Vec<Key> {
        &mut self.secrets
    }
}

impl fmt::Debug for DeveloperApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.secrets.len())
    }
}

/// The stamp and the signature of `t=...,s=...`, by their names; other names are skipped.
fn parts(header: &str) -> Option<(&str, Vec<u8>)> {
    if header.len() > SIGNATURE_BYTES_MAX {
        return None;
    }
    let (mut at, mut signature) = (None, None);
    for (name, value) in header.split(',').filter_map(|part| part.split_once('=')) {
        match name.trim() {
            "t" => at = Some(value.trim()),
            "s" => signature = unhex(value.trim()),
            _ => {}
        }
    }
    at.zip(signature)
}

/// The signature of a request to the API of TikTok Shop: path, then sorted parameters, then the
/// body, between the secret and itself.
#[must_use]
pub fn request(secret: &str, path: &str, parameters: &[(&str, &str)], body: &str) -> String {
    let mut sorted: Vec<_> = parameters.to_vec();
    sorted.retain(|(name, _)| !matches!(*name, "sign" | "access_token"));
    sorted.sort_unstable();
    let mut text = format!("{secret}{path}");
    sorted.iter().for_each(|(name, value)| text.extend([*name, *value]));
    text.extend([body, secret]);
    sign(&keys([secret]), &[text.as_bytes()]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_a_shop_webhook() {
        let app = ShopApp::new("app_key_1", ["app_secret_1"]);
        let body = br#"{"type":1,"tts_notification_id":"7327112393057371910"}"#;
        let signature = "a153b12bca0dc8a3cb184e6cd56127489443d8a69156466e9d624d31fa29508d";
        assert_eq!(app.sign(body).unwrap(), signature);
        assert!(app.signed(body, signature) && app.signed(body, &format!(" {signature} ")));
        let rotated = ShopApp::new("app_key_1", ["new", "app_secret_1"]);
        assert!(rotated.signed(body, signature));
        assert!(!ShopApp::new("app_key_2", ["app_secret_1"]).signed(body, signature));
        assert!(!ShopApp::new("app_key_1", ["new"]).signed(body, signature));
        assert!(!app.signed(b"{}", signature));
        let upper = signature.to_uppercase();
        for broken in ["", "a1", "zz", &signature[..63], &signature[..62], &upper] {
            assert!(!app.signed(body, broken), "{broken}");
        }
        assert!(!ShopApp::new("app_key_1", Vec::<String>::new()).signed(body, signature));
        assert_eq!(format!("{app:?}"), "app app_key_1 with 1 secrets");
    }

    #[test]
    fn the_vector_of_a_developer_webhook() {
        let app = DeveloperApp::new(["client_secret_1"]);
        let body = concat!(
            r#"{"client_key":"ck","event":"tiktok.ping","create_time":1700000000,"#,
            r#""user_openid":"u","content":"{}"}"#
        );
        let body = body.as_bytes();
        let s = "c4bdc616114e579a2cb5bea2a73c8a1342529a3adb23e1dc255b46a23c5e99ec";
        let at = 1_700_000_000;
        let header = format!("t={at},s={s}");
        assert_eq!(app.sign(body, at).unwrap(), header);
        let fits = |header: &str, now| app.signed(body, header, now, 300);
        assert!(fits(&header, at) && fits(&header, at + 300) && fits(&header, at - 300));
        assert!(!fits(&header, at + 301) && !fits(&header, at - 301) && !fits(&header, i64::MIN));
        assert!(fits(&format!("v=2, s={s} , t={at}"), at));
        let other = format!("t={},s={s}", at + 1);
        let endless = format!("{header},x={}", "y".repeat(600));
        for broken in ["", "t=,s=", s, &other, &format!("s={s}"), &endless] {
            assert!(!fits(broken, at), "{broken}");
        }
        assert!(!app.signed(b"{}", &header, at, 300));
        assert_eq!(format!("{app:?}"), "1 secrets");
    }

    #[test]
    fn requests_are_signed_over_path_parameters_and_body() {
        let parameters =
            [("shop_cipher", "c"), ("app_key", "k"), ("sign", "x"), ("timestamp", "1")];
        let signature = request("s", "/order/202309/orders/search", &parameters, "{}");
        // Computed by another program over
        // "s/order/202309/orders/searchapp_keykshop_cipherctimestamp1{}s", under "s".
        assert_eq!(signature, VECTOR);
    }

    const VECTOR: &str = "67d2a2399904efd840a2fcf105a2899e1d3cd21a35693391cfa2d49daa2c17f0";
}
