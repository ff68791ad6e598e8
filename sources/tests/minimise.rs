//! The minimiser against a plain one over trees: same values, nothing more taken out, nothing less.

#![allow(clippy::unwrap_used)]

use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::subjects::minimise::{DEPTH_MAX, minimise};
use ionflux_sources::subjects::table::{Kind, Rules};
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

fn rules(source: &str, topic: &str) -> Rules {
    let headers = [("x-shopify-topic".into(), topic.into())].into_iter().collect();
    let (source, workspace) = (source.into(), "w".into());
    let delivery =
        Delivery { source, workspace, received_at: UtcMs(0), headers, body: Box::default() };
    Rules::of(&delivery).unwrap()
}

/// A name that tells whose it is, so that a wrong one is seen.
fn named(kind: Kind, id: &str) -> Option<u64> {
    (id != "forgotten")
        .then(|| id.bytes().fold(kind as u64, |n, b| n * 31 % 9_999_991 + u64::from(b)))
}

fn run(source: &str, body: &str) -> Option<String> {
    let out = minimise(body.as_bytes(), &rules(source, ""), &mut named).ok()?;
    Some(String::from_utf8(out.into_owned()).unwrap())
}

fn shopify(body: &str) -> String {
    run("shopify-webhooks", body).unwrap()
}

