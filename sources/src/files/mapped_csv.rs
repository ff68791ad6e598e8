//! Any CSV of order lines, read through a mapping: one envelope or one fault for each record.
//!
//! Delivery: reading a file again says the same again, under a new reading number. Invariant: a
//! record gives exactly one envelope or one fault, except that a row the mapping leaves out gives
//! neither; a line's amount is |quantity| × unit price, rounded half-even to the minor unit.

use std::io::BufRead;
use std::path::PathBuf;
use std::sync::Arc;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::event::{Envelope, Event, OrderRow, RowLine, UNITS_MAX};
use ionflux_schemas::fault::{FaultKind, Place};
use ionflux_schemas::key::{Id, ShopKey, Version, content_hash};
use ionflux_schemas::letter::Letter;
use ionflux_schemas::money::{self, Money};
use ionflux_schemas::time::{UtcMs, Zone};
use rust_decimal::Decimal;

use super::columns::{self, Found as Positions};
use super::input::Origin;
use super::mapping::{Mapping, Rule};
use super::records::{Found, RECORD_BYTES_MAX, Record, Records};
use crate::draft::{CUT_BYTES, Draft, sealed};
use crate::error::SourceError;
use crate::reading::{Decoded, Refusal, Setting};
use crate::shop;

/// The name of the format.
pub const FORMAT: &str = "csv";

/// The rows of a file, in the order of the file. After an error there are no more.
pub struct MappedCsv<R> {
    records: Records<R>,
    record: Record,
    width: usize,
    row: RowReader,
    origin: Origin,
    /// What letters carry.
    header: Vec<u8>,
    setting: Setting,
    ended: bool,
}

/// Reads the letter of a row again, by a mapping.
///
/// # Errors
/// [`SourceError`] when the mapping does not fit the columns, or shop or currency stay unknown.
pub fn again(
    letter: &Letter,
    setting: &Setting,
    mapping: &Mapping,
) -> Result<Decoded, SourceError> {
    let source = Arc::clone(&letter.place.source);
    let origin = Origin { path: PathBuf::from(&*source), source };
    let header = letter.context.get("columns").map(|text| text.as_bytes()).unwrap_or_default();
    let text = [header, b"\n", &*letter.bytes].concat();
    let mut rows = read(&*text, origin, mapping, setting)?;
    rows.records.resume_after(letter.place.line.saturating_sub(1));
    let mut decoded = Decoded::default();
    for row in &mut rows {
        let Decoded { envelopes, faults, .. } = row?;
        decoded.envelopes.extend(envelopes);
        decoded.faults.extend(faults);
    }
    Ok(sealed(decoded, || {
        Draft::new(FORMAT, letter.place.clone(), setting, &*letter.bytes)
            .columns(header)
            .with("mapping", &*mapping.text)
    }))
}

/// Starts reading: the header is read and the mapping's columns are found in it.
///
/// What the setting leaves open the mapping fills in: the shop and the currency. The setting's
/// zone is taken as it is; the caller chooses between the user's and [`Mapping::zone`].
///
/// # Errors
/// [`SourceError`] when the mapping does not fit the file, or shop or currency stay unknown.
pub fn read<R: BufRead>(
    reader: R,
    origin: Origin,
    mapping: &Mapping,
    setting: &Setting,
) -> Result<MappedCsv<R>, SourceError> {
    let refused = |problem: &str, hint: &str| SourceError {
        path: origin.path.clone(),
        problem: problem.to_owned(),
        hint: hint.to_owned(),
        cause: None,
    };
    let shop = setting.shop.clone().or_else(|| mapping.shop.clone());
    let shop = shop.ok_or_else(|| {
        refused("nothing names the shop", "give --shop, or shop = \"...\" in the mapping")
    })?;
    let shop = shop::name(&shop).map_err(|wrong| {
        refused(&wrong.to_string(), "correct --shop, or shop = \"...\" in the mapping")
    })?;
    let currency = setting.currency.or(mapping.currency).ok_or_else(|| {
        let hint = "give --currency, or currency = \"...\" in the mapping";
        refused("nothing names the currency of its amounts", hint)
    })?;

    let mut records = Records::new(reader, mapping.dialect);
    let mut record = Record::default();
    let found = records.next(&mut record, 0).map_err(|e| origin.broken_off(0, e))?;
    match found {
        Found::Record => {}
        Found::End => {
            let hint = "its first line must name the columns; is it the right file?";
            return Err(refused("the file is empty", hint));
        }
        Found::TooLong | Found::OpenQuote => {
            let hint = "check that it is a CSV file, and file.quote in the mapping";
            return Err(refused("the first line does not hold the names of columns", hint));
        }
    }
    if record.get(0).starts_with(&[0xff, 0xfe]) || record.get(0).starts_with(&[0xfe, 0xff]) {
        return Err(refused("the file is UTF-16, not UTF-8", "save it again as CSV in UTF-8"));
    }
    let header: Vec<String> = record
        .iter()
        .map(|name| String::from_utf8_lossy(name).trim_matches('\u{feff}').trim().to_owned())
        .collect();
    let at = columns::find(mapping, &header, &origin)?;
    let row = RowReader {
        at,
        mapping: mapping.clone(),
        currency,
        zone: setting.zone.clone(),
        reading: setting.reading,
        shop: Arc::new(ShopKey::new(setting.workspace.clone(), shop)),
        last_time: (String::new(), UtcMs(0)),
        joined: Vec::new(),
    };
    let (width, header, setting) = (header.len(), records.raw().to_vec(), setting.clone());
    Ok(MappedCsv { records, record, width, row, origin, header, setting, ended: false })
}

