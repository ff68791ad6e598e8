//! Keys: which tenant, which shop, which entity, and which of its versions.
//!
//! Invariant: the workspace leads every key, and versions are totally ordered down to the content.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::time::UtcMs;

/// The name a platform gives an entity: an order, a product, a customer. Opaque text.
pub type Id = Box<str>;

/// One shop of one tenant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ShopKey {
    /// The tenant.
    pub workspace: Id,
    /// The shop inside the tenant, such as `acme.myshopify.com`.
    pub shop: Id,
}

impl ShopKey {
    /// A key from its two names.
    pub fn new(workspace: impl Into<Id>, shop: impl Into<Id>) -> Self {
        Self { workspace: workspace.into(), shop: shop.into() }
    }
}

impl fmt::Display for ShopKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.workspace, self.shop)
    }
}

/// Which of two snapshots of an entity is the later one; the higher wins.
///
/// Stamps have one-second resolution on some platforms, so the content itself is the last tie
/// break: equal versions mean equal content, and the order of arrival can never decide.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Version {
    /// When the platform says the entity last changed.
    pub changed_at: UtcMs,
    /// A second stamp for equal first ones: when the delivery was raised, or 0.
    pub raised_at: UtcMs,
    /// A hash of the content.
    pub content: u128,
}

impl Version {
    /// The version of some content that last changed at an instant.
    #[must_use]
    pub fn new(changed_at: UtcMs, raised_at: UtcMs, content: &[u8]) -> Self {
        Self { changed_at, raised_at, content: content_hash(content) }
    }
}

/// A hash of content that is the same on every machine and in every release.
#[must_use]
pub fn content_hash(content: &[u8]) -> u128 {
    xxh3_128(content)
}

/// A customer inside its shop, as a number that is only compared and never shown.
///
/// A decimal id below 2^63 stands for itself, so that Shopify's customers can never collide; any
/// other id is hashed into the upper half. Zero is nobody: a guest.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct CustomerKey(pub u64);

impl CustomerKey {
    /// An order without a known customer.
    pub const GUEST: Self = Self(0);

    /// The customer of a platform's id; blank is a guest.
    #[must_use]
    pub fn of(id: &str) -> Self {
        const HASHED: u64 = 1 << 63;
        let id = id.trim();
        if id.is_empty() {
            return Self::GUEST;
        }
        let canonical = id.bytes().all(|b| b.is_ascii_digit()) && !id.starts_with('0');
        match id.parse::<u64>() {
            Ok(number) if canonical && number < HASHED => Self(number),
            _ => Self(xxh3_64(id.as_bytes()) | HASHED),
        }
    }
}

/// The lowest pseudonym: higher than the ids platforms give, and below 2^63 as all of them.
pub const PSEUDONYM_MIN: u64 = 1 << 62;

/// A pseudonym of a random number.
#[must_use]
pub fn pseudonym(random: u64) -> u64 {
    PSEUDONYM_MIN + random % PSEUDONYM_MIN
}

/// What leads the id of a buyer of whom only an address is known.
pub const ADDRESSED: &str = "email-";

/// Whether of a buyer only an address is known.
#[must_use]
pub fn addressed(id: &str) -> bool {
    id.trim().starts_with(ADDRESSED)
}

/// A pseudonym as an id, which still says whether only an address was known.
#[must_use]
pub fn named(pseudonym: u64, addressed: bool) -> Id {
    let lead = if addressed { ADDRESSED } else { "" };
    format!("{lead}{pseudonym}").into()
}

/// Whether an id is a pseudonym: a random number that leads to nobody without the vault.
#[must_use]
pub fn pseudonymous(id: &str) -> bool {
    let id = id.strip_prefix(ADDRESSED).unwrap_or(id);
    let number = || id.parse::<u64>().ok();
    let within = |number| (PSEUDONYM_MIN..PSEUDONYM_MIN << 1).contains(&number);
    id.len() == 19 && id.bytes().all(|byte| byte.is_ascii_digit()) && number().is_some_and(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudonyms_stay_within_their_range() {
        for random in [0, 7, PSEUDONYM_MIN, u64::MAX] {
            for address in [false, true] {
                let id = named(pseudonym(random), address);
                assert!(pseudonymous(&id) && addressed(&id) == address, "{id}");
            }
        }
        assert!(!pseudonymous("email-00000000000000000000000000000007"));
    }

    #[test]
    fn customers_are_themselves_or_hashed_apart() {
        assert_eq!(CustomerKey::of("17850"), CustomerKey(17850));
        assert_eq!(CustomerKey::of("  "), CustomerKey::GUEST);
        assert_ne!(CustomerKey::of("0"), CustomerKey::GUEST);
        assert_ne!(CustomerKey::of("017850"), CustomerKey::of("17850"));
        assert_ne!(CustomerKey::of("18446744073709551615").0 & (1 << 63), 0);
    }

    #[test]
    fn versions_compare_stamps_before_content() {
        let version =
            |at, raised, text: &str| Version::new(UtcMs(at), UtcMs(raised), text.as_bytes());
        assert!(version(2, 0, "a") > version(1, 9, "b"));
        assert!(version(2, 1, "a") > version(2, 0, "a"));
        assert_ne!(version(2, 1, "a"), version(2, 1, "b"));
    }
}
