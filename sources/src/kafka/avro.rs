//! An Avro datum as JSON, by the schema it was written with.
//!
//! Invariant: pure; whatever schema and bytes come, the work and the memory are bounded by their
//! length, and nothing panics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use ionflux_schemas::key::content_hash;
use ionflux_schemas::time::UtcMs;
use jiff::Timestamp;
use serde_json::{Map, Number, Value as Json};

/// Schemas that are kept parsed. Forgetting one costs time, never meaning.
const PARSED_MAX: usize = 256;
/// The most that one length within a datum may claim.
const CLAIM_BYTES_MAX: usize = 32 << 20;

static PARSED: Mutex<BTreeMap<u128, Arc<Schema>>> = Mutex::new(BTreeMap::new());

/// What a datum says, as JSON with the names of its schema's fields.
///
/// # Errors
/// Why it cannot be read, without the data.
pub fn json_of(mut datum: &[u8], schema: &str) -> Result<Json, String> {
    let schema = parsed(schema)?;
    let reader = GenericDatumReader::builder(&schema).build();
    let reader = reader.map_err(|error| format!("the schema it was written with: {error}"))?;
    let value = reader.read_value(&mut datum);
    // Errors of the decoder quote values; only their kind is told. It takes text that is torn off
    // for a null, which is not what the schema says.
    let value = value.ok().filter(|value| value.validate(&schema));
    let value = value.ok_or_else(|| "the bytes do not fit the schema they name".to_owned())?;
    if !datum.is_empty() {
        return Err(format!("{} bytes are left behind the datum", datum.len()));
    }
    json(value)
}

fn parsed(text: &str) -> Result<Arc<Schema>, String> {
    let hash = content_hash(text.as_bytes());
    let lock = || PARSED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(schema) = lock().get(&hash) {
        return Ok(Arc::clone(schema));
    }
    apache_avro::util::max_allocation_bytes(CLAIM_BYTES_MAX);
    let schema = Schema::parse_str(text);
    let schema = schema.map_err(|error| format!("the schema it was written with: {error}"))?;
    let mut plain = Vec::new();
    bounded(&schema, &mut plain)?;
    let (schema, mut parsed) = (Arc::new(schema), lock());
    if parsed.len() >= PARSED_MAX {
        parsed.clear();
    }
    parsed.insert(hash, Arc::clone(&schema));
    Ok(schema)
}

/// The least bytes that a value of a schema takes. Schemas whose values can be larger than their
/// bytes, or nested without end, are refused: records that stand in themselves or stand twice, and
/// lists of what takes no bytes.
fn bounded<'a>(schema: &'a Schema, plain: &mut Vec<&'a str>) -> Result<usize, String> {
    let unbounded = |what: &str| Err(format!("the schema it was written with has {what}"));
    Ok(match schema {
        Schema::Null => 0,
        Schema::Fixed(fixed) | Schema::Duration(fixed) => {
            plain.push(fixed.name.name());
            fixed.size
        }
        Schema::Enum(symbols) => {
            plain.push(symbols.name.name());
            1
        }
        Schema::Ref { name } if plain.contains(&name.name()) => 0,
        Schema::Ref { .. } => return unbounded("a record that stands in it twice"),
        Schema::Record(record) => {
            let mut bytes = 0_usize;
            for field in &record.fields {
                bytes = bytes.saturating_add(bounded(&field.schema, plain)?);
            }
            bytes
        }
        Schema::Union(union) => {
            for variant in union.variants() {
                bounded(variant, plain)?;
            }
            1
        }
        Schema::Array(array) => match bounded(&array.items, plain)? {
            0 => return unbounded("a list of what takes no bytes"),
            _ => 1,
        },
        Schema::Map(map) => {
            bounded(&map.types, plain)?;
            1
        }
        _ => 1,
    })
}

