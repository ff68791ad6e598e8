//! One delivery of settings, as the journal kept it: all changes of one request, a line each.
//!
//! Invariant: pure; the instants of a change are its own and its delivery's, never ours.

use std::sync::Arc;

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::entity::{Body, Entity, Setting as Set};
use ionflux_schemas::event::{Envelope, Event};
use ionflux_schemas::fault::{FaultKind, Place};
use ionflux_schemas::key::{Id, ShopKey};
use ionflux_schemas::time::UtcMs;

use super::change::{Change, canonical};
use crate::draft::delivered;
use crate::reading::{Decoded, Refusal, Setting};

/// The name of the source.
pub const SOURCE: &str = "settings";
/// The header that says of which kind the changes are.
pub const KIND: &str = "kind";
/// The header that says who made them.
pub const BY: &str = "by";

/// What a delivery says where its reader is told more than the delivery.
#[must_use]
pub fn read_as(delivery: &Delivery, position: Position, setting: &Setting) -> Decoded {
    let mut decoded = Decoded::default();
    let told = |name: &str| delivery.headers.get(name).map(|text| &**text).unwrap_or_default();
    let kind = told(KIND);
    let mut refused = |kind: FaultKind, subject: String, reason: String| {
        let place = Place { source: Arc::from(SOURCE), line: 0 };
        let refusal = Refusal::new(kind, subject, reason);
        decoded.faults.push(refusal.at(setting.shop_key(None), place));
    };
    if kind.is_empty() {
        let reason = "the delivery does not say of which kind its settings are";
        refused(FaultKind::Field, String::new(), reason.to_owned());
    }
    let lines = delivery.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    for (index, text) in lines.enumerate().filter(|_| !kind.is_empty()) {
        match serde_json::from_slice::<Change>(text) {
            Ok(change) => {
                let envelope = envelope((kind, told(BY)), change, delivery, setting);
                decoded.envelopes.push(envelope);
            }
            Err(error) => {
                let subject = format!("{kind}, change {}", index + 1);
                refused(FaultKind::Syntax, subject, error.to_string());
            }
        }
    }
    delivered(decoded, delivery, position, setting)
}

/// The shop, the version and the entity of a change that came at an instant.
fn envelope(
    (kind, by): (&str, &str),
    change: Change,
    delivery: &Delivery,
    setting: &Setting,
) -> Envelope {
    let received_at = delivery.received_at;
    let (at, (version, id)) = (change.from(received_at), change.named(kind, received_at));
    let Change { shop, name, valid_until, document, .. } = change;
    let document = document.map(|document| Box::from(canonical(&document)));
    let (kind, by) = (kind.into(), by.into());
    let body = Body::Setting(Set { kind, name, until: valid_until, document, by });
    let shop = Arc::new(ShopKey::new(setting.workspace.clone(), shop));
    Envelope { shop, version, event: Event::Entity(Box::new(Entity { id: id.into(), at, body })) }
}

/// The delivery that keeps changes.
#[must_use]
pub fn of((workspace, by): (Id, Id), kind: &str, received_at: UtcMs, lines: Vec<u8>) -> Delivery {
    let headers = [(Id::from(KIND), Id::from(kind)), (Id::from(BY), by)].into();
    Delivery { source: SOURCE.into(), workspace, received_at, headers, body: lines.into() }
}
