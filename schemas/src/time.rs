//! Time: when it happened ([`UtcMs`], [`Day`]) and when we counted it ([`Epoch`]).
//!
//! Invariant: a day is the shop's civil day, found by its zone's rules at that instant; the zone
//! database is the one compiled in, so that every machine gives the same day.

use std::fmt;

use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An instant, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct UtcMs(pub i64);

/// A civil day, as days since 1970-01-01; which instants it holds depends on the shop's zone.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Day(pub i32);

/// When a change was counted: a number that only grows. All views of one epoch belong together.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

/// Why a text is not a time or a zone.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TimeError {
    /// The text is neither an instant nor a civil time.
    #[error("{0:?} is not a time such as 2026-03-01T09:30:00+01:00")]
    NotATime(String),
    /// The time is outside the years 1900 to 2200.
    #[error("{0} is outside the years 1900 to 2200")]
    OutOfRange(String),
    /// The zone is not in the IANA database.
    #[error("{0:?} is not a time zone of the IANA database, such as Europe/London or UTC")]
    UnknownZone(String),
}

const MS_PER_DAY: i64 = 86_400_000;
const MS_PER_HOUR: i64 = 3_600_000;
/// 1900-01-01 and 2200-01-01; what lies outside is a broken clock, not an order.
const EARLIEST: i64 = -25_567 * MS_PER_DAY;
const LATEST: i64 = 84_006 * MS_PER_DAY;

fn in_range(at: i64, text: &str) -> Result<UtcMs, TimeError> {
    if (EARLIEST..LATEST).contains(&at) {
        Ok(UtcMs(at))
    } else {
        Err(TimeError::OutOfRange(text.chars().take(40).collect()))
    }
}

/// A time zone of the IANA database, by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The zone of an IANA name, such as `America/St_Johns`; case does not matter.
    ///
    /// # Errors
    /// [`TimeError::UnknownZone`].
    pub fn parse(name: &str) -> Result<Self, TimeError> {
        let unknown = || TimeError::UnknownZone(name.chars().take(60).collect());
        TimeZoneDatabase::bundled().get(name.trim()).map(Self).map_err(|_| unknown())
    }

    /// The zone's IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// How far local time is ahead of UTC at an instant, in milliseconds.
    fn offset_ms(&self, at: UtcMs) -> i64 {
        let instant = Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH);
        i64::from(self.0.to_offset(instant).seconds()) * 1000
    }

    /// The civil day an instant falls on.
    #[must_use]
    pub fn day(&self, at: UtcMs) -> Day {
        Day((at.0 + self.offset_ms(at)).div_euclid(MS_PER_DAY) as i32)
    }

    /// The instant at which the local clock hour that holds `at` began.
    ///
    /// In zones of 30 or 45 minutes that is not a UTC hour, and the hour that a change back from
    /// daylight saving repeats is two distinct hours.
    #[must_use]
    pub fn hour_start(&self, at: UtcMs) -> UtcMs {
        let offset = self.offset_ms(at);
        UtcMs((at.0 + offset).div_euclid(MS_PER_HOUR) * MS_PER_HOUR - offset)
    }

    /// The instant of a civil time here: the earlier one where the clock repeats an hour, moved
    /// forward over the gap where it skips one.
    ///
    /// # Errors
    /// [`TimeError::OutOfRange`].
    pub fn instant(&self, civil: DateTime) -> Result<UtcMs, TimeError> {
        let text = || civil.to_string().chars().take(40).collect();
        let zoned = self.0.to_ambiguous_timestamp(civil).compatible();
        let at = zoned.map_err(|_| TimeError::OutOfRange(text()))?.as_millisecond();
        in_range(at, &civil.to_string())
    }
}

/// A shop's zones, each with the instant from which it holds; closed days never move.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Calendar {
    /// Sorted by validity; the first also covers all time before it.
    zones: Vec<(UtcMs, Zone)>,
}

