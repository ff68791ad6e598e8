//! From the answers of the views to what the page paints: cards with comparisons, and charts.
//!
//! Invariant: integers all the way; a change in percent is rounded half-even once, at the end.

use ionflux_schemas::avro::MONEY_SCALE;
use ionflux_schemas::currency::Currency;
use ionflux_schemas::money::div_half_even;
use ionflux_schemas::time::{Day, UtcMs};
use serde::Serialize;

use super::questions::{DAYS, HOUR_MS, HOURS};
use super::scale::Scale;
use crate::render::decimal_text;

/// One unit of money in the views' ten-thousandths.
const ONE: i128 = 10_i128.pow(MONEY_SCALE);

/// All time.
pub(super) struct Span {
    pub first: Day,
    pub last: Day,
    pub orders: i64,
    pub net_sales: i128,
}

/// One day over all channels.
#[derive(Default)]
pub(super) struct DayTotals {
    pub day: Day,
    pub orders: i64,
    pub units: i64,
    pub gross_sales: i128,
    pub discounts: i128,
    pub returns: i128,
    pub net_sales: i128,
}

/// One day's customers.
#[derive(Default)]
pub(super) struct Customers {
    pub day: Day,
    pub new: i64,
    pub returning: i64,
}

/// One hour.
pub(super) struct HourTotals {
    pub hour: UtcMs,
    pub orders: i64,
    pub revenue: i128,
}

/// All time, as the page shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Total {
    net_sales: String,
    orders: i64,
    first_day: String,
    last_day: String,
}

/// One of something for every card of the page.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Cards<T> {
    net_sales: T,
    gross_sales: T,
    discounts: T,
    returns: T,
    aov: T,
    orders: T,
    units: T,
    new_customers: T,
    returning_customers: T,
}

/// A figure with what it was before; null where it means nothing, such as a mean of no orders.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Card {
    money: bool,
    value: Option<String>,
    day_before: Comparison,
    week_before: Comparison,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Comparison {
    value: Option<String>,
    /// The change in percent with one decimal; null where there was nothing before.
    change: Option<String>,
    /// 1, 0 or -1.
    direction: i8,
}

