//! What things cost: units of products, fees of gateways, what a shop pays by the month or order.

use serde_json::Value;

use super::{Kind, Named, anything, as_written};
use crate::settings::problem::{Path, Problems};
use crate::settings::shape::{Shape, may, needs};

/// The longest name of a variant, a stock unit, a gateway or a region, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// The most rules of one document.
const RULES_MAX: usize = 200;
/// The heaviest parcel, in grams.
const GRAMS_MAX: u64 = 10_000_000;

const NAME: Shape = Shape::Label(NAME_BYTES_MAX);
const PERCENT: Shape = Shape::Number("0", "100");

/// What one unit of a product costs.
pub const PRODUCT_COSTS: Kind = Kind {
    name: "product-costs",
    about: "what one unit of a variant costs from an instant on; wins over the shop's own cost",
    named: Named::ByOneOf(&["variant", "sku"]),
    of_shops: true,
    shape: Shape::Object(&[
        may("variant", NAME),
        may("sku", NAME),
        needs("cost", Shape::Amount),
        may("currency", Shape::Currency),
    ]),
    rule: one_name,
    normalise: as_written,
};

/// What a shop pays beside its goods.
pub const COST_SETTINGS: Kind = Kind {
    name: "cost-settings",
    about: "default fees, marketing per order, monthly fees, shipping rules; one for each shop",
    named: Named::Single,
    of_shops: true,
    shape: Shape::Object(&[
        may("currency", Shape::Currency),
        may("default_transaction_fee_percent", PERCENT),
        may("fee_fixed", Shape::Amount),
        may("fee_basis", Shape::OneOf(&["captured", "goods"])),
        may("margin_basis", Shape::OneOf(&["goods_and_shipping", "goods_only"])),
        may("average_marketing_cpo", Shape::Amount),
        may("monthly_app_fees_total", Shape::Amount),
        may("fixed_costs", Shape::Amount),
        may("shipping_rules", Shape::List(&SHIPPING_RULE, RULES_MAX)),
    ]),
    rule: something,
    normalise: as_written,
};

const SHIPPING_RULE: Shape = Shape::Object(&[
    may("region", NAME),
    may("max_grams", Shape::Whole(1, GRAMS_MAX)),
    needs("cost", Shape::Amount),
]);

/// What gateways keep.
pub const FEE_RULES: Kind = Kind {
    name: "fee-rules",
    about: "what a gateway keeps of a capture: a percentage and a fixed part, by region",
    named: Named::By("id"),
    of_shops: true,
    shape: Shape::Object(&[
        needs("id", Shape::Id),
        needs("gateway", NAME),
        may("region", NAME),
        needs("percent", PERCENT),
        may("fixed", Shape::Amount),
        may("currency", Shape::Currency),
    ]),
    rule: anything,
    normalise: as_written,
};

fn one_name(document: &Value, at: &Path<'_>, problems: &mut Problems) {
    let there = |field: &str| document.get(field).is_some_and(|value| !value.is_null());
    if there("variant") == there("sku") {
        problems.add(at, "must name one of variant and sku");
    }
}

/// An empty document would take every cost away without saying so.
fn something(document: &Value, at: &Path<'_>, problems: &mut Problems) {
    let named = |field: &str| document.get(field).is_some_and(|value| !value.is_null());
    let fields = COST_SETTINGS.fields();
    if !fields.iter().any(|field| field.name != "currency" && named(field.name)) {
        problems.add(at, "sets nothing; take settings back with \"removed\": true");
    }
}
