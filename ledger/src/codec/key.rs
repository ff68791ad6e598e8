//! The keys of tables.
//!
//! ```text
//! dossier   shard: 1   shop's number: 4, high byte first   order
//! order     length: 1   number, high byte first      of a decimal id below 2^64
//!           0xff        UTF-8                        of any other id
//! shop      length: 4   workspace   length: 4   shop
//! claim     letter's id: 16   fault's id: 16
//! ```
//!
//! Invariant: two things never share a key. One shop's orders are neighbours in a shard, and
//! orders that were numbered one after the other are too, so that new orders go to few places.

use ionflux_schemas::key::{ShopKey, content_hash};

use super::CodecError;
use super::wire::Text;
use crate::entities::Bytes;

/// How many parts the dossiers are in. Threads share them out, so that there may be any number of
/// threads; the state of another number of shards cannot be read.
pub const SHARDS: usize = 64;

/// The longest id an order may have, in bytes; ids of platforms have some twenty.
pub const ORDER_ID_BYTES_MAX: usize = 1_024;

const TEXT: u8 = 0xff;

/// What the keys of a shop's dossiers in one shard begin with.
#[must_use]
pub fn shop_in_shard(shard: u8, shop: u32) -> [u8; 5] {
    let [a, b, c, d] = shop.to_be_bytes();
    [shard, a, b, c, d]
}

/// The shard of an order and the key of its dossier.
#[must_use]
pub fn dossier(shop: u32, order: &str) -> (usize, Bytes) {
    let mut space = [0; 20];
    space[1..5].copy_from_slice(&shop.to_be_bytes());
    let mut long = Vec::new();
    let key: &mut [u8] = match Text::of(order) {
        Text::Decimal(number) => {
            let digits = number.to_be_bytes();
            let skipped = number.leading_zeros() as usize / 8;
            let digits = &digits[skipped..];
            space[5] = digits.len() as u8;
            space[6..6 + digits.len()].copy_from_slice(digits);
            &mut space[..6 + digits.len()]
        }
        Text::Plain(text) => {
            long.extend_from_slice(&space[..5]);
            long.push(TEXT);
            long.extend_from_slice(text.as_bytes());
            &mut long
        }
    };
    let shard = content_hash(&key[1..]) as usize % SHARDS;
    key[0] = shard as u8;
    (shard, Bytes::from(&*key))
}

/// The number of the shop a dossier's key names.
///
/// # Errors
/// [`CodecError::Malformed`] when the key is none of ours.
pub fn shop_of(key: &[u8]) -> Result<u32, CodecError> {
    let number = key.get(1..).and_then(|rest| rest.first_chunk());
    number.map(|number| u32::from_be_bytes(*number)).ok_or(CodecError::Malformed("key"))
}

/// The key of a shop.
#[must_use]
pub fn shop(shop: &ShopKey) -> Vec<u8> {
    let mut key = Vec::with_capacity(shop.workspace.len() + shop.shop.len() + 8);
    for name in [&shop.workspace, &shop.shop] {
        key.extend_from_slice(&(name.len() as u32).to_be_bytes());
        key.extend_from_slice(name.as_bytes());
    }
    key
}

/// The shop that a key made by [`shop`] names.
///
/// # Errors
/// [`CodecError::Malformed`] when the key is none of ours.
pub fn parse_shop(key: &[u8]) -> Result<(ShopKey, &[u8]), CodecError> {
    let damaged = CodecError::Malformed("key");
    let name = |key| name(key).ok_or(CodecError::Malformed("key"));
    let (workspace, rest) = name(key)?;
    let (shop, rest) = name(rest)?;
    let text = |name| std::str::from_utf8(name).map_err(|_| CodecError::Malformed("key"));
    match (text(workspace), text(shop)) {
        (Ok(workspace), Ok(shop)) => Ok((ShopKey::new(workspace, shop), rest)),
        _ => Err(damaged),
    }
}

fn name(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = key.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// The key of a fault's id; `None` for a text that is no fault's id.
#[must_use]
pub fn fault(id: &str) -> Option<[u8; 16]> {
    let lower = id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let id = u128::from_str_radix(id, 16).ok().filter(|_| lower);
    id.map(u128::to_be_bytes)
}

/// The id of a fault's key.
///
/// # Errors
/// [`CodecError::Malformed`] when the key is none of ours.
pub fn fault_id(key: &[u8]) -> Result<String, CodecError> {
    let id = key.try_into().map_err(|_| CodecError::Malformed("key"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(id)))
}

/// The key that says a letter has a fault.
#[must_use]
pub fn claim(letter: u128, fault: [u8; 16]) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(&letter.to_be_bytes());
    key[16..].copy_from_slice(&fault);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_their_shop_and_never_collide() {
        let (a, b) = (ShopKey::new("ab", "c"), ShopKey::new("a", "bc"));
        assert_ne!(shop(&a), shop(&b));
        assert_eq!(parse_shop(&shop(&a)).unwrap(), (a, &[][..]));
        assert!(parse_shop(b"\0\0\0\x09ab").is_err());
        let orders = ["", "0", "1", "01", "256", "5534129", "#1001", "18446744073709551616"];
        let mut keys: Vec<_> = orders.map(|order| dossier(7, order).1).into();
        keys.extend(orders.map(|order| dossier(8, order).1));
        assert!(keys.iter().all(|key| matches!(shop_of(key), Ok(7 | 8))));
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 2 * orders.len());
    }

    #[test]
    fn neighbours_in_number_are_neighbours_in_key() {
        let tail = |order: u64| dossier(1, &order.to_string()).1[1..].to_vec();
        assert!((1..2_000).all(|order| tail(order) < tail(order + 1)));
    }

    #[test]
    fn only_ids_of_faults_are_keys() {
        assert_eq!(fault_id(&fault(&"0a".repeat(16)).unwrap()).unwrap(), "0a".repeat(16));
        assert!(fault(&"0A".repeat(16)).is_none());
        assert!(fault("+0000000000000000000000000000001").is_none());
        assert!(fault_id(b"short").is_err());
    }
}
