//! Shopify's samples: webhooks, and what was asked for.

use ionflux_sources::conformance::{Described, Meant, Sample};
use ionflux_sources::shopify::delivery::SOURCE;

const REDACTED: &str = r#"{"shop_id":954889,"shop_domain":"acme.myshopify.com",
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
        ("x-shopify-shop-domain", "acme.myshopify.com"),
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
    let fulfillment = |id: u32| format!("{{\"id\":{id},\"status\":\"success\"}}").into_bytes();
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
            2,
            include_str!("../../fixtures/shopify/shop_update.json"),
        ),
        sample("two orders of a customer", "customers/redact", Meant::Good(2), text(REDACTED)),
        sample("half an order", order, Meant::Broken, text("{\"id\":1,\"line_items\":[{")),
        sample("an order without anything", order, Meant::Broken, text("{\"id\":1}")),
        sample("no text", order, Meant::Broken, vec![0xff; 40]),
        sample("a fulfillment", "fulfillments/update", Meant::Unknown(1), fulfillment(1)),
        sample("another fulfillment", "fulfillments/update", Meant::Unknown(1), fulfillment(2)),
        test,
        other_test,
    ];
    Described { source: SOURCE, dated: false, silent: false, samples }
}

/// Orders and products as the Admin API tells them.
pub fn admin() -> Described {
    let told = |name, kind, meant, body: &str| {
        let headers = vec![
            ("kind", kind),
            ("read-at", "1772323200000"),
            ("x-shopify-shop-domain", "a.myshopify.com"),
        ];
        Sample { name, meant, headers, body: body.as_bytes().to_vec() }
    };
    let samples = vec![
        told("an order", "order", Meant::Good(2), NODE),
        told("a product", "product", Meant::Good(2), PRODUCT),
        told("the shop", "shop", Meant::Good(2), SHOP),
        told("half an order", "order", Meant::Broken, &NODE[..200]),
        told("a line of no order", "stray", Meant::Broken, "{\"id\":1}"),
        told("an order without anything", "order", Meant::Broken, "{\"id\":1}"),
        told("a draft", "draft", Meant::Unknown(1), "{\"id\":1}"),
        told("another draft", "draft", Meant::Unknown(1), "{\"id\":2}"),
    ];
    Described { source: "shopify-admin", dated: false, silent: false, samples }
}

const NODE: &str = r#"{"__typename":"Order","id":"gid://shopify/Order/7",
    "createdAt":"2026-03-01T09:30:00Z","processedAt":"2026-03-01T09:30:00Z",
    "updatedAt":"2026-03-01T09:30:05Z","test":false,"currencyCode":"EUR","taxesIncluded":false,
    "sourceName":"web","customer":{"id":"gid://shopify/Customer/77"},
    "totalPriceSet":{"shopMoney":{"amount":"10.10","currencyCode":"EUR"}},
    "totalTaxSet":{"shopMoney":{"amount":"0.0","currencyCode":"EUR"}},
    "transactions":[{"id":"gid://shopify/OrderTransaction/7","kind":"SALE","status":"SUCCESS",
    "test":false,"gateway":"shopify_payments","createdAt":"2026-03-01T09:30:01Z",
    "processedAt":"2026-03-01T09:30:01Z",
    "amountSet":{"shopMoney":{"amount":"10.10","currencyCode":"EUR"}},"fees":[]}],
    "lineItems":[{"__typename":"LineItem","id":"gid://shopify/LineItem/71","title":"Cup",
    "quantity":1,"isGiftCard":false,"requiresShipping":true,
    "product":{"id":"gid://shopify/Product/1"},
    "originalUnitPriceSet":{"shopMoney":{"amount":"10.10","currencyCode":"EUR"}},
    "discountAllocations":[],"taxLines":[]}],"shippingLines":[],"refunds":[]}"#;
const PRODUCT: &str = r#"{"__typename":"Product","id":"gid://shopify/Product/1","title":"Cup",
    "status":"ACTIVE","updatedAt":"2026-02-02T00:00:00Z","variants":[{
    "__typename":"ProductVariant","id":"gid://shopify/ProductVariant/10","sku":"CUP",
    "price":"10.10","inventoryItem":{"id":"gid://shopify/InventoryItem/10",
    "updatedAt":"2026-02-01T00:00:00Z","unitCost":{"amount":"4.50","currencyCode":"EUR"}}}]}"#;
const SHOP: &str = r#"{"id":"gid://shopify/Shop/1","name":"A","myshopifyDomain":"a.myshopify.com",
    "currencyCode":"EUR","ianaTimezone":"Europe/Berlin","updatedAt":"2026-02-01T00:00:00Z"}"#;
