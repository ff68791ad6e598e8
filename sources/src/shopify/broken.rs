//! What a JSON error may say: where and which rule, never what stood there.
//!
//! Invariant: no text of the body is in a reason, for bodies hold personal data.

use ionflux_schemas::fault::FaultKind;
use serde_json::error::{Category, Error};

use crate::reading::Refusal;

/// The refusal of a body that is not JSON, or not of the shape its kind has.
pub fn refusal(error: &Error) -> Refusal {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        // Messages of this category quote the value, so they are not repeated.
        Category::Data => {
            let reason = format!(
                "a field has an unexpected form (line {line}, column {column} of the record)"
            );
            Refusal::new(FaultKind::Field, "", reason)
        }
        _ => {
            let text = error.to_string();
            let rule = text.split(" at line ").next().unwrap_or_default();
            let reason =
                format!("not valid JSON: {rule} (line {line}, column {column} of the record)");
            Refusal::new(FaultKind::Syntax, "", reason)
        }
    }
}
