//! Rows and keys as JSON.
//!
//! Invariant: a row is one object with the view's columns in their order and under their names, as
//! the service shows it: amounts as decimal texts, dates and times in ISO 8601. Equal rows have
//! equal bytes.

use std::io::Write;

use ionflux_schemas::avro::Schema;
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
    // Writing to memory cannot fail; numbers, dates and amounts need no escapes.
    let _ = match value {
        Value::Day(day) => write!(out, "\"{day}\""),
        Value::Instant(at) => write!(out, "\"{at}\""),
        other => {
            plain(other, out);
            Ok(())
        }
    };
}

/// What rows are full of, without the formatting machinery.
fn plain(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => string(text, out),
        Value::Int(number) => decimal((*number).into(), 0, out),
        Value::Money(money) => {
            out.push(b'"');
            decimal(money.minor, money.currency.exponent().into(), out);
            out.push(b'"');
        }
        _ => out.extend_from_slice(b"null"),
    }
}

/// A number with so many of its digits behind a point, and one before it at least.
fn decimal(number: i128, decimals: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; DIGITS_MAX];
    let (mut at, mut rest) = (DIGITS_MAX, number.unsigned_abs());
    // Division of wide numbers is slow, and hardly any is wide.
    while let wide @ 0x1_0000_0000_0000_0000.. = rest {
        at -= 1;
        digits[at] += (wide % 10) as u8;
        rest = wide / 10;
    }
    let mut rest = rest as u64;
    while rest > 0 {
        at -= 1;
        digits[at] += (rest % 10) as u8;
        rest /= 10;
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

/// A text with its quotes and escapes.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    // A text is always JSON.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::SALES;
    use ionflux_schemas::currency::Currency;
    use ionflux_schemas::money::Money;
    use ionflux_schemas::time::{Day, UtcMs};

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
}
