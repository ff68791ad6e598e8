//! Avro schemas of views: the columns, the key and the documentation, read once.
//!
//! Invariant: the `.avsc` file is the only place a column is declared. Only the shapes a view may
//! use are accepted; anything else is an error that names the field.

use serde::Deserialize;
use serde_json::Value as Json;
use thiserror::Error;

/// How many decimals money has in Avro, Arrow and SQL; no currency has more.
pub const MONEY_SCALE: u32 = 4;
/// How many digits money has in Avro, Arrow and SQL.
pub const MONEY_PRECISION: u32 = 38;

/// A view's parsed schema.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schema {
    /// What the view tells, for people.
    pub doc: String,
    /// The columns in order.
    pub columns: Vec<Column>,
    /// The places of the key's columns, in the key's order.
    pub key: Vec<usize>,
}

/// One column of a view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    /// The name, the same wherever the view is read.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// Whether it may be null.
    pub nullable: bool,
    /// What it means, with unit and sign.
    pub doc: String,
}

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ColumnKind {
    /// `string`
    Text,
    /// `long`
    Int,
    /// `int`, logical type `date`
    Day,
    /// `long`, logical type `timestamp-millis`
    Instant,
    /// `bytes`, logical type `decimal` of 38 digits, 4 decimals
    Money,
}

impl ColumnKind {
    /// The kind's name for people and for `GET /v1/views`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int => "integer",
            Self::Day => "date",
            Self::Instant => "timestamp",
            Self::Money => "decimal",
        }
    }
}

/// What is wrong with a schema.
#[derive(Debug, Error)]
pub enum SchemaError {
    /// Not JSON, or not an Avro record.
    #[error("not an Avro record schema: {0}")]
    Json(#[from] serde_json::Error),
    /// A type that no view may use.
    #[error("field {field}: the type {found} is not one a view may use")]
    Type {
        /// The field.
        field: String,
        /// Its type as written.
        found: String,
    },
    /// A field without documentation.
    #[error("field {0} has no doc")]
    Undocumented(String),
    /// The key names no field, or none at all.
    #[error("the key column {0:?} is not a field that is never null")]
    Key(String),
}

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    doc: String,
    fields: Vec<Field>,
    #[serde(rename = "ionflux.key")]
    key: Vec<String>,
}

#[derive(Deserialize)]
struct Field {
    name: String,
    #[serde(rename = "type")]
    kind: Json,
    #[serde(default)]
    doc: String,
}

impl Schema {
    /// Reads a view's schema.
    ///
    /// # Errors
    /// [`SchemaError`], naming the field.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let record: Record = serde_json::from_str(text)?;
        let columns = record.fields.into_iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let place = |name: &String| {
            let place = columns.iter().position(|c| c.name == *name && !c.nullable);
            place.ok_or_else(|| SchemaError::Key(name.clone()))
        };
        let key = record.key.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        if key.is_empty() {
            return Err(SchemaError::Key(String::new()));
        }
        Ok(Self { doc: record.doc, columns, key })
    }

    /// The column of a name and its place.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<(usize, &Column)> {
        self.columns.iter().enumerate().find(|(_, column)| column.name == name)
    }

    /// The names of the key's columns, in the key's order.
    #[must_use]
    pub fn key_names(&self) -> Vec<&str> {
        self.key.iter().map(|place| self.columns[*place].name.as_str()).collect()
    }
}

fn column(field: Field) -> Result<Column, SchemaError> {
    let (inner, nullable) = match &field.kind {
        Json::Array(union) => match union.as_slice() {
            [Json::String(null), inner] if null == "null" => (inner.clone(), true),
            _ => (field.kind.clone(), false),
        },
        other => (other.clone(), false),
    };
    let kind = kind(&inner)
        .ok_or_else(|| SchemaError::Type { field: field.name.clone(), found: inner.to_string() })?;
    if field.doc.is_empty() {
        return Err(SchemaError::Undocumented(field.name));
    }
    Ok(Column { name: field.name, kind, nullable, doc: field.doc })
}

fn kind(avro: &Json) -> Option<ColumnKind> {
    if let Some(name) = avro.as_str() {
        return match name {
            "string" => Some(ColumnKind::Text),
            "long" => Some(ColumnKind::Int),
            _ => None,
        };
    }
    let text = |name: &str| avro.get(name).and_then(Json::as_str);
    let number = |name: &str| avro.get(name).and_then(Json::as_u64);
    match (text("type")?, text("logicalType")?) {
        ("int", "date") => Some(ColumnKind::Day),
        ("long", "timestamp-millis") => Some(ColumnKind::Instant),
        ("bytes", "decimal")
            if number("precision") == Some(MONEY_PRECISION.into())
                && number("scale") == Some(MONEY_SCALE.into()) =>
        {
            Some(ColumnKind::Money)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &str, key: &str, expected: &str) {
        let text = format!(r#"{{"type":"record","fields":{fields},"ionflux.key":{key}}}"#);
        let got = match Schema::parse(&text) {
            Ok(schema) => format!("{:?}", schema.key_names()),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn only_documented_fields_of_known_types_are_views() {
        let shop = r#"{"name":"shop","type":"string","doc":"d"}"#;
        check(&format!("[{shop}]"), r#"["shop"]"#, r#"["shop"]"#);
        check(&format!("[{shop}]"), "[]", r#"the key column "" is not a field that is never null"#);
        check(r#"[{"name":"x","type":"string"}]"#, r#"["x"]"#, "field x has no doc");
        let float = r#"[{"name":"x","type":"double","doc":"d"}]"#;
        check(float, r#"["x"]"#, "field x: the type \"double\" is not one a view may use");
    }
}
