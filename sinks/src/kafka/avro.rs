//! Rows and keys in Avro, by the view's own schema.
//!
//! Invariant: a datum stands behind the id of the schema it was written with; an amount is the
//! bytes of its ten-thousandths. Equal rows have equal bytes.

use std::ops::Range;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use ionflux_schemas::avro::{Column, ColumnKind, MONEY_SCALE, Schema};
use ionflux_schemas::money::Money;
use ionflux_schemas::view::{Row, Value, View};

use super::config::Envelope;
use super::encode::Told;
use super::subjects;
use crate::error::SinkError;
use crate::registry::{SchemaIds, Subject};

/// The first byte of what is framed.
const MAGIC: u8 = 0;
/// Magic byte and id.
const HEAD_BYTES: usize = 5;
/// Variants of the union of null and a row.
const NULL: i64 = 0;
const ROW: i64 = 1;

/// The schemas of a view's topic, with their ids.
pub(super) struct Form {
    key: (u32, apache_avro::Schema),
    value: (u32, apache_avro::Schema),
    row: apache_avro::Schema,
}

impl Form {
    /// The schemas as the registry knows them.
    pub(super) fn new(
        view: &View,
        topic: &str,
        envelope: Envelope,
        ids: &dyn SchemaIds,
    ) -> Result<Self, SinkError> {
        let [key, value] = subjects::of_view(view, topic, envelope)?;
        let registered = |subject: Subject| -> Result<_, SinkError> {
            Ok((subject.id(ids)?, parsed(view, &subject.definition)?))
        };
        Ok(Self {
            key: registered(key)?,
            value: registered(value)?,
            row: parsed(view, view.schema)?,
        })
    }

    pub(super) fn pen<'a>(&'a self, view: &'static View, schema: &'a Schema) -> Pen<'a> {
        Pen { view, form: self, schema }
    }

    /// The ids of the schemas of keys and of values.
    pub(super) fn ids(&self) -> [u32; 2] {
        [self.key.0, self.value.0]
    }

    /// The values of a key that are texts, in its order; `None` if it was written otherwise.
    pub(super) fn texts(&self, key: &[u8]) -> Option<Vec<Option<String>>> {
        let (head, mut datum) = key.split_at_checked(HEAD_BYTES)?;
        let reader = GenericDatumReader::builder(&self.key.1).build().ok()?;
        let Ok(Avro::Record(fields)) = reader.read_value(&mut datum) else { return None };
        let text = |value| match value {
            Avro::String(text) => Some(text),
            _ => None,
        };
        let texts = fields.into_iter().map(|(_, value)| text(value)).collect();
        (head == head_of(self.key.0) && datum.is_empty()).then_some(texts)
    }

    /// The row within a value, as it would be written now; `None` if it was written otherwise.
    pub(super) fn row_of(&self, envelope: Envelope, value: &[u8]) -> Option<Vec<u8>> {
        let (head, mut datum) = value.split_at_checked(HEAD_BYTES)?;
        if head != head_of(self.value.0) {
            return None;
        }
        if envelope == Envelope::Upsert {
            return Some(datum.to_vec());
        }
        let reader = GenericDatumReader::builder(&self.value.1).build().ok()?;
        let Ok(Avro::Record(fields)) = reader.read_value(&mut datum) else { return None };
        let (_, after) = fields.into_iter().find(|(name, _)| name == "after")?;
        let Avro::Union(_, after) = after else { return None };
        let writer = GenericDatumWriter::builder(&self.row).build().ok()?;
        writer.write_value_to_vec(*after).ok()
    }
}

fn head_of(id: u32) -> [u8; HEAD_BYTES] {
    let [a, b, c, d] = id.to_be_bytes();
    [MAGIC, a, b, c, d]
}

/// A datum behind the id of its schema.
pub(super) fn head(id: u32, out: &mut Vec<u8>) {
    out.extend(head_of(id));
}

