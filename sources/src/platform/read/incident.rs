//! What a user did about an incident.
//!
//! Invariant: an action is spelled in the past tense, whichever way it was sent.

use ionflux_schemas::entity::{Body, IncidentAction};

use super::{Draft, Told, payload};
use crate::platform::event::Event;
use crate::reading::{Refusal, Setting};

/// Spellings that mean the same.
const SPELLINGS: [(&str, &str); 5] = [
    ("acknowledge", "acknowledged"),
    ("ack", "acknowledged"),
    ("resolve", "resolved"),
    ("dismiss", "dismissed"),
    ("noted", "note"),
];

/// `ionflux.incident.action.recorded`
pub fn read(event: &Event<'_>, parts: &[&str], setting: &Setting) -> Result<Option<Told>, Refusal> {
    if parts != ["action", "recorded"] {
        return Ok(None);
    }
    let fields = payload(event)?;
    let incident = fields.needed("incident_id", fields.text(&["incident_id", "incident"])?)?;
    let action = fields.needed("action", fields.name(&["action"])?)?;
    let spelling = SPELLINGS.iter().find(|(spelling, _)| **spelling == *action);
    let action = spelling.map_or(action, |(_, action)| (*action).into());
    let own = fields.text(&["user_id", "user_did"])?;
    let user = event.user.clone().or(own);
    let body = Body::IncidentAction(IncidentAction { incident, action, user });
    Draft { event, setting, payload: Some(&fields) }.told(event.at, body)
}
