//! Whether two schemas may follow one another: old readers read what the new one writes, and the
//! new one reads what old ones wrote.
//!
//! Invariant: pure; equal schemas are compatible.

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};

/// Checks a schema against one that was released, in both directions.
///
/// # Errors
/// In words: which direction breaks, and on what.
pub fn follows(released: &str, present: &str) -> Result<(), String> {
    let parse = |text: &str, which: &str| {
        Schema::parse_str(text).map_err(|error| format!("the {which} schema: {error}"))
    };
    let released = parse(released, "released")?;
    let present = parse(present, "present")?;
    for (writer, reader, which) in [
        (&released, &present, "backward: it cannot read what its release wrote"),
        (&present, &released, "forward: its release cannot read what it writes"),
    ] {
        match SchemaCompatibility::can_read(writer, reader) {
            Ok(Compatibility::Full) => {}
            Ok(Compatibility::Partial) => {
                return Err(format!("not {which} in every case: a union or enum lost a member"));
            }
            Err(error) => return Err(format!("not {which}: {error}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &str) -> String {
        format!(r#"{{"type":"record","name":"r","namespace":"n.v1","fields":[{fields}]}}"#)
    }

    #[test]
    fn both_directions_are_checked() {
        let a = r#"{"name":"a","type":"string"}"#;
        let defaulted = r#"{"name":"b","type":"long","default":0}"#;
        let needed = r#"{"name":"b","type":"long"}"#;
        let one = record(a);
        assert_eq!(follows(&one, &one), Ok(()));
        assert_eq!(follows(&one, &record(&format!("{a},{defaulted}"))), Ok(()));
        assert_eq!(follows(&record(&format!("{a},{defaulted}")), &one), Ok(()));
        let added = follows(&one, &record(&format!("{a},{needed}"))).unwrap_err();
        assert!(added.starts_with("not backward"), "{added}");
        let removed = follows(&record(&format!("{a},{needed}")), &one).unwrap_err();
        assert!(removed.starts_with("not forward"), "{removed}");
        let int = r#"{"name":"b","type":"int"}"#;
        assert!(follows(&record(int), &record(needed)).unwrap_err().starts_with("not forward"));
        let nullable = r#"{"name":"b","type":["null","long"]}"#;
        assert!(follows(&record(needed), &record(nullable)).is_err());
        assert!(follows("{", &one).unwrap_err().contains("released"));
    }
}
