//! What is worth telling, how often at most, to whom, and on which days it is not.

use serde_json::Value;

use super::{Kind, Named, anything, as_written};
use crate::settings::leaf::{self, Scope};
use crate::settings::problem::{Path, Problems};
use crate::settings::shape::{Field, Shape, may, needs, scope_of};

/// The longest name for people, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// The most entries of a calendar.
const ENTRIES_MAX: usize = 1_000;
/// The most products, tags or channels of one rule.
const LISTED_MAX: usize = 200;
/// The longest window, in days: a year.
const DAYS_MAX: u64 = 366;

/// The length of a civil day, `2026-03-01`; what is longer has a time.
const DAY_BYTES: usize = 10;

const NAME: Shape = Shape::Label(NAME_BYTES_MAX);
const PERCENT: Shape = Shape::Number("0", "100");
const DAYS: Field = may("window_days", Shape::Whole(1, DAYS_MAX));

/// Promotions, holidays, and days on which a shop is closed.
pub const CALENDARS: Kind = Kind {
    name: "calendars",
    about: "promotions and holidays: when sales are expected to differ, and by how much",
    named: Named::By("id"),
    of_shops: true,
    shape: Shape::Object(&[
        needs("id", Shape::Id),
        may("name", NAME),
        needs("entries", Shape::List(&ENTRY, ENTRIES_MAX)),
    ]),
    rule: ordered,
    normalise: as_written,
};

/// `until` is not part of the span; without it the span is the civil day `from`.
const ENTRY: Shape = Shape::Object(&[
    needs("name", NAME),
    needs("type", Shape::OneOf(&["promotion", "holiday", "closed"])),
    needs("from", Shape::Moment),
    may("until", Shape::Moment),
    may("factor", Shape::Number("0", "100")),
    may("yearly", Shape::Bool),
]);

fn ordered(document: &Value, at: &Path<'_>, problems: &mut Problems) {
    let scope = document.as_object().map(|members| scope_of(members, &Scope::default()));
    let (scope, at) = (scope.unwrap_or_default(), at.member("entries"));
    let entries = document.get("entries").and_then(Value::as_array);
    for (index, entry) in entries.into_iter().flatten().enumerate() {
        let at = at.element(index);
        let text = |field: &str| entry.get(field).and_then(Value::as_str);
        let instant = |field: &str| leaf::moment(text(field)?, &scope).ok();
        match (instant("from"), instant("until")) {
            (Some(from), Some(until)) if until <= from => {
                problems.add(&at.member("until"), "must be later than from");
            }
            (_, None) if text("from").is_some_and(|from| from.trim().len() > DAY_BYTES) => {
                problems.add(&at.member("until"), "is missing: from is no whole day");
            }
            _ => {}
        }
    }
}

/// What is worth telling.
pub const ALERT_RULES: Kind = Kind {
    name: "alert-rules",
    about: "what is worth telling: orders to watch, margins, costs, incidents, silence",
    named: Named::By("id"),
    of_shops: true,
    shape: Shape::Tagged("rule", RULE, RULES),
    rule: watches,
    normalise: as_written,
};

const RULE: &[Field] = &[
    needs("id", Shape::Id),
    needs("rule", Shape::Id),
    may("name", NAME),
    may("enabled", Shape::Bool),
    may("severity", Shape::OneOf(&["info", "warning", "critical"])),
    may("channels", Shape::List(&Shape::Id, LISTED_MAX)),
];

