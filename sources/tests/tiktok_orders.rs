//! Orders, returns and cancellations of TikTok Shop: what counts, when, and for how much.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::event::{Event, Order, Refund};
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::letters::{Changes, read_again};
use ionflux_sources::list::read_delivery;
use ionflux_sources::reading::Decoded;
use serde_json::{Value, json};

fn read(body: &Value) -> Decoded {
    let delivery = Delivery {
        source: "tiktok-shop-api".into(),
        workspace: "w".into(),
        received_at: UtcMs(1),
        headers: BTreeMap::from([("tiktok-shop-id".into(), "7000000000000000001".into())]),
        body: body.to_string().into_bytes().into(),
    };
    let decoded = read_delivery(&delivery, Position(7));
    assert_eq!(decoded.faults.is_empty(), decoded.letter.is_none());
    if let Some(letter) = &decoded.letter {
        assert_eq!(read_again(letter, &Changes::default()).unwrap(), decoded);
    }
    decoded
}

fn events(body: &Value) -> Vec<Event> {
    let decoded = read(body);
    assert_eq!(decoded.faults, []);
    let shop = |key: &str| key == "w/7000000000000000001";
    assert!(decoded.envelopes.iter().all(|envelope| shop(&envelope.shop.to_string())));
    decoded.envelopes.into_iter().map(|envelope| envelope.event).collect()
}

fn order_of(order: &Value) -> (Order, Option<Refund>) {
    let mut events = events(&json!({ "code": 0, "data": { "orders": [order] } })).into_iter();
    let (order, back) = (events.next(), events.next());
    let Some(Event::Order(order)) = order else { panic!("{order:?}") };
    match back {
        None => (order, None),
        Some(Event::Refund(back)) => (order, Some(back)),
        other => panic!("{other:?}"),
    }
}

fn refunds(body: &Value) -> Vec<Refund> {
    let refund = |event| if let Event::Refund(refund) = event { Some(refund) } else { None };
    events(body).into_iter().filter_map(refund).collect()
}

/// Two units of one product and one of another: 60.00 less 5.00 of the seller's and 11.00 of
/// TikTok's.
fn sold() -> Value {
    let line = |id: &str, product: &str, price: &str, seller: &str, platform: &str| {
        json!({ "id": id, "sku_id": "2729382476852921560", "product_id": product,
            "original_price": price, "seller_discount": seller, "platform_discount": platform,
            "display_status": "AWAITING_SHIPMENT", "currency": "USD",
            "item_tax": [{ "tax_type": "SALES_TAX", "tax_amount": "0.80" }] })
    };
    json!({
        "id": "576461413038785752001", "status": "AWAITING_SHIPMENT", "user_id": "7021436810468",
        "create_time": 1_700_000_000, "paid_time": 1_700_000_060, "update_time": 1_700_000_100,
        "is_sample_order": false, "recipient_address": { "name": "kept by nobody" },
        "payment": { "currency": "USD", "sub_total": "44.00", "original_total_product_price":
            "60.00", "seller_discount": "5.00", "platform_discount": "11.00", "shipping_fee":
            "3.99", "tax": "2.40", "product_tax": "2.40", "total_amount": "51.67",
            "retail_delivery_fee": "0.28", "small_order_fee": "1.00" },
        "line_items": [
            line("12", "1729582718312380123", "20.00", "2.50", "5.50"),
            line("11", "1729582718312380123", "20.00", "2.50", "5.50"),
            line("13", "1729582718312380999", "20.00", "0", "0"),
        ],
    })
}

fn with(mut order: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        order[name] = value.clone();
    }
    order
}

#[test]
fn revenue_is_the_list_price_less_what_the_seller_gives_off() {
    let (order, back) = order_of(&sold());
    assert_eq!(back, None);
    assert_eq!(&*order.id, "576461413038785752001");
    assert_eq!((&*order.channel, order.currency.code(), order.test), ("tiktok_shop", "USD", false));
    assert_eq!(order.placed_at.to_string(), "2023-11-14T22:13:20Z");
    assert_eq!(order.customer.as_deref(), Some("7021436810468"));
    let lines: Vec<_> =
        order.lines.iter().map(|l| (&*l.id, l.units, l.gross, l.discounts)).collect();
    assert_eq!(lines, [("11", 1, 2_000, 250), ("12", 1, 2_000, 250), ("13", 1, 2_000, 0)]);
    assert_eq!((order.shipping, order.taxes, order.duties_and_fees), (399, 240, 128));
}

