//! Rows and keys as JSON.
//!
//! Invariant: a row is one object with the view's columns in their order and under their names, as
//! the service shows it: amounts as decimal texts, dates and times in ISO 8601. Equal rows have
//! equal bytes.

use std::io::Write;

use ionflux_schemas::avro::Schema;
use ionflux_schemas::time::Day;
use ionflux_schemas::view::{Row, Value};

/// As many as any number has, and more than a currency has decimals.
const DIGITS_MAX: usize = 40;

/// The columns' names as they begin a field: `{"a":`, `,"b":`.
pub(super) struct Fields(Vec<Vec<u8>>);

impl Fields {
    pub(super) fn new(schema: &Schema) -> Self {
        let mut names = Vec::with_capacity(schema.columns.len());
        for column in &schema.columns {
            let mut name = vec![if names.is_empty() { b'{' } else { b',' }];
            string(&column.name, &mut name);
            name.push(b':');
            names.push(name);
        }
        Self(names)
    }

    /// Puts a row behind what is there.
    pub(super) fn row(&self, row: &Row, out: &mut Vec<u8>) {
        for (name, held) in self.0.iter().zip(&row.0) {
            out.extend_from_slice(name);
            value(held, out);
        }
        out.push(b'}');
    }
}

/// The values of a key as an array.
pub(super) fn key(schema: &Schema, row: &Row, out: &mut Vec<u8>) {
    for (at, place) in schema.key.iter().enumerate() {
        out.push(if at == 0 { b'[' } else { b',' });
        value(&row.0[*place], out);
    }
    out.push(b']');
}

fn value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Int(number) => decimal((*number).into(), 0, out),
        Value::Text(text) => string(text, out),
        Value::Money(money) => {
            out.push(b'"');
            decimal(money.minor, money.currency.exponent().into(), out);
            out.push(b'"');
        }
        Value::Day(day) => self::day(*day, out),
        // Writing to memory cannot fail, and an instant needs no escapes.
        Value::Instant(at) => drop(write!(out, "\"{at}\"")),
    }
}

/// A day in ISO 8601. Rows are full of days, and the formatting machinery is slow.
fn day(day: Day, out: &mut Vec<u8>) {
    let date = day.date().filter(|date| (0..=9_999).contains(&date.year()));
    let Some(date) = date else {
        // Writing to memory cannot fail.
        return drop(write!(out, "\"{day}\""));
    };
    let (century, year) = (date.year() / 100, date.year() % 100);
    let [century, year] = [century, year].map(|part| pair(part.unsigned_abs().into()));
    let [month, day] = [date.month(), date.day()].map(|part| pair(part.unsigned_abs().into()));
    let text = [b"\"", &century[..], &year, b"-", &month, b"-", &day, b"\""];
    text.iter().for_each(|part| out.extend_from_slice(part));
}

/// A number with so many of its digits behind a point, and one before it at least.
fn decimal(number: i128, decimals: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; DIGITS_MAX];
    let (mut at, mut rest) = (DIGITS_MAX, number.unsigned_abs());
    // Division of wide numbers is slow, and hardly any is wide.
    while let wide @ 0x1_0000_0000_0000_0000.. = rest {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&pair((wide % 100) as u64));
        rest = wide / 100;
    }
    let mut rest = rest as u64;
    while rest >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&pair(rest % 100));
        rest /= 100;
    }
    if rest > 0 {
        at -= 1;
        digits[at] = b'0' + rest as u8;
    }
    let point = DIGITS_MAX - decimals;
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at.min(point - 1)..point]);
    if decimals > 0 {
        out.push(b'.');
        out.extend_from_slice(&digits[point..]);
    }
}

/// A number below a hundred as two digits.
fn pair(number: u64) -> [u8; 2] {
    [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
}

/// A text with its quotes and escapes.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // A text is always JSON.
        let _ = serde_json::to_writer(out, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::SALES;
    use ionflux_schemas::currency::Currency;
    use ionflux_schemas::money::Money;
    use ionflux_schemas::time::UtcMs;

    fn check(row: &Row, expected: &str) {
        let schema = SALES.parsed();
        let mut out = Vec::new();
        Fields::new(&schema).row(row, &mut out);
        out.push(b' ');
        key(&schema, row, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn rows_are_objects_and_keys_are_arrays() {
        let amount = |minor, code| Value::Money(Money::new(minor, Currency::parse(code).unwrap()));
        let row = |name: &str, amount, orders| {
            let (day, at) = (Value::Day(Day(19_000)), Value::Instant(UtcMs(1_500)));
            Row(vec![Value::text(name), day, amount, orders, at])
        };
        check(
            &row("w\"1\n", amount(-5, "EUR"), Value::Int(-3)),
            "{\"workspace_id\":\"w\\\"1\\n\",\"day\":\"2022-01-08\",\"net\":\"-0.05\",\
             \"orders\":-3,\"last_at\":\"1970-01-01T00:00:01.5Z\"} [\"w\\\"1\\n\",\"2022-01-08\"]",
        );
        check(
            &row("é", amount(i128::from(i64::MAX) * 100, "JPY"), Value::Null),
            "{\"workspace_id\":\"é\",\"day\":\"2022-01-08\",\"net\":\"922337203685477580700\",\
             \"orders\":null,\"last_at\":\"1970-01-01T00:00:01.5Z\"} [\"é\",\"2022-01-08\"]",
        );
    }

    /// Numbers and amounts are what they show themselves as.
    #[test]
    fn numbers_have_all_their_digits() {
        let edges = [0, 1, 5, 9, 10, 99, 100, 1_000, 9_999, 10_000, i128::from(u64::MAX)];
        let wide = [i128::from(u64::MAX) + 1, i128::MAX, i128::MIN + 1, i128::MIN];
        let all = edges.into_iter().chain(wide).chain(edges.map(|minor| -minor));
        for minor in all {
            for code in ["JPY", "EUR", "KWD", "CLF"] {
                let money = Money::new(minor, Currency::parse(code).unwrap());
                let mut out = Vec::new();
                value(&Value::Money(money), &mut out);
                assert_eq!(String::from_utf8(out).unwrap(), format!("\"{money}\""));
            }
        }
        for number in [0, -1, 10, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            value(&Value::Int(number), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }

    /// The short ways and the formatting machinery agree, whatever the day and the text.
    #[test]
    fn days_and_texts_are_what_they_show_themselves_as() {
        for edge in [-4_371_587, -719_529, -719_528, -1, 0, 19_000, 2_932_896, 2_932_897, i32::MAX]
        {
            for number in edge.saturating_sub(40)..=edge.saturating_add(40) {
                let mut out = Vec::new();
                value(&Value::Day(Day(number)), &mut out);
                assert_eq!(String::from_utf8(out).unwrap(), format!("\"{}\"", Day(number)));
            }
        }
        for letter in (0..=0x2ff).filter_map(char::from_u32) {
            let (text, mut out) = (format!("a{letter}é"), Vec::new());
            string(&text, &mut out);
            assert_eq!(out, serde_json::to_vec(&text).unwrap(), "{letter:?}");
        }
    }
}
