//! The Confluent wire format: a magic byte, the schema's id, and the datum.
//!
//! Invariant: what is framed here is read here.

/// The first byte of what is framed.
pub const MAGIC: u8 = 0;
/// Magic byte and id.
const HEAD_BYTES: usize = 5;

/// What a message holds, by its first bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content<'a> {
    /// A datum of a schema.
    Framed {
        /// The schema's id in its registry.
        id: u32,
        /// The datum.
        datum: &'a [u8],
    },
    /// JSON, by its first letter.
    Json,
    /// Neither.
    Unknown,
}

/// What a message holds.
#[must_use]
pub fn content(bytes: &[u8]) -> Content<'_> {
    if let Some((&[MAGIC, a, b, c, d], datum)) = bytes.split_first_chunk::<HEAD_BYTES>() {
        return Content::Framed { id: u32::from_be_bytes([a, b, c, d]), datum };
    }
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{' | b'[') => Content::Json,
        _ => Content::Unknown,
    }
}

/// A datum of a schema, framed.
#[must_use]
pub fn frame(id: u32, datum: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + datum.len());
    bytes.push(MAGIC);
    bytes.extend(id.to_be_bytes());
    bytes.extend(datum);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_told_by_its_first_bytes() {
        let framed = frame(0x0102_0304, b"datum");
        assert_eq!(framed[..5], [0, 1, 2, 3, 4]);
        assert_eq!(content(&framed), Content::Framed { id: 0x0102_0304, datum: b"datum" });
        assert_eq!(content(&frame(7, b"")), Content::Framed { id: 7, datum: b"" });
        assert_eq!(content(b" \n{}"), Content::Json);
        for unknown in [&b""[..], b" ", b"\0\0\0\0", b"\x01\0\0\0\0{", b"text"] {
            assert_eq!(content(unknown), Content::Unknown, "{unknown:?}");
        }
    }
}
