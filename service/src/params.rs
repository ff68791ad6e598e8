//! What a request asks of a view: which keys, how many, in which order, from where; all bounded.
//!
//! Invariant: a parameter that is not understood is refused with what exists, never ignored.

use std::cmp::Ordering;

use ionflux_schemas::avro::{ColumnKind, Schema};
use ionflux_schemas::time::{Day, UtcMs, Zone};
use ionflux_schemas::view::{Row, Value};

use crate::problem::Problem;

/// Rows of an answer unless `limit` says otherwise.
const LIMIT_DEFAULT: usize = 100;
/// The most rows of one answer; `cursor` gets the next ones.
const LIMIT_MAX: usize = 10_000;
/// The longest parameter: longer than any key we hold.
const VALUE_BYTES_MAX: usize = 1024;
/// The most parameters of a request.
const PARAMS_MAX: usize = 32;

/// One value of a key's column: days, instants and counts are numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Key<'a> {
    Number(i64),
    Text(&'a str),
}

/// The same, kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum OwnedKey {
    Number(i64),
    Text(Box<str>),
}

impl OwnedKey {
    pub fn as_key(&self) -> Key<'_> {
        match self {
            Self::Number(number) => Key::Number(*number),
            Self::Text(text) => Key::Text(text),
        }
    }
}

/// A condition on one column of the key.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// The column's place in the schema.
    pub column: usize,
    test: Test,
    value: OwnedKey,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Test {
    Is,
    AtLeast,
    Above,
    AtMost,
    Below,
}

impl Filter {
    pub fn keeps(&self, key: Key<'_>) -> bool {
        let order = key.cmp(&self.value.as_key());
        match self.test {
            Test::Is => order == Ordering::Equal,
            Test::AtLeast => order != Ordering::Less,
            Test::Above => order == Ordering::Greater,
            Test::AtMost => order != Ordering::Greater,
            Test::Below => order == Ordering::Less,
        }
    }

    /// Whether a row of the view is wanted.
    pub fn keeps_row(&self, row: &Row) -> bool {
        match row.0.get(self.column) {
            Some(Value::Text(text)) => self.keeps(Key::Text(text)),
            Some(Value::Int(number)) => self.keeps(Key::Number(*number)),
            Some(Value::Day(day)) => self.keeps(Key::Number(day.0.into())),
            Some(Value::Instant(at)) => self.keeps(Key::Number(at.0)),
            _ => false,
        }
    }
}

/// What a request asks of one view.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub filters: Vec<Filter>,
    pub limit: usize,
    pub descending: bool,
    pub cursor: Option<Box<str>>,
    pub csv: bool,
}

/// The parameters of a request's query, each at most once.
pub(crate) fn unique(pairs: &[(String, String)]) -> Result<(), Problem> {
    if pairs.len() > PARAMS_MAX {
        let detail = format!("the request has {} parameters", pairs.len());
        return Err(Problem::bad(detail, format!("send at most {PARAMS_MAX}")));
    }
    for (at, (name, value)) in pairs.iter().enumerate() {
        if value.len() > VALUE_BYTES_MAX {
            let detail = format!("a parameter has {} bytes", value.len());
            return Err(Problem::bad(detail, format!("send at most {VALUE_BYTES_MAX}")));
        }
        if pairs[..at].iter().any(|(earlier, _)| earlier == name) {
            let detail = format!("the parameter {} is given twice", shown(name));
            return Err(Problem::bad(detail, "give every parameter once"));
        }
    }
    Ok(())
}

impl Selection {
    /// Reads the parameters of a request for rows of a view.
    pub fn parse(schema: &Schema, pairs: &[(String, String)]) -> Result<Self, Problem> {
        unique(pairs)?;
        let mut selection = Self {
            filters: Vec::new(),
            limit: LIMIT_DEFAULT,
            descending: false,
            cursor: None,
            csv: false,
        };
        for (name, value) in pairs {
            match name.as_str() {
                "limit" => selection.limit = limit(value)?,
                "order" => selection.descending = one_of(name, value, ["asc", "desc"])? == "desc",
                "format" => selection.csv = one_of(name, value, ["json", "csv"])? == "csv",
                "cursor" => selection.cursor = Some(value.as_str().into()),
                _ => selection.filters.push(filter(schema, name, value)?),
            }
        }
        Ok(selection)
    }
}

fn limit(value: &str) -> Result<usize, Problem> {
    let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| {
        let detail =
            format!("limit is {}, which is not a number from 1 to {LIMIT_MAX}", shown(value));
        Problem::bad(detail, "page with cursor, or use POST /v1/sql for larger answers")
    })
}

fn one_of<'a>(name: &str, value: &'a str, choices: [&str; 2]) -> Result<&'a str, Problem> {
    if choices.contains(&value) {
        return Ok(value);
    }
    let detail = format!("{name} is {}", shown(value));
    Err(Problem::bad(detail, format!("use {name}={}", choices.join(&format!(" or {name}=")))))
}

/// A condition such as `shop_id=acme` or `day_gte=2011-01-01`.
pub(crate) fn filter(schema: &Schema, name: &str, value: &str) -> Result<Filter, Problem> {
    let key = |wanted: &str| {
        let mut places = schema.key.iter().copied();
        places.find(|place| schema.columns[*place].name == wanted)
    };
    let suffixes = [
        ("_gte", Test::AtLeast),
        ("_gt", Test::Above),
        ("_lte", Test::AtMost),
        ("_lt", Test::Below),
    ];
    let ranged = suffixes.iter().find_map(|(suffix, test)| {
        let place = key(name.strip_suffix(suffix)?)?;
        let dated = matches!(schema.columns[place].kind, ColumnKind::Day | ColumnKind::Instant);
        dated.then_some((place, *test))
    });
    let Some((column, test)) = key(name).map(|place| (place, Test::Is)).or(ranged) else {
        let detail = format!("there is no key column for the parameter {}", shown(name));
        return Err(Problem::bad(detail, known(schema)));
    };
    let (kind, bad) = (schema.columns[column].kind, |what: &str| {
        Problem::bad(format!("{name} is {}", shown(value)), format!("use {what}"))
    });
    let value = match kind {
        ColumnKind::Text => OwnedKey::Text(value.into()),
        ColumnKind::Int | ColumnKind::Money => {
            OwnedKey::Number(value.parse().map_err(|_| bad("a whole number"))?)
        }
        ColumnKind::Day => {
            let day = value.parse::<Day>().map_err(|_| bad("a day such as 2011-12-09"))?;
            OwnedKey::Number(day.0.into())
        }
        ColumnKind::Instant => {
            let at = UtcMs::parse(value, &Zone::UTC);
            OwnedKey::Number(at.map_err(|_| bad("a time such as 2011-12-09T10:00:00Z"))?.0)
        }
    };
    Ok(Filter { column, test, value })
}

fn known(schema: &Schema) -> String {
    let dated = schema.key.iter().map(|place| &schema.columns[*place]);
    let dated = dated.filter(|c| matches!(c.kind, ColumnKind::Day | ColumnKind::Instant));
    let ranges = dated.map(|column| format!("; {0}_gte, {0}_gt, {0}_lte, {0}_lt", column.name));
    let names = schema.key_names().join(", ");
    format!("filters are {names}{}; also limit, cursor, order, format", ranges.collect::<String>())
}

/// A piece of the request for a message: quoted and short.
pub(crate) fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(60).collect::<String>())
}