impl Calendar {
    /// One zone for all time.
    #[must_use]
    pub fn always(zone: Zone) -> Self {
        Self { zones: vec![(UtcMs(i64::MIN), zone)] }
    }

    /// Zones with the instants from which they hold, in any order; `None` if there are none.
    #[must_use]
    pub fn new(mut zones: Vec<(UtcMs, Zone)>) -> Option<Self> {
        zones.sort_by(|a, b| (a.0, a.1.name()).cmp(&(b.0, b.1.name())));
        zones.dedup_by(|later, earlier| later.1 == earlier.1);
        (!zones.is_empty()).then_some(Self { zones })
    }

    /// The zone that holds at an instant.
    #[must_use]
    pub fn zone(&self, at: UtcMs) -> &Zone {
        let after = self.zones.partition_point(|(from, _)| *from <= at);
        &self.zones[after.saturating_sub(1)].1
    }

    /// The shop's civil day of an instant.
    #[must_use]
    pub fn day(&self, at: UtcMs) -> Day {
        self.zone(at).day(at)
    }

    /// When the shop's clock hour around an instant began.
    #[must_use]
    pub fn hour_start(&self, at: UtcMs) -> UtcMs {
        self.zone(at).hour_start(at)
    }
}

impl UtcMs {
    /// Reads ISO 8601 with an offset, `2025-05-11 09:55:16 -0400` as the orders export writes it,
    /// or a civil time without offset, which is taken in `zone`.
    ///
    /// # Errors
    /// [`TimeError::NotATime`] or [`TimeError::OutOfRange`].
    pub fn parse(text: &str, zone: &Zone) -> Result<Self, TimeError> {
        let text = text.trim();
        let not_a_time = || TimeError::NotATime(text.chars().take(40).collect());
        if let Ok(instant) = text.parse::<Timestamp>() {
            return in_range(instant.as_millisecond(), text);
        }
        if let Ok(zoned) = jiff::fmt::strtime::parse("%Y-%m-%d %H:%M:%S %z", text) {
            let instant = zoned.to_timestamp().map_err(|_| not_a_time())?;
            return in_range(instant.as_millisecond(), text);
        }
        let civil = text.parse::<DateTime>().map_err(|_| not_a_time())?;
        zone.instant(civil)
    }

    /// Reads a civil time in a `strftime` format, such as `%d/%m/%Y %H:%M`, in `zone`; a format
    /// with `%z` gives the offset itself.
    ///
    /// # Errors
    /// [`TimeError::NotATime`] or [`TimeError::OutOfRange`].
    pub fn parse_format(format: &str, text: &str, zone: &Zone) -> Result<Self, TimeError> {
        let not_a_time = || TimeError::NotATime(text.chars().take(40).collect());
        let broken = jiff::fmt::strtime::parse(format, text.trim()).map_err(|_| not_a_time())?;
        if let Ok(instant) = broken.to_timestamp() {
            return in_range(instant.as_millisecond(), text);
        }
        let civil = broken.to_datetime().or_else(|_| broken.to_date().map(Into::into));
        zone.instant(civil.map_err(|_| not_a_time())?)
    }
}

impl fmt::Display for UtcMs {
    /// ISO 8601 in UTC: `2026-03-01T09:30:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Day {
    /// The day of a calendar date.
    #[must_use]
    pub fn of(date: Date) -> Self {
        let span = date.duration_since(Date::constant(1970, 1, 1));
        Self((span.as_secs() / 86_400) as i32)
    }

    /// The calendar's date of the day; `None` outside the years -9999 to 9999.
    #[must_use]
    pub fn date(self) -> Option<Date> {
        let since = SignedDuration::from_hours(i64::from(self.0) * 24);
        Date::constant(1970, 1, 1).checked_add(since).ok()
    }
}

impl fmt::Display for Day {
    /// ISO 8601: `2026-03-01`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.date() {
            Some(date) => write!(f, "{date}"),
            None => write!(f, "day {}", self.0),
        }
    }
}

