//! The mapping of a CSV file of order lines: which column says what, and what a return is.
//!
//! Invariant: a [`Mapping`] is valid in itself; every wrong option was refused with its line and
//! column. Whether it fits a file is known once the file's header is.

use std::ops::Range;
use std::path::{Path, PathBuf};

use ionflux_schemas::currency::Currency;
use ionflux_schemas::key::Id;
use ionflux_schemas::time::Zone;
use serde::Deserialize;
use toml::Spanned;

use super::records::Dialect;
use crate::error::SourceError;

/// The largest mapping file, in bytes.
pub const MAPPING_BYTES_MAX: usize = 1024 * 1024;
/// The most rules of one kind, and the most values of one rule.
pub const RULES_MAX: usize = 1000;

/// A validated mapping.
#[derive(Clone, PartialEq, Debug)]
pub struct Mapping {
    /// The mapping's own file, for messages.
    pub path: PathBuf,
    /// The text it was read from, which dead letters keep.
    pub text: Box<str>,
    /// The shop of every row, unless the caller names one.
    pub shop: Option<Id>,
    /// The currency of every amount, unless the caller names one.
    pub currency: Option<Currency>,
    /// The zone of times without offset and of the shop's days, unless the caller names one.
    pub zone: Option<Zone>,
    /// How fields are set apart.
    pub dialect: Dialect,
    /// Which column says what.
    pub columns: Columns<Name>,
    /// The `strftime` format of the time column; ISO 8601 without one.
    pub time_format: Option<Box<str>>,
    /// Orders that start so are returns.
    pub return_prefix: Option<Box<str>>,
    /// A quantity below zero is a return.
    pub negative_quantity: bool,
    /// Rows for which any of these holds are returns.
    pub return_rules: Vec<Rule<Name>>,
    /// Rows for which any of these holds count nowhere.
    pub leave_out: Vec<Rule<Name>>,
}

/// A column's name, with the place in the mapping that gives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    /// The name as the file's header has it.
    pub name: Box<str>,
    /// The option that names it, such as `columns.order`.
    pub option: Box<str>,
    /// The option's line in the mapping.
    pub line: usize,
}

/// Which column says what; `C` is a [`Name`] in the mapping, a position in a file.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns<C> {
    /// The order (invoice) a line belongs to.
    pub order: C,
    /// The line inside the order.
    pub line: Option<C>,
    /// The product.
    pub product: Option<C>,
    /// How many units.
    pub quantity: C,
    /// The price of one unit.
    pub unit_price: C,
    /// What was taken off the whole line.
    pub discount: Option<C>,
    /// When the line was sold or returned.
    pub time: C,
    /// The buyer.
    pub customer: Option<C>,
    /// The buyer's country.
    pub country: Option<C>,
    /// Where the order came from.
    pub channel: Option<C>,
}

/// Rows whose column passes a test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule<C> {
    /// The column.
    pub column: C,
    /// The test.
    pub test: Test,
}

/// A test of a field's text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Test {
    /// The text is one of these.
    OneOf(Vec<Box<str>>),
    /// The text starts so.
    StartsWith(Box<str>),
}

