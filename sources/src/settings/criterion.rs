//! Conditions for badges and steps of quests: what a subject must have done.
//!
//! ```text
//! {"count": {"event": "video_posted", "filter": {}, "window_days": 7, "at_least": 5}}
//! {"sum_xp": {"window_days": 7, "at_least": 500}}      {"streak": {"days": 3}}
//! {"streak_breaks_then": {"breaks": 3, "days": 7}}     {"has_badges": ["sprint_slayer"]}
//! {"sequence": [...]}      {"all": [...]}      {"any": [...]}
//! ```
//!
//! Invariant: a condition that was read is bounded in depth and in number of parts.

use serde_json::{Map, Value};

use super::leaf::Scope;
use super::problem::{Path, Problems};
use super::shape::{Field, Shape, may, needs, object};

/// How deep conditions may stand in one another.
const DEPTH_MAX: usize = 8;
/// How many conditions one may be made of.
const PARTS_MAX: usize = 100;
/// The most days a condition may look back or ask for.
const DAYS_MAX: u64 = 3_660;
/// The most that may be asked for.
const COUNT_MAX: u64 = 1_000_000_000;

/// A condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Criterion {
    /// So many events of a type, in the last days or ever.
    Count {
        /// The type of event.
        event: String,
        /// What must hold of each event.
        filter: Map<String, Value>,
        /// How many days back; ever, if it does not say.
        window_days: Option<u64>,
        /// How many.
        at_least: u64,
    },
    /// So many points, in the last days or ever.
    SumXp {
        /// How many days back; ever, if it does not say.
        window_days: Option<u64>,
        /// How many.
        at_least: u64,
    },
    /// So many active days, one after another.
    Streak {
        /// How many.
        days: u64,
    },
    /// So many broken streaks, and then so many active days.
    StreakBreaksThen {
        /// How many streaks were broken.
        breaks: u64,
        /// How many active days follow.
        days: u64,
    },
    /// Other badges.
    HasBadges(Vec<String>),
    /// One condition after another.
    Sequence(Vec<Self>),
    /// Every condition.
    All(Vec<Self>),
    /// One of some conditions.
    Any(Vec<Self>),
}

const AT_LEAST: Field = needs("at_least", Shape::Whole(1, COUNT_MAX));
const WINDOW: Field = may("window_days", Shape::Whole(1, DAYS_MAX));
const DAYS: Field = needs("days", Shape::Whole(1, DAYS_MAX));
const COUNT: &[Field] =
    &[needs("event", Shape::Dotted), may("filter", Shape::Filter), WINDOW, AT_LEAST];
const SUM_XP: &[Field] = &[WINDOW, AT_LEAST];
const STREAK: &[Field] = &[DAYS];
const STREAK_BREAKS: &[Field] = &[needs("breaks", Shape::Whole(1, DAYS_MAX)), DAYS];
const BADGES: Shape = Shape::List(&Shape::Id, PARTS_MAX);

/// The words that conditions begin with.
pub const WORDS: [&str; 8] =
    ["count", "sum_xp", "streak", "streak_breaks_then", "has_badges", "sequence", "all", "any"];

/// Reads a condition; `None` if something is wrong with it, which is told.
pub fn read(value: &Value, at: &Path<'_>, problems: &mut Problems) -> Option<Criterion> {
    let mut parts = 0;
    let before = problems.count();
    let criterion = part(value, at, (0, &mut parts), problems);
    criterion.filter(|_| problems.count() == before)
}

