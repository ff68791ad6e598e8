//! Rows in PostgreSQL's binary COPY format.
//!
//! Invariant: an amount arrives exactly; a value that its column cannot hold is an error that says
//! which column, never a changed value.

use ionflux_schemas::avro::{ColumnKind, MONEY_SCALE};
use ionflux_schemas::money::Money;
use ionflux_schemas::time::{Day, UtcMs};
use ionflux_schemas::view::{Row, Value};

use super::table::Table;
use super::text::{stored, stored_in_key};
use crate::error::SinkError;

/// The signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// PostgreSQL counts from 2000-01-01.
const DAYS_TO_2000: i32 = 10_957;
const MS_TO_2000: i64 = DAYS_TO_2000 as i64 * 86_400_000;
/// The years 1 to 9999, which every client can read.
const DAYS: std::ops::Range<i32> = -719_162..2_932_897;
/// The digits of a numeric are of base 10,000, so that the four decimals of money are one of them.
const BASE: u128 = 10_000;
const NEGATIVE: u16 = 0x4000;
const MONEY_MAX: u128 = 10_u128.pow(38);

/// Rows on their way to a table.
pub(super) struct Encoder<'a> {
    table: &'a Table,
    bytes: Vec<u8>,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(table: &'a Table) -> Self {
        Self { table, bytes: HEADER.to_vec() }
    }

    /// A row with all its columns.
    pub(super) fn whole(&mut self, row: &Row) -> Result<(), SinkError> {
        self.begin(row, self.table.width())?;
        (0..row.0.len()).try_for_each(|place| self.field(place, &row.0[place]))
    }

    /// A row for staging: whether it goes, and its columns, of which a row that goes has its key.
    pub(super) fn staged(&mut self, row: &Row, gone: bool) -> Result<(), SinkError> {
        self.begin(row, self.table.width() + 1)?;
        self.sized(&[u8::from(gone)]);
        for (place, value) in row.0.iter().enumerate() {
            if gone && !self.table.in_key(place) {
                self.bytes.extend(NULL);
            } else {
                self.field(place, value)?;
            }
        }
        Ok(())
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that wait.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(super) fn end(&mut self) {
        self.bytes.extend(TRAILER);
    }

    fn begin(&mut self, row: &Row, fields: usize) -> Result<(), SinkError> {
        if row.0.len() != self.table.width() {
            return Err(self.table.refused("a row has another number of columns"));
        }
        // A table has at most 1,600 columns, which its check rules out long before.
        self.bytes.extend((fields as i16).to_be_bytes());
        Ok(())
    }

    fn field(&mut self, place: usize, value: &Value) -> Result<(), SinkError> {
        let column = self.table.column(place);
        match (value, column.kind) {
            (Value::Null, _) if column.nullable => self.bytes.extend(NULL),
            (Value::Text(text), ColumnKind::Text) => {
                let text = match self.table.in_key(place) {
                    true => stored_in_key(text, self.table.key_text_bytes),
                    false => stored(text),
                };
                let fits = i32::try_from(text.len()).is_ok();
                if !fits {
                    return Err(self.unfit(place, "is too long"));
                }
                self.sized(text.as_bytes());
            }
            (Value::Int(number), ColumnKind::Int) => self.sized(&number.to_be_bytes()),
            (Value::Day(Day(day)), ColumnKind::Day) => {
                if !DAYS.contains(day) {
                    return Err(self.unfit(place, "is outside the years 1 to 9999"));
                }
                self.sized(&(day - DAYS_TO_2000).to_be_bytes());
            }
            (Value::Instant(UtcMs(at)), ColumnKind::Instant) => {
                let day = i32::try_from(at.div_euclid(86_400_000));
                if !day.is_ok_and(|day| DAYS.contains(&day)) {
                    return Err(self.unfit(place, "is outside the years 1 to 9999"));
                }
                self.sized(&((at - MS_TO_2000) * 1000).to_be_bytes());
            }
            (Value::Money(money), ColumnKind::Money) => {
                let number = numeric(*money);
                let number = number.ok_or_else(|| self.unfit(place, "has over 38 digits"))?;
                self.sized(&number);
            }
            _ => return Err(self.unfit(place, "is of another kind, or null")),
        }
        Ok(())
    }

    fn sized(&mut self, field: &[u8]) {
        self.bytes.extend((field.len() as i32).to_be_bytes());
        self.bytes.extend(field);
    }

    fn unfit(&self, place: usize, problem: &str) -> SinkError {
        let column = &self.table.column(place).name;
        self.table.refused(&format!("a value of the column {column} {problem}"))
    }
}

