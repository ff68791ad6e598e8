//! Whatever order answers of TikTok come in, however often, with or without their orders: joined,
//! they say the same.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::event::{Event, Order, Refund};
use ionflux_schemas::key::Version;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::list::read_delivery;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The latest of each order, and of each refund of each order.
#[derive(Default, PartialEq, Debug)]
struct Joined {
    orders: BTreeMap<String, (Version, Order)>,
    refunds: BTreeMap<(String, String), (Version, Refund)>,
}

impl Joined {
    fn of(bodies: &[Value]) -> Self {
        let mut joined = Self::default();
        for body in bodies {
            let delivery = Delivery {
                source: "tiktok-shop-api".into(),
                workspace: "w".into(),
                received_at: UtcMs(1),
                headers: BTreeMap::from([("tiktok-shop-id".into(), "7".into())]),
                body: body.to_string().into_bytes().into(),
            };
            let decoded = read_delivery(&delivery, Position(0));
            assert_eq!(decoded.faults, []);
            for envelope in decoded.envelopes {
                joined.add(envelope.version, envelope.event);
            }
        }
        joined
    }

    fn add(&mut self, version: Version, event: Event) {
        match event {
            Event::Order(order) => newest(&mut self.orders, order.id.to_string(), version, order),
            Event::Refund(refund) => {
                let key = (refund.order.to_string(), refund.id.to_string());
                newest(&mut self.refunds, key, version, refund);
            }
            other => panic!("{other:?}"),
        }
    }

    /// What the seller keeps: sold less taken back, where a sum of refunds counts the units that
    /// no other takes back.
    fn kept(&self) -> i64 {
        let sold = |order: &Order| order.lines.iter().map(|l| l.gross - l.discounts).sum::<i64>();
        let mut kept = 0;
        for (id, (_, order)) in self.orders.iter().filter(|(_, (_, order))| !order.test) {
            let of = |(key, _): &(&(String, String), &(Version, Refund))| key.0 == *id;
            let refunds: Vec<&Refund> =
                self.refunds.iter().filter(of).map(|(_, (_, refund))| refund).collect();
            kept += sold(order);
            let mut told = BTreeSet::new();
            for refund in refunds.iter().filter(|refund| !refund.aggregate) {
                told.extend(refund.lines.iter().map(|line| line.line.clone().unwrap()));
                kept -= refund.adjustment;
                kept -= refund.lines.iter().map(|line| line.amount).sum::<i64>();
            }
            for refund in refunds.iter().filter(|refund| refund.aggregate) {
                let rest = refund.lines.iter().filter(|l| !told.contains(l.line.as_ref().unwrap()));
                kept -= rest.map(|line| line.amount).sum::<i64>();
            }
        }
        kept
    }
}

fn newest<K: Ord, T>(held: &mut BTreeMap<K, (Version, T)>, key: K, version: Version, value: T) {
    match held.get(&key) {
        Some((known, _)) if *known >= version => {}
        _ => drop(held.insert(key, (version, value))),
    }
}

fn order(status: &str, paid: bool, at: i64) -> Value {
    let line = |id: &str, price: &str, platform: &str| {
        json!({ "id": id, "product_id": format!("p{id}"), "original_price": price,
            "seller_discount": "1.00", "platform_discount": platform,
            "display_status": status })
    };
    json!({ "id": "9", "status": status, "create_time": 1_000_000_000, "update_time": at,
        "paid_time": i64::from(paid) * 1_000_000_100,
        "cancel_time": if status == "CANCELLED" { at } else { 0 },
        "payment": { "currency": "USD", "shipping_fee": "3.00", "tax": "1.00" },
        "line_items": [line("1", "20.00", "3.00"), line("2", "10.00", "0")] })
}

fn cancellation(line: &str, paid: &str, status: &str, at: i64) -> Value {
    let money = json!({ "currency": "USD", "refund_subtotal": paid });
    json!({ "order_id": "9", "cancel_id": format!("c{line}"), "update_time": at,
        "cancel_status": format!("CANCELLATION_REQUEST_{status}"), "refund_amount": money,
        "cancel_line_items": [{ "order_line_item_id": line, "refund_amount": money }] })
}

