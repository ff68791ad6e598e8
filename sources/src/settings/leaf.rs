//! The texts of settings: amounts, percentages, instants, names, addresses.
//!
//! Invariant: a number that is money or a share of it stands in quotes and is read exactly; an
//! instant says its offset or its zone.

use ionflux_schemas::currency::Currency;
use ionflux_schemas::money::{AMOUNT_MINOR_MAX, Money, decimal};
use ionflux_schemas::time::{UtcMs, Zone};
use rust_decimal::Decimal;

use super::problem::shown;

/// The most decimals that an amount of an unnamed currency may have: no currency has more.
const EXPONENT_MAX: u32 = 4;
/// The most decimals of a percentage or a factor.
const DECIMALS_MAX: u32 = 6;
/// The longest identifier, in bytes.
pub const ID_BYTES_MAX: usize = 100;
/// The longest URL, in bytes.
const URL_BYTES_MAX: usize = 2_000;
/// The longest address of a mailbox, in bytes.
const EMAIL_BYTES_MAX: usize = 254;

/// What the document around a text says about it.
#[derive(Clone, Default, Debug)]
pub struct Scope {
    /// The currency of amounts; the shop's where it is not said.
    pub currency: Option<Currency>,
    /// The zone of civil days and times.
    pub zone: Option<Zone>,
}

/// Whether a text is fine; if not, why.
pub type Checked = Result<(), String>;

fn or(fits: bool, reason: &str) -> Checked {
    if fits { Ok(()) } else { Err(reason.to_owned()) }
}

/// A text for people.
pub fn text(text: &str, bytes_max: usize) -> Checked {
    if text.trim().is_empty() {
        return Err("must not be empty".to_owned());
    }
    if text.len() > bytes_max {
        return Err(format!("must have at most {bytes_max} bytes"));
    }
    let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    or(text.chars().all(plain), "must not hold control characters")
}

/// A name that is shown in one line and compared as it is.
pub fn label(name: &str, bytes_max: usize) -> Checked {
    text(name, bytes_max)?;
    let plain = name.trim() == name && !name.contains(['\n', '\t']);
    or(plain, "must be one line without blanks around it")
}

/// An identifier.
pub fn id(id: &str) -> Checked {
    label(id, ID_BYTES_MAX)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    or(id.bytes().all(plain), "must be letters, digits, _, ., : and - only")
}

/// Names with dots between them, such as `payload.total`.
pub fn dotted(path: &str) -> Checked {
    label(path, ID_BYTES_MAX)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let fits = |name: &str| !name.is_empty() && name.bytes().all(plain);
    or(path.split('.').all(fits), "must be names of letters, digits and _, with dots between")
}

/// An amount of zero or more.
pub fn amount(text: &str, scope: &Scope) -> Checked {
    let exact = decimal(text).map_err(|error| error.to_string())?;
    if exact.is_sign_negative() && !exact.is_zero() {
        return Err("must not be negative".to_owned());
    }
    match scope.currency {
        Some(currency) => Money::parse(text, currency).map(drop).map_err(|error| error.to_string()),
        None if exact.normalize().scale() > EXPONENT_MAX => {
            Err(format!("has more than the {EXPONENT_MAX} decimals that any currency has"))
        }
        None => or(exact <= Decimal::from(AMOUNT_MINOR_MAX / 100), "is larger than any amount"),
    }
}

/// A number between two others.
pub fn number(text: &str, least: &str, greatest: &str) -> Checked {
    let exact = decimal(text).map_err(|error| error.to_string())?;
    let bound = |text: &str| decimal(text).unwrap_or_default();
    if !(bound(least)..=bound(greatest)).contains(&exact) {
        return Err(format!("must be from {least} to {greatest}"));
    }
    let few = exact.normalize().scale() <= DECIMALS_MAX;
    if few { Ok(()) } else { Err(format!("has more than {DECIMALS_MAX} decimals")) }
}

/// An instant with its offset, or a civil day or time where a zone is said. A day begins at its
/// midnight there.
pub fn moment(text: &str, scope: &Scope) -> Result<UtcMs, String> {
    if let Some(zone) = &scope.zone {
        return UtcMs::parse(text, zone).map_err(|error| error.to_string());
    }
    let here = UtcMs::parse(text, &Zone::UTC).map_err(|error| error.to_string())?;
    let ahead = Zone::parse("Etc/GMT-1").map_err(|error| error.to_string())?;
    // What is another instant in another zone does not say which it means.
    if UtcMs::parse(text, &ahead) != Ok(here) {
        let text = shown(text.trim());
        return Err(format!(
            "{text} is a day or a time without an offset: say in which zone with \"zone\", or \
             write an instant such as 2026-03-01T00:00:00Z"
        ));
    }
    Ok(here)
}

