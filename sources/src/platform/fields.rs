//! The fields of one JSON object, read one by one, each refusal naming its field.
//!
//! Invariant: a field that stands twice is refused, for two readers may not take different ones;
//! a number stays the text it was.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::Id;
use ionflux_schemas::money::decimal;
use ionflux_schemas::time::{UtcMs, Zone};
use rust_decimal::Decimal;
use serde_json::value::RawValue;

use crate::reading::Refusal;
use crate::shopify::broken;
use crate::shopify::scalar::Scalar;
use crate::shopify::shape::Members;

/// The longest text of a field that names something, in bytes.
pub const TEXT_BYTES_MAX: usize = 255;
/// The longest name of a metric, an action, a property.
pub const NAME_BYTES_MAX: usize = 64;
/// How many properties, dimensions or details one event may have.
pub const SCALARS_MAX: usize = 64;
/// The longest value of a property; a longer one is prose, which no view counts by.
const VALUE_BYTES_MAX: usize = 256;

/// An object's fields.
pub struct Fields<'a> {
    members: Members<'a>,
    /// What the object is called in refusals, with its dot: `payload_json.`.
    within: &'static str,
}

/// A refusal of a field.
pub fn refused(kind: FaultKind, reason: impl Into<Box<str>>) -> Refusal {
    Refusal::new(kind, "", reason)
}

impl<'a> Fields<'a> {
    /// The fields of an object's text.
    pub fn of(text: &'a str, within: &'static str) -> Result<Self, Refusal> {
        let called = match within.trim_end_matches('.') {
            "" => "the event",
            called => called,
        };
        match serde_json::from_str(text) {
            Ok(members) => Ok(Self { members, within }),
            Err(error) if error.is_data() => {
                Err(refused(FaultKind::Field, format!("{called} is not a JSON object")))
            }
            Err(error) => {
                let refusal = broken::refusal(&error);
                let reason = format!("{called} is {}", refusal.reason);
                Err(refused(refusal.kind, reason))
            }
        }
    }

    /// The value of the first of some names that is there and not null.
    pub fn value(&self, names: &[&str]) -> Result<Option<&'a RawValue>, Refusal> {
        for name in names {
            let mut values = self.members.0.iter().filter(|(key, _)| key == name);
            let value = values.next().map(|(_, value)| *value);
            if values.next().is_some() {
                return Err(self.refuse(FaultKind::Field, name, "stands twice"));
            }
            if let Some(value) = value.filter(|value| value.get() != "null") {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Something that has to be there.
    pub fn needed<T>(&self, name: &str, found: Option<T>) -> Result<T, Refusal> {
        found.ok_or_else(|| self.refuse(FaultKind::Field, name, "is missing"))
    }

    /// A scalar as text; blank is absent.
    fn scalar(&self, names: &[&str]) -> Result<Option<Cow<'a, str>>, Refusal> {
        let Some(value) = self.value(names)? else { return Ok(None) };
        if value.get().starts_with(['{', '[']) {
            return Err(self.refuse(FaultKind::Field, names[0], "is not a text or a number"));
        }
        Ok(Scalar::of(value).text())
    }

    /// A text that names something.
    pub fn text(&self, names: &[&str]) -> Result<Option<Id>, Refusal> {
        let Some(text) = self.scalar(names)? else { return Ok(None) };
        if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
            let why = format!("is longer than {TEXT_BYTES_MAX} bytes or has control characters");
            return Err(self.refuse(FaultKind::Field, names[0], &why));
        }
        Ok(Some(text.as_ref().into()))
    }

    /// A name such as `page_load_ms`, in lower case.
    pub fn name(&self, names: &[&str]) -> Result<Option<Id>, Refusal> {
        let Some(text) = self.scalar(names)? else { return Ok(None) };
        let name = text.to_ascii_lowercase().replace(['-', ' '], "_");
        if !is_name(&name) {
            let why = format!("is not a name of letters, digits and _, at most {NAME_BYTES_MAX}");
            return Err(self.refuse(FaultKind::Field, names[0], &why));
        }
        Ok(Some(name.into()))
    }

    /// An instant; without an offset it is UTC, for so the envelope says.
    pub fn time(&self, names: &[&str]) -> Result<Option<UtcMs>, Refusal> {
        let Some(text) = self.scalar(names)? else { return Ok(None) };
        let wrong =
            |error| refused(FaultKind::Time, format!("{}{}: {error}", self.within, names[0]));
        UtcMs::parse(&text, &Zone::UTC).map(Some).map_err(wrong)
    }

