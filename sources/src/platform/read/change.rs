//! What changed about a store: apps, themes, settings, prices, as the platform or a person says.
//!
//! Invariant: the name of a change is `<entity>_<past-tense verb>`, however it came.

use ionflux_schemas::entity::{Body, StoreChange};
use ionflux_schemas::fault::FaultKind;

use super::activity::PERSONAL;
use super::{Draft, Told, payload};
use crate::platform::event::Event;
use crate::platform::fields::is_name;
use crate::reading::{Refusal, Setting};

/// Fields of the payload that are told elsewhere.
const TITLE: [&str; 4] = ["title", "app_name", "theme_name", "name"];
const OTHERS: [&str; 9] = [
    "change",
    "kind",
    "at",
    "changed_at",
    "shop_domain",
    "shop_id",
    "shopify_shop_id",
    "brand_id",
    "workspace_id",
];

/// `ionflux.store.change.recorded`, or `ionflux.store.<entity>.<verb>` such as
/// `ionflux.store.app.installed`
pub fn read(event: &Event<'_>, parts: &[&str], setting: &Setting) -> Result<Option<Told>, Refusal> {
    let [entity, verb] = parts else { return Ok(None) };
    let fields = payload(event)?;
    let change = match (*entity, *verb) {
        ("change", "recorded") => fields.needed("change", fields.name(&["change", "kind"])?)?,
        _ => format!("{entity}_{verb}").replace('-', "_").into(),
    };
    if !is_name(&change) {
        let reason = "event_type: the change is not a name such as app_installed";
        return Err(Refusal::new(FaultKind::Field, "", reason));
    }
    let title = fields.text(&TITLE)?.unwrap_or_default();
    let at = fields.time(&["at", "changed_at"])?.unwrap_or(event.at);
    let but: Vec<&str> = TITLE.into_iter().chain(OTHERS).chain(PERSONAL).collect();
    let details = fields.scalars(&but)?;
    let body = Body::StoreChange(StoreChange { change, title, details });
    Draft { event, setting, payload: Some(&fields) }.told(at, body)
}
