//! Orders and products of a made-up shop, as the Admin API shows them.
//!
//! Invariant: a sample depends on its number alone.

use serde_json::{Value, json};

/// An amount in the shop's currency.
pub fn money(amount: &str) -> Value {
    json!({ "shopMoney": { "amount": amount, "currencyCode": "EUR" } })
}

fn line(order: u64, at: u64) -> Value {
    json!({
        "__typename": "LineItem",
        "id": format!("gid://shopify/LineItem/{}", order * 1_000 + at),
        "title": "Cup", "quantity": 1 + at % 3, "isGiftCard": false, "requiresShipping": true,
        "product": { "id": format!("gid://shopify/Product/{}", 1 + at % 2) },
        "originalUnitPriceSet": money("10.10"), "totalDiscountSet": money("0.0"),
        "discountAllocations": [{ "allocatedAmountSet": money("1.05") }],
        "taxLines": [{ "priceSet": money("0.81"), "rate": 0.0825 }],
    })
}

fn refund(order: u64, at: u64, lines: u64) -> Value {
    let line = |line: u64| {
        json!({
            "__typename": "RefundLineItem",
            "id": format!("gid://shopify/RefundLineItem/{}", order * 10_000 + at * 100 + line),
            "quantity": 1, "restockType": "RETURN",
            "lineItem": { "id": format!("gid://shopify/LineItem/{}", order * 1_000 + line),
                "isGiftCard": false, "product": { "id": "gid://shopify/Product/1" } },
            "subtotalSet": money("9.05"), "totalTaxSet": money("0.81"),
        })
    };
    json!({
        "__typename": "Refund",
        "id": format!("gid://shopify/Refund/{}", order * 10 + at),
        "createdAt": "2026-03-05T10:00:00Z", "processedAt": "2026-03-05T10:00:00Z",
        "updatedAt": "2026-03-05T10:00:00Z",
        "order": { "id": format!("gid://shopify/Order/{order}") }, "duties": [],
        "refundLineItems": (0..lines).map(line).collect::<Vec<_>>(),
        "refundShippingLines": [{ "id": format!("gid://shopify/RefundShippingLine/{order}"),
            "subtotalAmountSet": money("4.00"), "taxAmountSet": money("0.33") }],
        "orderAdjustments": [],
    })
}

/// An order that last changed at an instant, with so many lines and refunds.
pub fn order(number: u64, updated_at: &str, lines: u64, refunds: u64) -> Value {
    json!({
        "__typename": "Order",
        "id": format!("gid://shopify/Order/{number}"),
        "createdAt": "2026-03-01T09:30:00Z", "processedAt": "2026-03-01T09:30:00Z",
        "updatedAt": updated_at, "test": false, "currencyCode": "EUR", "taxesIncluded": false,
        "sourceName": "web", "customer": { "id": "gid://shopify/Customer/77" },
        "totalPriceSet": money("99.99"), "totalTaxSet": money("1.62"),
        "totalDiscountsSet": money("0.0"), "totalTipReceivedSet": money("0.0"),
        "totalShippingPriceSet": money("4.0"), "originalTotalDutiesSet": null,
        "currentTotalDutiesSet": null, "originalTotalAdditionalFeesSet": null,
        "currentTotalAdditionalFeesSet": null,
        "transactions": [{
            "id": format!("gid://shopify/OrderTransaction/{number}"), "kind": "SALE",
            "status": "SUCCESS", "test": false, "gateway": "shopify_payments",
            "createdAt": "2026-03-01T09:30:01Z", "processedAt": "2026-03-01T09:30:01Z",
            "amountSet": money("99.99"), "parentTransaction": null,
            "fees": [{ "amount": { "amount": "2.60", "currencyCode": "EUR" },
                "taxAmount": { "amount": "0.40", "currencyCode": "EUR" } }],
        }],
        "lineItems": (0..lines).map(|at| line(number, at)).collect::<Vec<_>>(),
        "shippingLines": [{
            "__typename": "ShippingLine",
            "id": format!("gid://shopify/ShippingLine/{number}"),
            "originalPriceSet": money("4.0"), "discountedPriceSet": money("4.0"),
            "discountAllocations": [], "taxLines": [],
        }],
        "refunds": (0..refunds).map(|at| refund(number, at, lines)).collect::<Vec<_>>(),
    })
}

/// A product of two variants, of which one has no known cost.
pub fn product(number: u64) -> Value {
    let variant = |at: u64, cost: Value| {
        json!({
            "__typename": "ProductVariant",
            "id": format!("gid://shopify/ProductVariant/{}", number * 10 + at),
            "sku": format!("CUP-{at}"), "price": "10.10",
            "inventoryItem": { "id": format!("gid://shopify/InventoryItem/{}", number * 10 + at),
                "updatedAt": "2026-02-01T00:00:00Z", "unitCost": cost },
        })
    };
    json!({
        "__typename": "Product", "id": format!("gid://shopify/Product/{number}"), "title": "Cup",
        "status": "ACTIVE", "updatedAt": "2026-02-02T00:00:00Z",
        "variants": [variant(0, json!({ "amount": "4.50", "currencyCode": "EUR" })),
            variant(1, Value::Null)],
    })
}