impl<R: BufRead> MappedCsv<R> {
    /// How many lines of the file were read so far.
    pub fn lines_read(&self) -> u64 {
        self.records.lines_read()
    }

    fn decode(&mut self, found: Found) -> Result<Option<Envelope>, Refusal> {
        let syntax = |reason: String| Err(Refusal::new(FaultKind::Syntax, "", reason));
        match found {
            Found::Record if self.record.len() == self.width => self.row.read(&self.record),
            Found::Record | Found::End => {
                let (has, width) = (self.record.len(), self.width);
                syntax(format!("{has} fields where the header has {width}"))
            }
            Found::TooLong => syntax(format!("the line is longer than {RECORD_BYTES_MAX} bytes")),
            Found::OpenQuote => syntax("a quote is opened and not closed in its field".to_owned()),
        }
    }
}

impl<R: BufRead> MappedCsv<R> {
    /// The letter of the row at hand.
    fn draft(&self, found: Found) -> Draft<'_> {
        let place = Place { source: Arc::clone(&self.origin.source), line: self.record.line };
        let (raw, cut) = match found {
            Found::TooLong => {
                (self.records.beginning(), Some(format!("the first {CUT_BYTES} bytes")))
            }
            Found::Record | Found::OpenQuote | Found::End => (self.records.raw(), None),
        };
        Draft::new(FORMAT, place, &self.setting, raw)
            .columns(&self.header)
            .with("mapping", &*self.row.mapping.text)
            .cut(cut)
    }
}

impl<R: BufRead> Iterator for MappedCsv<R> {
    type Item = Result<Decoded, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let found = match self.records.next(&mut self.record, self.width) {
            Ok(Found::End) => {
                self.ended = true;
                return None;
            }
            Ok(found) => found,
            Err(cause) => {
                self.ended = true;
                return Some(Err(self.origin.broken_off(self.records.lines_read(), cause)));
            }
        };
        let mut decoded = Decoded::default();
        match self.decode(found) {
            Ok(envelope) => decoded.envelopes.extend(envelope),
            Err(refusal) => {
                let source = Arc::clone(&self.origin.source);
                let place = Place { source, line: self.record.line };
                decoded.faults.push(refusal.at(ShopKey::clone(&self.row.shop), place));
            }
        }
        Some(Ok(sealed(decoded, || self.draft(found))))
    }
}

/// What every row of one file shares.
struct RowReader {
    at: Positions,
    mapping: Mapping,
    currency: Currency,
    zone: Zone,
    reading: u64,
    shop: Arc<ShopKey>,
    /// The time text of the row before: the lines of an order share theirs, and reading a time is
    /// the dearest part of a row.
    last_time: (String, UtcMs),
    joined: Vec<u8>,
}

