//! Order edits and deletions: what changes an order without showing it.
//!
//! Invariant: an edit carries only added units; removals come again as refunds.

use ionflux_schemas::event::{Event, OrderEdit};
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::Version;
use ionflux_schemas::money::decimal;

use super::body::{Edit, EditLine, Reference};
use super::list::each;
use super::record::{Outcome, Record, about, field};
use crate::reading::Refusal;

/// The units an edit added.
pub fn decode(edit: &Edit<'_>, record: &Record<'_>) -> Outcome {
    let id = edit.id.id("the edit")?.ok_or_else(|| field("the order edit has no id"))?;
    let subject = format!("edit {id}");
    let wrong = |refusal: Refusal| about(&subject, refusal);
    let order = edit.order_id.id("the order").map_err(wrong)?;
    let order = order.ok_or_else(|| wrong(field("it names no order")))?;
    let committed = edit.committed_at.time("committed_at", record.setting).map_err(wrong)?;
    let created = edit.created_at.time("created_at", record.setting).map_err(wrong)?;
    let raised = Some(record.raised_at).filter(|at| at.0 != 0);
    let edited_at = committed
        .or(created)
        .or(raised)
        .ok_or_else(|| wrong(field("it has neither committed_at nor created_at")))?;
    let mut additions = Vec::new();
    for line in each(&edit.line_items.additions) {
        additions.extend(addition(line).map_err(wrong)?);
    }
    let edit = OrderEdit { id, order, edited_at, additions };
    let version = record.version(edited_at, &edit);
    Ok(vec![record.envelope(version, Event::OrderEdit(edit))])
}

/// A line and the units added to it, if any were.
fn addition(line: &EditLine<'_>) -> Result<Option<(ionflux_schemas::key::Id, i32)>, Refusal> {
    let id = line.id.id("a line")?.ok_or_else(|| field("an added line has no id"))?;
    let delta = line.delta.text().and_then(|text| decimal(&text).ok());
    if delta.is_some_and(|delta| delta.is_sign_negative()) {
        return Ok(None);
    }
    let units = line.delta.units(&format!("line {id}"))?;
    Ok((units > 0).then_some((id, units)))
}

/// The deletion of an order.
pub fn deleted(body: &Reference<'_>, record: &Record<'_>) -> Outcome {
    let order = body.id.id_or(body.admin_graphql_api_id, "the order")?;
    let order =
        order.ok_or_else(|| Refusal::new(FaultKind::Field, "", "the deleted order has no id"))?;
    let version = Version::new(record.raised_at, record.raised_at, order.as_bytes());
    Ok(vec![record.envelope(version, Event::OrderDeleted { order })])
}
