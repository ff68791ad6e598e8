//! Envelopes joined by plain loops: of one name the higher version is kept.
//!
//! Invariant: equal versions of one name say the same, or the order of arrival would decide.

use std::collections::BTreeMap;

use ionflux_schemas::event::{Envelope, Event};
use ionflux_schemas::key::Version;

/// What is held of each name.
pub type State = BTreeMap<String, (Version, Event)>;

/// The name of what an envelope is about.
fn name(envelope: &Envelope) -> String {
    let name = match &envelope.event {
        Event::Order(order) => format!("order {}", order.id),
        Event::OrderDeleted { order } => format!("deletion of {order}"),
        Event::Redacted { order } => format!("redaction of {order}"),
        Event::OrderEdit(edit) => format!("edit {}", edit.id),
        Event::Refund(refund) => format!("refund {}", refund.id),
        Event::Row(row) => format!("row {} {}", row.order, row.content),
        Event::Zone { from, .. } => format!("zone from {from}"),
        Event::Entity(entity) => format!("{:?} {}", entity.kind(), entity.id),
    };
    format!("{} {name}", envelope.shop)
}

/// Joins envelopes in the order they come.
pub fn fold<'a>(envelopes: impl IntoIterator<Item = &'a Envelope>) -> State {
    let mut state = State::new();
    for envelope in envelopes {
        let said = (envelope.version, envelope.event.clone());
        match state.get(&name(envelope)) {
            Some((version, event)) if *version == said.0 => assert_eq!(*event, said.1),
            Some((version, _)) if *version > said.0 => {}
            _ => drop(state.insert(name(envelope), said)),
        }
    }
    state
}

/// What is held, without the versions.
pub fn bodies(state: &State) -> BTreeMap<&str, &Event> {
    state.iter().map(|(name, (_, event))| (&**name, event)).collect()
}
