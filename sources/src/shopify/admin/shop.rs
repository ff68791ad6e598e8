//! The shop itself: its zone and its currency, asked for again in case a webhook was lost.
//!
//! Invariant: what the shop tells first holds for all time; another zone holds from when it was
//! asked for, so that days that are closed stay where they are. What is the same is told once.

use ionflux_schemas::time::UtcMs;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::courier::Parcel;
use super::delivery::THE_SHOP;
use super::error::AdminError;
use super::queries::SHOP;
use super::tools::Tools;

/// The name of the cursor.
const NAME: &str = "shop";

#[derive(Deserialize)]
struct Answer {
    shop: Box<RawValue>,
}

/// What the shop told last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Told {
    #[serde(alias = "ianaTimezone")]
    zone: Option<String>,
    #[serde(alias = "currencyCode")]
    currency: Option<String>,
}

/// Asks the shop for itself, and brings in what is new.
///
/// # Errors
/// [`AdminError`]; what was brought in comes once more the next time.
pub fn ask(tools: &mut Tools<'_>) -> Result<(), AdminError> {
    let before = tools.place::<Told>(NAME)?;
    let Answer { shop } = tools.client.ask(&SHOP, &json!({}), tools.stop)?;
    let told: Told = serde_json::from_str(shop.get()).map_err(|_| {
        let reason = "its zone and its currency are no texts";
        AdminError::Permanent(tools.client.about(&SHOP, reason))
    })?;
    if before.as_ref() == Some(&told) {
        return Ok(());
    }
    let read_at = before.map_or(UtcMs(0), |_| tools.client.clock.now());
    let body = shop.get().as_bytes().to_vec();
    tools.bring(vec![Parcel { kind: THE_SHOP, read_at, body }])?;
    tools.move_to(NAME, &told)
}

/// Asks for the shop unless it has told of itself already.
///
/// # Errors
/// [`AdminError`].
pub fn ask_first(tools: &mut Tools<'_>) -> Result<(), AdminError> {
    match tools.place::<Told>(NAME)? {
        Some(_) => Ok(()),
        None => ask(tools),
    }
}
