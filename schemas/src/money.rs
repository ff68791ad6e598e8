//! Money: an integer number of a currency's minor units, with exact parsing and printing.
//!
//! Invariant: no float touches an amount, and an amount that does not fit its currency is an
//! error, never a rounded value, unless the caller asks for half-even rounding by name.

use std::fmt;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::currency::Currency;

/// The largest absolute amount, in minor units, that one fact may carry: 10^13.
///
/// An epoch holds at most [`crate::fact::EPOCH_FACTS_MAX`] facts of two amounts each, so that its
/// sums stay inside an `i64` (400,000 × 2 × 10^13 < 9.2 × 10^18); totals over epochs widen to
/// `i128` where they must.
pub const AMOUNT_MINOR_MAX: i64 = 10_000_000_000_000;

/// An exact amount of one currency, in its minor units (cents, yen, fils).
///
/// There is no `+`: totals over many amounts are sums per currency, held in wider integers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Money {
    /// The amount in minor units of `currency`.
    pub minor: i128,
    /// The currency, which fixes how many decimals a minor unit is.
    pub currency: Currency,
}

/// Why a text is not an amount of a currency.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AmountError {
    /// The text is empty or blank.
    #[error("an amount is missing")]
    Missing,
    /// The text is not a decimal number (`NaN`, `12,50`, `abc`).
    #[error("{0:?} is not a decimal number")]
    NotANumber(String),
    /// The number has more decimals than the currency has.
    #[error("{text} has more than the {exponent} decimals of {currency}")]
    TooPrecise {
        /// The text as it came, cut to 40 characters.
        text: String,
        /// How many decimals the currency has.
        exponent: u8,
        /// The currency.
        currency: Currency,
    },
    /// The number is larger than [`AMOUNT_MINOR_MAX`].
    #[error(
        "{text} is larger than the largest amount of a record ({AMOUNT_MINOR_MAX} minor units)"
    )]
    TooLarge {
        /// The text as it came, cut to 40 characters.
        text: String,
    },
}

/// The text of an amount, shortened so that an error stays readable.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Reads a decimal number exactly: `12.50`, `-0.1`, `8600.0`, `1e3`.
///
/// # Errors
/// [`AmountError::Missing`], [`AmountError::NotANumber`], or [`AmountError::TooLarge`] for what no
/// amount can be (`1e400`).
pub fn decimal(text: &str) -> Result<Decimal, AmountError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(AmountError::Missing);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, power) = match digits.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, Some(power)),
        None => (digits, None),
    };
    let plain = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let well_formed = plain(whole)
        && plain(fraction)
        && power.is_none_or(|p| plain(p.strip_prefix(['-', '+']).unwrap_or(p)));
    if !well_formed {
        return Err(AmountError::NotANumber(shown(text)));
    }
    // Well-formed but not representable in 96 bits and 28 decimals: beyond any amount of money.
    let too_large = || AmountError::TooLarge { text: shown(text) };
    if power.is_some() {
        Decimal::from_scientific(text).map_err(|_| too_large())
    } else {
        Decimal::from_str_exact(text).map_err(|_| too_large())
    }
}

impl Money {
    /// An amount of minor units.
    #[must_use]
    pub fn new(minor: impl Into<i128>, currency: Currency) -> Self {
        Self { minor: minor.into(), currency }
    }

    /// Reads a decimal text as an exact amount: `12.50` of EUR is 1250.
    ///
    /// # Errors
    /// [`AmountError`] when the text is no number, has too many decimals, or is too large.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, AmountError> {
        let exact = decimal(text)?;
        let scaled = scaled(exact, currency).ok_or(AmountError::TooLarge { text: shown(text) })?;
        if scaled.fract() != Decimal::ZERO {
            let exponent = currency.exponent();
            return Err(AmountError::TooPrecise { text: shown(text), exponent, currency });
        }
        Ok(Self { minor: minor_units(scaled, text)?.into(), currency })
    }

    /// An exact number of major units rounded half-even to the minor unit.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`] beyond [`AMOUNT_MINOR_MAX`].
    pub fn rounded(major: Decimal, currency: Currency) -> Result<Self, AmountError> {
        let text = major.to_string();
        let scaled = scaled(major, currency).ok_or(AmountError::TooLarge { text: shown(&text) })?;
        let whole = scaled.round_dp_with_strategy(0, RoundingStrategy::MidpointNearestEven);
        Ok(Self { minor: minor_units(whole, &text)?.into(), currency })
    }

    /// `numerator / denominator` of this amount, rounded half-even; for shares and averages.
    ///
    /// `None` when the denominator is zero or the product does not fit.
    #[must_use]
    pub fn share(self, numerator: i128, denominator: i128) -> Option<Self> {
        let product = self.minor.checked_mul(numerator)?;
        Some(Self { minor: div_half_even(product, denominator)?, currency: self.currency })
    }
}

