//! The simulated shop over 20,000 deliveries: the same again, in order, in proportion, and exact.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use ionflux_schemas::currency::Currency;
use ionflux_schemas::money::Money;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::simulator::{SHOP, Sent, Simulator, products};
use serde_json::Value;

/// 2026-01-05T00:00:00Z, a Monday.
const START: UtcMs = UtcMs(1_767_571_200_000);
const COUNT: usize = 20_000;

fn stream(seed: u64) -> Vec<Sent> {
    Simulator::new(seed, START).take(COUNT).collect()
}

fn json(sent: &Sent) -> Value {
    serde_json::from_str(&sent.body).unwrap()
}

/// An amount that is a string, or the text of a number.
fn cents(value: &Value) -> i64 {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let money = Money::parse(&text, Currency::parse("EUR").unwrap()).unwrap();
    i64::try_from(money.minor).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().unwrap()
}

#[test]
fn a_seed_gives_one_stream_in_order() {
    let sent = stream(7);
    assert_eq!(sent, stream(7));
    assert_ne!(sent, stream(8));
    assert!(sent.is_sorted_by_key(|sent| sent.at));
    assert!(sent.iter().all(|sent| sent.at >= sent.triggered_at && sent.shop == SHOP));
    assert_eq!((sent[0].topic, sent[0].at), ("shop/update", START));
    let shop = json(&sent[0]);
    assert_eq!(
        (&shop["iana_timezone"], &shop["currency"]),
        (&"Europe/Berlin".into(), &"EUR".into())
    );
    assert_eq!(products().iter().map(|p| p.id).collect::<BTreeSet<_>>().len(), 40);
}

#[test]
fn every_order_adds_up() {
    for sent in stream(1) {
        let body = json(&sent);
        if body.get("total_price").is_none() {
            continue;
        }
        let lines = list(&body, "line_items");
        let sum = |of: &dyn Fn(&Value) -> i64| lines.iter().map(of).sum::<i64>();
        let gross = sum(&|line| cents(&line["price"]) * line["quantity"].as_i64().unwrap());
        let off = sum(&|line| {
            list(line, "discount_allocations").iter().map(|off| cents(&off["amount"])).sum()
        });
        let tax = sum(&|line| cents(&line["tax_lines"][0]["price"]));
        let shipping = &list(&body, "shipping_lines")[0];
        let tax = tax + list(shipping, "tax_lines").iter().map(|t| cents(&t["price"])).sum::<i64>();
        let shipping = cents(&shipping["discounted_price"]);
        assert_eq!(gross, cents(&body["total_line_items_price"]));
        assert_eq!(off, cents(&body["total_discounts"]));
        assert_eq!(gross - off, cents(&body["subtotal_price"]));
        assert_eq!(tax, cents(&body["total_tax"]));
        assert_eq!(gross - off + shipping + tax, cents(&body["total_price"]));
        assert!((1..=5).contains(&lines.len()));
    }
}

#[test]
fn no_more_is_given_back_than_was_sold() {
    let mut orders: BTreeMap<u64, Value> = BTreeMap::new();
    let mut refunds: BTreeMap<u64, Value> = BTreeMap::new();
    for sent in stream(2) {
        let body = json(&sent);
        if sent.topic == "refunds/create" {
            refunds.insert(body["id"].as_u64().unwrap(), body);
        } else if let (Some(id), Some(_)) = (body["id"].as_u64(), body.get("total_price")) {
            let kept = orders.entry(id).or_insert_with(|| body.clone());
            let stamp = |order: &Value| order["updated_at"].as_str().unwrap().to_owned();
            if stamp(&body) >= stamp(kept) {
                *kept = body;
            }
        }
    }
    assert!(refunds.len() > 200);
    let mut units: BTreeMap<u64, i64> = BTreeMap::new();
    let mut money: BTreeMap<u64, i64> = BTreeMap::new();
    for refund in refunds.values() {
        let order = refund["order_id"].as_u64().unwrap();
        let paid_back = cents(&list(refund, "transactions")[0]["amount"]);
        *money.entry(order).or_default() += paid_back;
        let mut parts = 0;
        for goods in list(refund, "refund_line_items") {
            let line = goods["line_item_id"].as_u64().unwrap();
            *units.entry(line).or_default() += goods["quantity"].as_i64().unwrap();
            assert_eq!(
                cents(&goods["subtotal"]),
                cents(&goods["subtotal_set"]["shop_money"]["amount"])
            );
            parts += cents(&goods["subtotal"]) + cents(&goods["total_tax"]);
        }
        for shipping in list(refund, "refund_shipping_lines") {
            parts += cents(&shipping["subtotal_amount_set"]["shop_money"]["amount"]);
            parts += cents(&shipping["tax_amount_set"]["shop_money"]["amount"]);
        }
        assert_eq!(parts, paid_back);
    }
    for (id, order) in &orders {
        let back = money.get(id).copied().unwrap_or_default();
        assert!(back <= cents(&order["total_price"]), "order {id}");
        for line in list(order, "line_items") {
            let id = line["id"].as_u64().unwrap();
            let back = units.get(&id).copied().unwrap_or_default();
            assert!(back <= line["quantity"].as_i64().unwrap(), "line {id}");
        }
    }
}

#[test]
fn proportions_are_those_of_a_shop() {
    let sent = stream(3);
    let mut seen = BTreeSet::new();
    let (mut twice, mut late, mut first_updated) = (0, 0, 0);
    let mut topics: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut created, mut updated) = (BTreeSet::new(), BTreeSet::new());
    let (mut customers, mut returning, mut hours) = (BTreeSet::new(), 0, [0_u64; 24]);
    for sent in &sent {
        if !seen.insert((sent.topic, &sent.body)) {
            twice += 1;
            continue;
        }
        late += u64::from(sent.at.0 - sent.triggered_at.0 >= 3_600_000);
        *topics.entry(sent.topic).or_default() += 1;
        let body = json(sent);
        let id = body["id"].as_u64();
        if sent.topic == "orders/updated" && !created.contains(&id) {
            first_updated += u64::from(updated.insert(id));
        }
        if sent.topic == "orders/create" {
            created.insert(id);
            let customer = body["customer"]["id"].as_u64();
            returning += u64::from(customer.is_some() && !customers.insert(customer));
            let local = body["created_at"].as_str().unwrap();
            hours[local[11..13].parse::<usize>().unwrap()] += 1;
        }
    }
    let orders = topics["orders/create"];
    let days = (sent[COUNT - 1].at.0 - START.0) as u64 / 86_400_000;
    let within = |what: &str, permille: u64, range: std::ops::RangeInclusive<u64>| {
        assert!(range.contains(&permille), "{what}: {permille}");
    };
    within("deliveries a day", COUNT as u64 / days, 520..=700);
    within("refunds", topics["refunds/create"] * 1000 / orders, 45..=90);
    within("edits", topics["orders/edited"] * 1000 / orders, 13..=27);
    within("cancellations", topics["orders/cancelled"] * 1000 / orders, 5..=16);
    within("duplicates", twice * 1000 / COUNT as u64, 22..=38);
    within("late", late * 1000 / COUNT as u64, 14..=26);
    within("updated before created", first_updated * 1000 / orders, 3..=60);
    within("returning", returning * 1000 / orders, 150..=450);
    within("evening over night", (hours[20] + 1) / (hours[3] + 1), 8..=200);
}
