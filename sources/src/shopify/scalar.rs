//! One JSON scalar, kept as its text: a number never becomes a float on its way to money.
//!
//! Invariant: a string, a number and their quoted forms read alike; null and blank are absent.

use std::borrow::Cow;

use ionflux_schemas::event::UNITS_MAX;
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::Id;
use ionflux_schemas::money::decimal;
use ionflux_schemas::time::UtcMs;
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::reading::{Refusal, Setting};

/// The longest id a platform gives; anything longer is not an id.
const ID_BYTES_MAX: usize = 255;

/// Any JSON value where a scalar is expected, or nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scalar<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<&'a RawValue>::deserialize(deserializer).map(Self)
    }
}

impl<'a> Scalar<'a> {
    /// The scalar of a value already cut out.
    pub fn of(value: &'a RawValue) -> Self {
        Self((value.get() != "null").then_some(value))
    }

    /// The text, trimmed; `None` where it is null, blank or absent.
    pub fn text(self) -> Option<Cow<'a, str>> {
        let raw = self.0?.get();
        let inner = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let text = match inner {
            Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain.trim()),
            Some(escaped) => match serde_json::from_str::<String>(raw) {
                Ok(text) => Cow::Owned(text.trim().to_owned()),
                Err(_) => Cow::Borrowed(escaped),
            },
            None if raw.starts_with('{') => Cow::Borrowed("an object"),
            None if raw.starts_with('[') => Cow::Borrowed("a list"),
            None => Cow::Borrowed(raw),
        };
        (!text.is_empty()).then_some(text)
    }

    /// Whether there is anything but null.
    pub fn present(self) -> bool {
        self.0.is_some()
    }

    /// Whether the value says true.
    pub fn flag(self) -> bool {
        self.text().is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// The value as an instant; civil times are in the setting's zone.
    pub fn time(self, what: &str, setting: &Setting) -> Result<Option<UtcMs>, Refusal> {
        let Some(text) = self.text() else { return Ok(None) };
        let wrong = |error| Refusal::new(FaultKind::Time, "", format!("{what}: {error}"));
        UtcMs::parse(&text, &setting.zone).map(Some).map_err(wrong)
    }

    /// The value as a number of units, zero or more.
    pub fn units(self, what: &str) -> Result<i32, Refusal> {
        units(self.text().as_deref().unwrap_or_default(), what)
    }

    /// The value as a rate, such as the `0.1` of a tax of ten percent.
    pub fn rate(self) -> Option<Decimal> {
        decimal(&self.text()?).ok().filter(|rate| !rate.is_sign_negative())
    }

    /// The value as an id: the digits of a global id, or the text or whole number itself.
    pub fn id(self, what: &str) -> Result<Option<Id>, Refusal> {
        let Some(text) = self.text() else { return Ok(None) };
        let refuse =
            |why: &str| Refusal::new(FaultKind::Field, "", format!("the id of {what} {why}"));
        if let Some(digits) = gid_tail(&text) {
            return Ok(Some(digits.into()));
        }
        let quoted = self.0.is_some_and(|raw| raw.get().starts_with('"'));
        if !quoted && !text.bytes().all(|byte| byte.is_ascii_digit()) {
            // A number with a point or an exponent has already lost the digits that mattered.
            return Err(refuse("is not a whole number"));
        }
        if text.len() > ID_BYTES_MAX {
            return Err(refuse(&format!("is longer than {ID_BYTES_MAX} bytes")));
        }
        Ok(Some(text.as_ref().into()))
    }

    /// The id beside its global form; the global one wins, for scripting tools round large
    /// numbers and leave the digits of the text alone.
    pub fn id_or(self, gid: Scalar<'_>, what: &str) -> Result<Option<Id>, Refusal> {
        match gid.text().as_deref().and_then(gid_tail) {
            Some(digits) => Ok(Some(digits.into())),
            None => self.id(what),
        }
    }
}

/// A text as a number of units, zero or more.
pub fn units(text: &str, what: &str) -> Result<i32, Refusal> {
    let refuse = |why: &str| {
        Err(Refusal::new(FaultKind::Quantity, "", format!("the quantity of {what} {why}")))
    };
    if text.is_empty() {
        return refuse("is missing");
    }
    let Ok(number) = decimal(text) else { return refuse("is not a number within limits") };
    if number.fract() != Decimal::ZERO {
        return refuse("is not a whole number");
    }
    match i32::try_from(number.trunc()) {
        Ok(units) if units < 0 => refuse("is negative"),
        Ok(units) if units <= UNITS_MAX => Ok(units),
        _ => refuse(&format!("is not within 0 and {UNITS_MAX}")),
    }
}

/// The last part of `gid://shopify/Order/123?x=y`, if it is digits.
fn gid_tail(text: &str) -> Option<&str> {
    let (_, tail) = text.strip_prefix("gid://")?.rsplit_once('/')?;
    let tail = tail.split('?').next()?;
    let digits = !tail.is_empty() && tail.len() <= ID_BYTES_MAX;
    (digits && tail.bytes().all(|byte| byte.is_ascii_digit())).then_some(tail)
}

/// The kind of node a global id names: `Order` of `gid://shopify/Order/123`.
pub fn gid_kind(text: &str) -> Option<&str> {
    let (kind, _) = text.strip_prefix("gid://")?.split_once('/')?.1.split_once('/')?;
    Some(kind)
}
