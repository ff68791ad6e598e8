//! Dossiers as bytes and back: a format version, then a compact binary form.
//!
//! Invariant: bytes of another format are never misread; they are an error that names the format.

use ionflux_schemas::key::ShopKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The format of every value written by this release.
pub const FORMAT: u8 = 1;

/// Why stored bytes cannot be read.
#[derive(Debug, Error)]
pub enum CodecError {
    /// The bytes are of another release.
    #[error("a value is of format {found}, this release reads format {FORMAT}")]
    Format {
        /// The format found.
        found: u8,
    },
    /// The bytes are damaged.
    #[error("a stored value is damaged: {0}")]
    Damaged(#[from] postcard::Error),
    /// There are no bytes at all.
    #[error("a stored value is empty")]
    Empty,
}

/// A value in the current format.
///
/// # Errors
/// When the value cannot be expressed, which no value of ours is.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    Ok(postcard::to_extend(value, vec![FORMAT])?)
}

/// The value of bytes made by [`encode`].
///
/// # Errors
/// [`CodecError`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((&FORMAT, value)) => Ok(postcard::from_bytes(value)?),
        Some((&found, _)) => Err(CodecError::Format { found }),
    }
}

/// Adds a name to a key, led by its length, so that no two names run into each other and one
/// shop's keys are neighbours.
fn push(key: &mut Vec<u8>, name: &str) {
    key.extend_from_slice(&(name.len() as u32).to_be_bytes());
    key.extend_from_slice(name.as_bytes());
}

/// What all keys of a shop begin with, workspace first.
#[must_use]
pub fn shop_prefix(shop: &ShopKey) -> Vec<u8> {
    let mut key = Vec::with_capacity(shop.workspace.len() + shop.shop.len() + 32);
    push(&mut key, &shop.workspace);
    push(&mut key, &shop.shop);
    key
}

/// The key of a dossier.
#[must_use]
pub fn dossier_key(shop: &ShopKey, order: &str) -> Vec<u8> {
    let mut key = shop_prefix(shop);
    key.extend_from_slice(order.as_bytes());
    key
}

/// The shop a dossier's or shop's key begins with.
///
/// # Errors
/// [`CodecError::Damaged`] when the key is none of ours.
pub fn shop_of(key: &[u8]) -> Result<ShopKey, CodecError> {
    let damaged = || CodecError::Damaged(postcard::Error::DeserializeUnexpectedEnd);
    let name = |key: &[u8]| {
        let (length, rest) = key.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (name, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
        let name = std::str::from_utf8(name).map_err(|_| damaged())?;
        Ok::<_, CodecError>((name.to_owned(), rest.to_owned()))
    };
    let (workspace, rest) = name(key)?;
    let (shop, _) = name(&rest)?;
    Ok(ShopKey::new(workspace, shop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_their_shop_and_never_collide() {
        let shop = ShopKey::new("acme", "a.example");
        assert_eq!(shop_of(&dossier_key(&shop, "1001")).unwrap(), shop);
        let (a, b) = (ShopKey::new("ab", "c"), ShopKey::new("a", "bc"));
        assert_ne!(dossier_key(&a, "1"), dossier_key(&b, "1"));
        assert!(shop_of(b"\0\0\0\x09ab").is_err());
    }

    #[test]
    fn another_format_is_named_and_damage_is_found() {
        let bytes = encode(&(7_u32, "x".to_owned())).unwrap();
        assert_eq!(decode::<(u32, String)>(&bytes).unwrap(), (7, "x".to_owned()));
        assert!(matches!(decode::<u32>(&[9, 1]), Err(CodecError::Format { found: 9 })));
        assert!(decode::<(u32, String)>(&bytes[..2]).is_err());
        assert!(matches!(decode::<u32>(&[]), Err(CodecError::Empty)));
    }
}