/// Writes rows of one view.
pub(super) struct Pen<'a> {
    view: &'static View,
    form: &'a Form,
    schema: &'a Schema,
}

impl Pen<'_> {
    /// Puts the key of a row behind what is there.
    pub(super) fn key(&self, row: &Row, out: &mut Vec<u8>) -> Result<(), SinkError> {
        head(self.form.key.0, out);
        let places = self.schema.key.iter().copied();
        self.put(row, places, out)
    }

    /// Puts a row alone; gives where its datum stands.
    pub(super) fn upsert(&self, row: &Row, out: &mut Vec<u8>) -> Result<Range<usize>, SinkError> {
        head(self.form.value.0, out);
        self.row(row, out)
    }

    /// Puts a row before and after; gives where the datum of the one after stands.
    pub(super) fn debezium(
        &self,
        told: &Told<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Range<usize>, SinkError> {
        head(self.form.value.0, out);
        let mut placed = out.len()..out.len();
        for row in [told.before, told.after] {
            match row {
                Some(row) => {
                    long(ROW, out);
                    placed = self.row(row, out)?;
                }
                None => {
                    long(NULL, out);
                    placed = out.len()..out.len();
                }
            }
        }
        text(told.op.letter(), out);
        long(told.moment.as_of.0, out);
        long(i64::try_from(told.moment.epoch.0).unwrap_or(i64::MAX), out);
        text(self.view.name, out);
        Ok(placed)
    }

    fn row(&self, row: &Row, out: &mut Vec<u8>) -> Result<Range<usize>, SinkError> {
        let from = out.len();
        self.put(row, 0..self.schema.columns.len(), out)?;
        Ok(from..out.len())
    }

    /// A record is its fields in their order, without anything between.
    fn put(
        &self,
        row: &Row,
        places: impl Iterator<Item = usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), SinkError> {
        for place in places {
            let column = &self.schema.columns[place];
            field(column, &row.0[place], out).ok_or_else(|| {
                unfit(self.view, format!("a value of the column {} does not fit", column.name))
            })?;
        }
        Ok(())
    }
}

/// A value as its column has it; `None` if it does not fit.
fn field(column: &Column, value: &Value, out: &mut Vec<u8>) -> Option<()> {
    if column.nullable {
        long(if *value == Value::Null { NULL } else { ROW }, out);
    }
    match (column.kind, value) {
        (_, Value::Null) if column.nullable => {}
        (ColumnKind::Int, Value::Int(number)) => long(*number, out),
        (ColumnKind::Text, Value::Text(held)) => text(held, out),
        (ColumnKind::Day, Value::Day(day)) => long(day.0.into(), out),
        (ColumnKind::Instant, Value::Instant(at)) => long(at.0, out),
        (ColumnKind::Money, Value::Money(money)) => {
            let (bytes, from) = decimal(*money)?;
            let bytes = &bytes[from..];
            long(i64::try_from(bytes.len()).ok()?, out);
            out.extend_from_slice(bytes);
        }
        _ => return None,
    }
    Some(())
}

/// Ten-thousandths of the major unit as a two's complement, the greatest byte first, and where the
/// fewest bytes of it begin.
fn decimal(money: Money) -> Option<([u8; 16], usize)> {
    let missing = MONEY_SCALE.checked_sub(money.currency.exponent().into())?;
    let bytes = money.minor.checked_mul(10_i128.pow(missing))?.to_be_bytes();
    let spare = |pair: &[u8]| match pair {
        [0, next] => next & 0x80 == 0,
        [0xff, next] => next & 0x80 != 0,
        _ => false,
    };
    let skipped = bytes.windows(2).take_while(|pair| spare(pair)).count();
    Some((bytes, skipped))
}

