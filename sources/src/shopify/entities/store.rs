//! What happened to the store: a theme went live, settings changed, the app came off, an export
//! ended.
//!
//! Invariant: of the people behind a store nothing is kept: no name, no address, no way to reach
//! them.

use std::collections::BTreeMap;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::entity::{Body, Entity, StoreChange};
use ionflux_schemas::event::Envelope;
use ionflux_schemas::key::Id;
use ionflux_schemas::time::{UtcMs, Zone};

use super::{body, instant, said, title, word};
use crate::reading::Refusal;
use crate::shopify::body::Shop;
use crate::shopify::list::{List, each};
use crate::shopify::record::{Outcome, Record, about, field};
use crate::shopify::scalar::Scalar;

/// The longest list of scopes that is kept; Shopify has about 150 of them.
const SCOPES_CHARS_MAX: usize = 4_000;

type Details = BTreeMap<Id, Box<str>>;

/// What is known of a change, by name; what is not is left out.
fn details<const N: usize>(known: [(&str, Box<str>); N]) -> Details {
    let known = known.into_iter().filter(|(_, text)| !text.is_empty());
    known.map(|(name, text)| (name.into(), text)).collect()
}

/// The envelope of a change that is named by what it is about and when it was.
fn changed(id: String, at: UtcMs, change: StoreChange, record: &Record<'_>) -> Envelope {
    let entity = Entity { id: id.into(), at, body: Body::StoreChange(change) };
    said(entity, at, record)
}

/// When something happened that has to say so.
fn when(stamps: &[(Scalar<'_>, &str)], what: &str, record: &Record<'_>) -> Result<UtcMs, Refusal> {
    let at = instant(stamps, record).map_err(|refusal| about(what, refusal))?;
    let missing = || about(what, field("neither its body nor its delivery says when it was"));
    at.ok_or_else(missing)
}

/// A theme went live; its last change is when it was published, for a publication changes it.
pub fn theme(theme: &body::Theme<'_>, record: &Record<'_>) -> Outcome {
    let id = theme.id.id_or(theme.admin_graphql_api_id, "the theme")?;
    let id = id.ok_or_else(|| field("the theme has no id"))?;
    let stamps = [(theme.updated_at, "updated_at"), (theme.created_at, "created_at")];
    let at = when(&stamps, &format!("theme {id}"), record)?;
    let change = StoreChange {
        change: "theme_published".into(),
        title: title(theme.name),
        details: details([("role", word(theme.role)), ("theme", id.clone())]),
    };
    Ok(vec![changed(format!("theme_published/{id}@{at}"), at, change, record)])
}

/// The app was removed from the shop.
pub fn uninstalled(shop: &Shop<'_>, record: &Record<'_>) -> Outcome {
    // The shop's own last change may be years ago, so that the delivery is the first to ask.
    let raised = Some(record.raised_at).filter(|at| at.0 != 0);
    let at = match raised {
        Some(at) => at,
        None => when(&[(shop.updated_at, "updated_at")], "the removal of the app", record)?,
    };
    let change =
        StoreChange { change: "app_uninstalled".into(), title: "".into(), details: Details::new() };
    Ok(vec![changed(format!("app_uninstalled@{at}"), at, change, record)])
}

/// The shop's settings from its last change on; for all earlier time where nobody says when.
pub fn settings(shop: &Shop<'_>, record: &Record<'_>) -> Outcome {
    let wrong = |refusal| about("shop", refusal);
    let at = instant(&[(shop.updated_at, "updated_at")], record).map_err(wrong)?;
    let plan = shop.plan.as_ref().map(|plan| plan.display_name).unwrap_or_default();
    let plans = [shop.plan_name, shop.plan_display_name, plan];
    let plan = plans.into_iter().find(|plan| plan.present()).unwrap_or_default();
    // What is no currency or no zone is not kept; of a zone the refusal beside this tells.
    let currency = shop.currency.text().and_then(|code| Currency::parse(&code).ok());
    let currency = currency.map(|currency| currency.code().into());
    let zone = shop.iana_timezone.text().and_then(|name| Zone::parse(&name).ok());
    let zone = zone.map(|zone| zone.name().into());
    let change = StoreChange {
        change: "shop_updated".into(),
        title: "".into(),
        details: details([
            ("currency", currency.unwrap_or_default()),
            ("plan", word(plan)),
            ("taxes_included", word(shop.taxes_included)),
            ("zone", zone.unwrap_or_default()),
        ]),
    };
    let id = match at {
        Some(at) => format!("shop_updated@{at}"),
        None => "shop_updated".to_owned(),
    };
    Ok(vec![changed(id, at.unwrap_or(UtcMs(i64::MIN)), change, record)])
}

/// A bulk operation ended, well or not.
pub fn bulk_operation(operation: &body::BulkOperation<'_>, record: &Record<'_>) -> Outcome {
    let id = operation.id.id_or(operation.admin_graphql_api_id, "the bulk operation")?;
    let id = id.ok_or_else(|| field("the bulk operation has no id"))?;
    let stamps = [(operation.completed_at, "completed_at"), (operation.created_at, "created_at")];
    let at = when(&stamps, &format!("bulk operation {id}"), record)?;
    let change = StoreChange {
        change: "bulk_operation_finished".into(),
        title: "".into(),
        details: details([
            ("error", word(operation.error_code)),
            ("kind", word(operation.kind)),
            ("operation", id.clone()),
            ("status", word(operation.status)),
        ]),
    };
    Ok(vec![changed(format!("bulk_operation_finished/{id}"), at, change, record)])
}

/// What the app may do changed.
pub fn scopes(scopes: &body::Scopes<'_>, record: &Record<'_>) -> Outcome {
    let at = when(&[(scopes.updated_at, "updated_at")], "the scopes of the app", record)?;
    let change = StoreChange {
        change: "app_scopes_updated".into(),
        title: "".into(),
        details: details([
            ("current", joined(&scopes.current)),
            ("previous", joined(&scopes.previous)),
        ]),
    };
    Ok(vec![changed(format!("app_scopes_updated@{at}"), at, change, record)])
}

/// Names in their order, between commas.
fn joined(names: &Option<List<Scalar<'_>>>) -> Box<str> {
    let mut names: Vec<Id> = each(names).iter().map(|name| word(*name)).collect();
    names.sort();
    names.join(",").chars().take(SCOPES_CHARS_MAX).collect::<String>().into()
}

/// What the merchant pays for the app changed.
pub fn subscription(subscription: &body::Subscription<'_>, record: &Record<'_>) -> Outcome {
    let id = subscription.admin_graphql_api_id.id("the subscription")?;
    let id = id.ok_or_else(|| field("the subscription has no id"))?;
    let stamps = [(subscription.updated_at, "updated_at"), (subscription.created_at, "created_at")];
    let at = when(&stamps, &format!("app subscription {id}"), record)?;
    let change = StoreChange {
        change: "app_subscription_updated".into(),
        title: title(subscription.name),
        details: details([
            ("currency", title(subscription.currency)),
            ("interval", word(subscription.interval)),
            ("price", title(subscription.price)),
            ("status", word(subscription.status)),
            ("subscription", id.clone()),
        ]),
    };
    Ok(vec![changed(format!("app_subscription_updated/{id}@{at}"), at, change, record)])
}
