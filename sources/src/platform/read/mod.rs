//! Platform events read: a table of what is known, by the beginning of the event's type.
//!
//! Invariant: pure; what is said depends on the event alone, never on what carried it or when. A
//! type that nobody knows is a fault, one for each type of a workspace.

mod activity;
mod change;
mod incident;
mod metric;
mod shopify;
mod span;
mod spend;

pub(crate) use shopify::NO_SHOP;

use std::sync::Arc;

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::entity::{Body, Entity};
use ionflux_schemas::event::{Envelope, Event as Said};
use ionflux_schemas::fault::{FaultKind, Place};
use ionflux_schemas::key::{Id, ShopKey, Version, content_hash};
use ionflux_schemas::time::UtcMs;

use super::event::{Event, PAYLOAD, named_shops, open};
use super::fields::Fields;
use crate::draft::delivered;
use crate::reading::{Decoded, Refusal, Setting};
use crate::shop;
use crate::shopify::delivery::SOURCE as WEBHOOKS;
use crate::shopify::record::field;

/// The name of the source, and of the files that hold its events.
pub const SOURCE: &str = "platform-events";

/// What one record of an event says, or why nothing.
type Outcome = Result<Vec<Envelope>, Refusal>;

/// What an event of a known type says.
struct Told {
    /// The shop it is about, where it names one.
    shop: Option<Id>,
    outcomes: Vec<Outcome>,
}

/// Reads an event by the parts of its type behind the first; `None` where it does not know them.
type Read = fn(&Event<'_>, &[&str], &Setting) -> Result<Option<Told>, Refusal>;

/// What is known, by the first part of the event's type.
const SOURCES: &[(&str, Read)] = &[
    ("shopify", shopify::read),
    ("performance", metric::read),
    ("platform", activity::read),
    ("agent", activity::read_of_agents),
    ("store", change::read),
    ("incident", incident::read),
    ("marketing", spend::read),
];

/// What one event says, and what it is called on the bus where that much is understood.
pub struct Understood {
    /// The event's id.
    pub id: Option<Id>,
    /// What it says.
    pub decoded: Decoded,
}

/// What a delivery says.
#[must_use]
pub fn read_as(delivery: &Delivery, position: Position, setting: &Setting) -> Decoded {
    understood(delivery, position, setting).decoded
}

/// What a delivery says, with the id of its event.
#[must_use]
pub fn understood(delivery: &Delivery, position: Position, setting: &Setting) -> Understood {
    let place = Place { source: Arc::from(SOURCE), line: 0 };
    let Understood { id, decoded } = decode(&delivery.body, setting, &place);
    Understood { id, decoded: delivered(decoded, delivery, position, setting) }
}

/// What the bytes of one event say; their faults are at a place.
pub(super) fn decode(bytes: &[u8], setting: &Setting, place: &Place) -> Understood {
    let Ok(text) = std::str::from_utf8(bytes) else {
        let refusal = Refusal::new(FaultKind::Syntax, "", "not valid UTF-8");
        let fault = named(refusal, None, bytes).at(setting.shop_key(None), place.clone());
        let decoded = Decoded { faults: vec![fault], ..Decoded::default() };
        return Understood { id: None, decoded };
    };
    let opened = open(text, &setting.workspace);
    let told = opened.event.and_then(|event| tell(&event, setting));
    let told = told.unwrap_or_else(|refusal| Told { shop: None, outcomes: vec![Err(refusal)] });
    let mut decoded = Decoded::default();
    for outcome in told.outcomes {
        match outcome {
            Ok(envelopes) => decoded.envelopes.extend(envelopes),
            Err(refusal) => {
                let refusal = named(refusal, opened.id.as_deref(), bytes);
                let shop = setting.shop_key(told.shop.as_deref());
                decoded.faults.push(refusal.at(shop, place.clone()));
            }
        }
    }
    Understood { id: opened.id, decoded }
}

/// A refusal that is told from those of other events, and is the same when the event comes again.
/// What no view counts is one fault however many of its type there are.
fn named(refusal: Refusal, id: Option<&str>, bytes: &[u8]) -> Refusal {
    if refusal.kind == FaultKind::Unsupported {
        return refusal;
    }
    let event = match id {
        Some(id) => format!("event {id}"),
        None => format!("event without an id, {:016x}", content_hash(bytes) >> 64),
    };
    let subject = match &*refusal.subject {
        "" => event,
        subject => format!("{subject}, {event}"),
    };
    Refusal { subject: subject.into(), ..refusal }
}

/// The Shopify webhook that an event wraps, as a delivery of its own; none where it wraps none.
#[must_use]
pub fn webhook_in(delivery: &Delivery) -> Option<Delivery> {
    let text = std::str::from_utf8(&delivery.body).ok()?;
    let event = open(text, &delivery.workspace).event.ok()?;
    let parts: Vec<&str> = event.kind.split('.').collect();
    let (&"shopify", parts) = parts.split_first()? else { return None };
    let wrapped = shopify::wrapped(&event, parts).ok()??;
    let test = wrapped.test.then(|| "true".into());
    let named = [
        ("x-shopify-topic", Some(wrapped.topic)),
        ("x-shopify-shop-domain", wrapped.shop),
        ("x-shopify-test", test),
    ];
    let named = named.into_iter();
    Some(Delivery {
        source: WEBHOOKS.into(),
        workspace: delivery.workspace.clone(),
        received_at: delivery.received_at,
        headers: named.filter_map(|(name, text)| Some((name.into(), (*text?).into()))).collect(),
        body: wrapped.body.as_bytes().into(),
    })
}

fn tell(event: &Event<'_>, setting: &Setting) -> Result<Told, Refusal> {
    let parts: Vec<&str> = match event.kind.contains('.') {
        true => event.kind.split('.').collect(),
        // Older services leave out who says it.
        false if activity::BARE.contains(&&*event.kind) => vec!["platform", &event.kind],
        false => vec![&event.kind],
    };
    let read = SOURCES.iter().find(|(source, _)| *source == parts[0]);
    let told = read.map_or(Ok(None), |(_, read)| read(event, &parts[1..], setting))?;
    told.ok_or_else(|| {
        let reason = format!("event type {}: no view counts it", event.kind);
        Refusal::new(FaultKind::Unsupported, "", reason)
    })
}

/// What an entity is made of.
struct Draft<'a> {
    event: &'a Event<'a>,
    setting: &'a Setting,
    /// Its payload, where its shop may be named; `None` where it belongs to no shop.
    payload: Option<&'a Fields<'a>>,
}