impl Test {
    /// Whether a field passes.
    #[must_use]
    pub fn holds(&self, field: &str) -> bool {
        match self {
            Self::OneOf(values) => values.iter().any(|value| &**value == field),
            Self::StartsWith(prefix) => field.starts_with(&**prefix),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMapping {
    shop: Option<Spanned<String>>,
    currency: Option<Spanned<String>>,
    zone: Option<Spanned<String>>,
    #[serde(default)]
    file: RawFile,
    columns: Columns<Spanned<String>>,
    #[serde(default)]
    time: RawTime,
    #[serde(default)]
    returns: RawReturns,
    #[serde(default)]
    leave_out: Vec<Spanned<RawRule>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawFile {
    delimiter: Option<Spanned<String>>,
    quote: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawTime {
    format: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawReturns {
    order_prefix: Option<Spanned<String>>,
    #[serde(default)]
    negative_quantity: bool,
    #[serde(default)]
    when: Vec<Spanned<RawRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    column: Spanned<String>,
    equals: Option<String>,
    starts_with: Option<String>,
    one_of: Option<Vec<String>>,
}

/// What is wrong at a span of the text, and what to do.
struct Wrong {
    span: Option<Range<usize>>,
    problem: String,
    hint: String,
}

impl Mapping {
    /// Reads a mapping file.
    ///
    /// # Errors
    /// [`SourceError`] when it cannot be read or is not a valid mapping.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let text = std::fs::read_to_string(path).map_err(|cause| SourceError {
            path: path.to_owned(),
            problem: "the mapping cannot be read".to_owned(),
            hint: "--mapping takes a TOML file such as examples/online_retail.toml".to_owned(),
            cause: Some(cause),
        })?;
        Self::parse(&text, path)
    }

    /// A mapping from its text; `path` is only for messages.
    ///
    /// # Errors
    /// [`SourceError`] with line and column of what is not valid.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SourceError> {
        Self::read(text, path).map_err(|Wrong { span, problem, hint }| {
            let problem = match span {
                Some(span) => {
                    let (line, column) = place(text, span.start);
                    format!("line {line}, column {column}: {problem}")
                }
                None => problem,
            };
            SourceError { path: path.to_owned(), problem, hint, cause: None }
        })
    }

    fn read(text: &str, path: &Path) -> Result<Self, Wrong> {
        if text.len() > MAPPING_BYTES_MAX {
            let problem = format!("the mapping is larger than {MAPPING_BYTES_MAX} bytes");
            return Err(Wrong { span: None, problem, hint: "is it the data file?".to_owned() });
        }
        let raw: RawMapping = toml::from_str(text).map_err(|error| Wrong {
            span: error.span(),
            problem: error.message().to_owned(),
            hint: "compare with examples/online_retail.toml, which explains every option"
                .to_owned(),
        })?;
        let shop = raw.shop.map(|shop| filled(&shop, "shop")).transpose()?;
        let currency = raw.currency.map(|code| {
            Currency::parse(code.get_ref())
                .map_err(|e| wrong(&code, &e.to_string(), "use an ISO 4217 code such as GBP"))
        });
        let zone = raw.zone.map(|zone| {
            Zone::parse(zone.get_ref())
                .map_err(|e| wrong(&zone, &e.to_string(), "use a name such as Europe/London"))
        });
        let return_prefix = raw.returns.order_prefix;
        let return_prefix =
            return_prefix.map(|p| filled(&p, "returns.order_prefix")).transpose()?;
        Ok(Self {
            path: path.to_owned(),
            text: text.into(),
            shop,
            currency: currency.transpose()?,
            zone: zone.transpose()?,
            dialect: dialect(&raw.file)?,
            columns: columns(raw.columns, text)?,
            time_format: raw.time.format.map(format).transpose()?,
            return_prefix,
            negative_quantity: raw.returns.negative_quantity,
            return_rules: rules(raw.returns.when, "returns.when", text)?,
            leave_out: rules(raw.leave_out, "leave_out", text)?,
        })
    }
}

impl<C> Columns<C> {
    /// The same columns after `change`, which also learns the option's name.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn try_map<D, E>(
        self,
        mut change: impl FnMut(C, &'static str) -> Result<D, E>,
    ) -> Result<Columns<D>, E> {
        let mut maybe = |column: Option<C>, name| column.map(|c| change(c, name)).transpose();
        let line = maybe(self.line, "columns.line")?;
        let product = maybe(self.product, "columns.product")?;
        let discount = maybe(self.discount, "columns.discount")?;
        let customer = maybe(self.customer, "columns.customer")?;
        let country = maybe(self.country, "columns.country")?;
        let channel = maybe(self.channel, "columns.channel")?;
        let order = change(self.order, "columns.order")?;
        let quantity = change(self.quantity, "columns.quantity")?;
        let unit_price = change(self.unit_price, "columns.unit_price")?;
        let time = change(self.time, "columns.time")?;
        Ok(Columns {
            order,
            line,
            product,
            quantity,
            unit_price,
            discount,
            time,
            customer,
            country,
            channel,
        })
    }
}

/// Line and column of a byte, counted from 1.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn wrong<T>(at: &Spanned<T>, problem: &str, hint: &str) -> Wrong {
    Wrong { span: Some(at.span()), problem: problem.to_owned(), hint: hint.to_owned() }
}

fn filled(text: &Spanned<String>, option: &str) -> Result<Box<str>, Wrong> {
    if text.get_ref().trim().is_empty() {
        return Err(wrong(text, &format!("{option} is empty"), "fill it in, or leave it out"));
    }
    Ok(text.get_ref().as_str().into())
}

fn dialect(raw: &RawFile) -> Result<Dialect, Wrong> {
    let one = |text: &Spanned<String>, option: &str| match text.get_ref().as_bytes() {
        &[byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n') => Ok(byte),
        _ => {
            let problem = format!("{option} is not one ASCII character");
            Err(wrong(text, &problem, r#"use one such as ",", ";" or "\t""#))
        }
    };
    let delimiter = raw.delimiter.as_ref().map_or(Ok(b','), |d| one(d, "file.delimiter"))?;
    let quote = match &raw.quote {
        None => Some(b'"'),
        Some(quote) if quote.get_ref().is_empty() => None,
        Some(quote) => Some(one(quote, "file.quote")?),
    };
    match &raw.quote {
        Some(at) if quote == Some(delimiter) => {
            let problem = "file.quote is the same as file.delimiter";
            Err(wrong(at, problem, r#"use "" where the file quotes nothing"#))
        }
        _ => Ok(Dialect { delimiter, quote }),
    }
}

fn columns(raw: Columns<Spanned<String>>, text: &str) -> Result<Columns<Name>, Wrong> {
    raw.try_map(|column, option| name(&column, option, text))
}

fn name(column: &Spanned<String>, option: &str, text: &str) -> Result<Name, Wrong> {
    let (line, _) = place(text, column.span().start);
    Ok(Name { name: filled(column, option)?, option: option.into(), line })
}

/// A format is tried on a known time, which finds unknown directives before the first row does.
fn format(format: Spanned<String>) -> Result<Box<str>, Wrong> {
    let example = jiff::Zoned::new(jiff::Timestamp::UNIX_EPOCH, jiff::tz::TimeZone::UTC);
    let printed = jiff::fmt::strtime::format(format.get_ref(), &example);
    if let Err(error) = printed {
        let problem = format!("time.format is not a strftime format: {error}");
        return Err(wrong(&format, &problem, "write it as in %d/%m/%Y %H:%M"));
    }
    filled(&format, "time.format")
}

fn rules(raw: Vec<Spanned<RawRule>>, option: &str, text: &str) -> Result<Vec<Rule<Name>>, Wrong> {
    if let Some(beyond) = raw.get(RULES_MAX) {
        let problem = format!("there are more than {RULES_MAX} rules in {option}");
        return Err(wrong(beyond, &problem, "join rules of one column with one_of"));
    }
    raw.into_iter().map(|raw| rule(raw, option, text)).collect()
}

fn rule(raw: Spanned<RawRule>, option: &str, text: &str) -> Result<Rule<Name>, Wrong> {
    let span = raw.span();
    let refused = |problem: &str, hint: &str| Wrong {
        span: Some(span.clone()),
        problem: format!("a rule of {option} {problem}"),
        hint: hint.to_owned(),
    };
    let raw = raw.into_inner();
    let column = name(&raw.column, &format!("{option}.column"), text)?;
    let test = match (raw.equals, raw.starts_with, raw.one_of) {
        (Some(value), None, None) => Test::OneOf(vec![value.into()]),
        (None, Some(prefix), None) if !prefix.is_empty() => Test::StartsWith(prefix.into()),
        (None, None, Some(values)) if (1..=RULES_MAX).contains(&values.len()) => {
            Test::OneOf(values.into_iter().map(Box::from).collect())
        }
        (None, None, None) => {
            return Err(refused("tests nothing", "add equals, starts_with or one_of"));
        }
        (None, Some(_), None) => {
            return Err(refused("has an empty starts_with", "it would hold for every row"));
        }
        (None, None, Some(_)) => {
            let hint = format!("give one_of between 1 and {RULES_MAX} values");
            return Err(refused("has no value, or too many, in one_of", &hint));
        }
        _ => return Err(refused("has several tests", "write one rule for each test")),
    };
    Ok(Rule { column, test })
}