    /// An exact decimal number.
    pub fn decimal(&self, names: &[&str]) -> Result<Option<Decimal>, Refusal> {
        let Some(text) = self.scalar(names)? else { return Ok(None) };
        let wrong =
            |error| refused(FaultKind::Amount, format!("{}{}: {error}", self.within, names[0]));
        decimal(&text).map(Some).map_err(wrong)
    }

    /// A whole number, zero or more, within a limit.
    pub fn whole(&self, names: &[&str], max: i64) -> Result<Option<i64>, Refusal> {
        let Some(number) = self.decimal(names)? else { return Ok(None) };
        let whole = number.fract().is_zero().then(|| i64::try_from(number.trunc()).ok()).flatten();
        let whole = whole.filter(|whole| (0..=max).contains(whole));
        let why = format!("is not a whole number within 0 and {max}");
        whole.map(Some).ok_or_else(|| self.refuse(FaultKind::Quantity, names[0], &why))
    }

    /// The object in a field.
    pub fn object(&self, name: &str, within: &'static str) -> Result<Option<Fields<'a>>, Refusal> {
        self.value(&[name])?.map(|value| Fields::of(value.get(), within)).transpose()
    }

    /// The scalars of this object but those of some names. What is nested, nameless or prose is
    /// left out; more than a bounded number of them is refused.
    pub fn scalars(&self, but: &[&str]) -> Result<BTreeMap<Id, Box<str>>, Refusal> {
        let mut scalars = BTreeMap::new();
        for (key, value) in &self.members.0 {
            let short = (1..=NAME_BYTES_MAX).contains(&key.len());
            let left_out = !short || but.contains(&&**key) || value.get().starts_with(['{', '[']);
            if left_out || key.chars().any(char::is_control) {
                continue;
            }
            let Some(text) = Scalar::of(value).text() else { continue };
            if text.len() > VALUE_BYTES_MAX {
                continue;
            }
            if scalars.insert(Id::from(&**key), text.as_ref().into()).is_some() {
                return Err(self.refuse(FaultKind::Field, key, "stands twice"));
            }
            if scalars.len() > SCALARS_MAX {
                let called = self.within.trim_end_matches('.');
                let reason = format!("{called} has more than {SCALARS_MAX} values");
                return Err(refused(FaultKind::Field, reason));
            }
        }
        Ok(scalars)
    }

    /// The scalars of this object, where it may hold nothing else.
    pub fn only_scalars(&self) -> Result<BTreeMap<Id, Box<str>>, Refusal> {
        let scalars = self.scalars(&[])?;
        let lost = |(key, value): &&(Cow<'a, str>, &RawValue)| {
            !scalars.contains_key(&**key) && Scalar::of(value).text().is_some()
        };
        match self.members.0.iter().find(lost) {
            Some((key, _)) => {
                let why = format!("is not a text of at most {VALUE_BYTES_MAX} bytes or a number");
                Err(self.refuse(FaultKind::Field, key, &why))
            }
            None => Ok(scalars),
        }
    }

    /// The first text of a header: a string, or a list of strings as HTTP libraries dump them.
    pub fn header(&self, name: &str) -> Option<Cow<'a, str>> {
        let named = |key: &str| {
            let key = key.to_ascii_lowercase().replace('_', "-");
            key.strip_prefix("x-").unwrap_or(&key) == name
        };
        let (_, value) = self.members.0.iter().find(|(key, _)| named(key))?;
        if !value.get().starts_with('[') {
            return Scalar::of(value).text();
        }
        let values: Vec<&'a RawValue> = serde_json::from_str(value.get()).ok()?;
        values.into_iter().next().and_then(|value| Scalar::of(value).text())
    }

    /// The text of the first of some fields that holds one, and no number.
    pub fn quoted(&self, names: &[&str]) -> Option<Cow<'a, str>> {
        let quoted = |name: &&str| {
            let value = self.members.get(name).filter(|value| value.get().starts_with('"'));
            value.and_then(|value| Scalar::of(value).text())
        };
        names.iter().find_map(quoted)
    }

    /// A refusal that names a field of this object.
    pub fn refuse(&self, kind: FaultKind, name: &str, why: &str) -> Refusal {
        let name: String = name.chars().take(NAME_BYTES_MAX).collect();
        refused(kind, format!("{}{name} {why}", self.within))
    }
}

/// Whether a text is a name in lower case.
pub fn is_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(known)
}
