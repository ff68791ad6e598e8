//! The envelope of a platform event: whose it is, what happened, when, and the payload's text.
//!
//! Invariant: pure; an event that names another tenant than the one whose door or topic it came
//! through is never read.

use std::borrow::Cow;

use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::Id;
use ionflux_schemas::time::UtcMs;
use uuid::Uuid;

use super::fields::{Fields, refused};
use crate::reading::Refusal;

/// The longest id of an event, in bytes; a UUID has 36.
pub const ID_BYTES_MAX: usize = 128;
/// The longest type of an event, in bytes.
const TYPE_BYTES_MAX: usize = 160;
/// How deep lists and objects may stand in one another: no platform's events come near it.
pub const DEPTH_MAX: usize = 64;
/// What the payload is called in refusals.
pub const PAYLOAD: &str = "payload_json.";
/// What the shop is called, in the envelope or in the payload.
const SHOPS: [&str; 3] = ["shop_domain", "shop_id", "shopify_shop_id"];
/// What an event type begins with; the second is another generation's spelling.
const NAMESPACES: [&str; 2] = ["ionflux.", "ionverse."];

/// An event whose envelope is understood.
#[derive(Debug)]
pub struct Event<'a> {
    /// Its name on the bus; a UUID in lower case.
    pub id: Id,
    /// What happened, in lower case and without the namespace: `shopify.order.created`.
    pub kind: Id,
    /// When it happened.
    pub at: UtcMs,
    /// Who did it.
    pub user: Option<Id>,
    /// What the envelope calls the shop, and the brand, which has at most one.
    pub shops: Vec<Id>,
    /// The brand.
    pub brand: Option<Id>,
    /// The payload, an object as text.
    pub payload: Cow<'a, str>,
}

/// An envelope, and its id also where nothing else of it is understood.
pub struct Opened<'a> {
    /// The id.
    pub id: Option<Id>,
    /// The event.
    pub event: Result<Event<'a>, Refusal>,
}

/// Opens the text of one event that came for a workspace.
pub fn open<'a>(text: &'a str, workspace: &str) -> Opened<'a> {
    if too_deep(text) {
        let reason = format!("lists and objects stand deeper than {DEPTH_MAX} in one another");
        return Opened { id: None, event: Err(refused(FaultKind::Syntax, reason)) };
    }
    let fields = match Fields::of(text, "") {
        Ok(fields) => fields,
        Err(refusal) => return Opened { id: None, event: Err(refusal) },
    };
    match id(&fields) {
        Ok(id) => Opened { id: Some(id.clone()), event: event(id, &fields, workspace) },
        Err(refusal) => Opened { id: None, event: Err(refusal) },
    }
}

fn id(fields: &Fields<'_>) -> Result<Id, Refusal> {
    let id = fields.needed("event_id", fields.text(&["event_id"])?)?;
    if id.len() > ID_BYTES_MAX || id.chars().any(char::is_whitespace) {
        let why = format!("is longer than {ID_BYTES_MAX} bytes or has spaces");
        return Err(fields.refuse(FaultKind::Field, "event_id", &why));
    }
    // Upper and lower case are the same UUID.
    Ok(match Uuid::try_parse(&id) {
        Ok(uuid) if id.len() == 36 => uuid.hyphenated().to_string().into(),
        _ => id,
    })
}

fn event<'a>(id: Id, fields: &Fields<'a>, workspace: &str) -> Result<Event<'a>, Refusal> {
    let own = fields.text(&["workspace_id"])?;
    if own.is_some_and(|own| *own != *workspace) {
        let why = "is not the workspace that this event came for";
        return Err(fields.refuse(FaultKind::Field, "workspace_id", why));
    }
    let kind = kind(fields)?;
    let form = fields.text(&["payload_schema_version"])?.unwrap_or_else(|| "v1".into());
    if form.trim_start_matches('v').split('.').next() != Some("1") {
        let form: String = form.chars().take(20).collect();
        let reason = format!("payload_schema_version {form} of {kind}: only v1 is known");
        return Err(refused(FaultKind::Unsupported, reason));
    }
    let at = fields.time(&["event_timestamp", "timestamp"])?;
    let at = fields.needed("event_timestamp", at)?;
    let user = fields.text(&["user_id", "user_did"])?;
    let (shops, brand) = (named_shops(fields)?, fields.text(&["brand_id"])?);
    Ok(Event { id, kind, at, user, shops, brand, payload: payload(fields)? })
}

/// What fields call the shop: a number may stand beside the name.
pub fn named_shops(fields: &Fields<'_>) -> Result<Vec<Id>, Refusal> {
    let named = SHOPS.iter().map(|name| fields.text(&[name]));
    named.filter_map(Result::transpose).collect()
}

fn kind(fields: &Fields<'_>) -> Result<Id, Refusal> {
    let kind = fields.needed("event_type", fields.text(&["event_type"])?)?;
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if kind.len() > TYPE_BYTES_MAX || !kind.bytes().all(known) {
        let why = format!("is not a dotted name of at most {TYPE_BYTES_MAX} letters");
        return Err(fields.refuse(FaultKind::Field, "event_type", &why));
    }
    let kind = kind.to_ascii_lowercase();
    let bare = NAMESPACES.iter().find_map(|namespace| kind.strip_prefix(namespace));
    Ok(bare.unwrap_or(&kind).into())
}

/// The payload: an object, or the text of one.
fn payload<'a>(fields: &Fields<'a>) -> Result<Cow<'a, str>, Refusal> {
    let value = fields.value(&["payload_json", "payload", "event_properties"])?;
    let value = fields.needed("payload_json", value)?.get();
    let wrong = |why: &str| fields.refuse(FaultKind::Field, "payload_json", why);
    let text: Cow<'a, str> = if value.starts_with('"') {
        let text = serde_json::from_str::<String>(value);
        Cow::Owned(text.map_err(|_| wrong("is not valid JSON text"))?)
    } else {
        Cow::Borrowed(value)
    };
    if !text.trim_start().starts_with('{') {
        return Err(wrong("is neither an object nor the text of one"));
    }
    if too_deep(&text) {
        return Err(wrong(&format!("is nested deeper than {DEPTH_MAX}")));
    }
    Ok(text)
}

/// Whether brackets outside strings are nested too deep.
fn too_deep(text: &str) -> bool {
    let (mut depth, mut string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if string => escaped = true,
            b'"' => string = !string,
            b'{' | b'[' if !string => depth += 1,
            b'}' | b']' if !string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}