#[test]
fn a_discount_that_no_line_names_is_spread() {
    let mut order = sold();
    for line in order["line_items"].as_array_mut().unwrap() {
        line.as_object_mut().unwrap().remove("seller_discount");
    }
    let (order, _) = order_of(&order);
    let parts: Vec<i64> = order.lines.iter().map(|line| line.discounts).collect();
    assert_eq!((parts.iter().sum::<i64>(), parts), (500, vec![167, 167, 166]));
}

#[test]
fn only_what_is_paid_or_shipped_against_cash_counts() {
    let unpaid = json!({ "status": "UNPAID", "paid_time": null });
    assert!(order_of(&with(sold(), unpaid)).0.test);
    let never = json!({ "status": "CANCELLED", "paid_time": 0, "cancel_time": 1_700_000_090 });
    let (order, back) = order_of(&with(sold(), never));
    assert!(order.test && back.is_none());
    let cash = json!({ "status": "IN_TRANSIT", "paid_time": null, "is_cod": "true " });
    assert!(!order_of(&with(sold(), cash)).0.test);
    assert!(order_of(&with(sold(), json!({ "is_sample_order": true }))).0.test);
}

#[test]
fn a_replacement_has_units_and_no_revenue() {
    for name in ["is_replacement_order", "is_exchange_order"] {
        let (order, _) = order_of(&with(sold(), json!({ name: true })));
        let lines = || order.lines.iter();
        assert_eq!(lines().map(|line| line.units).sum::<i32>(), 3);
        assert!(lines().all(|line| (line.gross, line.discounts) == (0, 0)));
        assert_eq!((order.shipping, order.taxes, order.duties_and_fees), (0, 0, 0));
    }
}

#[test]
fn a_cancelled_order_stays_sold_and_is_taken_back_on_the_day_it_was_cancelled() {
    let cancelled = json!({ "status": "CANCELLED", "cancel_time": 1_700_100_000 });
    let (order, back) = order_of(&with(sold(), cancelled));
    let back = back.unwrap();
    assert!(back.aggregate && !order.test);
    assert_eq!(back.processed_at, UtcMs(1_700_100_000_000));
    let goods: i64 = back.lines.iter().map(|line| line.amount).sum();
    let sold_for: i64 = order.lines.iter().map(|line| line.gross - line.discounts).sum();
    assert_eq!((goods, sold_for), (5_500, 5_500));
    assert_eq!((back.shipping, back.taxes, back.duties_and_fees), (399, 240, 128));

    let mut partly = sold();
    partly["line_items"][0]["display_status"] = json!("CANCEL");
    let back = order_of(&partly).1.unwrap();
    assert_eq!((back.lines.len(), back.lines[0].amount, back.taxes), (1, 1_750, 80));
    assert_eq!((back.shipping, back.duties_and_fees), (0, 0));
}

fn cancellation(status: &str) -> Value {
    let money = |subtotal: &str, tax: &str| {
        json!({ "currency": "USD", "refund_total": "9", "refund_subtotal": subtotal,
            "refund_shipping_fee": "0", "refund_tax": tax, "retail_delivery_fee": "0.28" })
    };
    json!({ "order_id": "576461413038785752001", "cancel_id": "4035318504086604100",
        "cancel_status": status, "create_time": 1_700_200_000, "update_time": 1_700_300_000,
        "refund_amount": money("12.00", "0.80"),
        "cancel_line_items": [{ "order_line_item_id": "11", "refund_amount":
            money("12.00", "0.80") }] })
}