fn json(value: Value) -> Result<Json, String> {
    let instant = |instant: Result<Timestamp, jiff::Error>| match instant {
        Ok(instant) => Ok(Json::String(instant.to_string())),
        Err(_) => Err("a time is outside the calendar".to_owned()),
    };
    Ok(match value {
        Value::Null => Json::Null,
        Value::Boolean(truth) => Json::Bool(truth),
        Value::Int(number) | Value::TimeMillis(number) => Json::Number(number.into()),
        Value::Long(number) | Value::TimeMicros(number) => Json::Number(number.into()),
        Value::Float(number) => float(number.into())?,
        Value::Double(number) => float(number)?,
        Value::String(text) | Value::Enum(_, text) => Json::String(text),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => {
            let text = String::from_utf8(bytes);
            Json::String(text.map_err(|_| "a field of bytes is not text".to_owned())?)
        }
        Value::Uuid(uuid) => Json::String(uuid.to_string()),
        Value::BigDecimal(number) => Json::String(number.to_plain_string()),
        Value::Date(day) => {
            let at = UtcMs(i64::from(day) * 86_400_000).to_string();
            Json::String(at.chars().take(10).collect())
        }
        Value::TimestampMillis(at) | Value::LocalTimestampMillis(at) => {
            instant(Timestamp::from_millisecond(at))?
        }
        Value::TimestampMicros(at) | Value::LocalTimestampMicros(at) => {
            instant(Timestamp::from_microsecond(at))?
        }
        Value::TimestampNanos(at) | Value::LocalTimestampNanos(at) => {
            instant(Timestamp::from_nanosecond(at.into()))?
        }
        Value::Union(_, inner) => json(*inner)?,
        Value::Array(items) => Json::Array(items.into_iter().map(json).collect::<Result<_, _>>()?),
        Value::Map(items) => object(items)?,
        Value::Record(fields) => object(fields)?,
        Value::Decimal(_) | Value::Duration(_) => {
            return Err("a decimal or a duration has no form in an event: send text".into());
        }
    })
}

fn object(fields: impl IntoIterator<Item = (String, Value)>) -> Result<Json, String> {
    let fields = fields.into_iter().map(|(name, value)| Ok((name, json(value)?)));
    Ok(Json::Object(fields.collect::<Result<Map<_, _>, String>>()?))
}

fn float(number: f64) -> Result<Json, String> {
    let number = Number::from_f64(number);
    number.map(Json::Number).ok_or_else(|| "a number is not finite".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_is_an_object() {
        let schema = r#"{"type":"record","name":"r","fields":[
            {"name":"id","type":{"type":"string","logicalType":"uuid"}},
            {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
            {"name":"who","type":["null","string"]},
            {"name":"kind","type":{"type":"enum","name":"k","symbols":["a","b"]}},
            {"name":"also","type":"k"},
            {"name":"n","type":{"type":"array","items":"int"}}]}"#;
        let uuid = "6a2f41a3-c54c-fce8-32d2-0324e1c32e22";
        let mut datum = vec![72];
        datum.extend(uuid.bytes());
        datum.extend([0xa0, 0x1f, 2, 6, b'b', b'o', b'b', 2, 0, 4, 2, 4, 0]);
        let expected = json!({ "id": uuid, "at": "1970-01-01T00:00:02Z", "who": "bob",
            "kind": "b", "also": "a", "n": [1, 2] });
        assert_eq!(json_of(&datum, schema), Ok(expected));
        for cut in 0..datum.len() {
            assert!(json_of(&datum[..cut], schema).is_err(), "{cut}");
        }
        datum.push(0);
        assert_eq!(json_of(&datum, schema).unwrap_err(), "1 bytes are left behind the datum");
    }

    #[test]
    fn schemas_that_blow_up_are_refused() {
        let itself = r#"{"type":"record","name":"r","fields":[{"name":"r","type":["null","r"]}]}"#;
        let twice = r#"{"type":"record","name":"r","fields":[
            {"name":"a","type":{"type":"record","name":"s","fields":[]}},
            {"name":"b","type":"s"}]}"#;
        let nothing = r#"{"type":"array","items":"null"}"#;
        for (schema, why) in [(itself, "twice"), (twice, "twice"), (nothing, "no bytes")] {
            let refused = json_of(&[0; 8], schema).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        let claims = json_of(&[0xfe, 0xff, 0xff, 0xff, 0x7f], r#""string""#);
        assert_eq!(claims.unwrap_err(), "the bytes do not fit the schema they name");
        assert!(json_of(b"", "{").unwrap_err().starts_with("the schema"));
    }
}
