//! Rows as Arrow columns, for SQL and Parquet.
//!
//! Invariant: text is UTF-8, days are `Date32`, instants are milliseconds in UTC, counts are 64-bit
//! integers, money is `Decimal128(38, 4)`: exact, whatever the currency's exponent.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use crate::avro::{ColumnKind, MONEY_PRECISION, MONEY_SCALE, Schema};
use crate::money::Money;
use crate::view::{Row, Value};

/// The Arrow schema of a view.
#[must_use]
pub fn arrow_schema(schema: &Schema) -> SchemaRef {
    let field = |column: &crate::avro::Column| {
        Field::new(&column.name, data_type(column.kind), column.nullable)
    };
    Arc::new(ArrowSchema::new(schema.columns.iter().map(field).collect::<Vec<_>>()))
}

fn data_type(kind: ColumnKind) -> DataType {
    match kind {
        ColumnKind::Text => DataType::Utf8,
        ColumnKind::Int => DataType::Int64,
        ColumnKind::Day => DataType::Date32,
        ColumnKind::Instant => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        ColumnKind::Money => DataType::Decimal128(MONEY_PRECISION as u8, MONEY_SCALE as i8),
    }
}

/// Rows of a view as one Arrow batch, in their order.
///
/// # Errors
/// When a row does not fit the schema: a null where none may be, or an amount of more than 34
/// digits before the decimal point.
pub fn record_batch(schema: &Schema, rows: &[Row]) -> Result<RecordBatch, ArrowError> {
    let columns = schema.columns.iter().enumerate().map(|(place, column)| {
        let values = rows.iter().map(move |row| &row.0[place]);
        array(column.kind, values)
    });
    RecordBatch::try_new(arrow_schema(schema), columns.collect::<Result<_, _>>()?)
}

fn array<'a>(
    kind: ColumnKind,
    values: impl Iterator<Item = &'a Value>,
) -> Result<ArrayRef, ArrowError> {
    Ok(match kind {
        ColumnKind::Text => Arc::new(StringArray::from_iter(values.map(|value| match value {
            Value::Text(text) => Some(Arc::clone(text)),
            _ => None,
        }))),
        ColumnKind::Int => Arc::new(Int64Array::from_iter(values.map(|value| match value {
            Value::Int(number) => Some(*number),
            _ => None,
        }))),
        ColumnKind::Day => Arc::new(Date32Array::from_iter(values.map(|value| match value {
            Value::Day(day) => Some(day.0),
            _ => None,
        }))),
        ColumnKind::Instant => {
            let instants = values.map(|value| match value {
                Value::Instant(at) => Some(at.0),
                _ => None,
            });
            Arc::new(TimestampMillisecondArray::from_iter(instants).with_timezone("UTC"))
        }
        ColumnKind::Money => {
            let amounts = values.map(|value| match value {
                Value::Money(money) => scaled(*money).map(Some),
                _ => Ok(None),
            });
            let amounts = amounts.collect::<Result<Vec<_>, _>>()?;
            let array = Decimal128Array::from(amounts);
            Arc::new(array.with_precision_and_scale(MONEY_PRECISION as u8, MONEY_SCALE as i8)?)
        }
    })
}

/// An amount as a number of ten-thousandths of the major unit.
fn scaled(money: Money) -> Result<i128, ArrowError> {
    let missing = MONEY_SCALE - u32::from(money.currency.exponent());
    let too_large = || ArrowError::ComputeError(format!("{money} does not fit 38 digits"));
    money.minor.checked_mul(10_i128.pow(missing)).ok_or_else(too_large)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::currency::Currency;
    use crate::time::{Day, UtcMs};
    use arrow::array::Array;

    #[test]
    fn every_kind_of_value_keeps_its_meaning() {
        let field =
            |name: &str, kind: &str| format!(r#"{{"name":"{name}","type":{kind},"doc":"d"}}"#);
        let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":38,"scale":4}"#;
        let fields = [
            field("t", r#""string""#),
            field("i", r#"["null","long"]"#),
            field("d", r#"{"type":"int","logicalType":"date"}"#),
            field("at", r#"{"type":"long","logicalType":"timestamp-millis"}"#),
            field("m", &format!(r#"["null",{decimal}]"#)),
        ];
        let text = format!(r#"{{"fields":[{}],"ionflux.key":["t"]}}"#, fields.join(","));
        let schema = Schema::parse(&text).unwrap();
        let yen = Money::new(1200, Currency::parse("JPY").unwrap());
        let row = |t: &str, money| {
            let at = Value::Instant(UtcMs(1000));
            Row(vec![Value::text(t), Value::Null, Value::Day(Day(1)), at, money])
        };
        let rows = [row("a", Value::Money(yen)), row("b", Value::Null)];
        let batch = record_batch(&schema, &rows).unwrap();
        let money = batch.column(4).as_any().downcast_ref::<Decimal128Array>().unwrap();
        assert_eq!(money.value_as_string(0), "1200.0000");
        assert!(money.is_null(1));
        assert_eq!(batch.column(1).null_count(), 2);
    }
}
