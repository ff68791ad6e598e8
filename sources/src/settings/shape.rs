//! What a document may hold, as data: one table of fields for each kind, and one check for all.
//!
//! Invariant: every field of a document is looked at, those that nobody knows too, and everything
//! that is wrong is told at once with its path.

use ionflux_schemas::currency::Currency;
use ionflux_schemas::time::Zone;
use serde_json::{Map, Value};

use super::leaf::{self, Checked, Scope};
use super::problem::{Path, Problems, shown};
use super::{criterion, cron, filter};

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A text for people, of so many bytes.
    Text(usize),
    /// One line that names something, of so many bytes.
    Label(usize),
    /// An identifier.
    Id,
    /// Names with dots between them.
    Dotted,
    /// `true` or `false`.
    Bool,
    /// A whole number between two others.
    Whole(u64, u64),
    /// An amount, in quotes.
    Amount,
    /// A decimal number between two others, in quotes.
    Number(&'static str, &'static str),
    /// A currency of ISO 4217.
    Currency,
    /// A zone of the IANA database.
    Zone,
    /// An instant, or a civil day or time in the document's zone.
    Moment,
    /// A schedule of cron.
    Cron,
    /// An address of the web.
    Url,
    /// The address of a mailbox.
    Email,
    /// The name of an environment variable that holds a secret.
    Variable,
    /// A version.
    Version,
    /// One of some words.
    OneOf(&'static [&'static str]),
    /// One to so many of a shape.
    List(&'static Self, usize),
    /// An object.
    Object(&'static [Field]),
    /// An object whose further fields follow from one of its fields: that one, those that all
    /// have, and for each word the others.
    Tagged(&'static str, &'static [Field], &'static [(&'static str, &'static [Field])]),
    /// A condition on fields of an event.
    Filter,
    /// A condition for a badge or a step.
    Criterion,
    /// Anything, of so many bytes at most.
    Any(usize),
}

/// A field of an object.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Whether it must be there.
    pub needed: bool,
    /// What it may hold.
    pub shape: Shape,
}

/// A field that must be there.
#[must_use]
pub const fn needs(name: &'static str, shape: Shape) -> Field {
    Field { name, needed: true, shape }
}

/// A field that may be left out.
#[must_use]
pub const fn may(name: &'static str, shape: Shape) -> Field {
    Field { name, needed: false, shape }
}

/// Checks a value; what is wrong with it is told.
pub fn check(
    value: &Value,
    shape: &Shape,
    (at, scope): (&Path<'_>, &Scope),
    problems: &mut Problems,
) {
    match shape {
        Shape::List(element, most) => match value {
            Value::Array(list) if (1..=*most).contains(&list.len()) => {
                for (index, value) in list.iter().enumerate() {
                    check(value, element, (&at.element(index), scope), problems);
                }
            }
            _ => problems.add(at, format!("must be a list of 1 to {most}")),
        },
        Shape::Object(fields) => object(value, &[fields], (at, scope), problems),
        Shape::Tagged(tag, base, variants) => {
            let fields = variant(value, (tag, variants), at, problems);
            object(value, &[base, fields], (at, scope), problems);
        }
        Shape::Filter => filter::check(value, at, problems),
        Shape::Criterion => drop(criterion::read(value, at, problems)),
        _ => {
            if let Err(reason) = leaf(value, shape, scope) {
                problems.add(at, reason);
            }
        }
    }
}

/// The further fields of an object that say what it is by one of them.
pub fn variant(
    value: &Value,
    (tag, variants): (&str, &'static [(&'static str, &'static [Field])]),
    at: &Path<'_>,
    problems: &mut Problems,
) -> &'static [Field] {
    let told = value.get(tag).and_then(Value::as_str);
    let found = told.and_then(|told| variants.iter().find(|(word, _)| *word == told));
    if let Some((_, fields)) = found {
        return fields;
    }
    if value.is_object() {
        let words: Vec<&str> = variants.iter().map(|(word, _)| *word).collect();
        problems.add(&at.member(tag), format!("must be one of {}", words.join(", ")));
    }
    &[]
}

/// Checks an object against groups of fields.
pub fn object(
    value: &Value,
    groups: &[&[Field]],
    (at, outer): (&Path<'_>, &Scope),
    problems: &mut Problems,
) {
    let Value::Object(members) = value else {
        problems.add(at, "must be an object");
        return;
    };
    let scope = scope_of(members, outer);
    let fields = || groups.iter().flat_map(|group| group.iter());
    for field in fields() {
        let at = at.member(field.name);
        match members.get(field.name) {
            // A field that is null is a field that is left out.
            None | Some(Value::Null) if !field.needed => {}
            None | Some(Value::Null) => problems.add(&at, "is missing"),
            Some(value) => check(value, &field.shape, (&at, &scope), problems),
        }
    }
    for name in members.keys().filter(|name| fields().all(|field| field.name != **name)) {
        let known: Vec<&str> = fields().map(|field| field.name).collect();
        problems.add(&at.member(name), format!("is not known; known are {}", known.join(", ")));
    }
}

/// What an object says about the amounts and times in it, or else what is said around it.
#[must_use]
pub fn scope_of(members: &Map<String, Value>, outer: &Scope) -> Scope {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let currency = text("currency").and_then(|code| Currency::parse(code).ok());
    let zone = text("zone").and_then(|name| Zone::parse(name).ok());
    Scope { currency: currency.or(outer.currency), zone: zone.or_else(|| outer.zone.clone()) }
}

fn leaf(value: &Value, shape: &Shape, scope: &Scope) -> Checked {
    match shape {
        Shape::Bool => value.as_bool().map(drop).ok_or_else(|| "must be true or false".to_owned()),
        Shape::Whole(least, greatest) => whole(value, *least, *greatest),
        Shape::Any(most) => {
            let fits = value.to_string().len() <= *most;
            if fits { Ok(()) } else { Err(format!("must have at most {most} bytes")) }
        }
        _ => match value {
            Value::String(text) => worded(text, shape, scope),
            Value::Number(_) if matches!(shape, Shape::Amount | Shape::Number(..)) => {
                Err("must be a decimal number in quotes, such as \"12.50\"".to_owned())
            }
            _ => Err("must be a text".to_owned()),
        },
    }
}

fn whole(value: &Value, least: u64, greatest: u64) -> Checked {
    match value.as_u64() {
        Some(number) if number < least => Err(format!("must be at least {least}")),
        Some(number) if number > greatest => Err(format!("must be at most {greatest}")),
        Some(_) => Ok(()),
        None => Err(format!("must be a whole number from {least} to {greatest}")),
    }
}

fn worded(text: &str, shape: &Shape, scope: &Scope) -> Checked {
    match shape {
        Shape::Text(most) => leaf::text(text, *most),
        Shape::Label(most) => leaf::label(text, *most),
        Shape::Id => leaf::id(text),
        Shape::Dotted => leaf::dotted(text),
        Shape::Amount => leaf::amount(text, scope),
        Shape::Number(least, greatest) => leaf::number(text, least, greatest),
        Shape::Currency => Currency::parse(text).map(drop).map_err(|error| error.to_string()),
        Shape::Zone => Zone::parse(text).map(drop).map_err(|error| error.to_string()),
        Shape::Moment => leaf::moment(text, scope).map(drop),
        Shape::Cron => cron::check(text),
        Shape::Url => leaf::url(text),
        Shape::Email => leaf::email(text),
        Shape::Variable => leaf::variable(text),
        Shape::Version => leaf::version(text),
        Shape::OneOf(words) if words.contains(&text) => Ok(()),
        Shape::OneOf(words) => {
            Err(format!("{:?} must be one of {}", shown(text), words.join(", ")))
        }
        // Every other shape is no text, and was looked at before.
        _ => Err("must not be a text".to_owned()),
    }
}
