//! Shopify's samples.

use ionflux_sources::conformance::{Described, Meant, Sample};
use ionflux_sources::shopify::delivery::SOURCE;

const REDACTED: &str = r#"{"shop_id":954889,"shop_domain":"a.myshopify.com",
    "customer":{"id":191167},"orders_to_redact":[299938,280263]}"#;

const REFUNDED: &str = include_str!("../../fixtures/shopify/order_with_refunds.json");

/// The body of a fixture of one delivery.
fn body(fixture: &str) -> Vec<u8> {
    let document: serde_json::Value = serde_json::from_str(fixture).unwrap();
    let inner = document.get("body").or(document.get("payload"));
    inner.unwrap_or(&document).to_string().into_bytes()
}

fn sample(name: &'static str, topic: &'static str, meant: Meant, body: Vec<u8>) -> Sample {
    let headers = vec![
        ("x-shopify-topic", topic),
        ("x-shopify-shop-domain", "a.myshopify.com"),
        ("x-shopify-api-version", "2025-10"),
        ("x-shopify-webhook-id", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"),
        ("x-shopify-triggered-at", "2026-03-01T09:30:00Z"),
    ];
    Sample { name, meant, headers, body }
}

/// Webhooks as the door keeps them.
pub fn webhooks() -> Described {
    let fixture =
        |name, topic, count, text: &str| sample(name, topic, Meant::Good(count), body(text));
    let product = |id: u32| format!("{{\"id\":{id},\"title\":\"a product\"}}").into_bytes();
    let (order, text) = ("orders/create", |text: &str| text.as_bytes().to_vec());
    let mut test = sample("a test", order, Meant::Unknown(2), text("{\"id\":1}"));
    test.headers.push(("x-shopify-test", "true"));
    let other_test = Sample { name: "another test", body: text("{\"id\":2}"), ..test.clone() };
    let samples = vec![
        fixture("an order", order, 1, include_str!("../../fixtures/shopify/order_simple.json")),
        sample("an order with a broken refund", "orders/updated", Meant::Broken, body(REFUNDED)),
        fixture(
            "a refund",
            "refunds/create",
            1,
            include_str!("../../fixtures/shopify/refund_since_2024_10.json"),
        ),
        fixture(
            "an edit",
            "orders/edited",
            1,
            include_str!("../../fixtures/shopify/order_edited.json"),
        ),
        sample("a deletion", "orders/delete", Meant::Good(1), text("{\"id\":7}")),
        fixture(
            "a shop",
            "shop/update",
            1,
            include_str!("../../fixtures/shopify/shop_update.json"),
        ),
        sample("two orders of a customer", "customers/redact", Meant::Good(2), text(REDACTED)),
        sample("half an order", order, Meant::Broken, text("{\"id\":1,\"line_items\":[{")),
        sample("an order without anything", order, Meant::Broken, text("{\"id\":1}")),
        sample("no text", order, Meant::Broken, vec![0xff; 40]),
        sample("a product", "products/update", Meant::Unknown(1), product(1)),
        sample("another product", "products/update", Meant::Unknown(1), product(2)),
        test,
        other_test,
    ];
    Described { source: SOURCE, samples }
}
