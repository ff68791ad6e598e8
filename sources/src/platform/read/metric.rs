//! Measurements of a shop: sessions, page load, checkout errors, and whatever else has a name.
//!
//! Invariant: a value is the exact decimal number that was sent, in its shortest form.

use ionflux_schemas::entity::{Body, Metric};
use ionflux_schemas::fault::FaultKind;

use super::{Draft, Told, payload, span};
use crate::platform::event::Event;
use crate::reading::{Refusal, Setting};

/// What is counted or takes time, and so is never below zero.
const NEVER_NEGATIVE: [&str; 9] = [
    "sessions",
    "visitors",
    "page_views",
    "page_load_ms",
    "page_load_time",
    "checkout_errors",
    "checkouts_started",
    "cvr",
    "aov",
];

/// `ionflux.performance.metric.recorded`
pub fn read(event: &Event<'_>, parts: &[&str], setting: &Setting) -> Result<Option<Told>, Refusal> {
    if parts != ["metric", "recorded"] {
        return Ok(None);
    }
    let fields = payload(event)?;
    let name = fields.name(&["metric_name", "metric", "name"])?;
    let name = fields.needed("metric_name", name)?;
    let value = fields.needed("value", fields.decimal(&["value"])?)?;
    if value.is_sign_negative() && !value.is_zero() && NEVER_NEGATIVE.contains(&&*name) {
        let why = format!("is below zero, which {name} never is");
        return Err(fields.refuse(FaultKind::Amount, "value", &why));
    }
    let value = match value.is_zero() {
        true => "0".into(),
        false => value.normalize().to_string().into(),
    };
    let (at, span_ms) = span::of(&fields, event.at)?;
    let dimensions = fields.object("dimensions", "payload_json.dimensions.")?;
    let dimensions = dimensions.map(|fields| fields.only_scalars()).transpose()?;
    let dimensions = dimensions.unwrap_or_default();
    let body = Body::Metric(Metric { name, value, span_ms, dimensions });
    Draft { event, setting, payload: Some(&fields) }.told(at, body)
}
