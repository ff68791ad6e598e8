//! Webhook bodies of the simulated shop, in Shopify's documented shapes; no personal data.
//!
//! Invariant: a body is a pure function of the order's state and of when it is told.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::json::{Amount, Object};
use super::order::{Line, Order, Refund, Returned, tax};

/// Writes bodies with times in the shop's zone.
#[derive(Clone, Debug)]
pub(super) struct Bodies {
    pub(super) zone: TimeZone,
}

pub(super) const CURRENCY: &str = "EUR";
pub(super) const ZONE: &str = "Europe/Berlin";

fn gid(kind: &str, id: u64) -> String {
    format!("gid://shopify/{kind}/{id}")
}

pub(super) fn order_id(number: u64) -> u64 {
    6_100_000_000_000 + number * 32_768
}

pub(super) fn line_id(number: u64) -> u64 {
    15_200_000_000_000 + number * 16
}

pub(super) fn refund_id(number: u64, refund: usize) -> u64 {
    910_000_000_000 + number * 16 + refund as u64
}

fn customer_id(customer: u64) -> u64 {
    7_700_000_000_000 + customer * 1024
}

fn transaction_id(number: u64) -> u64 {
    7_300_000_000_000 + number * 32
}

impl Bodies {
    fn time(&self, at: i64) -> String {
        let instant = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
        let local = instant.to_zoned(self.zone.clone());
        local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// The shop itself: its currency and zone.
    pub(super) fn shop(&self, domain: &str, at: i64) -> String {
        Object::new()
            .raw("id", 81_460_003_117_u64)
            .text("name", "Aurora Supply")
            .text("domain", domain)
            .text("myshopify_domain", domain)
            .text("country_code", "DE")
            .text("primary_locale", "de")
            .text("created_at", "2021-04-12T09:00:00+02:00")
            .text("updated_at", &self.time(at))
            .text("currency", CURRENCY)
            .list("enabled_presentment_currencies", [format!("{CURRENCY:?}")])
            .text("timezone", "(GMT+01:00) Berlin")
            .text("iana_timezone", ZONE)
            .raw("taxes_included", false)
            .text("plan_name", "professional")
            .finish()
    }

    /// A full snapshot of an order.
    pub(super) fn order(&self, order: &Order) -> String {
        let id = order_id(order.number);
        let number = 1000 + order.number;
        let placed = self.time(order.placed_at);
        let cancelled = order.cancelled_at.map(|at| self.time(at));
        let returned: i64 = order.refunds.iter().map(Refund::subtotal).sum();
        let all_returned = order.lines.iter().all(|line| line.left() == 0);
        let status = match (order.refunds.is_empty(), all_returned) {
            (true, _) if !order.paid => "pending",
            (true, _) => "paid",
            (false, false) => "partially_refunded",
            (false, true) => "refunded",
        };
        let customer = order.customer.map(|customer| {
            let id = customer_id(customer);
            let object = Object::new().raw("id", id).text("currency", CURRENCY);
            object.text("admin_graphql_api_id", &gid("Customer", id)).finish()
        });
        let object = Object::new()
            .raw("id", id)
            .text("admin_graphql_api_id", &gid("Order", id))
            .optional("cancel_reason", order.cancelled_at.map(|_| "customer"))
            .optional("cancelled_at", cancelled.as_deref())
            .text("created_at", &placed)
            .text("processed_at", &placed)
            .text("updated_at", &self.time(order.updated_at))
            .text("currency", CURRENCY)
            .text("presentment_currency", CURRENCY)
            .text("financial_status", status)
            .optional("fulfillment_status", order.fulfilled.then_some("fulfilled"))
            .text("name", &format!("#{number}"))
            .raw("order_number", number)
            .raw("number", order.number)
            .text("source_name", "web")
            .raw("test", false)
            .raw("confirmed", true)
            .raw("taxes_included", false)
            .list("payment_gateway_names", ["\"shopify_payments\"".to_owned()])
            .nulls(&["app_id", "closed_at", "email", "location_id", "note", "phone", "user_id"]);
        totals(object, order, returned)
            .raw("customer", customer.as_deref().unwrap_or("null"))
            .list("discount_codes", order.code.map(|_| discount_code(order)))
            .list("discount_applications", order.code.map(|_| discount_application(order)))
            .list("tax_lines", [tax_line(order.taxes())])
            .list("line_items", order.lines.iter().map(|line| line_item(line, order.fulfilled)))
            .list("shipping_lines", [shipping_line(order)])
            .list("refunds", order.refunds.iter().map(|refund| self.refund(order, refund)))
            .list("fulfillments", [])
            .finish()
    }

    /// A refund.
    pub(super) fn refund(&self, order: &Order, refund: &Refund) -> String {
        let (at, order_id) = (self.time(refund.at), order_id(order.number));
        let index = order.refunds.iter().position(|other| other.id == refund.id).unwrap_or(0);
        let sale = transaction_id(order.number);
        let transaction = Object::new()
            .raw("id", sale + 1 + index as u64)
            .raw("order_id", order_id)
            .text("amount", &Amount(refund.total()).to_string())
            .text("currency", CURRENCY)
            .text("kind", "refund")
            .text("status", "success")
            .text("gateway", "shopify_payments")
            .text("created_at", &at)
            .text("processed_at", &at)
            .raw("parent_id", sale)
            .raw("test", false)
            .finish();
        let shipping = (refund.shipping > 0).then(|| {
            Object::new()
                .raw("id", refund.id)
                .raw("shipping_line", shipping_line(order))
                .set("subtotal_amount_set", refund.shipping)
                .set("tax_amount_set", tax(refund.shipping))
                .finish()
        });
        let kind = if refund.cancel { "cancel" } else { "return" };
        let goods = refund.goods.iter().enumerate().map(|(at, returned)| {
            let id = refund.id * 8 + at as u64;
            refund_line(id, kind, returned, &order.lines[returned.line])
        });
        Object::new()
            .raw("id", refund.id)
            .text("admin_graphql_api_id", &gid("Refund", refund.id))
            .raw("order_id", order_id)
            .text("created_at", &at)
            .text("processed_at", &at)
            .raw("restock", true)
            .nulls(&["note", "user_id", "return"])
            .list("duties", [])
            .list("refund_line_items", goods)
            .list("refund_shipping_lines", shipping)
            .list("order_adjustments", [])
            .list("transactions", [transaction])
            .finish()
    }

    /// A line that was added to an order.
    pub(super) fn edit(&self, order: &Order, line: &Line, at: i64) -> String {
        let addition = Object::new().raw("id", line.id).raw("delta", line.units).finish();
        let none = || Object::new().list("additions", []).list("removals", []);
        let edit = Object::new()
            .raw("id", line.id * 4 + 1)
            .raw("order_id", order_id(order.number))
            .text("created_at", &self.time(at))
            .text("committed_at", &self.time(at))
            .raw("notify_customer", true)
            .text("staff_note", "")
            .nulls(&["app_id", "user_id"])
            .raw(
                "line_items",
                Object::new().list("additions", [addition]).list("removals", []).finish(),
            )
            .raw("discounts", Object::new().raw("line_item", none().finish()).finish())
            .raw("shipping_lines", none().finish());
        Object::new().raw("order_edit", edit.finish()).finish()
    }
}

fn totals(object: Object, order: &Order, returned: i64) -> Object {
    let taxes_back: i64 = order.refunds.iter().map(Refund::taxes).sum();
    let shipping_back: i64 = order.refunds.iter().map(|refund| refund.shipping).sum();
    let back = returned + taxes_back + shipping_back;
    let outstanding = if order.paid { 0 } else { order.total() };
    object
        .money("total_line_items_price", order.gross())
        .money("total_discounts", order.discounts())
        .money("subtotal_price", order.subtotal())
        .set("total_shipping_price_set", order.shipping)
        .money("total_tax", order.taxes())
        .money("total_price", order.total())
        .money("current_total_discounts", order.discounts())
        .money("current_subtotal_price", order.subtotal() - returned)
        .set("current_shipping_price_set", order.shipping - shipping_back)
        .money("current_total_tax", order.taxes() - taxes_back)
        .money("current_total_price", order.total() - back)
        .text("total_outstanding", &Amount(outstanding).to_string())
        .text("total_tip_received", "0.00")
        .nulls(&["original_total_duties_set", "original_total_additional_fees_set"])
        .nulls(&["current_total_duties_set", "current_total_additional_fees_set"])
}

fn tax_line(amount: i64) -> String {
    let line = Object::new().text("title", "DE MwSt").raw("rate", "0.19");
    line.money("price", amount).raw("channel_liable", false).finish()
}

fn discount_code(order: &Order) -> String {
    let (name, fixed) = order.code.map_or(("", true), |code| (code.name, code.percent.is_none()));
    Object::new()
        .text("code", name)
        .text("amount", &Amount(order.discounts()).to_string())
        .text("type", if fixed { "fixed_amount" } else { "percentage" })
        .finish()
}

fn discount_application(order: &Order) -> String {
    let (name, percent, value) =
        order.code.map_or(("", None, 0), |code| (code.name, code.percent, code.value));
    Object::new()
        .text("target_type", "line_item")
        .text("type", "discount_code")
        .text("value", &Amount(percent.map_or(value, |percent| percent * 100)).to_string())
        .text("value_type", if percent.is_some() { "percentage" } else { "fixed_amount" })
        .text("allocation_method", "across")
        .text("target_selection", "all")
        .text("code", name)
        .finish()
}

fn line_item(line: &Line, fulfilled: bool) -> String {
    let allocation = (line.discount > 0).then(|| {
        let allocation = Object::new().money("amount", line.discount);
        allocation.raw("discount_application_index", 0).finish()
    });
    Object::new()
        .raw("id", line.id)
        .text("admin_graphql_api_id", &gid("LineItem", line.id))
        .raw("product_id", line.product.id)
        .raw("product_exists", true)
        .text("title", line.product.title)
        .text("name", line.product.title)
        .raw("quantity", line.units)
        .raw("current_quantity", line.left())
        .raw("fulfillable_quantity", if fulfilled { 0 } else { line.left() })
        .optional("fulfillment_status", fulfilled.then_some("fulfilled"))
        .money("price", line.product.price_minor)
        .money("total_discount", 0)
        .raw("gift_card", false)
        .raw("taxable", true)
        .raw("requires_shipping", true)
        .nulls(&["sku", "variant_id", "variant_title"])
        .list("properties", [])
        .list("duties", [])
        .list("tax_lines", [tax_line(line.tax())])
        .list("discount_allocations", allocation)
        .finish()
}

fn shipping_line(order: &Order) -> String {
    Object::new()
        .raw("id", 5_100_000_000_000 + order.number)
        .text("title", if order.shipping > 0 { "DHL Paket" } else { "Versandkostenfrei" })
        .text("source", "shopify")
        .nulls(&["carrier_identifier", "code", "phone"])
        .raw("is_removed", false)
        .money("price", order.shipping)
        .money("discounted_price", order.shipping)
        .list("tax_lines", (order.shipping > 0).then(|| tax_line(tax(order.shipping))))
        .list("discount_allocations", [])
        .finish()
}

fn refund_line(id: u64, restock: &str, returned: &Returned, line: &Line) -> String {
    Object::new()
        .raw("id", id)
        .raw("line_item_id", line.id)
        .raw("quantity", returned.units)
        .text("restock_type", restock)
        .raw("location_id", 71_220_003_u64)
        .raw("subtotal", Amount(returned.subtotal))
        .raw("total_tax", Amount(returned.tax))
        .set("subtotal_set", returned.subtotal)
        .set("total_tax_set", returned.tax)
        .raw("line_item", line_item(line, true))
        .finish()
}
