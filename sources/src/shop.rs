//! Names of shops: one shop has one name, however it is written.
//!
//! Invariant: a name that was read is read as itself again. Only domain names are folded; other
//! platforms' ids and names of a user's own choice are told apart as they stand.

use std::borrow::Cow;

use ionflux_schemas::key::Id;
use thiserror::Error;

/// The longest name: a domain name has no more.
const NAME_BYTES_MAX: usize = 255;
/// The longest part of a domain name between two dots.
const LABEL_BYTES_MAX: usize = 63;
/// What the name of every shop on Shopify ends with.
const SHOPIFY: &str = ".myshopify.com";
/// The most digits of the number that Shopify gives a shop; TikTok's ids have 18 and more.
const NUMBER_DIGITS_MAX: usize = 15;
/// How much of a name is shown again.
const SHOWN_CHARS_MAX: usize = 60;

/// Why a text names no shop.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum WrongName {
    /// There is nothing.
    #[error("the name of the shop is empty")]
    Empty,
    /// It is too long.
    #[error("the name of the shop has more than {NAME_BYTES_MAX} bytes")]
    TooLong,
    /// Shopify's number of a shop, from which nobody can tell its name.
    #[error(
        "{0:?} {NUMBERED}: give the name, such as acme.myshopify.com, in its place or with --shop"
    )]
    Number(Box<str>),
    /// An address without a domain name.
    #[error("{0:?} has no domain name in it: give a name such as acme.myshopify.com")]
    Address(Box<str>),
    /// A name that no shop on Shopify has.
    #[error("{0:?} is no name of a shop on Shopify, such as acme.myshopify.com")]
    Elsewhere(Box<str>),
}

/// What is said of a shop's number.
const NUMBERED: &str = "is a number of a shop, not its name";

/// Whether a reason is that only a number of the shop was given.
#[must_use]
pub fn numbered(reason: &str) -> bool {
    reason.contains(NUMBERED)
}

/// The name of a shop. Of a domain name case, a final dot, a scheme, a port and a path do not
/// matter; any other name is taken as it stands.
///
/// # Errors
/// [`WrongName`] for Shopify's numbers of shops, bare or as `gid://shopify/Shop/1`, and for what is
/// no name at all.
pub fn name(text: &str) -> Result<Id, WrongName> {
    let text = text.trim();
    match text.len() {
        0 => return Err(WrongName::Empty),
        1..=NAME_BYTES_MAX => {}
        _ => return Err(WrongName::TooLong),
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if (digits && text.len() <= NUMBER_DIGITS_MAX) || after(text, "gid://").is_some() {
        return Err(WrongName::Number(shown(text)));
    }
    match after(text, "https://").or_else(|| after(text, "http://")) {
        Some(address) => domain_in(address).ok_or_else(|| WrongName::Address(shown(text))),
        None => Ok(domain_in(text).unwrap_or_else(|| text.into())),
    }
}

/// The name of a shop on Shopify: `acme.myshopify.com`.
///
/// # Errors
/// [`WrongName`] for every other name.
pub fn of_shopify(text: &str) -> Result<Id, WrongName> {
    let name = name(text)?;
    if on_shopify(&name) { Ok(name) } else { Err(WrongName::Elsewhere(shown(&name))) }
}

/// Whether a name that was read is one of Shopify's.
#[must_use]
pub fn on_shopify(name: &str) -> bool {
    let handle = name.strip_suffix(SHOPIFY);
    handle.is_some_and(|handle| !handle.is_empty() && !handle.contains('.'))
}

/// The first of some names that is one, or else what the first of them is; none if there is none.
///
/// # Errors
/// [`WrongName`] where there are names and all are wrong.
pub fn first<'t>(names: impl IntoIterator<Item = &'t str>) -> Result<Option<Id>, WrongName> {
    let mut wrong = None;
    for text in names.into_iter().filter(|text| !text.trim().is_empty()) {
        match name(text) {
            Ok(name) => return Ok(Some(name)),
            Err(why) => wrong = wrong.or(Some(why)),
        }
    }
    wrong.map_or(Ok(None), Err)
}

