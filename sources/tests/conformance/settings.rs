//! Samples of changed settings, a line for each change.

use ionflux_sources::conformance::{Described, Meant, Sample};

const DATED: &str = r#"{"shop":"s","name":"CUP","valid_from":1772323200000,
"document":{"sku":"CUP","cost":"4.50","currency":"EUR"}}"#;
const OTHER: &str = r#"{"shop":"","name":"TEA","document":{"sku":"TEA","cost":"1"}}"#;
const REMOVED: &str = r#"{"shop":"s","name":"CUP"}"#;

/// Changes as their door keeps them.
pub fn changes() -> Described {
    let sample = |name, meant, body: String| {
        let headers = vec![("kind", "product-costs"), ("by", "ci")];
        Sample { name, meant, headers, body: body.into_bytes() }
    };
    let dated = DATED.replace('\n', "");
    let samples = vec![
        sample("two changes", Meant::Good(2), format!("{dated}\n{OTHER}\n")),
        sample("one taken back", Meant::Good(1), REMOVED.into()),
        sample("one of two broken", Meant::Broken, format!("{dated}\n{{\"shop\":1}}\n")),
        sample("half a change", Meant::Broken, dated[..30].into()),
        sample("a member nobody knows", Meant::Broken, r#"{"shop":"","name":"a","x":1}"#.into()),
    ];
    Described { source: "settings", dated: true, silent: false, samples }
}
