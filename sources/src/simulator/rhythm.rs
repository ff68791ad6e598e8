//! When people buy: the hours of a day, the days of a week, growth and campaigns, in integers.
//!
//! Invariant: a rate depends on the local time and the shop's age alone.

use jiff::civil::{DateTime, Weekday};

/// Orders of an average day at the start.
const ORDERS_PER_DAY: u64 = 250;
/// What the shop grows in a day, in millionths of its start; it stops at three times the start.
const GROWTH_MILLIONTHS: u64 = 1500;
const GROWTH_DAYS_MAX: u64 = 1333;
/// One day in this many is a campaign.
const CAMPAIGN_EVERY: i64 = 23;
const CAMPAIGN_PERCENT: u64 = 190;
/// Shares of the day's orders by local hour: quiet nights, busy evenings.
const HOURS: [u64; 24] =
    [12, 6, 4, 3, 3, 5, 12, 24, 36, 44, 50, 54, 58, 54, 50, 50, 54, 62, 74, 88, 96, 84, 54, 25];
const HOURS_TOTAL: u64 = 1002;

/// How many orders to expect in a minute, in millionths; `age` is the shop's age in days.
pub(super) fn orders_per_minute_millionths(local: DateTime, age: u64) -> u64 {
    let weekday_percent = match local.weekday() {
        Weekday::Monday => 104,
        Weekday::Tuesday | Weekday::Wednesday => 98,
        Weekday::Thursday => 101,
        Weekday::Friday => 94,
        Weekday::Saturday => 82,
        Weekday::Sunday => 123,
    };
    let hour = HOURS[usize::from(local.hour().unsigned_abs()) % 24];
    let growth = 1_000_000 + GROWTH_MILLIONTHS * age.min(GROWTH_DAYS_MAX);
    let percent = if campaign(local) { CAMPAIGN_PERCENT } else { 100 };
    // The products stay below 10^17, far from the end of a u64.
    let per_day = ORDERS_PER_DAY * growth * weekday_percent / 100 * percent / 100;
    per_day * hour / (HOURS_TOTAL * 60)
}

/// A day on which the shop gives a discount to everybody.
pub(super) fn campaign(local: DateTime) -> bool {
    let days = local.date().duration_since(jiff::civil::Date::constant(2020, 1, 7)).as_hours() / 24;
    days.rem_euclid(CAMPAIGN_EVERY) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_evenings_are_busy() {
        assert_eq!(HOURS.iter().sum::<u64>(), HOURS_TOTAL);
        let rate = |text: &str| orders_per_minute_millionths(text.parse().unwrap(), 0);
        assert!(rate("2026-03-02T20:00") > 10 * rate("2026-03-02T03:00"));
        assert!(rate("2026-03-01T20:00") > rate("2026-02-28T20:00"), "Sunday over Saturday");
    }
}