/// The shop that a reader was told, where that is one shop and not a name for whatever comes: it
/// stands for a number.
#[must_use]
pub fn known(told: Option<&str>) -> Option<&str> {
    told.filter(|told| of_shopify(told).is_ok())
}

/// A name where it has to stand for itself whatever it is, as in faults.
#[must_use]
pub fn folded(text: &str) -> Cow<'_, str> {
    name(text).map_or(Cow::Borrowed(text), |name| Cow::Owned(name.into()))
}

/// What follows a beginning, in whatever case that is written.
fn after<'t>(text: &'t str, beginning: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(beginning.len())?;
    head.eq_ignore_ascii_case(beginning).then_some(rest)
}

/// The domain name at the start of an address without its scheme.
fn domain_in(address: &str) -> Option<Id> {
    let host = address.split(['/', '?', '#']).next().unwrap_or_default();
    let port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let host = host.rsplit_once(':').filter(|(_, rest)| port(rest)).map_or(host, |(host, _)| host);
    let host = host.trim_end_matches('.');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let label =
        |label: &str| (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(plain);
    // What ends in a number is a version or an amount, but no domain.
    let (_, last) = host.rsplit_once('.')?;
    let named = last.bytes().any(|byte| byte.is_ascii_alphabetic());
    (named && host.split('.').all(label)).then(|| host.to_ascii_lowercase().into())
}

fn shown(text: &str) -> Box<str> {
    text.chars().take(SHOWN_CHARS_MAX).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_shop_has_one_name() {
        for text in [
            "acme.myshopify.com",
            " ACME.MyShopify.com ",
            "acme.myshopify.com.",
            "https://acme.myshopify.com",
            "HTTP://Acme.myshopify.com:443/admin/orders?x=1",
            "acme.myshopify.com/",
        ] {
            assert_eq!(of_shopify(text).as_deref(), Ok("acme.myshopify.com"), "{text}");
        }
    }

    #[test]
    fn what_is_no_domain_name_stands_as_it_is() {
        for text in ["default", "Tea & Cups", "7494049642642441621", "St. Pauli / 2", "v1.0", "a"] {
            assert_eq!(name(text).as_deref(), Ok(text));
            assert!(matches!(of_shopify(text), Err(WrongName::Elsewhere(_))), "{text}");
        }
        for text in ["acme.example", "a.b.myshopify.com", ".myshopify.com", "myshopify.com"] {
            assert!(matches!(of_shopify(text), Err(WrongName::Elsewhere(_))), "{text}");
        }
    }

    #[test]
    fn a_number_is_refused_with_its_remedy() {
        for text in ["954889", "gid://shopify/Shop/954889", "GID://shopify/Shop/1", " 1 "] {
            let Err(why) = name(text) else { panic!("{text} is taken") };
            assert!(matches!(why, WrongName::Number(_)) && why.to_string().contains("--shop"));
        }
        assert_eq!(name("  "), Err(WrongName::Empty));
        assert_eq!(name(&"x".repeat(256)), Err(WrongName::TooLong));
        assert!(matches!(name("https:///admin"), Err(WrongName::Address(_))));
        let named = first(["", "954889", "Acme.myshopify.com", "b"]);
        assert_eq!(named, Ok(Some("acme.myshopify.com".into())));
        assert_eq!((first([" "]), first([])), (Ok(None), Ok(None)));
        assert_eq!(first(["", "7"]), Err(WrongName::Number("7".into())));
        assert_eq!((&*folded("A.Example."), &*folded("954889")), ("a.example", "954889"));
    }

    proptest! {
        #[test]
        fn a_name_is_read_as_itself(text in "(https?://)?[a-zA-Z0-9.:/ -]{0,30}") {
            if let Ok(named) = name(&text) {
                prop_assert_eq!(name(&named), Ok(named.clone()));
            }
        }
    }
}
