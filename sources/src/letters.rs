//! Dead letters read again: by today's readers, as they were told or after a fix.
//!
//! Invariant: a letter read again without a change says what its record said at first, fault by
//! fault and at the same places; with a change, what a replay with that setting would say of the
//! record. A letter that holds only a part of its record is never read as if it were the whole.

use std::collections::BTreeMap;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::key::Id;
use ionflux_schemas::letter::Letter;
use ionflux_schemas::time::Zone;
use thiserror::Error;

pub use crate::draft::{COLUMNS_BYTES_MAX, CUT_BYTES, LETTER_BYTES_MAX};

use crate::draft::HEADER;
use crate::error::SourceError;
use crate::files::mapping::Mapping;
use crate::list::{again, read_delivery_as};
use crate::reading::{Decoded, Setting};

/// What is told differently from the first time; what is `None` stays as it was.
#[derive(Clone, Default, Debug)]
pub struct Changes {
    /// The shop of records that name none.
    pub shop: Option<Id>,
    /// The currency of amounts that name none.
    pub currency: Option<Currency>,
    /// The zone of civil times without an offset.
    pub zone: Option<Zone>,
    /// The mapping of a CSV file's rows; of no meaning for other letters.
    pub mapping: Option<Mapping>,
}

/// Why a letter cannot be read again.
#[derive(Debug, Error)]
pub enum LetterError {
    /// No reader has the name.
    #[error("no reader of letters is called {0:?}; use the release that wrote the letter")]
    Format(Id),
    /// Something its reader was told is missing, or not what it should be.
    #[error("the letter does not say its {0} in a form that is understood; replay its file")]
    Context(&'static str),
    /// The letter holds only the beginning of a record that was too long.
    #[error("the letter holds only {0} of its record; shorten the record and replay its file")]
    Cut(Box<str>),
    /// The mapping or the columns do not fit the letter.
    #[error("the letter does not fit its columns or its mapping; correct the mapping")]
    Unfit(#[from] SourceError),
}

/// Reads a letter again. Where that still gives faults, they come with a letter of their own.
///
/// # Errors
/// [`LetterError`] when the letter cannot be read at all; nothing is known of its record then but
/// what its first faults say.
pub fn read_again(letter: &Letter, change: &Changes) -> Result<Decoded, LetterError> {
    if let Some(kept) = letter.context.get("cut") {
        return Err(LetterError::Cut(kept.chars().take(100).collect::<String>().into()));
    }
    // The journal gives a position to every delivery, and to nothing else.
    if let Some(position) = letter.position {
        let delivery = delivery(letter)?;
        let told = setting(letter, Setting::of_delivery(&delivery))?;
        return Ok(read_delivery_as(&delivery, position, &changed(told, change, None)));
    }
    let again = again(&letter.format).ok_or_else(|| {
        LetterError::Format(letter.format.chars().take(60).collect::<String>().into())
    })?;
    let told = setting(letter, Setting::nothing())?;
    if told.workspace.is_empty() {
        return Err(LetterError::Context("workspace"));
    }
    let own = letter.context.get("mapping");
    let path = std::path::Path::new("the letter's mapping");
    let own = match &change.mapping {
        // A mapping that is replaced may be the one that was wrong.
        Some(_) => own.and_then(|text| Mapping::parse(text, path).ok()),
        None => own.map(|text| Mapping::parse(text, path)).transpose()?,
    };
    let told = changed(told, change, own.as_ref());
    again(letter, &told, change.mapping.as_ref().or(own.as_ref()))
}

/// What the letter's reader was told, as far as the letter says.
fn setting(letter: &Letter, unsaid: Setting) -> Result<Setting, LetterError> {
    let told = |name: &str| letter.context.get(name).map(|text| &**text);
    let mut setting = unsaid;
    if let Some(workspace) = told("workspace") {
        setting.workspace = workspace.into();
    }
    setting.shop = told("shop").map(Id::from);
    if let Some(code) = told("currency") {
        let currency = Currency::parse(code).map_err(|_| LetterError::Context("currency"))?;
        setting.currency = Some(currency);
    }
    if let Some(zone) = told("zone") {
        setting.zone = Zone::parse(zone).map_err(|_| LetterError::Context("zone"))?;
    }
    if let Some(reading) = told("reading") {
        setting.reading = reading.parse().map_err(|_| LetterError::Context("reading"))?;
    }
    Ok(setting)
}

/// A setting after a change. A zone that came from the letter's own mapping gives way to that of
/// the mapping which replaces it, as it would in a replay.
fn changed(mut setting: Setting, change: &Changes, own: Option<&Mapping>) -> Setting {
    let Changes { shop, currency, zone, mapping } = change;
    let mapped = own.is_none_or(|own| own.zone.as_ref() == Some(&setting.zone));
    let replaced = mapping.as_ref().and_then(|mapping| mapping.zone.as_ref()).filter(|_| mapped);
    if let Some(zone) = zone.as_ref().or(replaced) {
        setting.zone = zone.clone();
    }
    setting.shop = shop.clone().or(setting.shop);
    setting.currency = currency.or(setting.currency);
    setting
}

/// The delivery a letter was made of.
fn delivery(letter: &Letter) -> Result<Delivery, LetterError> {
    let workspace = letter.context.get("workspace").ok_or(LetterError::Context("workspace"))?;
    let headers: BTreeMap<Id, Id> = letter
        .context
        .iter()
        .filter_map(|(name, text)| Some((name.strip_prefix(HEADER)?.into(), text.clone())))
        .collect();
    Ok(Delivery {
        source: letter.format.clone(),
        workspace: workspace.clone(),
        received_at: letter.received_at.unwrap_or_default(),
        headers,
        body: letter.bytes.clone(),
    })
}
