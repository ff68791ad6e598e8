//! The dashboard: everything the page shows, computed here so that the page only paints.
//!
//! Invariant: one [`Dashboard`] is of one epoch, one shop and one currency; amounts are decimal
//! strings and positions in charts are thousandths of their height.

mod figures;
mod questions;
mod scale;

pub(crate) mod live;

use std::sync::Arc;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::key::ShopKey;
use ionflux_schemas::time::{Calendar, Day, UtcMs};
use serde::Serialize;

use crate::problem::Problem;
use crate::tables::Tables;
use figures::{Card, Cards, Chart, Total};
use questions::Questions;

/// Tells a shop's calendar, which decides what its today is.
pub type Calendars = Arc<dyn Fn(&ShopKey) -> Calendar + Send + Sync>;

/// Which shop and which of its currencies a page shows; blank means the busiest.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Choice {
    pub workspace: Option<Box<str>>,
    pub shop: Option<Box<str>>,
    pub currency: Option<Box<str>>,
}

/// Everything the page shows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Dashboard {
    pub epoch: u64,
    pub as_of: String,
    pub shops: Vec<Shop>,
    /// The shop shown; `None` before the first order.
    pub shop: Option<Shop>,
    pub time_zone: String,
    pub money: Option<MoneyOf>,
    pub today: Option<Today>,
    pub cards: Option<Cards<Card>>,
    pub total: Option<Total>,
    pub days: Chart,
    pub hours: Chart,
    pub products_week: Vec<Product>,
    pub products_ever: Vec<Product>,
    pub faults: Faults,
}

/// One shop to choose.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Shop {
    pub workspace_id: String,
    pub shop_id: String,
    pub orders: i64,
}

/// The currency of every amount, and the others the shop sells in.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MoneyOf {
    pub code: &'static str,
    pub decimals: u8,
    pub others: Vec<String>,
}

/// The day the cards are about.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Today {
    pub day: String,
    /// Whether it is the shop's day at the epoch, and not merely its last day with sales.
    pub current: bool,
    /// The days it is compared with.
    pub day_before: String,
    pub week_before: String,
}

/// One line of a list of products.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Product {
    pub product_id: String,
    pub net_sales: String,
    pub units: i64,
    pub units_returned: i64,
    /// Thousandths of the best product's net sales; 0 for less than nothing.
    pub share: i64,
}

/// What could not be counted.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Faults {
    pub count: i64,
    pub kinds: Vec<FaultKind>,
    pub examples: Vec<Fault>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct FaultKind {
    pub kind: String,
    pub count: i64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Fault {
    pub kind: String,
    pub place: String,
    pub subject: String,
    pub reason: String,
    pub remedy: String,
}

/// The dashboard of a choice over the tables of one epoch.
pub(crate) async fn build(
    tables: &Arc<Tables>,
    calendars: &Calendars,
    choice: &Choice,
) -> Result<Dashboard, Problem> {
    let shops = questions::shops(tables).await?;
    let shop = chosen(&shops, choice)?;
    let mut dashboard = Dashboard {
        epoch: tables.epoch.0,
        as_of: tables.as_of.to_string(),
        shops,
        shop: shop.clone(),
        time_zone: "UTC".to_owned(),
        money: None,
        today: None,
        cards: None,
        total: None,
        days: Chart::default(),
        hours: Chart::default(),
        products_week: Vec::new(),
        products_ever: Vec::new(),
        faults: Faults::default(),
    };
    let Some(shop) = shop else { return Ok(dashboard) };
    let key = ShopKey::new(shop.workspace_id.as_str(), shop.shop_id.as_str());
    let calendar = calendars(&key);
    dashboard.time_zone = calendar.zone(tables.as_of).name().to_owned();
    dashboard.faults = questions::faults(tables, &key).await?;
    let currencies = questions::currencies(tables, &key).await?;
    let Some(currency) = main_currency(&currencies, choice)? else { return Ok(dashboard) };
    let others = currencies.into_iter().filter(|code| code != currency.code());
    dashboard.money = Some(MoneyOf {
        code: currency.code(),
        decimals: currency.exponent(),
        others: others.collect(),
    });
    let questions = Questions { tables: Arc::clone(tables), shop: key, currency };
    fill(&mut dashboard, &questions, &calendar, tables.as_of).await?;
    Ok(dashboard)
}

async fn fill(
    dashboard: &mut Dashboard,
    questions: &Questions,
    calendar: &Calendar,
    as_of: UtcMs,
) -> Result<(), Problem> {
    let Some(total) = questions.total().await? else { return Ok(()) };
    let now = calendar.day(as_of);
    // A day after the clock's can only come from an order dated in the future: not today.
    let last = total.last.min(now.max(total.first));
    let today = if questions.sold_on(now).await? { now } else { questions.last_day(last).await? };
    let hour = if today == now {
        calendar.hour_start(as_of)
    } else {
        questions.last_hour(calendar.hour_start(as_of)).await?
    };
    dashboard.today = Some(Today {
        day: today.to_string(),
        current: today == now,
        day_before: Day(today.0 - 1).to_string(),
        week_before: Day(today.0 - 7).to_string(),
    });
    let days = questions.days(today).await?;
    let customers = questions.customers(today).await?;
    let currency = questions.currency;
    dashboard.cards = Some(figures::cards(&days, &customers, today, currency));
    dashboard.total = Some(figures::total(&total, currency));
    dashboard.days = figures::day_chart(&days, today, total.first, currency);
    dashboard.hours = figures::hour_chart(&questions.hours(hour).await?, hour, currency);
    dashboard.products_week = questions.products(Some(today)).await?;
    dashboard.products_ever = questions.products(None).await?;
    Ok(())
}

/// The shop of a choice; the busiest if none is named, none if there is none.
fn chosen(shops: &[Shop], choice: &Choice) -> Result<Option<Shop>, Problem> {
    let named = |shop: &&Shop| {
        let workspace = choice.workspace.as_deref().is_none_or(|name| name == shop.workspace_id);
        workspace && choice.shop.as_deref().is_none_or(|name| name == shop.shop_id)
    };
    let matching: Vec<&Shop> = shops.iter().filter(named).collect();
    if choice.shop.is_some() && matching.len() > 1 {
        let detail = "several workspaces have a shop of that name";
        return Err(Problem::bad(detail, "give workspace_id as well"));
    }
    let any = choice.shop.is_some() || choice.workspace.is_some();
    if any && matching.is_empty() {
        let names = shops.iter().take(20).map(|s| format!("{}/{}", s.workspace_id, s.shop_id));
        let hint = match shops {
            [] => "no shop has orders yet".to_owned(),
            _ => format!("shops are {}", names.collect::<Vec<_>>().join(", ")),
        };
        return Err(Problem::missing("there is no such shop", hint));
    }
    // The first of the busiest, so that the choice does not depend on chance.
    let best = matching.into_iter().rev().max_by_key(|shop| shop.orders);
    Ok(best.cloned())
}

/// The currency of a choice; the one with most orders if none is named.
fn main_currency(codes: &[String], choice: &Choice) -> Result<Option<Currency>, Problem> {
    let code = match &choice.currency {
        None => codes.first().map(String::as_str),
        Some(wanted) if codes.iter().any(|code| **code == **wanted) => Some(&**wanted),
        Some(_) => {
            let hint = format!("its currencies are {}", codes.join(", "));
            return Err(Problem::missing("the shop has no sales in that currency", hint));
        }
    };
    Ok(code.and_then(|code| Currency::parse(code).ok()))
}
