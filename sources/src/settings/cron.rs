//! Schedules in the five fields of cron: minute, hour, day of month, month, day of week.
//!
//! Invariant: only what a scheduler could follow is taken; a schedule is checked here, never run.

use super::problem::shown;

/// A field: what it is called, its least and greatest value, and names that stand for values.
type Field = (&'static str, u32, u32, &'static [&'static str]);

const MONTHS: &[&str] =
    &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Field; 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of month", 1, 31, &[]),
    ("month", 1, 12, MONTHS),
    // Sunday is 0, and 7 as well.
    ("day of week", 0, 7, DAYS),
];

/// Checks a schedule such as `*/5 * * * *`.
///
/// # Errors
/// What is wrong with which field.
pub fn check(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    if parts.len() != FIELDS.len() {
        let count = parts.len();
        return Err(format!("has {count} fields and not the five of cron, such as */5 * * * *"));
    }
    for (part, field) in parts.iter().zip(FIELDS) {
        for entry in part.split(',') {
            if !entry_fits(entry, &field) {
                let (name, least, greatest, _) = field;
                let shown = shown(entry);
                return Err(format!("{shown:?} is no {name} from {least} to {greatest}"));
            }
        }
    }
    Ok(())
}

/// `*`, a value, or a range; each with or without a step.
fn entry_fits(entry: &str, field: &Field) -> bool {
    let (range, step) = match entry.split_once('/') {
        Some((range, step)) => (range, number(step)),
        None => (entry, Some(1)),
    };
    let stepped = step.is_some_and(|step| (1..=field.2).contains(&step));
    let ordered = match range.split_once('-') {
        Some((first, last)) => {
            let (first, last) = (value(first, field), value(last, field));
            first.zip(last).is_some_and(|(first, last)| first <= last)
        }
        None => range == "*" || value(range, field).is_some(),
    };
    stepped && ordered
}

fn value(text: &str, (_, least, greatest, names): &Field) -> Option<u32> {
    let named = names.iter().position(|name| text.eq_ignore_ascii_case(name));
    let value = match named {
        Some(at) => u32::try_from(at).ok()?.checked_add(*least)?,
        None => number(text)?,
    };
    (*least..=*greatest).contains(&value).then_some(value)
}

fn number(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn schedules_are_five_fields_within_their_bounds() {
        for good in ["*/5 * * * *", "0 5 * * *", "0,30 8-20/2 1 jan-JUN mon-fri", "0 0 * * 7"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, reason) in [
            ("0 5 * *", "has 4 fields"),
            ("60 * * * *", "\"60\" is no minute from 0 to 59"),
            ("* * 0 * *", "\"0\" is no day of month"),
            ("*/0 * * * *", "\"*/0\" is no minute"),
            ("5-1 * * * *", "\"5-1\" is no minute"),
            ("* * * foo *", "\"foo\" is no month"),
            ("* +1 * * *", "\"+1\" is no hour"),
            ("@daily", "has 1 fields"),
            (", * * * *", "\"\" is no minute"),
        ] {
            let problem = check(bad).unwrap_err();
            assert!(problem.contains(reason), "{bad}: {problem}");
        }
    }
}