#[test]
fn a_cancellation_counts_when_it_is_final_for_what_its_units_had_sold_for() {
    for pending in ["CANCELLATION_REQUEST_PENDING", "CANCELLATION_REQUEST_CANCEL"] {
        assert_eq!(events(&json!({ "data": { "cancellations": [cancellation(pending)] } })), []);
    }
    let done = cancellation("CANCELLATION_REQUEST_COMPLETE");
    let alone = &refunds(&json!({ "data": { "cancellations": [done] } }))[0];
    assert_eq!((&*alone.id, &*alone.order), ("4035318504086604100", "576461413038785752001"));
    assert_eq!((alone.lines[0].amount, alone.lines[0].product.as_deref()), (1_200, None));
    assert_eq!((alone.taxes, alone.duties_and_fees, alone.aggregate), (80, 28, false));
    assert_eq!(alone.processed_at, UtcMs(1_700_300_000_000));

    let body = json!({ "data": { "orders": [sold()], "cancellations": [done] } });
    let known = &refunds(&body)[0];
    let line = &known.lines[0];
    assert_eq!((line.amount, line.units), (1_750, 1));
    assert_eq!(line.product.as_deref(), Some("1729582718312380123"));
    let version = |body: &Value| {
        let envelopes = read(body).envelopes;
        envelopes.into_iter().find(|e| matches!(e.event, Event::Refund(_))).unwrap().version
    };
    assert!(version(&body) > version(&json!({ "data": { "cancellations": [done] } })));
}

fn a_return(status: &str, kind: &str, subtotal: &str) -> Value {
    let money = json!({ "currency": "USD", "refund_subtotal": subtotal, "refund_tax": "0.03",
        "refund_shipping_fee": "0.20" });
    json!({ "order_id": "576461413038785752001", "return_id": "4035318504086604200",
        "return_type": kind, "return_status": status, "create_time": 1_700_200_000,
        "update_time": 1_700_400_000, "refund_amount": money,
        "discount_amount": [{ "currency": "USD", "product_platform_discount": "5.50" }],
        "return_line_items": [{ "order_line_item_id": "12", "refund_amount": money }] })
}

#[test]
fn a_return_is_final_when_it_is_complete_or_granted_for_money_only() {
    let counted = |status: &str, kind: &str| {
        let body = json!({ "data": { "return_orders": [a_return(status, kind, "12.00")] } });
        refunds(&body).len()
    };
    let (both, money) = ("RETURN_AND_REFUND", "REFUND");
    assert_eq!(counted("RETURN_OR_REFUND_REQUEST_COMPLETE", both), 1);
    assert_eq!(counted("return_or__refund_request_complete", both), 1);
    assert_eq!(counted("RETURN_OR_REFUND_REQUEST_SUCCESS", money), 1);
    assert_eq!(counted("REPLACEMENT_REQUEST_REFUND_SUCCESS", "REPLACEMENT"), 1);
    for (status, kind) in [
        ("RETURN_OR_REFUND_REQUEST_SUCCESS", both),
        ("RETURN_OR_REFUND_REQUEST_PENDING", money),
        ("REFUND_OR_RETURN_REQUEST_REJECT", both),
        ("BUYER_SHIPPED_ITEM", both),
        ("REPLACEMENT_REQUEST_COMPLETE", "REPLACEMENT"),
    ] {
        assert_eq!(counted(status, kind), 0, "{status}");
    }
}

#[test]
fn what_the_platform_gave_off_comes_back_too() {
    let status = "RETURN_OR_REFUND_REQUEST_COMPLETE";
    let whole = a_return(status, "RETURN_AND_REFUND", "12.00");
    let of = |one: &Value, orders: Vec<Value>| {
        let body = json!({ "data": { "return_orders": [one], "orders": orders } });
        let refund = refunds(&body).remove(0);
        let goods: i64 = refund.lines.iter().map(|line| line.amount).sum();
        (goods, refund.adjustment, refund.lines[0].units)
    };
    // 12.00 of the buyer and 5.50 of TikTok: the unit had sold for 17.50.
    assert_eq!(of(&whole, vec![]), (1_200, 550, 1));
    assert_eq!(of(&whole, vec![sold()]), (1_750, 0, 1));
    // Half of what the buyer paid is half of what it sold for; the buyer keeps the unit.
    let half = a_return("RETURN_OR_REFUND_REQUEST_SUCCESS", "REFUND", "6.00");
    assert_eq!(of(&half, vec![sold()]), (875, 0, 0));
    let exchanged = with(sold(), json!({ "is_exchange_order": true }));
    assert_eq!(of(&whole, vec![exchanged]), (1_200, 0, 1));
}