/// A number as Avro writes a long.
pub(super) fn long(number: i64, out: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// A text as Avro writes it.
pub(super) fn text(text: &str, out: &mut Vec<u8>) {
    long(i64::try_from(text.len()).unwrap_or(i64::MAX), out);
    out.extend_from_slice(text.as_bytes());
}

fn unfit(view: &View, problem: String) -> SinkError {
    SinkError::permanent(format!("Kafka: the view {}: {problem}", view.name))
}

fn parsed(view: &View, text: &str) -> Result<apache_avro::Schema, SinkError> {
    let parsed = apache_avro::Schema::parse_str(text);
    parsed.map_err(|error| unfit(view, format!("its schema: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::SALES;
    use apache_avro::Decimal;
    use ionflux_schemas::currency::Currency;
    use ionflux_schemas::time::{Day, UtcMs};

    fn check(minor: i128, code: &str, expected: &[u8]) {
        let money = Money::new(minor, Currency::parse(code).unwrap_or_else(|e| panic!("{e}")));
        let (bytes, from) = decimal(money).unwrap_or_else(|| panic!("{minor} {code}"));
        assert_eq!(&bytes[from..], expected, "{minor} {code}");
    }

    #[test]
    fn amounts_are_the_fewest_bytes() {
        check(0, "EUR", &[0]);
        check(1, "CLF", &[1]);
        check(127, "CLF", &[0x7f]);
        check(128, "CLF", &[0, 0x80]);
        check(-128, "CLF", &[0x80]);
        check(-129, "CLF", &[0xff, 0x7f]);
        check(-1, "EUR", &[0x9c]);
        check(1, "JPY", &[0x27, 0x10]);
        let euro = Currency::parse("EUR").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(decimal(Money::new(i128::MAX, euro)), None);
    }

    #[test]
    fn numbers_are_as_avro_writes_them() {
        for number in [0, -1, 1, 63, 64, -64, -65, 1_700_000_000_123, i64::MAX, i64::MIN] {
            let mut ours = Vec::new();
            long(number, &mut ours);
            let schema = apache_avro::Schema::Long;
            let writer = GenericDatumWriter::builder(&schema).build();
            let theirs = writer.and_then(|writer| writer.write_value_to_vec(number));
            assert_eq!(theirs.ok(), Some(ours), "{number}");
        }
    }

    /// What a reader of the schema finds is the row; nothing that does not fit is written.
    #[test]
    fn a_row_is_as_its_schema_says() {
        let schema = SALES.parsed();
        let avro = apache_avro::Schema::parse_str(SALES.schema).unwrap();
        let euro = Currency::parse("EUR").unwrap();
        let row = |orders| {
            let (day, net) = (Value::Day(Day(-3)), Value::Money(Money::new(-129, euro)));
            [Value::text("é"), day, net, orders, Value::Instant(UtcMs(i64::MIN))]
        };
        for (orders, read) in [
            (Value::Null, Avro::Union(0, Box::new(Avro::Null))),
            (Value::Int(-5), Avro::Union(1, Box::new(Avro::Long(-5)))),
        ] {
            let mut out = Vec::new();
            for (column, value) in schema.columns.iter().zip(row(orders)) {
                field(column, &value, &mut out).unwrap();
            }
            let mut datum = &out[..];
            let reader = GenericDatumReader::builder(&avro).build().unwrap();
            let Avro::Record(found) = reader.read_value(&mut datum).unwrap() else { panic!() };
            let net = Decimal::from((-12_900_i32).to_be_bytes()[2..].to_vec());
            let expected = [
                Avro::String("é".into()),
                Avro::Date(-3),
                Avro::Decimal(net),
                read,
                Avro::TimestampMillis(i64::MIN),
            ];
            assert!(datum.is_empty());
            assert_eq!(found.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), expected);
        }
        for column in schema.columns.iter().filter(|column| !column.nullable) {
            assert_eq!(field(column, &Value::Null, &mut Vec::new()), None);
        }
        assert_eq!(field(&schema.columns[0], &Value::Int(1), &mut Vec::new()), None);
    }
}
