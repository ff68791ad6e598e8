//! The life of one order as its shop's webhooks tell it: created, paid, shipped, edited, given
//! back, cancelled, deleted; and what stands beside it.
//!
//! Invariant: order and number of deliveries change nothing, and what a sweep reads from the API
//! afterwards makes good whatever was lost.

#![allow(clippy::unwrap_used)]

mod folded;

use std::sync::LazyLock;

use folded::{State, bodies, fold};
use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::entity::{Body, Kind, Transaction};
use ionflux_schemas::event::{Envelope, Event};
use ionflux_schemas::time::UtcMs;
use ionflux_sources::list::read_delivery;
use proptest::prelude::*;
use serde_json::{Value, json};

fn minute(minute: u32) -> String {
    format!("2026-03-01T{:02}:{:02}:00-05:00", 9 + minute / 60, minute % 60)
}

fn money(amount: &str) -> Value {
    json!({"shop_money": {"amount": amount, "currency_code": "USD"}})
}

fn transaction(id: u64, kind: &str, status: &str, amount: &str) -> Value {
    // A pending one is only created; its end is when it was processed.
    let ended = (status != "pending").then(|| minute(id as u32 % 60 + 1));
    json!({
        "id": id, "order_id": 1001, "kind": kind, "status": status, "amount": amount,
        "currency": "USD", "gateway": "bogus", "test": false, "parent_id": null,
        "created_at": minute(id as u32 % 60), "processed_at": ended, "message": "not for us",
    })
}

fn refund() -> Value {
    json!({
        "id": 601, "order_id": 1001, "created_at": minute(40), "processed_at": minute(40),
        "refund_line_items": [{
            "quantity": 1, "line_item_id": 11, "subtotal_set": money("20.00"),
            "total_tax_set": money("0.00"),
            "line_item": {"id": 11, "product_id": 7001, "quantity": 2, "price": "20.00"},
        }],
        "order_adjustments": [],
        "refund_shipping_lines": [],
        "transactions": [transaction(9041, "refund", "success", "20.00")],
    })
}

/// The order as it stood at a minute.
fn order(at: u32) -> Value {
    let lines = |units: u32| {
        let mut lines = vec![json!({
            "id": 11, "product_id": 7001, "quantity": 2, "price": "20.00", "tax_lines": [],
        })];
        if units > 2 {
            let added = json!({"id": 12, "product_id": 7002, "quantity": 1, "price": "5.00"});
            lines.push(added);
        }
        lines
    };
    let refunds = if at >= 40 { vec![refund()] } else { vec![] };
    let transactions =
        if at >= 6 { vec![transaction(9005, "sale", "success", "40.00")] } else { vec![] };
    json!({
        "id": 1001, "created_at": minute(0), "processed_at": minute(0), "updated_at": minute(at),
        "currency": "USD", "total_price": "40.00", "total_price_set": money("40.00"),
        "total_tax": "0.00", "taxes_included": false, "test": false, "source_name": "web",
        "cancelled_at": (at >= 50).then(|| minute(50)), "shipping_lines": [],
        "line_items": lines(if at >= 30 { 3 } else { 2 }), "refunds": refunds,
        "transactions": transactions,
    })
}

fn checkout(at: u32, completed: bool) -> Value {
    json!({
        "id": 4001, "token": "tok-1", "created_at": minute(0), "updated_at": minute(at),
        "completed_at": completed.then(|| minute(at)), "currency": "USD", "total_price": "40.00",
        "line_items": [{"quantity": 2}],
    })
}

/// Every delivery of the life: its topic, the minute it was raised, its body.
fn life() -> Vec<(&'static str, u32, Value)> {
    let dispute = |status: &str| {
        json!({"id": 285, "order_id": 1001, "type": "chargeback", "amount": "20.00",
            "currency": "USD", "reason": "fraudulent", "status": status,
            "initiated_at": minute(45)})
    };
    let item = |at: u32, cost: Value| {
        let updated = minute(at);
        json!({"id": 1071, "sku": "K", "updated_at": updated, "tracked": true, "cost": cost})
    };
    let added = json!({"order_edit": {"id": 77, "order_id": 1001, "committed_at": minute(30),
        "line_items": {"additions": [{"id": 12, "delta": 1}], "removals": []}}});
    let product = json!({
        "id": 7001, "title": "Kettle", "updated_at": minute(51),
        "variants": [{"id": 71, "price": "20.00", "inventory_item_id": 1071}],
    });
    vec![
        ("checkouts/create", 0, checkout(0, false)),
        ("orders/create", 1, order(1)),
        ("checkouts/update", 1, checkout(1, true)),
        ("order_transactions/create", 5, transaction(9005, "sale", "pending", "40.00")),
        ("order_transactions/create", 6, transaction(9005, "sale", "success", "40.00")),
        ("orders/paid", 6, order(6)),
        ("orders/updated", 7, order(6)),
        ("inventory_items/update", 8, item(8, json!("7.50"))),
        ("inventory_items/update", 9, item(9, Value::Null)),
        ("orders/fulfilled", 20, order(20)),
        ("orders/edited", 30, added),
        ("orders/updated", 30, order(30)),
        ("refunds/create", 40, refund()),
        ("order_transactions/create", 41, transaction(9041, "refund", "success", "20.00")),
        ("orders/updated", 41, order(41)),
        ("disputes/create", 45, dispute("needs_response")),
        ("disputes/update", 48, dispute("won")),
        ("orders/cancelled", 50, order(50)),
        ("products/update", 51, product),
        ("products/delete", 52, json!({"id": 7001})),
        ("orders/delete", 55, json!({"id": 1001})),
    ]
}

