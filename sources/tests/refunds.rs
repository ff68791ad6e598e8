//! Refunds of shops whose prices hold the tax, inside their order and alone: tax is given back
//! once, whatever came last.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::event::{Event, Refund};
use ionflux_schemas::key::Version;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::list::read_delivery;
use serde_json::{Value, json};

const AT: &str = "2026-03-09T09:00:00-05:00";

fn money(amount: &str) -> Value {
    json!({ "shop_money": { "amount": amount, "currency_code": "EUR" } })
}

/// 6.00 of shipping given back, 0.96 of it tax, as it was told before version 2024-10 or since.
fn refund(old: bool, lines: Value) -> Value {
    let adjustment = json!({ "id": 1, "kind": "shipping_refund", "amount_set": money("-6.00"),
        "tax_amount_set": money("-0.96") });
    let shipping = json!({ "id": 1, "subtotal_amount_set": money("6.00"),
        "tax_amount_set": money("0.96") });
    json!({ "id": 601, "order_id": 1001, "created_at": AT, "refund_line_items": lines,
        "order_adjustments": if old { vec![adjustment] } else { vec![] },
        "refund_shipping_lines": if old { vec![] } else { vec![shipping] } })
}

fn order(included: bool, refund: &Value) -> Value {
    json!({ "id": 1001, "created_at": "2026-03-01T09:00:00-05:00", "updated_at": AT,
        "currency": "EUR", "taxes_included": included, "total_tax": "0.96",
        "line_items": [{ "id": 11, "product_id": 7, "quantity": 1, "price": "11.00" }],
        "refunds": [refund] })
}

/// The refund in a webhook that was raised at a second of that minute.
fn read(topic: &str, raised_s: Option<u8>, body: &Value) -> (Version, Refund) {
    let mut headers = BTreeMap::from([
        ("x-shopify-topic".into(), topic.into()),
        ("x-shopify-shop-domain".into(), "a.example".into()),
    ]);
    headers.extend(raised_s.map(|second| {
        ("x-shopify-triggered-at".into(), format!("2026-03-09T14:00:{second:02}Z").into())
    }));
    let delivery = Delivery {
        source: "shopify-webhooks".into(),
        workspace: "w".into(),
        received_at: UtcMs(1),
        headers,
        body: body.to_string().into_bytes().into(),
    };
    let decoded = read_delivery(&delivery, Position(0));
    assert_eq!(decoded.faults, []);
    let refund = |event| if let Event::Refund(refund) = event { Some(refund) } else { None };
    let mut all = decoded.envelopes.into_iter();
    all.find_map(|envelope| Some((envelope.version, refund(envelope.event)?))).unwrap()
}

#[test]
fn a_refund_inside_its_order_outranks_the_same_alone_of_its_second() {
    for old in [false, true] {
        let refund = refund(old, json!([]));
        for raised in [[None, None], [Some(1), Some(2)], [Some(2), Some(1)], [None, Some(59)]] {
            let (inside, known) = read("orders/updated", raised[0], &order(true, &refund));
            let (alone, unknown) = read("refunds/create", raised[1], &refund);
            assert!(inside > alone, "{raised:?}");
            assert_eq!((known.shipping, known.taxes), (504, 96));
            assert_eq!((unknown.shipping, unknown.taxes), (600, 96));
        }
        let (_, on_top) = read("orders/updated", None, &order(false, &refund));
        assert_eq!((on_top.shipping, on_top.taxes), (600, 96));
    }
}

#[test]
fn goods_that_hold_their_tax_tell_it_of_the_shipping_beside_them() {
    let line = |price: &str| {
        json!([{ "quantity": 1, "subtotal_set": money(price), "total_tax_set": money("1.00"),
            "line_item": { "id": 11, "product_id": 7, "quantity": 1, "price": price,
                "tax_lines": [{ "price": "1.00", "rate": 0.1 }] } }])
    };
    for old in [false, true] {
        let (_, inside) = read("refunds/create", None, &refund(old, line("11.00")));
        assert_eq!((inside.lines[0].amount, inside.shipping, inside.taxes), (1_000, 504, 196));
        let (_, on_top) = read("refunds/create", None, &refund(old, line("10.00")));
        assert_eq!((on_top.lines[0].amount, on_top.shipping, on_top.taxes), (1_000, 600, 196));
    }
}