impl std::str::FromStr for Day {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let date = text.trim().parse::<Date>();
        date.map(Self::of).map_err(|_| TimeError::NotATime(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UtcMs {
        UtcMs::parse(text, &Zone::UTC).unwrap()
    }

    fn check(zone: &str, instant: &str, day: &str, hour: &str) {
        let zone = Zone::parse(zone).unwrap();
        assert_eq!(zone.day(at(instant)).to_string(), day, "day of {instant}");
        assert_eq!(zone.hour_start(at(instant)).to_string(), hour, "hour of {instant}");
    }

    #[test]
    fn days_and_hours_follow_the_zone() {
        check("UTC", "2026-03-01T23:59:59Z", "2026-03-01", "2026-03-01T23:00:00Z");
        check("Asia/Kathmandu", "2026-03-01T18:20:00Z", "2026-03-02", "2026-03-01T18:15:00Z");
        check("America/St_Johns", "2026-01-02T03:15:00Z", "2026-01-01", "2026-01-02T02:30:00Z");
        check("Pacific/Kiritimati", "2026-03-01T10:00:00Z", "2026-03-02", "2026-03-01T10:00:00Z");
    }

    #[test]
    fn daylight_saving_moves_the_day_boundary_and_keeps_both_repeated_hours() {
        check("America/New_York", "2026-03-08T04:59:59Z", "2026-03-07", "2026-03-08T04:00:00Z");
        check("America/New_York", "2026-03-09T04:00:00Z", "2026-03-09", "2026-03-09T04:00:00Z");
        check("Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25", "2026-10-25T00:00:00Z");
        check("Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25", "2026-10-25T01:00:00Z");
    }

    #[test]
    fn a_change_of_zone_leaves_earlier_days_alone() {
        let zone = |name| Zone::parse(name).unwrap();
        let moved = at("2026-06-01T00:00:00Z");
        let zones = vec![(moved, zone("Asia/Tokyo")), (UtcMs(0), zone("America/New_York"))];
        let calendar = Calendar::new(zones).unwrap();
        assert_eq!(calendar.day(at("2026-05-31T23:30:00Z")).to_string(), "2026-05-31");
        assert_eq!(calendar.day(at("2026-06-01T15:30:00Z")).to_string(), "2026-06-02");
        assert_eq!(calendar.day(UtcMs(-1)).to_string(), "1969-12-31");
    }

    #[test]
    fn times_are_read_in_every_form_we_meet() {
        let berlin = Zone::parse("europe/berlin").unwrap();
        let read = |text: &str| UtcMs::parse(text, &berlin).map(|at| at.to_string());
        assert_eq!(read("2025-05-11T09:55:16-04:00").unwrap(), "2025-05-11T13:55:16Z");
        assert_eq!(read("2025-05-11 09:55:16 -0400").unwrap(), "2025-05-11T13:55:16Z");
        assert_eq!(read("2010-12-01T08:26:00").unwrap(), "2010-12-01T07:26:00Z");
        assert_eq!(read("2010-12-01 08:26").unwrap(), "2010-12-01T07:26:00Z");
        let format = UtcMs::parse_format("%d/%m/%Y %H:%M", "01/12/2010 08:26", &berlin).unwrap();
        assert_eq!(format.to_string(), "2010-12-01T07:26:00Z");
        assert!(read("yesterday").is_err());
        assert!(read("9999-01-01T00:00:00Z").is_err());
        assert!(Zone::parse("Mars/Olympus").is_err());
    }

    #[test]
    fn days_print_and_parse() {
        let day: Day = "2011-08-21".parse().unwrap();
        assert_eq!(day.to_string(), "2011-08-21");
        assert_eq!("1969-12-31".parse::<Day>().unwrap(), Day(-1));
        assert!("2011-13-01".parse::<Day>().is_err());
    }
}
