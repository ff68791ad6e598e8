//! What Shopify tells beside orders: money that moved, disputes, checkouts, carts, products, unit
//! costs, and what happened to the store.
//!
//! Invariant: an entity's name and version come from its body, and from when its delivery was
//! raised only where the body has no stamp; order and number of deliveries change neither.
//!
//! ```text
//! kind          id
//! transaction   its number; the same from a topic, an order, a refund or an export
//! dispute       its number
//! checkout      its token; "#" and its number where a deletion names no token
//! cart          its token
//! product       its number
//! unit cost     item "@" instant from which it holds, so that history is kept
//! store change  change ["/" what it is about] ["@" instant], for each is another event
//! ```
//!
//! Products and checkouts that are deleted stay so: their names are never given again, and a
//! snapshot that comes late is older than the deletion, whatever its stamps say.

pub mod body;

pub mod transaction;

pub mod dispute;

pub mod checkout;

pub mod product;

pub mod unit_cost;

pub mod store;

use ionflux_schemas::entity::{Body, Entity, Kind};
use ionflux_schemas::event::{Envelope, Event};
use ionflux_schemas::key::{Id, Version, content_hash};
use ionflux_schemas::time::UtcMs;

use super::record::{Outcome, Record, field};
use super::scalar::Scalar;
use super::webhook::parse;
use crate::reading::Refusal;

/// The longest word of a platform's vocabulary that is kept: a kind, a status, a gateway.
const WORD_CHARS_MAX: usize = 100;

/// The longest title that is kept; Shopify allows as many characters.
const TITLE_CHARS_MAX: usize = 255;

/// What a body beside orders is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beside {
    /// A transaction.
    Transaction,
    /// A dispute.
    Dispute,
    /// A checkout.
    Checkout,
    /// A cart.
    Cart,
    /// A product with its variants.
    Product,
    /// A stock item.
    Item,
    /// Something of a kind that was deleted.
    Gone(Kind),
    /// A theme that was published.
    Theme,
    /// The shop, whose app was removed.
    Uninstalled,
    /// A bulk operation that ended.
    BulkOperation,
    /// What the app may do, before and after.
    Scopes,
    /// What the merchant pays for the app.
    Subscription,
}

/// What a body says.
///
/// # Errors
/// A [`Refusal`] where it is not of the shape its kind has.
pub fn decode(what: Beside, text: &str, record: &Record<'_>) -> Result<Vec<Outcome>, Refusal> {
    Ok(match what {
        Beside::Transaction => {
            vec![transaction::decode(&parse(text)?, &transaction::Within::default(), record)]
        }
        Beside::Dispute => vec![dispute::decode(&parse(text)?, record)],
        Beside::Checkout => vec![checkout::decode(&parse(text)?, record)],
        Beside::Cart => vec![checkout::cart(&parse(text)?, record)],
        Beside::Product => product::decode(&parse(text)?, record),
        Beside::Item => vec![unit_cost::decode(&parse(text)?, record)],
        Beside::Gone(kind) => vec![gone(kind, &parse(text)?, record)],
        Beside::Theme => vec![store::theme(&parse(text)?, record)],
        Beside::Uninstalled => vec![store::uninstalled(&parse(text)?, record)],
        Beside::BulkOperation => vec![store::bulk_operation(&parse(text)?, record)],
        Beside::Scopes => vec![store::scopes(&parse(text)?, record)],
        Beside::Subscription => vec![store::subscription(&parse(text)?, record)],
    })
}

/// The envelope of an entity that last changed at an instant.
fn said(entity: Entity, changed_at: UtcMs, record: &Record<'_>) -> Envelope {
    let version = record.version(changed_at, &(&entity.at, &entity.body));
    record.envelope(version, Event::Entity(Box::new(entity)))
}

/// The deletion of a product or a checkout.
fn gone(kind: Kind, body: &body::Deleted<'_>, record: &Record<'_>) -> Outcome {
    let number = body.id.id_or(body.admin_graphql_api_id, "what was deleted")?;
    let token = body.token.id("what was deleted")?.filter(|_| kind == Kind::Checkout);
    let id = match (token, number) {
        (Some(token), _) => token,
        (None, Some(number)) if kind == Kind::Checkout => format!("#{number}").into(),
        (None, Some(number)) => number,
        (None, None) => return Err(field("what was deleted has no id")),
    };
    let at = record.raised_at;
    let content = content_hash(id.as_bytes());
    let version = Version { changed_at: UtcMs(i64::MAX), raised_at: at, content };
    let entity = Entity { id, at, body: Body::Gone(kind) };
    Ok(vec![record.envelope(version, Event::Entity(Box::new(entity)))])
}

/// The first of some stamps that is given, else when the delivery was raised, if it says so.
fn instant(stamps: &[(Scalar<'_>, &str)], record: &Record<'_>) -> Result<Option<UtcMs>, Refusal> {
    for (stamp, name) in stamps {
        if let Some(at) = stamp.time(name, record.setting)? {
            return Ok(Some(at));
        }
    }
    Ok(Some(record.raised_at).filter(|at| at.0 != 0))
}

/// A word of the platform's vocabulary in lower case; empty where it is not given.
fn word(scalar: Scalar<'_>) -> Id {
    let text = scalar.text().unwrap_or_default().to_lowercase();
    text.chars().take(WORD_CHARS_MAX).collect::<String>().into()
}

/// A text as it came, as far as it is kept; empty where it is not given.
fn title(scalar: Scalar<'_>) -> Box<str> {
    let text = scalar.text().unwrap_or_default();
    text.chars().take(TITLE_CHARS_MAX).collect::<String>().into()
}
