//! The small forms that values are made of: variable-length numbers, names, currencies, versions.
//!
//! ```text
//! number   7 bits a byte, low bits first; signed ones zigzag
//! name     2n+1 for the decimal number n without leading zeros, below 10^18
//!          else 2 x length, then UTF-8
//! ```
//!
//! Invariant: what is written is read back equal, and there is one way to write it; nothing is
//! read beyond the end and no count is believed that the bytes left could not hold.

use std::cell::Cell;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::key::{CustomerKey, Id, Version};
use ionflux_schemas::time::UtcMs;

use super::CodecError;
use crate::dossier::foremost;

/// Names that are numbers below this are kept as numbers.
const DECIMAL_END: u64 = 1_000_000_000_000_000_000;

/// A name as it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Text<'a> {
    /// The decimal digits of a number, without leading zeros.
    Decimal(u64),
    /// Any other text.
    Plain(&'a str),
}

impl<'a> Text<'a> {
    /// The shorter form of a text.
    pub(crate) fn of(text: &'a str) -> Self {
        if !(1..=18).contains(&text.len()) || text.starts_with('0') {
            return Self::Plain(text);
        }
        let mut number = 0;
        for byte in text.bytes() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return Self::Plain(text);
            }
            number = number * 10 + u64::from(digit);
        }
        Self::Decimal(number)
    }

    /// The name itself.
    pub(crate) fn id(self) -> Id {
        match self {
            Self::Decimal(number) => number.to_string().into(),
            Self::Plain(text) => text.into(),
        }
    }

    /// Its rank among buyers; all of the shorter form are ids of platforms.
    pub(crate) fn foremost(self) -> impl Ord + use<'a> {
        match self {
            Self::Decimal(_) => foremost("0"),
            Self::Plain(text) => foremost(text),
        }
    }

    /// The customer of that name.
    pub(crate) fn customer(self) -> CustomerKey {
        match self {
            // A canonical decimal below 2^63 is its own key.
            Self::Decimal(number) => CustomerKey(number),
            Self::Plain(text) => CustomerKey::of(text),
        }
    }
}

pub(super) fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn signed(out: &mut Vec<u8>, value: i64) {
    number(out, ((value << 1) ^ (value >> 63)) as u64);
}

pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    match Text::of(text) {
        Text::Decimal(decimal) => number(out, decimal << 1 | 1),
        Text::Plain(text) => {
            number(out, (text.len() as u64) << 1);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

pub(super) fn currency(out: &mut Vec<u8>, currency: Currency) {
    // Numbers of currencies may differ in another release; codes never do.
    out.extend_from_slice(currency.code().as_bytes());
}

pub(super) fn wide(out: &mut Vec<u8>, value: u128) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn version(out: &mut Vec<u8>, version: Version) {
    signed(out, version.changed_at.0);
    signed(out, version.raised_at.0);
    wide(out, version.content);
}

/// Bytes that are still to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn byte(&mut self) -> Result<u8, CodecError> {
        let (first, rest) = self.rest.split_first().ok_or(CodecError::Malformed("end"))?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], CodecError> {
        let split = self.rest.split_at_checked(bytes);
        let (taken, rest) = split.ok_or(CodecError::Malformed("end"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn number(&mut self) -> Result<u64, CodecError> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            let overflows = shift == 63 && byte > 1;
            let padded = shift > 0 && byte == 0;
            if overflows || padded {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(CodecError::Malformed("number"))
    }

    pub(super) fn signed(&mut self) -> Result<i64, CodecError> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(super) fn small<T: TryFrom<i64>>(&mut self) -> Result<T, CodecError> {
        T::try_from(self.signed()?).map_err(|_| CodecError::Malformed("number"))
    }

    pub(super) fn at(&mut self) -> Result<UtcMs, CodecError> {
        Ok(UtcMs(self.signed()?))
    }

    /// A number of things that each take at least `bytes_each` bytes.
    pub(super) fn count(&mut self, bytes_each: usize) -> Result<usize, CodecError> {
        let room = self.rest.len() / bytes_each;
        let count = usize::try_from(self.number()?).ok().filter(|count| *count <= room);
        count.ok_or(CodecError::Malformed("count"))
    }

    pub(super) fn text(&mut self) -> Result<Text<'a>, CodecError> {
        let head = self.number()?;
        if head & 1 == 1 {
            let decimal = head >> 1;
            let canonical = (1..DECIMAL_END).contains(&decimal);
            return canonical
                .then_some(Text::Decimal(decimal))
                .ok_or(CodecError::Malformed("name"));
        }
        let bytes = usize::try_from(head >> 1).map_err(|_| CodecError::Malformed("name"))?;
        let text = std::str::from_utf8(self.take(bytes)?);
        text.map(Text::Plain).map_err(|_| CodecError::Malformed("name"))
    }

    pub(super) fn currency(&mut self) -> Result<Currency, CodecError> {
        thread_local! {
            /// Neighbours mostly share their currency, and finding one by its code takes longer
            /// than reading the rest of an order.
            static LAST: Cell<Option<([u8; 3], Currency)>> = const { Cell::new(None) };
        }
        let mut code = [0; 3];
        code.copy_from_slice(self.take(3)?);
        if let Some((_, currency)) = LAST.get().filter(|(last, _)| *last == code) {
            return Ok(currency);
        }
        let text = std::str::from_utf8(&code).map_err(|_| CodecError::Malformed("currency"))?;
        let known = Currency::parse(text).ok().filter(|known| known.code() == text);
        let currency = known.ok_or(CodecError::Malformed("currency"))?;
        LAST.set(Some((code, currency)));
        Ok(currency)
    }

    pub(super) fn wide(&mut self) -> Result<u128, CodecError> {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(self.take(16)?);
        Ok(u128::from_le_bytes(bytes))
    }

    pub(super) fn version(&mut self) -> Result<Version, CodecError> {
        Ok(Version { changed_at: self.at()?, raised_at: self.at()?, content: self.wide()? })
    }

    pub(super) fn end(self) -> Result<(), CodecError> {
        self.rest.is_empty().then_some(()).ok_or(CodecError::Malformed("end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_survive() {
        for value in [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            signed(&mut out, value);
            assert_eq!(Reader::new(&out).signed().unwrap(), value);
        }
        let long = "9".repeat(18);
        for name in ["", "0", "1", "007", "5534129", &long, "9999999999999999999", "ä", "web"] {
            let mut out = Vec::new();
            text(&mut out, name);
            let mut reader = Reader::new(&out);
            assert_eq!(&*reader.text().unwrap().id(), name);
            assert_eq!(Text::of(name).customer(), CustomerKey::of(name), "{name}");
            reader.end().unwrap();
        }
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused() {
        let mut out = Vec::new();
        number(&mut out, 1 << 40);
        assert!(Reader::new(&out).count(1).is_err());
        assert!(Reader::new(&[0xff; 11]).number().is_err());
        assert!(Reader::new(&[0x80, 0]).number().is_err(), "one way to write each number");
    }
}
