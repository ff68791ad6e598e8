//! One message of a topic, as the journal kept it: the envelope of a platform event, as JSON or as
//! framed Avro whose schema came with the delivery.
//!
//! Invariant: pure; what is said depends on the headers and the body alone, and never on the place
//! in the partition, so that a message that is read again counts once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::fault::{FaultKind, Place};
use ionflux_schemas::key::Id;
use serde::Deserialize;

use super::avro::json_of;
use crate::draft::delivered;
use crate::list;
use crate::platform::read::{NO_SHOP, SOURCE as EVENTS};
use crate::reading::{Decoded, Refusal, Setting};
use crate::registry::wire::{Content, content};
use crate::shop;
use crate::shopify::delivery::named;

/// The name of the source.
pub const SOURCE: &str = "kafka";
/// The longest name of a workspace.
const WORKSPACE_BYTES_MAX: usize = 128;

/// The header with the cluster's id.
pub const CLUSTER: &str = "cluster";
/// The header that names the topic.
pub const TOPIC: &str = "topic";
/// The header with the number of the partition.
pub const PARTITION: &str = "partition";
/// The header with the offset in it.
pub const OFFSET: &str = "offset";
/// The header with the message's key, where it is short text.
pub const KEY: &str = "key";
/// The header with the schema the datum was written with.
pub const SCHEMA: &str = "writer-schema";
/// The header that is there if the datum is JSON of a JSON Schema.
pub const JSON_SCHEMA: &str = "json-schema";
/// The header with the one shop of the workspace, where it has one, for events that name none.
pub const SHOP: &str = "workspace-shop";
/// The header that says why the message was not to be had whole, or with its schema.
pub const TROUBLE: &str = "trouble";

/// What a delivery says.
#[must_use]
pub fn read_as(delivery: &Delivery, position: Position, setting: &Setting) -> Decoded {
    let decoded = match event(delivery, setting) {
        Ok(event) => {
            let setting = Setting { workspace: event.workspace.clone(), ..setting.clone() };
            of_some_shop(delivery, setting, |setting| {
                list::read_delivery_as(&event, position, setting)
            })
        }
        Err(refusal) => {
            let place = Place { source: Arc::from(SOURCE), line: 0 };
            let fault = named(refusal, delivery).at(setting.shop_key(None), place);
            Decoded { faults: vec![fault], ..Decoded::default() }
        }
    };
    // The letter is of the message as it came: framed, and with the schema that was its own.
    delivered(Decoded { letter: None, ..decoded }, delivery, position, setting)
}

/// What an event says: of the shop that it names, or of the one that its message is about.
fn of_some_shop(
    delivery: &Delivery,
    setting: Setting,
    read: impl Fn(&Setting) -> Decoded,
) -> Decoded {
    let nameless = |reason: &str| reason == NO_SHOP || shop::numbered(reason);
    let decoded = read(&setting);
    if !decoded.faults.iter().any(|fault| nameless(&fault.reason)) {
        return decoded;
    }
    let header = |name: &str| delivery.headers.get(name).map(|text| &**text);
    if let Some(shop) = header(KEY).filter(|key| is_shop(key)).or_else(|| header(SHOP)) {
        return read(&Setting { shop: Some(shop.into()), ..setting });
    }
    let mut decoded = decoded;
    let topic = header(TOPIC).unwrap_or_default();
    for fault in decoded.faults.iter_mut().filter(|fault| *fault.reason == *NO_SHOP) {
        fault.reason = format!(
            "topic {topic}: the event names no shop, and nor does the message's key: give the \
             event a shop_domain in payload_json, or the message a key such as \
             acme.myshopify.com; or name the shop with `ionflux faults replay --shop`"
        )
        .into();
    }
    decoded
}

/// Whether a key is the name of a shop.
#[must_use]
pub fn is_shop(key: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let name = key.strip_suffix(".myshopify.com");
    name.is_some_and(|name| !name.is_empty() && name.bytes().all(plain))
}

/// A message as JSON without its frame, under the workspace that it names; as it came where it
/// cannot be told apart. In the journal it is then read without its schema, and what no view needs
/// of a person can be taken out of it.
#[must_use]
pub fn plain(delivery: Delivery) -> Delivery {
    let Ok(event) = event(&delivery, &Setting::of_delivery(&delivery)) else { return delivery };
    let Delivery { source, received_at, mut headers, .. } = delivery;
    headers.retain(|name, _| ![SCHEMA, JSON_SCHEMA].contains(&&**name));
    Delivery { source, workspace: event.workspace, received_at, headers, body: event.body }
}

/// The event inside a message, as a delivery of its own; none where it cannot be told apart.
#[must_use]
pub fn event_in(delivery: &Delivery) -> Option<Delivery> {
    event(delivery, &Setting::of_delivery(delivery)).ok()
}

/// The event inside, as its own door would have taken it.
fn event(delivery: &Delivery, setting: &Setting) -> Result<Delivery, Refusal> {
    let topic = delivery.headers.get(TOPIC).map_or("", |topic| topic);
    let refused = |kind, reason: &dyn std::fmt::Display| {
        Refusal::new(kind, "", format!("topic {topic}: {reason}"))
    };
    if let Some(trouble) = delivery.headers.get(TROUBLE) {
        return Err(refused(FaultKind::Syntax, trouble));
    }
    let body: Cow<'_, [u8]> = match content(&delivery.body) {
        Content::Json => Cow::Borrowed(&delivery.body),
        Content::Framed { datum, .. } if delivery.headers.contains_key(JSON_SCHEMA) => {
            Cow::Borrowed(datum)
        }
        Content::Framed { id, datum } => {
            let schema = delivery.headers.get(SCHEMA).ok_or_else(|| {
                refused(FaultKind::Syntax, &format!("schema {id} did not come with the message"))
            })?;
            let json = json_of(datum, schema);
            let json = json.map_err(|why| {
                refused(FaultKind::Syntax, &format!("Avro of schema {id}: {why}"))
            })?;
            Cow::Owned(json.to_string().into_bytes())
        }
        Content::Unknown => {
            let first = delivery.body.first().map_or("none".into(), |byte| format!("{byte:#04x}"));
            let reason = format!("neither framed Avro nor JSON: the first byte is {first}");
            return Err(refused(FaultKind::Syntax, &reason));
        }
    };
    let workspace = match &*setting.workspace {
        "" => own_workspace(&body).map_err(|why| refused(FaultKind::Field, &why))?,
        _ => setting.workspace.clone(),
    };
    let (received_at, headers) = (delivery.received_at, BTreeMap::new());
    let (source, body) = (EVENTS.into(), body.into_owned().into_boxed_slice());
    Ok(Delivery { source, workspace, received_at, headers, body })
}

/// The workspace that an event of a topic of all workspaces names.
fn own_workspace(event: &[u8]) -> Result<Id, &'static str> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow, default)]
        workspace_id: Option<Cow<'a, str>>,
    }
    let envelope: Envelope<'_> =
        serde_json::from_slice(event).map_err(|_| "not valid JSON of an event")?;
    let id = envelope.workspace_id.filter(|id| !id.trim().is_empty());
    let id = id.ok_or("the event names no workspace_id, and nor does the topic")?;
    if id.len() > WORKSPACE_BYTES_MAX {
        return Err("the workspace_id is too long");
    }
    Ok(id.trim().into())
}
