//! What was spent on marketing.
//!
//! Invariant: an amount is exact in its currency's minor units, or refused.

use ionflux_schemas::currency::Currency;
use ionflux_schemas::entity::{Body, Spend};
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::money::Money;

use super::{Draft, Told, payload, span};
use crate::platform::event::Event;
use crate::platform::fields::{Fields, refused};
use crate::reading::{Refusal, Setting};

/// What is counted beside an amount.
const COUNTS: [&str; 3] = ["impressions", "clicks", "conversions"];
/// The largest count of one event.
const COUNT_MAX: i64 = 1_000_000_000_000;

/// `ionflux.marketing.spend.recorded`
pub fn read(event: &Event<'_>, parts: &[&str], setting: &Setting) -> Result<Option<Told>, Refusal> {
    if parts != ["spend", "recorded"] {
        return Ok(None);
    }
    let fields = payload(event)?;
    let platform = fields.needed("platform", fields.name(&["platform", "channel"])?)?;
    let campaign = fields.text(&["campaign_id", "campaign"])?.unwrap_or_default();
    let (amount, currency) = amount(&fields, setting)?;
    let (at, span_ms) = span::of(&fields, event.at)?;
    let mut counts = std::collections::BTreeMap::new();
    for name in COUNTS {
        if let Some(count) = fields.whole(&[name], COUNT_MAX)? {
            counts.insert(name.into(), count);
        }
    }
    let body = Body::Spend(Spend { platform, campaign, amount, currency, span_ms, counts });
    Draft { event, setting, payload: Some(&fields) }.told(at, body)
}

fn amount(fields: &Fields<'_>, setting: &Setting) -> Result<(i64, Currency), Refusal> {
    let wrong = |name: &str, problem: &dyn std::fmt::Display| {
        let kind = if name == "currency" { FaultKind::Currency } else { FaultKind::Amount };
        refused(kind, format!("payload_json.{name}: {problem}"))
    };
    let code = fields.text(&["currency", "currency_code"])?;
    let currency = match code {
        Some(code) => Currency::parse(&code).map_err(|problem| wrong("currency", &problem))?,
        None => fields.needed("currency", setting.currency)?,
    };
    let text = fields.text(&["amount", "spend"])?;
    let text = fields.needed("amount", text)?;
    let money = Money::parse(&text, currency).map_err(|problem| wrong("amount", &problem))?;
    let minor = i64::try_from(money.minor).ok().filter(|minor| *minor >= 0);
    let minor = minor.ok_or_else(|| wrong("amount", &"what was spent is never below zero"))?;
    Ok((minor, currency))
}
