//! One document of a webhook file: a bare body, or a body with its headers beside it.
//!
//! Invariant: header names are read in any case, with and without `X-`.

use std::borrow::Cow;
use std::sync::Arc;

use ionflux_schemas::fault::Place;
use serde_json::value::RawValue;

use super::scalar::Scalar;
use super::shape::Members;
use super::webhook::{Webhook, parse, records};
use crate::reading::{Decoded, Refusal, Setting};

/// The headers that matter, as far as a document has them.
#[derive(Default)]
struct Headers<'a> {
    topic: Option<Cow<'a, str>>,
    shop: Option<Cow<'a, str>>,
    triggered_at: Option<Cow<'a, str>>,
    test: bool,
}

/// The document's body and its headers.
type Parts<'a> = (Headers<'a>, Cow<'a, str>);

/// The first text of a header: a string, or a list of strings as HTTP libraries dump them.
fn first(value: &RawValue) -> Option<Cow<'_, str>> {
    if value.get().starts_with('[') {
        let values: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
        return values.into_iter().next().and_then(|value| Scalar::of(value).text());
    }
    Scalar::of(value).text()
}

impl<'a> Headers<'a> {
    fn of(headers: &Members<'a>) -> Self {
        let find = |name: &str| {
            let named = |key: &str| {
                let key = key.to_ascii_lowercase().replace('_', "-");
                key.strip_prefix("x-").unwrap_or(&key) == name
            };
            headers.0.iter().find(|(key, _)| named(key)).and_then(|(_, value)| first(value))
        };
        Self {
            topic: find("shopify-topic"),
            shop: find("shopify-shop-domain"),
            triggered_at: find("shopify-triggered-at"),
            test: find("shopify-test").is_some_and(|test| !test.eq_ignore_ascii_case("false")),
        }
    }

    fn beside(members: &Members<'a>) -> Self {
        let find = |names: &[&str]| {
            names.iter().find_map(|name| members.get(name)).and_then(|v| Scalar::of(v).text())
        };
        Self {
            topic: find(&["topic"]),
            shop: find(&["shop_domain", "shop"]),
            triggered_at: find(&["triggered_at"]),
            test: find(&["test"]).is_some_and(|test| test.eq_ignore_ascii_case("true")),
        }
    }
}

/// A body that is an object, or the text of one inside a string.
fn body(value: &RawValue) -> Cow<'_, str> {
    if value.get().starts_with('"') {
        return Scalar::of(value).text().unwrap_or_default();
    }
    Cow::Borrowed(value.get())
}

fn parts(text: &str) -> Result<Parts<'_>, Refusal> {
    let bare = || Ok((Headers::default(), Cow::Borrowed(text)));
    if !text.trim_start().starts_with('{') {
        return bare();
    }
    let members: Members<'_> = parse(text)?;
    if let (Some(headers), Some(value)) = (members.get("headers"), members.get("body")) {
        return Ok((Headers::of(&parse(headers.get())?), body(value)));
    }
    match (members.get("topic"), members.get("payload").or_else(|| members.get("body"))) {
        (Some(_), Some(value)) => Ok((Headers::beside(&members), body(value))),
        _ => bare(),
    }
}

/// What a document of a file says; its faults are at `line` of `source`.
pub fn decode(text: &str, setting: &Setting, source: &Arc<str>, line: u64) -> Decoded {
    let (headers, body) = match parts(text) {
        Ok(parts) => parts,
        Err(refusal) => return refused(refusal, None, setting, source, line),
    };
    let webhook = Webhook {
        topic: headers.topic.as_deref(),
        shop: headers.shop.as_deref(),
        triggered_at: headers.triggered_at.as_deref(),
        test: headers.test,
        body: &body,
    };
    let mut decoded = Decoded::default();
    for outcome in records(&webhook, setting) {
        match outcome {
            Ok(envelopes) => decoded.envelopes.extend(envelopes),
            Err(refusal) => {
                let fault = refused(refusal, webhook.shop, setting, source, line);
                decoded.faults.extend(fault.faults);
            }
        }
    }
    decoded
}

/// A refusal at a line, of the shop as far as it is known.
pub fn refused(
    refusal: Refusal,
    shop: Option<&str>,
    setting: &Setting,
    source: &Arc<str>,
    line: u64,
) -> Decoded {
    let fault = refusal.at(setting.shop_key(shop), Place { source: Arc::clone(source), line });
    Decoded { faults: vec![fault], ..Decoded::default() }
}
