//! Currencies of ISO 4217 with their exponents: how many decimals a minor unit is.
//!
//! Invariant: a [`Currency`] is always one of the table; an unknown or unset code is an error.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One currency, as a number that fits a packed key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(u16);

/// A code that is not a currency of ISO 4217.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0:?} is not a currency code of ISO 4217")]
pub struct UnknownCurrency(pub String);

/// Codes whose minor unit is not a hundredth, by exponent; all others have two decimals.
const NO_DECIMALS: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
const THREE_DECIMALS: &str = "BHD IQD JOD KWD LYD OMR TND";
const FOUR_DECIMALS: &str = "CLF UYW";

/// Every code, sorted, three letters each. A currency's number is its place here; new codes are
/// fine in any place, for numbers are never stored.
const CODES: &str = "\
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP \
BYN BZD CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB \
EUR FJD FKP GBP GEL GGP GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS IMP INR IQD IRR ISK \
JEP JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LTL LVL LYD MAD MDL MGA \
MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR \
PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB \
TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XCD XCG \
XOF XPF YER ZAR ZMW ZWG ZWL";

/// The exponent of every currency by its number: each amount that is read or shown asks for it.
const EXPONENTS: [u8; CODES.len() / 4 + 1] = exponents();

const fn exponents() -> [u8; CODES.len() / 4 + 1] {
    let mut all = [2; CODES.len() / 4 + 1];
    let mut number = 0;
    while number < all.len() {
        if listed(NO_DECIMALS, number) {
            all[number] = 0;
        } else if listed(THREE_DECIMALS, number) {
            all[number] = 3;
        } else if listed(FOUR_DECIMALS, number) {
            all[number] = 4;
        }
        number += 1;
    }
    all
}

/// Whether the code of a number is one of these, three letters and a space each.
const fn listed(codes: &str, number: usize) -> bool {
    let (codes, all) = (codes.as_bytes(), CODES.as_bytes());
    let (mut at, own) = (0, number * 4);
    while at < codes.len() {
        if codes[at] == all[own] && codes[at + 1] == all[own + 1] && codes[at + 2] == all[own + 2] {
            return true;
        }
        at += 4;
    }
    false
}

impl Currency {
    /// The currency of a three-letter code, in any case.
    ///
    /// # Errors
    /// [`UnknownCurrency`] for any other text, `XXX` (unset) included.
    pub fn parse(code: &str) -> Result<Self, UnknownCurrency> {
        let unknown = || UnknownCurrency(code.chars().take(16).collect());
        let code = code.trim();
        if code.len() != 3 || !code.is_ascii() {
            return Err(unknown());
        }
        let upper = code.to_ascii_uppercase();
        let (mut low, mut high) = (0, CODES.len() / 4 + 1);
        while low < high {
            let middle = (low + high) / 2;
            match CODES[middle * 4..middle * 4 + 3].cmp(&upper) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(Self(middle as u16)),
            }
        }
        Err(unknown())
    }

    /// The three-letter code.
    #[must_use]
    pub fn code(self) -> &'static str {
        let at = usize::from(self.0) * 4;
        &CODES[at..at + 3]
    }

    /// How many decimals the currency has: 2 for USD, 0 for JPY, 3 for KWD.
    #[must_use]
    pub fn exponent(self) -> u8 {
        EXPONENTS[usize::from(self.0)]
    }

    /// The currency's number in packed keys; only meaningful within one process.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// The currency of a number made by [`Currency::number`].
    ///
    /// # Panics
    /// On a number that no currency has, which only a damaged key can hold.
    #[must_use]
    pub fn from_number(number: u16) -> Self {
        assert!(usize::from(number) * 4 < CODES.len(), "no currency has the number {number}");
        Self(number)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&code).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_code_finds_itself() {
        let codes: Vec<&str> = CODES.split(' ').collect();
        assert!(codes.is_sorted());
        for code in codes {
            assert_eq!(Currency::parse(code).map(Currency::code), Ok(code));
        }
    }

    #[test]
    fn minor_units_are_hundredths_unless_listed_otherwise() {
        let listed = [(NO_DECIMALS, 0), (THREE_DECIMALS, 3), (FOUR_DECIMALS, 4)];
        for code in listed.iter().flat_map(|(codes, _)| codes.split(' ')) {
            assert!(Currency::parse(code).is_ok(), "{code}");
        }
        for code in CODES.split(' ') {
            let found = listed.iter().find(|(codes, _)| codes.split(' ').any(|one| one == code));
            let expected = found.map_or(2, |(_, exponent)| *exponent);
            assert_eq!(Currency::parse(code).map(Currency::exponent), Ok(expected), "{code}");
        }
    }

    #[test]
    fn unset_and_unknown_codes_are_refused() {
        for code in ["XXX", "", "US", "DOLLAR", "CAN", "ÄÖ"] {
            assert!(Currency::parse(code).is_err(), "{code}");
        }
        assert_eq!(Currency::parse(" eur ").map(Currency::code), Ok("EUR"));
    }
}
