//! A body cut into its events: one, a list of them, or one a line.
//!
//! Invariant: how many there may be is known before any of them is read; a broken line costs
//! itself alone.

use std::fmt;

use axum::http::{HeaderMap, header};
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::shopify::broken;

/// How many events one body may hold.
pub const ITEMS_MAX: usize = 10_000;

/// What a body is, as its sender says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// One JSON document.
    Document,
    /// A document a line.
    Lines,
    /// Nobody says: its first bytes do.
    Unsaid,
}

/// Why a body cannot be cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Uncut {
    /// It holds more events than it may.
    TooMany,
    /// It holds none, or is not JSON.
    Malformed(String),
}

impl Form {
    /// What `Content-Type` says.
    pub fn of(headers: &HeaderMap) -> Self {
        let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = text.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        match kind.to_ascii_lowercase().as_str() {
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "application/jsonlines" => Self::Lines,
            "application/json" | "text/json" => Self::Document,
            _ => Self::Unsaid,
        }
    }
}

/// The events of a body.
pub fn cut(body: &[u8], form: Form) -> Result<Vec<&[u8]>, Uncut> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body).trim_ascii();
    if body.is_empty() {
        return Err(Uncut::Malformed("the body holds no event".into()));
    }
    let lines = match form {
        Form::Lines => true,
        Form::Document => false,
        Form::Unsaid => body.starts_with(b"{") && whole(first_line(body)),
    };
    let items = if lines { of_lines(body)? } else { of_document(body)? };
    match items.is_empty() {
        true => Err(Uncut::Malformed("the body holds no event".into())),
        false => Ok(items),
    }
}

fn first_line(body: &[u8]) -> &[u8] {
    body.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

fn whole(line: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(line).is_ok()
}

fn of_lines(body: &[u8]) -> Result<Vec<&[u8]>, Uncut> {
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let items: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).take(ITEMS_MAX + 1).collect();
    if items.len() > ITEMS_MAX { Err(Uncut::TooMany) } else { Ok(items) }
}

fn of_document(body: &[u8]) -> Result<Vec<&[u8]>, Uncut> {
    let text = std::str::from_utf8(body);
    let text = text.map_err(|_| Uncut::Malformed("the body is not valid UTF-8".into()))?;
    let malformed = |error: serde_json::Error| {
        Uncut::Malformed(format!("the body is {}", broken::refusal(&error).reason))
    };
    if !text.starts_with('[') {
        let one: &RawValue = serde_json::from_str(text).map_err(malformed)?;
        return Ok(vec![one.get().as_bytes()]);
    }
    let list: List<'_> = serde_json::from_str(text).map_err(malformed)?;
    if list.more { Err(Uncut::TooMany) } else { Ok(list.items) }
}

/// The elements of a list, up to as many as may be.
struct List<'a> {
    items: Vec<&'a [u8]>,
    more: bool,
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<'de>, A::Error> {
        let mut items = Vec::new();
        while items.len() < ITEMS_MAX {
            match list.next_element::<&'de RawValue>()? {
                Some(item) => items.push(item.get().as_bytes()),
                None => return Ok(List { items, more: false }),
            }
        }
        let mut more = false;
        while list.next_element::<IgnoredAny>()?.is_some() {
            more = true;
        }
        Ok(List { items, more })
    }
}

impl<'de> Deserialize<'de> for List<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, form: Form, expected: &[&str]) {
        let items = cut(body.as_bytes(), form).unwrap();
        let items: Vec<&str> = items.iter().map(|i| std::str::from_utf8(i).unwrap()).collect();
        assert_eq!(items, expected, "{body:?} as {form:?}");
    }

    #[test]
    fn a_body_is_one_event_a_list_or_lines() {
        check("\u{feff} {\"a\": 1}\r\n", Form::Document, &["{\"a\": 1}"]);
        check("[{\"a\":1}, 2,\n[3]]", Form::Unsaid, &["{\"a\":1}", "2", "[3]"]);
        check("{\"a\":1}\r\n\r\n \n{b\n[2]", Form::Lines, &["{\"a\":1}", "{b", "[2]"]);
        check("{\"a\":1}\n{b", Form::Unsaid, &["{\"a\":1}", "{b"]);
        check("{\n\"a\":1}", Form::Unsaid, &["{\n\"a\":1}"]);
    }

    #[test]
    fn what_cannot_be_cut_is_told() {
        let told = |body: &[u8], form| match cut(body, form) {
            Err(Uncut::Malformed(told)) => told,
            other => panic!("{other:?}"),
        };
        assert_eq!(told(b" \n", Form::Lines), "the body holds no event");
        assert_eq!(told(b"[]", Form::Unsaid), "the body holds no event");
        assert_eq!(told(b"[\xff]", Form::Document), "the body is not valid UTF-8");
        assert!(told(b"{\"a\":1}{}", Form::Document).contains("trailing characters"));
        assert!(told(b"[{},", Form::Unsaid).contains("not valid JSON"));
        let many = |items| format!("[{}0]", "0,".repeat(items - 1));
        assert!(cut(many(ITEMS_MAX).as_bytes(), Form::Unsaid).is_ok());
        assert_eq!(cut(many(ITEMS_MAX + 1).as_bytes(), Form::Unsaid), Err(Uncut::TooMany));
        let lines = "0\n".repeat(ITEMS_MAX + 1);
        assert_eq!(cut(lines.as_bytes(), Form::Lines), Err(Uncut::TooMany));
        let deep = "[".repeat(1 << 20);
        assert!(told(deep.as_bytes(), Form::Document).contains("not valid JSON"));
    }
}