/// An address of the web, without a credential in it.
pub fn url(text: &str) -> Checked {
    label(text, URL_BYTES_MAX)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else { return Err("must begin with https:// or http://".to_owned()) };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return Err("must hold no credential: name a variable that does".to_owned());
    }
    or(!host.is_empty() && !text.contains(char::is_whitespace), "must be an address with a host")
}

/// The address of a mailbox.
pub fn email(text: &str) -> Checked {
    label(text, EMAIL_BYTES_MAX)?;
    let (name, host) = text.split_once('@').unwrap_or_default();
    let fits = !name.is_empty() && host.contains('.') && !host.contains('@');
    or(fits && !text.contains(char::is_whitespace), "must be an address such as ops@example.com")
}

/// The name of an environment variable.
pub fn variable(name: &str) -> Checked {
    label(name, ID_BYTES_MAX)?;
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let fits = name.bytes().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit());
    or(fits, "must be the name of a variable, such as SLACK_URL, and never the secret itself")
}

/// A version such as `0.2.0`.
pub fn version(text: &str) -> Checked {
    label(text, ID_BYTES_MAX)?;
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let number = |part: &str| !part.is_empty() && part.len() < 9 && part.parse::<u32>().is_ok();
    let fits = core.split('.').count() == 3 && core.split('.').all(number);
    or(fits, "must be a version of three numbers, such as 0.2.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_fit_their_currency() {
        let of = |code: &str| Scope { currency: Currency::parse(code).ok(), zone: None };
        assert_eq!(amount("12.50", &of("EUR")), Ok(()));
        assert_eq!(amount("12.345", &of("")), Ok(()));
        assert_eq!(amount("-0.00", &of("EUR")), Ok(()));
        let refused = |text: &str, code: &str| amount(text, &of(code)).unwrap_err();
        assert!(refused("12.345", "EUR").contains("more than the 2 decimals of EUR"));
        assert!(refused("0.12345", "").contains("more than the 4 decimals"));
        assert!(refused("-1", "EUR").contains("negative"));
        assert!(refused("100000000001", "").contains("larger"));
        assert!(refused("1,5", "EUR").contains("not a decimal number"));
    }

    #[test]
    fn numbers_stay_between_their_bounds() {
        assert_eq!(number("2.9", "0", "100"), Ok(()));
        assert!(number("100.01", "0", "100").unwrap_err().contains("from 0 to 100"));
        assert!(number("0.1234567", "0", "100").unwrap_err().contains("6 decimals"));
    }

    #[test]
    fn instants_say_where_they_are() {
        let berlin = Scope { zone: Zone::parse("Europe/Berlin").ok(), currency: None };
        let nowhere = Scope::default();
        let at = |text: &str, scope: &Scope| moment(text, scope).map(|at| at.to_string());
        assert_eq!(at("2026-03-01", &berlin).unwrap(), "2026-02-28T23:00:00Z");
        assert_eq!(at("2026-03-01T00:00:00+02:00", &nowhere).unwrap(), "2026-02-28T22:00:00Z");
        assert_eq!(at("2026-03-01T00:00:00Z", &berlin).unwrap(), "2026-03-01T00:00:00Z");
        assert!(at("2026-03-01", &nowhere).unwrap_err().contains("\"zone\""));
        assert!(at("2026-03-01T09:00:00", &nowhere).unwrap_err().contains("\"zone\""));
        assert!(at("soon", &nowhere).unwrap_err().contains("not a time"));
    }

    #[test]
    fn names_and_addresses() {
        assert!(id("low_margin.v2:a-b").is_ok() && id("low margin").is_err() && id("").is_err());
        assert!(label("Low margin", 100).is_ok() && label(" x", 100).is_err());
        assert!(dotted("payload_json.total_gt").is_ok() && dotted("a..b").is_err());
        assert!(url("https://a.example/x?y").is_ok() && url("ftp://a").is_err());
        assert!(url("https://user:pass@a.example").unwrap_err().contains("credential"));
        assert!(url("https://").is_err() && email("a@b.example").is_ok() && email("a@b").is_err());
        assert!(variable("SLACK_URL").is_ok() && variable("xoxb-1").is_err());
        assert!(version("0.2.0-rc.1").is_ok() && version("0.2").is_err());
    }
}
