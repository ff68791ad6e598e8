//! Finding a mapping's columns in a file's header.
//!
//! Invariant: what is found exists exactly once in the header; what is not is refused with the
//! option that asked for it and the nearest name there is.

use super::input::Origin;
use super::mapping::{Columns, Mapping, Name, Rule};
use crate::error::SourceError;

/// A mapping's columns and rules as positions in a file's rows.
pub(super) struct Found {
    pub(super) columns: Columns<usize>,
    pub(super) return_rules: Vec<Rule<usize>>,
    pub(super) leave_out: Vec<Rule<usize>>,
}

/// How many column names a message shows.
const SHOWN_MAX: usize = 40;

/// Finds every column the mapping names in the header.
pub(super) fn find(
    mapping: &Mapping,
    header: &[String],
    origin: &Origin,
) -> Result<Found, SourceError> {
    let position = |name: &Name| position(name, header, mapping, origin);
    let rules = |rules: &[Rule<Name>]| -> Result<Vec<Rule<usize>>, SourceError> {
        let found = |rule: &Rule<Name>| {
            Ok(Rule { column: position(&rule.column)?, test: rule.test.clone() })
        };
        rules.iter().map(found).collect()
    };
    Ok(Found {
        columns: mapping.columns.clone().try_map(|name, _| position(&name))?,
        return_rules: rules(&mapping.return_rules)?,
        leave_out: rules(&mapping.leave_out)?,
    })
}

fn position(
    wanted: &Name,
    header: &[String],
    mapping: &Mapping,
    origin: &Origin,
) -> Result<usize, SourceError> {
    let Name { name, option, line } = wanted;
    let place = format!("{}:{line}", mapping.path.display());
    let mut same = (0..header.len()).filter(|&at| header[at] == **name);
    let (problem, hint) = match (same.next(), same.next()) {
        (Some(at), None) => return Ok(at),
        (Some(_), Some(_)) => (
            format!("the file has the column {name:?} twice, which {option} at {place} names"),
            "rename one of the two in the file's first line".to_owned(),
        ),
        (None, _) => {
            let shown: Vec<&str> = header.iter().take(SHOWN_MAX).map(String::as_str).collect();
            let more = if header.len() > SHOWN_MAX { ", ..." } else { "" };
            let names = shown.join(", ");
            let hint = match nearest(name, header) {
                Some(near) => format!("did you mean {near:?}? correct {option} at {place}"),
                None => format!("correct {option} at {place}, or file.delimiter"),
            };
            let missing = format!("there is no column {name:?}, which {option} at {place} names");
            (format!("{missing}; the file's columns are {names}{more}"), hint)
        }
    };
    Err(SourceError { path: origin.path.clone(), problem, hint, cause: None })
}

/// The name that takes the fewest changes, if those are few for its length.
fn nearest<'a>(wanted: &str, names: &'a [String]) -> Option<&'a str> {
    let plain = |text: &str| -> Vec<char> {
        let kept = text.chars().filter(|c| c.is_alphanumeric()).take(64);
        kept.flat_map(char::to_lowercase).collect()
    };
    let wanted = plain(wanted);
    let distances = names.iter().map(|name| (distance(&wanted, &plain(name)), name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= wanted.len().div_ceil(3)).then_some(name)
}

/// Levenshtein's distance: how many letters are added, dropped or replaced.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["Invoice No", "stock_code", "qty"].map(str::to_owned);
        assert_eq!(nearest("invoice_no", &names), Some("Invoice No"));
        assert_eq!(nearest("stok_code", &names), Some("stock_code"));
        assert_eq!(nearest("customer", &names), None);
        assert_eq!(nearest("x", &[]), None);
    }
}