fn returned(status: &str, at: i64) -> Value {
    let money = json!({ "currency": "USD", "refund_subtotal": "9.00" });
    json!({ "order_id": "9", "return_id": "r", "update_time": at, "return_type": "REFUND",
        "return_status": format!("RETURN_OR_REFUND_REQUEST_{status}"), "refund_amount": money,
        "return_line_items": [{ "order_line_item_id": "2", "refund_amount": money }] })
}

/// The same, where no line says what was paid back for it.
fn silent(mut body: Value) -> Value {
    for (list, items) in
        [("cancellations", "cancel_line_items"), ("return_orders", "return_line_items")]
    {
        let reversals = body["data"].get_mut(list).and_then(Value::as_array_mut);
        for reversal in reversals.into_iter().flatten() {
            for line in reversal[items].as_array_mut().unwrap() {
                line.as_object_mut().unwrap().remove("refund_amount");
            }
        }
    }
    body
}

/// The life of an order of two units: one is cancelled, the other comes back.
fn life() -> Vec<Value> {
    let at = 1_000_001_000;
    let mut orders = [
        order("UNPAID", false, at),
        order("AWAITING_SHIPMENT", true, at + 1),
        order("IN_TRANSIT", true, at + 9),
        order("COMPLETED", true, at + 20),
    ];
    for order in &mut orders[2..] {
        order["line_items"][0]["display_status"] = json!("CANCELLED");
    }
    let mut said: Vec<Value> =
        orders.iter().map(|one| json!({ "data": { "orders": [one] } })).collect();
    for (status, at) in [("PENDING", at + 2), ("SUCCESS", at + 3), ("COMPLETE", at + 4)] {
        let one = cancellation("1", "16.00", status, at);
        said.push(json!({ "data": { "cancellations": [one] } }));
        said.push(json!({ "data": { "cancellations": [one], "orders": [orders[2]] } }));
    }
    for (status, at) in [("PENDING", at + 10), ("SUCCESS", at + 11), ("COMPLETE", at + 12)] {
        said.push(json!({ "data": { "return_orders": [returned(status, at)], "orders":
            [orders[3]] } }));
    }
    said
}

#[test]
fn an_order_that_came_back_leaves_nothing() {
    // 19.00 and 9.00 sold for; both taken back, TikTok's 3.00 with them.
    assert_eq!(Joined::of(&life()).kept(), 0);
    assert_eq!(Joined::of(&life()[..2]).kept(), 2_800);
    // Of the unit that was cancelled only the order tells: 19.00 are gone, and stay gone when the
    // other unit comes back.
    assert_eq!(Joined::of(&life()[..4]).kept(), 900);
    let untold: Vec<Value> =
        life().into_iter().filter(|body| body["data"].get("cancellations").is_none()).collect();
    assert_eq!(Joined::of(&untold).kept(), 0);
    let silent: Vec<Value> = life().into_iter().map(silent).collect();
    assert_eq!(Joined::of(&silent).kept(), 0);
    let cancelled = order("CANCELLED", true, 1_000_002_000);
    let alone = json!({ "data": { "orders": [cancelled] } });
    assert_eq!(Joined::of(std::slice::from_ref(&alone)).kept(), 0);
    let whole = ["1", "2"].map(|line| {
        let paid = if line == "1" { "16.00" } else { "9.00" };
        let one = cancellation(line, paid, "COMPLETE", 1_000_002_000);
        json!({ "data": { "cancellations": [one], "orders": [cancelled] } })
    });
    assert_eq!(Joined::of(&[&[alone], &whole[..]].concat()).kept(), 0);
    let never = order("CANCELLED", false, 1_000_002_000);
    assert_eq!(Joined::of(&[json!({ "data": { "orders": [never] } })]).kept(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_order_and_duplicates_say_the_same(
        order in Just((0..life().len()).collect::<Vec<_>>()).prop_shuffle(),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let life = life();
        let mut shuffled: Vec<Value> = order.iter().map(|&at| life[at].clone()).collect();
        for at in again {
            let (from, to) = (at.index(life.len()), at.index(shuffled.len()));
            shuffled.insert(to, life[from].clone());
        }
        prop_assert_eq!(Joined::of(&shuffled), Joined::of(&life));
    }
}
