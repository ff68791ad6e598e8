//! The time zone of the shop itself.
//!
//! Invariant: a zone holds from the shop's last change on, so that a new one never moves days
//! that are closed.

use ionflux_schemas::event::Event;
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::time::{UtcMs, Zone};

use super::body::Shop;
use super::record::{Outcome, Record, field};
use crate::reading::Refusal;

/// The shop's zone from its last change on.
pub fn decode(shop: &Shop<'_>, record: &Record<'_>) -> Outcome {
    holding(shop, UtcMs(i64::MIN), record)
}

/// The shop's zone from when it was told on, where it does not say since when; for all time where
/// that is not known either.
pub fn told(shop: &Shop<'_>, record: &Record<'_>) -> Outcome {
    let at = Some(record.raised_at).filter(|at| at.0 != 0);
    holding(shop, at.unwrap_or(UtcMs(i64::MIN)), record)
}

fn holding(shop: &Shop<'_>, otherwise: UtcMs, record: &Record<'_>) -> Outcome {
    let wrong = |reason: String| Refusal::new(FaultKind::Field, "shop", reason);
    let Some(name) = shop.iana_timezone.text() else {
        let missing = field("the shop has no iana_timezone, so that its days stay as they are");
        return Err(Refusal { subject: "shop".into(), ..missing });
    };
    let zone = Zone::parse(&name).map_err(|error| wrong(format!("iana_timezone: {error}")))?;
    let zone = zone.name().into();
    let from = shop.updated_at.time("updated_at", record.setting)?.unwrap_or(otherwise);
    let version = record.version(from, &zone);
    Ok(vec![record.envelope(version, Event::Zone { from, zone })])
}
