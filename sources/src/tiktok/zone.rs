//! The time zone of a shop's days, which no answer of TikTok tells: the configuration does.
//!
//! Invariant: it holds for all time, and the one that was told last holds.

use std::collections::BTreeMap;

use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::event::Event;
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::Id;
use ionflux_schemas::time::{UtcMs, Zone};
use serde_json::value::to_raw_value;

use super::api::{OBSERVED_AT, SHOP, Told};
use super::delivery::SHOP_API;
use super::record::{Outcome, Record};
use crate::reading::Refusal;
use crate::shopify::record::field;
use crate::shopify::scalar::Scalar;

/// The member that tells it.
pub const MEMBER: &str = "shop_timezone";

/// What tells a shop's zone, at an instant.
#[must_use]
pub fn delivery((workspace, shop): (&Id, &Id), zone: &Zone, at: UtcMs) -> Delivery {
    // A text always serialises.
    let name = to_raw_value(zone.name()).map(|name| name.get().to_owned()).unwrap_or_default();
    let observed_at = at.0.to_string();
    Delivery {
        source: SHOP_API.into(),
        workspace: workspace.clone(),
        received_at: at,
        headers: BTreeMap::from([
            (SHOP.into(), shop.clone()),
            (OBSERVED_AT.into(), observed_at.into()),
        ]),
        body: format!("{{\"data\":{{\"{MEMBER}\":{name}}}}}").into_bytes().into(),
    }
}

/// The zone that was told.
pub fn decode(name: Scalar<'_>, told: &Told) -> Outcome {
    let wrong = |why: String| Refusal::new(FaultKind::Time, "shop", format!("{MEMBER}: {why}"));
    let name = name.text().ok_or_else(|| field(format!("{MEMBER} is empty")))?;
    let zone = Zone::parse(&name).map_err(|error| wrong(error.to_string()))?;
    let at = told.observed_at.ok_or_else(|| field(format!("{OBSERVED_AT} is missing")))?;
    let zone: Id = zone.name().into();
    let event = Event::Zone { from: UtcMs(i64::MIN), zone: zone.clone() };
    let record = Record::of_shop(&told.setting)?;
    Ok(vec![record.envelope((at, UtcMs::default()), &zone, event)])
}