/// `numerator / denominator` rounded half-even; `None` for a zero denominator.
#[must_use]
pub fn div_half_even(numerator: i128, denominator: i128) -> Option<i128> {
    let quotient = numerator.checked_div_euclid(denominator)?;
    let remainder = numerator.checked_rem_euclid(denominator)?.unsigned_abs();
    let rest = denominator.unsigned_abs() - remainder;
    // Euclidean division rounds towards the side of a non-negative remainder; the next integer
    // away from it is one step in the sign of the denominator.
    let up = remainder > rest || (remainder == rest && quotient % 2 != 0);
    Some(if up { quotient + denominator.signum() } else { quotient })
}

/// The number of minor units, not yet whole; `None` when it is out of range.
fn scaled(major: Decimal, currency: Currency) -> Option<Decimal> {
    major.checked_mul(Decimal::from(10_i64.pow(currency.exponent().into())))
}

/// A whole decimal as minor units within the limit.
fn minor_units(whole: Decimal, text: &str) -> Result<i64, AmountError> {
    i64::try_from(whole)
        .ok()
        .filter(|minor| minor.unsigned_abs() <= AMOUNT_MINOR_MAX.unsigned_abs())
        .ok_or(AmountError::TooLarge { text: shown(text) })
}

impl fmt::Display for Money {
    /// The amount as a decimal with the currency's own number of decimals: `10.00`, `1200`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = usize::from(self.currency.exponent());
        let digits = format!("{:0>width$}", self.minor.unsigned_abs(), width = exponent + 1);
        let (whole, fraction) = digits.split_at(digits.len() - exponent);
        let sign = if self.minor < 0 { "-" } else { "" };
        match fraction {
            "" => write!(f, "{sign}{whole}"),
            _ => write!(f, "{sign}{whole}.{fraction}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    fn check(text: &str, code: &str, expected: Result<i128, &str>) {
        let got = Money::parse(text, currency(code)).map(|m| m.minor).map_err(|e| e.to_string());
        assert_eq!(got, expected.map_err(str::to_owned), "{text} {code}");
    }

    #[test]
    fn amounts_are_read_exactly_or_refused() {
        check("10.00", "USD", Ok(1000));
        check("604214.45", "EUR", Ok(60_421_445));
        check("8600.0", "JPY", Ok(8600));
        check("23600", "JPY", Ok(23600));
        check("0.0", "USD", Ok(0));
        check("-1.5", "KWD", Ok(-1500));
        check("1e2", "USD", Ok(10_000));
        check("1.000", "USD", Ok(100));
        check("12.345", "USD", Err("12.345 has more than the 2 decimals of USD"));
        check("0.5", "JPY", Err("0.5 has more than the 0 decimals of JPY"));
        check("NaN", "USD", Err("\"NaN\" is not a decimal number"));
        check("12,50", "USD", Err("\"12,50\" is not a decimal number"));
        check("1_000", "USD", Err("\"1_000\" is not a decimal number"));
        check(".", "USD", Err("\".\" is not a decimal number"));
        check(" ", "USD", Err("an amount is missing"));
        let large = "is larger than the largest amount of a record (10000000000000 minor units)";
        check("1e400", "USD", Err(&format!("1e400 {large}")));
        check("100000000000.01", "USD", Err(&format!("100000000000.01 {large}")));
    }

    #[test]
    fn rounding_is_half_even() {
        let rounded = |text: &str| {
            Money::rounded(decimal(text).unwrap(), currency("GBP")).unwrap().to_string()
        };
        assert_eq!(rounded("0.125"), "0.12");
        assert_eq!(rounded("0.135"), "0.14");
        assert_eq!(rounded("-0.125"), "-0.12");
        assert_eq!(rounded("2.5549"), "2.55");
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(
            minor in -AMOUNT_MINOR_MAX..=AMOUNT_MINOR_MAX,
            code in prop::sample::select(vec!["USD", "JPY", "KWD", "CLF"]),
        ) {
            let money = Money::new(minor, currency(code));
            prop_assert_eq!(Money::parse(&money.to_string(), money.currency), Ok(money));
        }

        #[test]
        fn half_even_division_is_the_nearest(n in -10_000_i128..10_000, d in -50_i128..50) {
            prop_assume!(d != 0);
            let q = div_half_even(n, d).unwrap();
            let twice_off = (n - q * d).abs() * 2;
            prop_assert!(twice_off < d.abs() || (twice_off == d.abs() && q % 2 == 0));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            let _ = Money::parse(&text, currency("USD"));
        }
    }
}