#[test]
fn what_lines_do_not_say_of_their_money_the_order_does() {
    let status = "RETURN_OR_REFUND_REQUEST_COMPLETE";
    let of = |units: &[&str], subtotal: &str| {
        let line = |unit: &&str| json!({ "order_line_item_id": unit });
        let lines: Vec<Value> = units.iter().map(line).collect();
        let one = a_return(status, "RETURN_AND_REFUND", subtotal);
        let one = with(one, json!({ "return_line_items": lines }));
        let body = json!({ "data": { "return_orders": [one], "orders": [sold()] } });
        let refund = refunds(&body).remove(0);
        let lines = refund.lines.iter().map(|line| line.amount).collect::<Vec<_>>();
        (lines, refund.adjustment)
    };
    assert_eq!(of(&["12"], "12.00"), (vec![1_750], 0));
    // 12.00 and 20.00 were paid for what sold for 17.50 and 20.00.
    assert_eq!(of(&["12", "13"], "32.00"), (vec![1_750, 2_000], 0));
    assert_eq!(of(&["12", "13"], "16.00"), (vec![875, 1_000], 0));
    // No unit is known: what the return says of TikTok's discount.
    assert_eq!(of(&[], "12.00"), (vec![], 1_750));
    assert_eq!(of(&["99"], "12.00"), (vec![0], 1_750));
}

#[test]
fn the_last_of_a_chain_of_returns_counts() {
    let status = "RETURN_OR_REFUND_REQUEST_COMPLETE";
    let first = with(
        a_return(status, "RETURN_AND_REFUND", "12.00"),
        json!({ "next_return_id": "4035318504086604300" }),
    );
    let next = with(
        a_return(status, "RETURN_AND_REFUND", "10.00"),
        json!({ "return_id": "4035318504086604300", "pre_return_id": "4035318504086604200" }),
    );
    let refunds = refunds(&json!({ "data": { "return_orders": [first, next] } }));
    let goods = |refund: &Refund| refund.lines.iter().map(|line| line.amount).sum::<i64>();
    assert_eq!(refunds.iter().map(goods).collect::<Vec<_>>(), [0, 1_000]);
    assert_eq!((refunds[0].shipping, refunds[0].taxes, refunds[0].adjustment), (0, 0, 0));
}

#[test]
fn what_cannot_be_counted_says_why() {
    let check = |body: &Value, kind: FaultKind, part: &str| {
        let decoded = read(body);
        assert_eq!(decoded.envelopes, []);
        let [fault] = &decoded.faults[..] else { panic!("{decoded:?}") };
        assert_eq!(fault.kind, kind);
        let said = format!("{} {}", fault.subject, fault.reason);
        assert!(said.contains(part), "{said}");
    };
    let orders = |order: Value| json!({ "data": { "orders": [order] } });
    check(&json!({ "code": 105_002, "data": {} }), FaultKind::Field, "105002");
    check(&json!({ "data": { "statements": [] } }), FaultKind::Unsupported, "statements");
    check(&json!({ "order_list": [] }), FaultKind::Unsupported, "retired");
    check(&orders(json!({ "id": 7 })), FaultKind::Field, "order 7");
    check(&orders(json!({})), FaultKind::Field, "no id");
    check(&orders(with(sold(), json!({ "id": 1.5 }))), FaultKind::Field, "whole number");
    check(&orders(with(sold(), json!({ "create_time": "soon" }))), FaultKind::Time, "create_time");
    check(&orders(with(sold(), json!({ "line_items": [] }))), FaultKind::Field, "line_items");
    let mut precise = sold();
    precise["line_items"][0]["original_price"] = json!("1.001");
    check(&orders(precise), FaultKind::Amount, "decimals");
    let mut negative = sold();
    negative["payment"]["shipping_fee"] = json!("-1");
    check(&orders(negative), FaultKind::Amount, "negative");
    let mut foreign = sold();
    foreign["payment"]["currency"] = json!("CAN");
    check(&orders(foreign), FaultKind::Currency, "CAN");
    let unnamed = json!({ "data": { "cancellations": [{ "cancel_id": "1" }] } });
    check(&unnamed, FaultKind::Field, "names no order");
    let moneyless = json!({ "data": { "cancellations": [{ "cancel_id": "1", "order_id": "2",
        "cancel_status": "CANCELLATION_REQUEST_SUCCESS", "update_time": 5 }] } });
    check(&moneyless, FaultKind::Field, "refund 1 of order 2");
}
