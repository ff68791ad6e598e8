//! Values and keys as bytes and back: a format, then a compact binary form.
//!
//! Invariant: bytes of another format are never misread; they are an error that names the format.
//! Reading bytes takes no more memory than a fixed multiple of their length.

pub mod dossier;
pub mod key;
pub mod plain;
mod wire;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

pub use wire::Text;

/// The format of every value written by this release, and of the state as a whole.
pub const FORMAT: u8 = 2;

/// Why stored bytes cannot be read.
#[derive(Debug, Error)]
pub enum CodecError {
    /// The bytes are of another release.
    #[error("a value is of format {found}, this release reads format {FORMAT}")]
    Format {
        /// The format found.
        found: u8,
    },
    /// The bytes of a small value are damaged.
    #[error("a stored value is damaged: {0}")]
    Damaged(#[from] postcard::Error),
    /// The bytes of a dossier or key are damaged.
    #[error("a stored value is damaged at its {0}")]
    Malformed(&'static str),
    /// There are no bytes at all.
    #[error("a stored value is empty")]
    Empty,
}

/// A small value in the current format.
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
    Ok(postcard::from_bytes(body(bytes)?)?)
}

/// What follows the format, if it is this release's.
fn body(bytes: &[u8]) -> Result<&[u8], CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((&FORMAT, body)) => Ok(body),
        Some((&found, _)) => Err(CodecError::Format { found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_format_is_named_and_damage_is_found() {
        let bytes = encode(&(7_u32, "x".to_owned())).unwrap();
        assert_eq!(decode::<(u32, String)>(&bytes).unwrap(), (7, "x".to_owned()));
        assert!(matches!(decode::<u32>(&[9, 1]), Err(CodecError::Format { found: 9 })));
        assert!(decode::<(u32, String)>(&bytes[..2]).is_err());
        assert!(matches!(decode::<u32>(&[]), Err(CodecError::Empty)));
    }
}