/// An amount as a binary numeric of four decimals; `None` when it has more than 38 digits.
fn numeric(money: Money) -> Option<Vec<u8>> {
    let missing = MONEY_SCALE.checked_sub(money.currency.exponent().into())?;
    let mut rest = money.minor.unsigned_abs().checked_mul(10_u128.pow(missing))?;
    if rest >= MONEY_MAX {
        return None;
    }
    let mut digits: Vec<u16> = Vec::with_capacity(10);
    while rest > 0 {
        digits.push((rest % BASE) as u16);
        rest /= BASE;
    }
    // The first digit stands for 10,000 to the power of the weight; the last one for decimals.
    let weight = digits.len() as i16 - 2;
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    let kept = digits.split_off(zeros);
    let sign = if money.minor < 0 { NEGATIVE } else { 0 };
    let mut bytes = Vec::with_capacity(8 + 2 * kept.len());
    bytes.extend((kept.len() as i16).to_be_bytes());
    bytes.extend(if kept.is_empty() { 0 } else { weight }.to_be_bytes());
    bytes.extend(sign.to_be_bytes());
    bytes.extend((MONEY_SCALE as i16).to_be_bytes());
    kept.iter().rev().for_each(|digit| bytes.extend(digit.to_be_bytes()));
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ionflux_schemas::currency::Currency;
    use proptest::prelude::*;

    /// The decimal text of a binary numeric, by its definition.
    fn text_of(bytes: &[u8]) -> String {
        let word = |at: usize| i16::from_be_bytes([bytes[2 * at], bytes[2 * at + 1]]);
        let (count, weight) = (word(0), word(1));
        let digit = |power: i16| {
            let at = weight - power;
            if (0..count).contains(&at) { word(4 + at as usize) } else { 0 }
        };
        let whole: String = (0..=weight.max(0)).rev().map(|p| format!("{:04}", digit(p))).collect();
        let whole = whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        let sign = if word(2) == NEGATIVE as i16 { "-" } else { "" };
        assert_eq!((word(3), bytes.len()), (4, 8 + 2 * count as usize));
        format!("{sign}{whole}.{:04}", digit(-1))
    }

    fn amount(minor: i128, code: &str) -> Money {
        Money::new(minor, Currency::parse(code).unwrap())
    }

    #[test]
    fn amounts_at_the_edges() {
        let check = |minor, code, expected: &str| {
            assert_eq!(text_of(&numeric(amount(minor, code)).unwrap()), expected);
        };
        check(0, "EUR", "0.0000");
        check(1, "EUR", "0.0100");
        check(-10_000_000, "EUR", "-100000.0000");
        check(7, "JPY", "7.0000");
        check(-1, "CLF", "-0.0001");
        assert!(numeric(amount(10_i128.pow(36), "EUR")).is_none());
        assert!(numeric(amount(i128::MIN, "JPY")).is_none());
        assert!(numeric(amount(10_i128.pow(36) - 1, "EUR")).is_some());
    }

    proptest! {
        #[test]
        fn a_numeric_says_what_the_amount_says(
            minor in -10_i128.pow(34)..10_i128.pow(34),
            shift in 0..112_u32,
            code in prop::sample::select(vec!["EUR", "JPY", "KWD", "CLF"]),
        ) {
            let money = amount(minor >> shift, code);
            let plain = money.to_string();
            let decimals = plain.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            let point = if decimals == 0 { "." } else { "" };
            let expected = format!("{plain}{point}{}", "0".repeat(4 - decimals));
            let expected = if money.minor == 0 { "0.0000".to_owned() } else { expected };
            prop_assert_eq!(text_of(&numeric(money).unwrap()), expected);
        }
    }
}
