//! Writing JSON objects with exact amounts, as strings or as numbers, without a float.
//!
//! Invariant: what is finished is a JSON object with its keys in the order they were written.

use std::fmt::{Display, Write};

/// An object under construction.
pub(super) struct Object(String);

/// Cents as a decimal.
pub(super) struct Amount(pub(super) i64);

impl Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, cents) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

impl Object {
    pub(super) fn new() -> Self {
        Self("{".to_owned())
    }

    /// A value that is JSON already: a number, `true`, `null`, an object.
    pub(super) fn raw(mut self, key: &str, value: impl Display) -> Self {
        let comma = if self.0.len() > 1 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{comma}\"{key}\":{value}");
        self
    }

    pub(super) fn text(self, key: &str, value: &str) -> Self {
        self.raw(key, serde_json::Value::from(value))
    }

    pub(super) fn optional(self, key: &str, value: Option<&str>) -> Self {
        self.raw(key, serde_json::Value::from(value))
    }

    /// Nothing under each of the keys.
    pub(super) fn nulls(self, keys: &[&str]) -> Self {
        keys.iter().fold(self, |object, key| object.raw(key, "null"))
    }

    /// An amount as a string under a key, and as money of shop and buyer under `<key>_set`.
    pub(super) fn money(self, key: &str, cents: i64) -> Self {
        self.raw(key, format_args!("\"{}\"", Amount(cents))).set(&format!("{key}_set"), cents)
    }

    /// Money of shop and buyer.
    pub(super) fn set(self, key: &str, cents: i64) -> Self {
        let money = format!("{{\"amount\":\"{}\",\"currency_code\":\"EUR\"}}", Amount(cents));
        let set = format_args!("{{\"shop_money\":{money},\"presentment_money\":{money}}}");
        self.raw(key, set)
    }

    pub(super) fn list(self, key: &str, values: impl IntoIterator<Item = String>) -> Self {
        let values: Vec<String> = values.into_iter().collect();
        self.raw(key, format_args!("[{}]", values.join(",")))
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_json_with_exact_amounts() {
        let object = Object::new().text("a", "x\"y").raw("b", Amount(-5)).money("c", 1230);
        let money = "{\"amount\":\"12.30\",\"currency_code\":\"EUR\"}";
        let set = format!("{{\"shop_money\":{money},\"presentment_money\":{money}}}");
        let expected = format!("{{\"a\":\"x\\\"y\",\"b\":-0.05,\"c\":\"12.30\",\"c_set\":{set}}}");
        assert_eq!(object.finish(), expected);
    }
}