impl Draft<'_> {
    /// The entity that an event is, under the event's own id.
    fn told(&self, at: UtcMs, body: Body) -> Result<Option<Told>, Refusal> {
        let Self { event, setting, payload } = self;
        let shop = payload.map(|payload| self.shop(payload)).transpose()?.flatten();
        let entity = Entity { id: event.id.clone(), at, body };
        // Our own types hold only names, numbers and lists, which always serialise.
        let content = serde_json::to_vec(&entity).unwrap_or_default();
        let version = Version::new(event.at, UtcMs(0), &content);
        let key = ShopKey::new(setting.workspace.clone(), shop.clone().unwrap_or_default());
        let event = Said::Entity(Box::new(entity));
        let envelope = Envelope { shop: Arc::new(key), version, event };
        Ok(Some(Told { shop, outcomes: vec![Ok(vec![envelope])] }))
    }

    /// The shop it is about; without one it is about the workspace as a whole.
    fn shop(&self, payload: &Fields<'_>) -> Result<Option<Id>, Refusal> {
        let Self { event, setting, .. } = self;
        let own = named_shops(payload)?;
        let mut own: Vec<&str> = own.iter().chain(&event.shops).map(|name| &**name).collect();
        if !own.is_empty() {
            own.extend(shop::known(setting.shop.as_deref()));
        }
        let own = shop::first(own).map_err(|wrong| field(wrong.to_string()))?;
        let brand = || Ok(payload.text(&["brand_id"])?.or_else(|| event.brand.clone()));
        let named = own.map_or_else(brand, |own| Ok(Some(own)))?;
        Ok(named.or_else(|| setting.shop.clone()))
    }
}

/// The fields of an event's payload.
fn payload<'a>(event: &'a Event<'_>) -> Result<Fields<'a>, Refusal> {
    Fields::of(&event.payload, PAYLOAD)
}