/// A chart of bars over time.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Chart {
    points: Vec<Point>,
    ticks: Vec<Tick>,
    zero: i64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Point {
    /// The day, or the instant at which the hour began.
    at: String,
    value: String,
    orders: i64,
    height: i64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Tick {
    value: String,
    height: i64,
}

/// An amount of the views as text with the decimals of its currency.
pub(super) fn money(amount: i128, currency: Currency) -> String {
    decimal_text(amount, MONEY_SCALE as usize, currency.exponent().into())
}

pub(super) fn total(span: &Span, currency: Currency) -> Total {
    Total {
        net_sales: money(span.net_sales, currency),
        orders: span.orders,
        first_day: span.first.to_string(),
        last_day: span.last.to_string(),
    }
}

/// The cards of a day, compared with the day before and the same weekday of the week before.
pub(super) fn cards(
    days: &[DayTotals],
    customers: &[Customers],
    today: Day,
    currency: Currency,
) -> Cards<Card> {
    let on = |back: i32| values(days, customers, Day(today.0 - back), currency);
    let (now, day, week) = (on(0), on(1), on(7));
    let card = |is_money, pick: fn(&Cards<Option<i128>>) -> Option<i128>| {
        let shown = |value: Option<i128>| {
            let text = |v| if is_money { money(v, currency) } else { i128::to_string(&v) };
            value.map(text)
        };
        let compared = |then: Option<i128>| Comparison {
            value: shown(then),
            change: change(pick(&now), then),
            direction: match (pick(&now), then) {
                (Some(now), Some(then)) => now.cmp(&then) as i8,
                _ => 0,
            },
        };
        Card {
            money: is_money,
            value: shown(pick(&now)),
            day_before: compared(pick(&day)),
            week_before: compared(pick(&week)),
        }
    };
    Cards {
        net_sales: card(true, |c| c.net_sales),
        gross_sales: card(true, |c| c.gross_sales),
        discounts: card(true, |c| c.discounts),
        returns: card(true, |c| c.returns),
        aov: card(true, |c| c.aov),
        orders: card(false, |c| c.orders),
        units: card(false, |c| c.units),
        new_customers: card(false, |c| c.new_customers),
        returning_customers: card(false, |c| c.returning_customers),
    }
}

fn values(
    days: &[DayTotals],
    customers: &[Customers],
    on: Day,
    currency: Currency,
) -> Cards<Option<i128>> {
    let (no_sales, nobody) = (DayTotals::default(), Customers::default());
    let sales = days.iter().find(|totals| totals.day == on).unwrap_or(&no_sales);
    let who = customers.iter().find(|counts| counts.day == on).unwrap_or(&nobody);
    // Rounded to the minor unit, as `aov` of metrics_hourly is.
    let minor = 10_i128.pow(MONEY_SCALE - u32::from(currency.exponent()));
    let revenue = (sales.gross_sales - sales.discounts) / minor;
    let aov = div_half_even(revenue, sales.orders.into()).map(|aov| aov * minor);
    Cards {
        net_sales: Some(sales.net_sales),
        gross_sales: Some(sales.gross_sales),
        discounts: Some(sales.discounts),
        returns: Some(sales.returns),
        aov,
        orders: Some(sales.orders.into()),
        units: Some(sales.units.into()),
        new_customers: Some(who.new.into()),
        returning_customers: Some(who.returning.into()),
    }
}

/// The change in percent with one decimal.
fn change(now: Option<i128>, then: Option<i128>) -> Option<String> {
    let (now, then) = (now?, then.filter(|then| *then != 0)?);
    let tenths = div_half_even((now - then).checked_mul(1000)?, then.abs())?;
    Some(decimal_text(tenths, 1, 1))
}

/// Net sales of each day up to one, days without sales included, from the first day ever.
pub(super) fn day_chart(days: &[DayTotals], today: Day, first: Day, currency: Currency) -> Chart {
    let from = first.0.max(today.0 - DAYS + 1);
    let scale = Scale::of(days.iter().map(|totals| totals.net_sales), ONE);
    let none = DayTotals::default();
    let mut known = days.iter().peekable();
    let points = (from..=today.0).map(|day| {
        let totals = known.next_if(|totals| totals.day.0 <= day).unwrap_or(&none);
        Point {
            at: Day(day).to_string(),
            value: money(totals.net_sales, currency),
            orders: totals.orders,
            height: scale.at(totals.net_sales),
        }
    });
    Chart { points: points.collect(), ticks: ticks(&scale), zero: scale.at(0) }
}

/// Revenue of each hour up to one, hours without orders included.
pub(super) fn hour_chart(hours: &[HourTotals], until: UtcMs, currency: Currency) -> Chart {
    let first = until.0 - (HOURS - 1) * HOUR_MS;
    let mut slots = vec![(0_i128, 0_i64); HOURS as usize];
    for totals in hours {
        // Where a change of the clock moved the hours by 30 minutes, two may share a slot.
        let slot = usize::try_from((totals.hour.0 - first).div_euclid(HOUR_MS)).unwrap_or(0);
        if let Some((revenue, orders)) = slots.get_mut(slot) {
            *revenue += totals.revenue;
            *orders += totals.orders;
        }
    }
    let scale = Scale::of(slots.iter().map(|(revenue, _)| *revenue), ONE);
    let points = slots.iter().enumerate().map(|(slot, (revenue, orders))| Point {
        at: UtcMs(first + slot as i64 * HOUR_MS).to_string(),
        value: money(*revenue, currency),
        orders: *orders,
        height: scale.at(*revenue),
    });
    Chart { points: points.collect(), ticks: ticks(&scale), zero: scale.at(0) }
}

fn ticks(scale: &Scale) -> Vec<Tick> {
    let text = |tick| decimal_text(tick, MONEY_SCALE as usize, 0);
    scale.ticks().map(|tick| Tick { value: text(tick), height: scale.at(tick) }).collect()
}
