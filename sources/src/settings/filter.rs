//! Filters: dotted paths into an event with a suffix that compares; all entries must hold.
//!
//! ```text
//! {"payload_json.total_price_gt": "100.00", "payload_json.currency_in": ["EUR", "USD"]}
//! ```
//!
//! Invariant: a filter is bounded, and what it compares with fits how it compares.

use ionflux_schemas::money::decimal;
use serde_json::Value;

use super::leaf;
use super::problem::{Path, Problems};

/// The most entries of a filter.
const ENTRIES_MAX: usize = 20;
/// The most values that one entry may choose from.
const VALUES_MAX: usize = 100;
/// The longest value, in bytes.
const VALUE_BYTES_MAX: usize = 500;

/// How an entry compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compare {
    /// It is the value; also without a suffix.
    Is,
    /// It is larger, or larger or equal, or smaller, or smaller or equal.
    Ordered,
    /// It is one of the values.
    In,
    /// It holds the value.
    Contains,
}

const SUFFIXES: [(&str, Compare); 7] = [
    ("_gte", Compare::Ordered),
    ("_gt", Compare::Ordered),
    ("_lte", Compare::Ordered),
    ("_lt", Compare::Ordered),
    ("_eq", Compare::Is),
    ("_in", Compare::In),
    ("_contains", Compare::Contains),
];

/// The path of an entry, and how it compares.
#[must_use]
pub fn split(key: &str) -> (&str, Compare) {
    let suffixed = SUFFIXES.iter().find_map(|(suffix, compare)| {
        let path = key.strip_suffix(suffix).filter(|path| !path.is_empty())?;
        Some((path, *compare))
    });
    suffixed.unwrap_or((key, Compare::Is))
}

/// Checks a filter.
pub fn check(value: &Value, at: &Path<'_>, problems: &mut Problems) {
    let Some(entries) = value.as_object().filter(|entries| entries.len() <= ENTRIES_MAX) else {
        problems.add(at, format!("must be an object of at most {ENTRIES_MAX} conditions"));
        return;
    };
    for (key, value) in entries {
        let at = at.member(key);
        let (path, compare) = split(key);
        if let Err(reason) = leaf::dotted(path) {
            problems.add(&at, reason);
        }
        if let Err(reason) = compared(value, compare) {
            problems.add(&at, reason);
        }
    }
}

fn compared(value: &Value, compare: Compare) -> Result<(), String> {
    let scalar = |value: &Value| match value {
        Value::String(text) => text.len() <= VALUE_BYTES_MAX,
        Value::Bool(_) | Value::Number(_) => true,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    let fits = match compare {
        Compare::Is => scalar(value),
        Compare::Ordered => match value {
            Value::String(text) => decimal(text).is_ok(),
            other => other.is_number(),
        },
        Compare::In => value
            .as_array()
            .is_some_and(|list| (1..=VALUES_MAX).contains(&list.len()) && list.iter().all(scalar)),
        Compare::Contains => value.is_string() && scalar(value),
    };
    if fits {
        return Ok(());
    }
    Err(match compare {
        Compare::Is => format!("must be one text of at most {VALUE_BYTES_MAX} bytes, or a number"),
        Compare::Ordered => "must be a decimal number".to_owned(),
        Compare::In => format!("must be a list of 1 to {VALUES_MAX} texts or numbers"),
        Compare::Contains => format!("must be a text of at most {VALUE_BYTES_MAX} bytes"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(value: &Value) -> Vec<String> {
        let mut problems = Problems::default();
        check(value, &Path::Root.member("filter"), &mut problems);
        problems
            .told()
            .iter()
            .map(|problem| format!("{}: {}", problem.field, problem.reason))
            .collect()
    }

    #[test]
    fn filters_compare_with_what_fits() {
        assert_eq!(
            split("payload_json.total_price_usd_gt"),
            ("payload_json.total_price_usd", Compare::Ordered)
        );
        assert_eq!(split("provider"), ("provider", Compare::Is));
        assert_eq!(split("_in"), ("_in", Compare::Is));
        let good = json!({"provider": "shopify", "total_gt": 100, "total_lte": "99.5",
            "kind_in": ["a", 2], "title_contains": "x"});
        assert!(told(&good).is_empty());
        let bad =
            json!({"a..b": 1, "total_gt": "much", "kind_in": [], "title_contains": 2, "x": {}});
        let told = told(&bad);
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(told.iter().any(|problem| problem == "filter.total_gt: must be a decimal number"));
    }
}