fn said(topic: &str, raised: Option<u32>, body: &Value) -> Vec<Envelope> {
    let mut headers = vec![("x-shopify-shop-domain", "acme.myshopify.com".to_owned())];
    headers.push(("x-shopify-topic", topic.to_owned()));
    headers.extend(raised.map(|at| ("x-shopify-triggered-at", minute(at))));
    let delivery = Delivery {
        source: "shopify-webhooks".into(),
        workspace: "w".into(),
        received_at: UtcMs(5),
        headers: headers.into_iter().map(|(name, text)| (name.into(), text.into())).collect(),
        body: body.to_string().into_bytes().into(),
    };
    let decoded = read_delivery(&delivery, Position(9));
    assert!(decoded.faults.is_empty(), "{topic}: {:?}", decoded.faults);
    decoded.envelopes
}

static DELIVERIES: LazyLock<Vec<Vec<Envelope>>> =
    LazyLock::new(|| life().iter().map(|(topic, at, body)| said(topic, Some(*at), body)).collect());

fn entity<'a>(state: &'a State, name: &str) -> &'a Body {
    match &state[&format!("w/acme.myshopify.com {name}")].1 {
        Event::Entity(entity) => &entity.body,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_life_ends_as_it_was_told() {
    let state = fold(DELIVERIES.iter().flatten());
    let names: Vec<&str> =
        state.keys().filter_map(|name| name.strip_prefix("w/acme.myshopify.com ")).collect();
    let expected = [
        "Checkout tok-1",
        "Dispute 285",
        "Product 7001",
        "Transaction 9005",
        "Transaction 9041",
        "UnitCost 1071@2026-03-01T14:08:00Z",
        "UnitCost 1071@2026-03-01T14:09:00Z",
        "deletion of 1001",
        "edit 77",
        "order 1001",
        "refund 601",
    ];
    assert_eq!(names, expected);
    let Body::Transaction(Transaction { status, amount, .. }) = entity(&state, "Transaction 9005")
    else {
        panic!()
    };
    assert_eq!((&**status, *amount), ("success", 4_000));
    assert!(matches!(entity(&state, "Dispute 285"), Body::Dispute(d) if &*d.status == "won"));
    assert_eq!(*entity(&state, "Product 7001"), Body::Gone(Kind::Product));
    let ended = entity(&state, "Checkout tok-1");
    assert!(matches!(ended, Body::Checkout(checkout) if checkout.completed_at.is_some()));
    let free = entity(&state, "UnitCost 1071@2026-03-01T14:09:00Z");
    assert!(matches!(free, Body::UnitCost(cost) if cost.cost.is_none()));
}

#[test]
fn a_transaction_is_one_version_whatever_carries_it() {
    let alone =
        said("order_transactions/create", Some(41), &transaction(9041, "refund", "success", "20"));
    let mentioned =
        [said("refunds/create", None, &refund()), said("orders/updated", None, &order(50))];
    for envelopes in mentioned {
        let same = envelopes.iter().filter(|envelope| **envelope == alone[0]);
        assert_eq!(same.count(), 1);
    }
}

proptest! {
    #[test]
    fn order_and_duplicates_are_not_seen(
        more in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        order in Just((0..life().len()).collect::<Vec<_>>()).prop_shuffle(),
        after in any::<bool>(),
    ) {
        let mut told: Vec<usize> = more.iter().map(|at| at.index(DELIVERIES.len())).collect();
        told.extend(order);
        if after {
            told.reverse();
        }
        let state = fold(told.iter().flat_map(|&at| &DELIVERIES[at]));
        prop_assert_eq!(state, fold(DELIVERIES.iter().flatten()));
    }

    #[test]
    fn a_sweep_makes_good_what_was_lost(
        came in prop::collection::vec(any::<bool>(), life().len()),
    ) {
        let sweep = said("orders/updated", None, &order(50));
        let told = DELIVERIES.iter().zip(&came).filter(|(_, came)| **came);
        let state = fold(told.flat_map(|(delivery, _)| delivery).chain(&sweep));
        let whole = fold(DELIVERIES.iter().flatten());
        let (held, all) = (bodies(&state), bodies(&whole));
        for name in ["order 1001", "refund 601", "Transaction 9005", "Transaction 9041"] {
            let name = format!("w/acme.myshopify.com {name}");
            prop_assert_eq!(held[&*name], all[&*name]);
        }
    }
}
