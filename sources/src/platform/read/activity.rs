//! What users and agents did on the platform.
//!
//! Invariant: only scalars are taken of the properties, and none that says who somebody is.

use ionflux_schemas::entity::{Activity, Body};
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::Id;

use super::{Draft, Told, payload};
use crate::platform::event::Event;
use crate::platform::fields::{NAME_BYTES_MAX, is_name};
use crate::reading::{Refusal, Setting};

/// Types that older services send by their bare names.
pub const BARE: [&str; 6] = [
    "saas_connected",
    "canvas_page_created",
    "agent_run_success",
    "quest_step_completed",
    "video_posted",
    "deal_closed",
];

/// Properties that say who somebody is; no view counts by them.
pub const PERSONAL: [&str; 16] = [
    "user_id",
    "user_did",
    "user_name",
    "username",
    "email",
    "e_mail",
    "user_email",
    "phone",
    "phone_number",
    "first_name",
    "last_name",
    "full_name",
    "address",
    "ip",
    "ip_address",
    "user_agent",
];

/// `ionflux.platform.<activity>`, or `ionflux.platform.<entity>.<verb>`
pub fn read(event: &Event<'_>, parts: &[&str], setting: &Setting) -> Result<Option<Told>, Refusal> {
    let name = match parts {
        // The name of the topic, or of the wrapper, says nothing: the payload does.
        ["activity", "recorded"] | ["user_activity" | "activity_events" | "activity"] => None,
        [name] => Some((*name).to_owned()),
        [entity, verb] => Some(format!("{entity}_{verb}")),
        _ => return Ok(None),
    };
    told(event, name, None, setting)
}

/// `ionflux.agent.<agent>.<verb>`, as far as it is an achievement, and the end of a run
pub fn read_of_agents(
    event: &Event<'_>,
    parts: &[&str],
    setting: &Setting,
) -> Result<Option<Told>, Refusal> {
    match parts {
        ["run", "completed"] => {
            let fields = payload(event)?;
            let status = fields.needed("status", fields.name(&["status"])?)?;
            told(event, Some(format!("agent_run_{status}")), None, setting)
        }
        [agent @ "emailwizard", sent @ ("campaign_sent" | "email_sent")] => {
            told(event, Some((*sent).to_owned()), Some((*agent).into()), setting)
        }
        _ => Ok(None),
    }
}

fn told(
    event: &Event<'_>,
    name: Option<String>,
    agent: Option<Id>,
    setting: &Setting,
) -> Result<Option<Told>, Refusal> {
    let fields = payload(event)?;
    let name: Id = match name {
        Some(name) => name.replace('-', "_").into(),
        None => {
            let name = fields.name(&["activity", "event_type", "name"])?;
            fields.needed("activity", name)?
        }
    };
    if !is_name(&name) {
        let reason = format!(
            "event_type: the activity is not a name of letters, digits and _, at most \
             {NAME_BYTES_MAX}"
        );
        return Err(Refusal::new(FaultKind::Field, "", reason));
    }
    let own = fields.text(&["user_id", "user_did"])?;
    let user = event.user.clone().or(own);
    let agent = fields.text(&["agent_id"])?.or(agent);
    let but: Vec<&str> = PERSONAL.into_iter().chain(["agent_id"]).collect();
    let properties = fields.scalars(&but)?;
    let body = Body::Activity(Activity { name, user, agent, properties });
    Draft { event, setting, payload: None }.told(event.at, body)
}