#[test]
fn what_no_view_needs_goes_and_the_rest_stays_byte_for_byte() {
    let body =
        "{ \"id\" : 1.50e+3, \"email\":\"a@b.c\",\r\n\"name\":\"#1001\",\"na\\u006de\":\"x\",
        \"line_items\":[{\"name\":\"Mug \\u00e9\",
        \"properties\":[{\"name\":\"To\",\"value\":\"Ann\"}]}],
        \"billing_address\": {\"address1\":\"x {]\"}, \"phone\":null, \"id\":2 }";
    let left = "{ \"id\" : 1.50e+3, \"email\":null,\r\n\"name\":\"#1001\",\"na\\u006de\":\"x\",
        \"line_items\":[{\"name\":\"Mug \\u00e9\",
        \"properties\":null}],
        \"billing_address\": null, \"phone\":null, \"id\":2 }";
    assert_eq!(shopify(body), left);
    assert_eq!(
        shopify(r#"{"e\u006dail":"a@b.c","FirstName":["x"]}"#),
        r#"{"e\u006dail":null,"FirstName":null}"#
    );
    assert_eq!(shopify("[]  {}\n1"), "[]  {}\n1", "documents in a row");
}

#[test]
fn buyers_have_their_name_and_nothing_else() {
    let name = named(Kind::Customer, "77").unwrap();
    for (body, left) in [
        (
            r#"{"customer":{"id":77,"state":"x","tags":"vip"}}"#,
            format!(r#"{{"customer":{{"id":{name},"state":null,"tags":null}}}}"#),
        ),
        (r#"{"customer":{"id":"77"}}"#, format!(r#"{{"customer":{{"id":"{name}"}}}}"#)),
        (
            r#"{"customer":{"id":"gid://shopify/Customer/77?a=b"}}"#,
            format!(r#"{{"customer":{{"id":"gid://shopify/Customer/{name}?a=b"}}}}"#),
        ),
        (
            r#"{"customer":{"admin_graphql_api_id":"https://x"}}"#,
            r#"{"customer":{"admin_graphql_api_id":null}}"#.to_owned(),
        ),
        (
            r#"{"customer_id":77,"customer":null,"a":[]}"#,
            format!(r#"{{"customer_id":{name},"customer":null,"a":[]}}"#),
        ),
        (r#"{"customer":"forgotten"}"#, r#"{"customer":null}"#.to_owned()),
        (
            r#"{"customer":{"id":1.5},"customer_id":-7}"#,
            r#"{"customer":{"id":null},"customer_id":null}"#.to_owned(),
        ),
        (r#"{"user_id":5}"#, r#"{"user_id":null}"#.to_owned()),
    ] {
        assert_eq!(shopify(body), left);
    }
    let order = r#"{"line_items":{"edges":[{"node":{"properties":[1],"id":3}}]}}"#;
    assert_eq!(shopify(order), r#"{"line_items":{"edges":[{"node":{"properties":null,"id":3}}]}}"#);
}

#[test]
fn documents_inside_texts_are_minimised_as_well() {
    let user = named(Kind::User, "u-1").unwrap();
    let event = r#"{"user_id":"u-1","payload_json":"{\"email\":\"a@b.c\",\"n\":1}"}"#;
    let left = format!(r#"{{"user_id":"{user}","payload_json":"{{\"email\":null,\"n\":1}}"}}"#);
    assert_eq!(run("platform-events", event).unwrap(), left);
    let message = r#"{"type":14,"data":{"content":"{\"content\":\"hello\"}","sender":{"x":1}}}"#;
    let left = r#"{"type":14,"data":{"content":null,"sender":null}}"#;
    assert_eq!(run("tiktok-webhooks", message).unwrap(), left);
    let broken = r#"{"payload_json":"{\"email\":"}"#;
    assert_eq!(run("platform-events", broken).unwrap(), r#"{"payload_json":null}"#);
    let text = r#"{"title":"[Sale] Mug","x":" [{\"email\":1}]","y":"{\"email\":","z":"[1]"}"#;
    let left = r#"{"title":"[Sale] Mug","x":" [{\"email\":null}]","y":"{\"email\":","z":"[1]"}"#;
    assert_eq!(shopify(text), left);
    let mut nested = r#"{"email":"a@b.c"}"#.to_owned();
    for _ in 0..6 {
        nested = serde_json::json!({ "x": nested }).to_string();
    }
    assert!(!shopify(&nested).contains("a@b.c"));
}

#[test]
fn who_stands_beside_a_buyer_goes_as_well() {
    for name in [
        "attributes",
        "metafields",
        "delivery_address",
        "shipTo",
        "contact",
        "created_by",
        "po_number",
        "source_url",
        "cart_token",
    ] {
        assert_eq!(shopify(&format!("{{\"{name}\":\"x\"}}")), format!("{{\"{name}\":null}}"));
    }
    let user = named(Kind::Customer, "77").unwrap();
    for name in ["buyer", "buyers", "customers"] {
        let left = format!(r#"{{"{name}":[{user},{{"id":"{user}","name":null}}]}}"#);
        let body = format!(r#"{{"{name}":[77,{{"id":"77","name":"Ann"}}]}}"#);
        assert_eq!(shopify(&body), left);
        assert_eq!(shopify(&format!(r#"{{"{name}":77}}"#)), format!(r#"{{"{name}":{user}}}"#));
    }
    let paid = r#"{"message":"a","transactions":[{"message":"Ann paid","id":1}]}"#;
    let left = r#"{"message":"a","transactions":[{"message":null,"id":1}]}"#;
    assert_eq!(shopify(paid), left);
    let rules = rules("shopify-webhooks", "order_transactions/create");
    let out = minimise(br#"{"message":"Ann paid"}"#, &rules, &mut named).unwrap();
    assert_eq!(&*out, br#"{"message":null}"#);
    let user = named(Kind::User, "o-1").unwrap();
    let left = format!(r#"{{"event":"x","user_openid":"{user}"}}"#);
    let body = r#"{"event":"x","user_openid":"o-1"}"#;
    assert_eq!(run("tiktok-developer-webhooks", body).unwrap(), left);
}

#[test]
fn what_stands_too_deep_goes_and_costs_no_stack() {
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(shopify(&deep(DEPTH_MAX)), deep(DEPTH_MAX));
    let cut = shopify(&deep(1_000_000));
    assert_eq!(cut, format!("{}null{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX)));
    let dropped = format!(r#"{{"email":{}}}"#, deep(1_000_000));
    assert_eq!(shopify(&dropped), r#"{"email":null}"#);
    for broken in ["", " ", "[1", "{\"a\" 1}", "[1,]", "{,}", "01", "1.", "-", "\"\u{1}\"", "nul"] {
        assert_eq!(run("shopify-webhooks", broken), None, "{broken}");
    }
    assert!(minimise(b"\"\xff\"", &rules("shopify-webhooks", ""), &mut named).is_err());
}

/// The same by trees, for sources of Shopify: what the list means, in other words.
fn oracle(value: &mut Value, buyer: bool) {
    const DROPPED: [&str; 5] = ["email", "first_name", "billingAddress", "note", "user_id"];
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| oracle(value, buyer)),
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                match name.as_str() {
                    "id" if buyer => scalar(value),
                    _ if buyer => *value = Value::Null,
                    name if DROPPED.contains(&name) => *value = Value::Null,
                    "customer_id" => scalar(value),
                    "customer" if value.is_object() => oracle(value, true),
                    "customer" => customer(value),
                    _ => oracle(value, false),
                }
            }
        }
        _ => {}
    }
}

fn customer(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| match value {
            Value::Object(_) => oracle(value, true),
            other => customer(other),
        }),
        other => scalar(other),
    }
}

fn scalar(value: &mut Value) {
    match value {
        Value::String(text) if !text.trim().is_empty() => {
            *value = named(Kind::Customer, text.trim()).map(|n| n.to_string()).into();
        }
        Value::Number(number) if number.is_u64() => {
            *value = named(Kind::Customer, &number.to_string()).into();
        }
        // Below zero, or no whole number.
        Value::Number(_) => *value = Value::Null,
        Value::Array(list) => list.iter_mut().for_each(scalar),
        Value::Object(_) => *value = Value::Null,
        _ => {}
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[\\\\\"\u{0}-\u{30}é]{0,12}".prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "id",
        "email",
        "first_name",
        "billingAddress",
        "note",
        "user_id",
        "customer",
        "customer_id",
        "line_items",
        "name",
        "é\"\\",
        "",
    ]);
    leaf.prop_recursive(5, 60, 6, move |inner| {
        let members = prop::collection::vec((names.clone(), inner.clone()), 0..6);
        let object = members.prop_map(|members| {
            Value::Object(
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            )
        });
        prop_oneof![object, prop::collection::vec(inner, 0..5).prop_map(Value::from)]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn it_says_what_the_plain_one_says(value in value(), pretty in any::<bool>()) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        let left: Value = serde_json::from_str(&shopify(&text)).unwrap();
        let mut expected = value;
        oracle(&mut expected, false);
        prop_assert_eq!(left, expected);
    }

    #[test]
    fn what_is_no_json_before_is_none_after(
        value in value(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = value.to_string().into_bytes();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let read = serde_json::Deserializer::from_slice(&bytes).into_iter::<IgnoredAny>();
        let mut documents = 0;
        let good = std::str::from_utf8(&bytes).is_ok()
            && read.inspect(|_| documents += 1).all(|read| read.is_ok()) && documents > 0;
        let out = minimise(&bytes, &rules("shopify-webhooks", ""), &mut named);
        // Where two documents touch, nobody reads them.
        if out.is_ok() != good {
            prop_assert!(serde_json::from_slice::<IgnoredAny>(&bytes).is_err(), "{bytes:?}");
        }
        if let Ok(out) = out {
            let one = |bytes: &[u8]| serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
            prop_assert_eq!(one(&out), one(&bytes));
        }
    }
}