fn part(
    value: &Value,
    at: &Path<'_>,
    (depth, parts): (usize, &mut usize),
    problems: &mut Problems,
) -> Option<Criterion> {
    *parts += 1;
    if depth >= DEPTH_MAX || *parts > PARTS_MAX {
        let reason =
            format!("a condition has at most {PARTS_MAX} parts and is {DEPTH_MAX} deep at most");
        problems.add(at, reason);
        return None;
    }
    let members = value.as_object().filter(|members| members.len() == 1);
    let found = members.and_then(|members| members.iter().next());
    let Some((word, inner)) = found.filter(|(word, _)| WORDS.contains(&word.as_str())) else {
        problems.add(at, format!("must be an object of one of {}", WORDS.join(", ")));
        return None;
    };
    let at = at.member(word);
    let whole = |name: &str| inner.get(name).and_then(Value::as_u64);
    let mut fits = |fields: &[Field]| object(inner, &[fields], (&at, &Scope::default()), problems);
    Some(match word.as_str() {
        "count" => {
            fits(COUNT);
            let event = inner.get("event")?.as_str()?.to_owned();
            let filter = inner.get("filter").and_then(Value::as_object).cloned();
            let (window_days, at_least) = (whole("window_days"), whole("at_least")?);
            Criterion::Count { event, filter: filter.unwrap_or_default(), window_days, at_least }
        }
        "sum_xp" => {
            fits(SUM_XP);
            Criterion::SumXp { window_days: whole("window_days"), at_least: whole("at_least")? }
        }
        "streak" => {
            fits(STREAK);
            Criterion::Streak { days: whole("days")? }
        }
        "streak_breaks_then" => {
            fits(STREAK_BREAKS);
            Criterion::StreakBreaksThen { breaks: whole("breaks")?, days: whole("days")? }
        }
        "has_badges" => {
            super::shape::check(inner, &BADGES, (&at, &Scope::default()), problems);
            let badges = inner.as_array()?.iter();
            Criterion::HasBadges(badges.filter_map(|id| Some(id.as_str()?.to_owned())).collect())
        }
        word => {
            let inner = some(inner, &at, (depth, parts), problems)?;
            match word {
                "sequence" => Criterion::Sequence(inner),
                "all" => Criterion::All(inner),
                _ => Criterion::Any(inner),
            }
        }
    })
}

/// The conditions of a list; all of them are looked at.
fn some(
    value: &Value,
    at: &Path<'_>,
    (depth, parts): (usize, &mut usize),
    problems: &mut Problems,
) -> Option<Vec<Criterion>> {
    let Some(list) = value.as_array().filter(|list| (1..=PARTS_MAX).contains(&list.len())) else {
        problems.add(at, format!("must be a list of 1 to {PARTS_MAX} conditions"));
        return None;
    };
    let mut all = Some(Vec::new());
    for (index, value) in list.iter().enumerate() {
        let read = part(value, &at.element(index), (depth + 1, parts), problems);
        match (&mut all, read) {
            (Some(all), Some(read)) => all.push(read),
            _ => all = None,
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(value: &Value) -> Result<Criterion, Vec<String>> {
        let mut problems = Problems::default();
        let shown = |problems: &Problems| {
            problems.told().iter().map(|p| format!("{}: {}", p.field, p.reason)).collect()
        };
        read(value, &Path::Root.member("criteria"), &mut problems).ok_or_else(|| shown(&problems))
    }

    #[test]
    fn conditions_are_read_whole() {
        let phoenix = json!({"all": [
            {"streak_breaks_then": {"breaks": 3, "days": 7}},
            {"any": [{"has_badges": ["a"]}, {"sum_xp": {"at_least": 500}}]},
            {"sequence": [{"streak": {"days": 3}}, {"count": {"event": "video_posted",
                "filter": {"provider": "tiktok"}, "window_days": 7, "at_least": 5}}]},
        ]});
        let Criterion::All(parts) = told(&phoenix).unwrap() else { panic!("not all") };
        assert_eq!(parts[0], Criterion::StreakBreaksThen { breaks: 3, days: 7 });
        assert_eq!(parts.len(), 3);
    }

    #[test]
    fn every_mistake_has_its_path() {
        let bad = json!({"any": [
            {"count": {"event": "x", "at_least": 0}},
            {"count": {"evnt": "x", "at_least": 1}},
            {"streak": {"days": 3}, "count": {}},
            {"has_badges": []},
        ]});
        let told = told(&bad).unwrap_err().join("\n");
        for expected in [
            "criteria.any[0].count.at_least: must be at least 1",
            "criteria.any[1].count.event: is missing",
            "criteria.any[1].count.evnt: is not known; known are event, filter",
            "criteria.any[2]: must be an object of one of count, sum_xp",
            "criteria.any[3].has_badges: must be a list of 1 to 100",
        ] {
            assert!(told.contains(expected), "{expected} is not in\n{told}");
        }
    }

    #[test]
    fn conditions_have_bounds() {
        let deep = (0..9).fold(json!({"streak": {"days": 1}}), |inner, _| json!({"all": [inner]}));
        assert!(told(&deep).unwrap_err()[0].contains("8 deep"));
        let wide = |n: usize| json!({"all": vec![json!({"streak": {"days": 1}}); n]});
        assert!(told(&wide(99)).is_ok());
        assert!(told(&wide(100)).unwrap_err()[0].contains("100 parts"));
    }
}