impl RowReader {
    fn read(&mut self, record: &Record) -> Result<Option<Envelope>, Refusal> {
        for field in record.iter() {
            if std::str::from_utf8(field).is_err() {
                return Err(Refusal::new(FaultKind::Syntax, "", "a field is not UTF-8"));
            }
        }
        let Positions { columns, return_rules, leave_out } = &self.at;
        if holds(leave_out, record) {
            return Ok(None);
        }
        let order = text(record, columns.order);
        if order.is_empty() {
            return Err(Refusal::new(FaultKind::Field, "", "the order is empty"));
        }
        let refused =
            |kind, reason: String| Refusal::new(kind, format!("order {}", shown(order)), reason);

        let at =
            instant(&mut self.last_time, &self.mapping, &self.zone, text(record, columns.time))
                .map_err(|reason| refused(FaultKind::Time, reason))?;
        let quantity = quantity(text(record, columns.quantity))
            .map_err(|reason| refused(FaultKind::Quantity, reason))?;
        let Mapping { return_prefix, negative_quantity, .. } = &self.mapping;
        let marked = return_prefix.as_ref().is_some_and(|prefix| order.starts_with(&**prefix))
            || holds(return_rules, record);
        if quantity < 0 && !marked && !negative_quantity {
            let reason = format!("{quantity} is below zero on a line that is not a return");
            return Err(refused(FaultKind::Quantity, reason));
        }
        let units = quantity.abs();
        let price = price(text(record, columns.unit_price))
            .map_err(|reason| refused(FaultKind::Price, reason))?;
        let amount = amount(units, price, self.currency)
            .map_err(|reason| refused(FaultKind::Amount, reason))?;
        let discounts = match columns.discount {
            Some(at) => discount(text(record, at), amount, self.currency)
                .map_err(|reason| refused(FaultKind::Amount, reason))?,
            None => 0,
        };

        let content = content(&mut self.joined, record);
        let id = |at: Option<usize>| at.map(|at| text(record, at)).filter(|text| !text.is_empty());
        let line = RowLine {
            at,
            returned: marked || quantity < 0,
            product: id(columns.product).map(Id::from),
            units,
            amount,
            discounts,
            currency: self.currency,
            customer: id(columns.customer).map(Id::from),
            channel: id(columns.channel).unwrap_or_default().into(),
        };
        Ok(Some(Envelope {
            shop: Arc::clone(&self.shop),
            version: Version { changed_at: at, raised_at: UtcMs(0), content },
            event: Event::Row(OrderRow {
                order: order.into(),
                content,
                reading: self.reading,
                line,
            }),
        }))
    }
}

/// A field of a record that was checked to be UTF-8, without blanks around it.
fn text(record: &Record, field: usize) -> &str {
    std::str::from_utf8(record.get(field)).unwrap_or_default().trim()
}

fn holds(rules: &[Rule<usize>], record: &Record) -> bool {
    rules.iter().any(|rule| rule.test.holds(text(record, rule.column)))
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A hash of all fields; lengths lead them, so that no two rows join to the same bytes.
fn content(joined: &mut Vec<u8>, record: &Record) -> u128 {
    joined.clear();
    for field in record.iter() {
        joined.extend_from_slice(&(field.len() as u64).to_le_bytes());
        joined.extend_from_slice(field);
    }
    content_hash(joined)
}

fn instant(
    last: &mut (String, UtcMs),
    mapping: &Mapping,
    zone: &Zone,
    text: &str,
) -> Result<UtcMs, String> {
    if !text.is_empty() && last.0 == text {
        return Ok(last.1);
    }
    let at = match &mapping.time_format {
        Some(format) => UtcMs::parse_format(format, text, zone),
        None => UtcMs::parse(text, zone),
    };
    last.1 = at.map_err(|error| error.to_string())?;
    last.0.clear();
    last.0.push_str(text);
    Ok(last.1)
}

fn quantity(text: &str) -> Result<i32, String> {
    let whole = match text.parse::<i32>() {
        Ok(whole) => whole,
        Err(_) => {
            let number = money::decimal(text)
                .map_err(|_| format!("{:?} is not a quantity that a line can have", shown(text)))?;
            if number.fract() != Decimal::ZERO {
                return Err(format!("{:?} is not a whole number", shown(text)));
            }
            i32::try_from(number).unwrap_or(i32::MAX)
        }
    };
    match whole {
        0 => Err("the quantity is zero".to_owned()),
        _ if whole.unsigned_abs() > UNITS_MAX.unsigned_abs() => {
            Err(format!("{:?} is more than the {UNITS_MAX} units of a line", shown(text)))
        }
        _ => Ok(whole),
    }
}

fn price(text: &str) -> Result<Decimal, String> {
    match money::decimal(text) {
        Ok(price) if price > Decimal::ZERO => Ok(price),
        Ok(_) => Err(format!("the unit price {:?} is not above zero", shown(text))),
        Err(error) => Err(format!("the unit price: {error}")),
    }
}

fn amount(units: i32, price: Decimal, currency: Currency) -> Result<i64, String> {
    let major = price.checked_mul(Decimal::from(units));
    let money = major.map(|major| Money::rounded(major, currency));
    match money {
        Some(Ok(money)) => Ok(i64::try_from(money.minor).unwrap_or(i64::MAX)),
        Some(Err(error)) => Err(format!("quantity times unit price: {error}")),
        None => Err("quantity times unit price is too large".to_owned()),
    }
}

fn discount(text: &str, gross: i64, currency: Currency) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let money = Money::parse(text, currency).map_err(|error| format!("the discount: {error}"))?;
    match i64::try_from(money.minor) {
        Ok(discount) if (0..=gross).contains(&discount) => Ok(discount),
        _ => Err(format!("the discount {} is below zero or above the line's amount", shown(text))),
    }
}