const RULES: &[(&str, &[Field])] = &[
    (
        "order_watch",
        &[
            may("min_order_value", Shape::Amount),
            may("currency", Shape::Currency),
            may("products", Shape::List(&PRODUCT, LISTED_MAX)),
            may("customer_tags", Shape::List(&NAME, LISTED_MAX)),
        ],
    ),
    ("negative_margin", &[DAYS]),
    ("low_margin", &[needs("below_percent", PERCENT), DAYS]),
    ("falling_margin", &[needs("points", PERCENT), DAYS]),
    ("rising_margin", &[needs("percent", Shape::Number("0", "1000")), DAYS]),
    ("cost_rise", &[needs("percent", Shape::Number("0", "1000")), DAYS]),
    ("discount_impact", &[needs("target_percent", PERCENT)]),
    (
        "roas",
        &[needs("below", Shape::Number("0", "1000")), may("window_hours", Shape::Whole(1, 744))],
    ),
    ("payout_negative", &[may("cycles", Shape::Whole(1, 100))]),
    ("missing_cost", &[may("coverage_percent", PERCENT)]),
    ("incident", &[may("metrics", Shape::List(&Shape::Id, LISTED_MAX))]),
    ("data_gap", &[needs("silent_minutes", Shape::Whole(1, 44_640))]),
];

const PRODUCT: Shape =
    Shape::Object(&[may("sku", NAME), may("product_id", NAME), may("title_contains", NAME)]);

fn watches(document: &Value, at: &Path<'_>, problems: &mut Problems) {
    let there = |field: &str| document.get(field).is_some_and(|value| !value.is_null());
    let watch = document.get("rule").and_then(Value::as_str) == Some("order_watch");
    if watch && !["min_order_value", "products", "customer_tags"].into_iter().any(there) {
        problems.add(at, "must watch a min_order_value, products or customer_tags");
    }
    let products = document.get("products").and_then(Value::as_array);
    for (index, product) in products.into_iter().flatten().enumerate() {
        if product
            .as_object()
            .is_none_or(|members| members.values().flat_map(Value::as_str).count() != 1)
        {
            let reason = "must name one of sku, product_id and title_contains";
            problems.add(&at.member("products").element(index), reason);
        }
    }
}

/// How many alarms, and how large a loss, a user puts up with.
pub const BUDGETS: Kind = Kind {
    name: "budgets",
    about: "false incidents a series may have in a week, and when a person is called",
    named: Named::By("id"),
    of_shops: true,
    shape: Shape::Object(&[
        needs("id", Shape::Id),
        may("metrics", Shape::List(&Shape::Id, LISTED_MAX)),
        needs("false_incidents_per_week", Shape::Number("0.001", "100")),
        may("horizon_hours", Shape::Whole(1, 720)),
        may("critical_gmv_percent", PERCENT),
        may("critical_incidents_per_hour", Shape::Whole(1, 1_000)),
        may("failed_actions_per_day", Shape::Whole(1, 1_000)),
    ]),
    rule: anything,
    normalise: as_written,
};

/// Whom alerts reach. Secrets stand in the environment; here is only what they are called.
pub const NOTIFICATION_CHANNELS: Kind = Kind {
    name: "notification-channels",
    about: "where alerts go; secrets are named by the environment variables that hold them",
    named: Named::By("id"),
    of_shops: false,
    shape: Shape::Tagged("type", CHANNEL, CHANNELS),
    rule: anything,
    normalise: as_written,
};

const CHANNEL: &[Field] = &[
    needs("id", Shape::Id),
    needs("type", Shape::Id),
    may("name", NAME),
    may("enabled", Shape::Bool),
];

const CHANNELS: &[(&str, &[Field])] = &[
    ("in_app", &[]),
    ("email", &[needs("email_address", Shape::Email)]),
    ("chat_dock", &[needs("channel_id", NAME)]),
    ("slack", &[needs("url_variable", Shape::Variable)]),
    ("webhook", &[needs("url", Shape::Url), may("secret_variable", Shape::Variable)]),
    ("pagerduty", &[needs("routing_key_variable", Shape::Variable)]),
    ("opsgenie", &[needs("api_key_variable", Shape::Variable)]),
    (
        "jira",
        &[
            needs("url", Shape::Url),
            needs("project", NAME),
            needs("token_variable", Shape::Variable),
        ],
    ),
];
