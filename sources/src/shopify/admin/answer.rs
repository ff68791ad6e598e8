//! An answer of the Admin API: data, errors, and what the query cost.
//!
//! Invariant: an answer with errors is never taken for data, but where nothing is missing in it but
//! customers; amounts and counts stay text.

use ionflux_schemas::money::decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{SCOPES_NEEDED, short};
use super::pace::Level;

/// What an answer is, whatever was asked.
#[derive(Deserialize)]
pub struct Answer {
    pub data: Option<Box<RawValue>>,
    errors: Option<Box<RawValue>>,
    extensions: Option<Extensions>,
}

#[derive(Deserialize)]
struct Extensions {
    cost: Option<Cost>,
}

#[derive(Deserialize)]
struct Cost {
    #[serde(rename = "requestedQueryCost")]
    requested: Option<Box<RawValue>>,
    #[serde(rename = "throttleStatus")]
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(rename = "maximumAvailable")]
    maximum: Box<RawValue>,
    #[serde(rename = "currentlyAvailable")]
    available: Box<RawValue>,
    #[serde(rename = "restoreRate")]
    rate: Box<RawValue>,
}

#[derive(Deserialize)]
struct GraphqlError {
    #[serde(default)]
    message: String,
    path: Option<Vec<Box<RawValue>>>,
    extensions: Option<Code>,
}

impl GraphqlError {
    /// Whether all that it denies is a customer: an order means the same without one.
    fn of_a_customer(&self) -> bool {
        let last = self.path.as_ref().and_then(|path| path.last());
        self.code() == DENIED && last.is_some_and(|last| last.get() == "\"customer\"")
    }

    fn code(&self) -> &str {
        let code = self.extensions.as_ref().and_then(|extensions| extensions.code.as_deref());
        code.unwrap_or_default()
    }
}

/// The code of what the token may not see.
const DENIED: &str = "ACCESS_DENIED";

#[derive(Deserialize)]
struct Code {
    code: Option<String>,
}

/// What errors mean for whoever asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// There are none.
    Good,
    /// The bucket is empty.
    Throttled,
    /// The query is too large.
    Costly(String),
    /// The shop failed, and may not fail again.
    Failed(String),
    /// The query will never be answered.
    Refused(String),
}

/// A number such as `1990` or `1990.0`, without its fraction.
fn whole(raw: &RawValue) -> Option<u64> {
    u64::try_from(decimal(raw.get().trim_matches('"')).ok()?.trunc()).ok()
}

impl Answer {
    /// How the bucket stands after the query.
    pub fn level(&self) -> Option<Level> {
        let status = self.extensions.as_ref()?.cost.as_ref()?.status.as_ref()?;
        Some(Level {
            available: whole(&status.available)?,
            maximum: whole(&status.maximum)?,
            restored_per_s: whole(&status.rate)?,
        })
    }

    /// What the query had to find in the bucket.
    pub fn cost(&self) -> Option<u64> {
        whole(self.extensions.as_ref()?.cost.as_ref()?.requested.as_deref()?)
    }

    /// What its errors mean, the worst first.
    pub fn verdict(&self) -> Verdict {
        let Some(raw) = self.errors.as_deref().filter(|raw| raw.get() != "null") else {
            return Verdict::Good;
        };
        // Before a query is even read, errors can be a plain text.
        let Ok(mut errors) = serde_json::from_str::<Vec<GraphqlError>>(raw.get()) else {
            return Verdict::Refused(short(raw.get()));
        };
        if self.data.as_deref().is_some_and(|data| data.get() != "null") {
            errors.retain(|error| !error.of_a_customer());
        }
        if errors.is_empty() {
            return Verdict::Good;
        }
        let codes: Vec<&str> = errors.iter().map(GraphqlError::code).collect();
        let has = |wanted: &str| codes.contains(&wanted);
        let told = || {
            let messages: Vec<String> = errors.iter().map(|error| short(&error.message)).collect();
            short(&messages.join("; "))
        };
        let passing = ["THROTTLED", "INTERNAL_SERVER_ERROR", "TIMEOUT"];
        match () {
            () if has("MAX_COST_EXCEEDED") => Verdict::Costly(told()),
            () if has(DENIED) => Verdict::Refused(format!("{}; {SCOPES_NEEDED}", told())),
            () if codes.iter().any(|code| !passing.contains(code)) => Verdict::Refused(told()),
            () if has("THROTTLED") => Verdict::Throttled,
            () => Verdict::Failed(told()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(errors: &str) -> Verdict {
        let text = format!(r#"{{"data":null,"errors":{errors}}}"#);
        serde_json::from_str::<Answer>(&text).unwrap().verdict()
    }

    #[test]
    fn errors_are_told_apart() {
        assert_eq!(verdict("null"), Verdict::Good);
        assert_eq!(verdict("[]"), Verdict::Good);
        let coded = |code: &str| {
            verdict(&format!(r#"[{{"message":"why","extensions":{{"code":"{code}"}}}}]"#))
        };
        assert_eq!(coded("THROTTLED"), Verdict::Throttled);
        assert_eq!(coded("MAX_COST_EXCEEDED"), Verdict::Costly("why".into()));
        assert_eq!(coded("INTERNAL_SERVER_ERROR"), Verdict::Failed("why".into()));
        let denied = coded("ACCESS_DENIED");
        assert!(matches!(&denied, Verdict::Refused(why) if why.contains("read_orders")));
        assert_eq!(verdict(r#"[{"message":"no field"}]"#), Verdict::Refused("no field".into()));
        assert_eq!(verdict(r#""Not Found""#), Verdict::Refused(r#""Not Found""#.into()));
    }

    #[test]
    fn data_is_taken_without_the_customers_that_are_denied_and_never_without_more() {
        let verdict = |data: &str, paths: &[&str]| {
            let error = |path: &&str| {
                format!(
                    r#"{{"message":"no","path":{path},"extensions":{{"code":"ACCESS_DENIED"}}}}"#
                )
            };
            let errors: Vec<String> = paths.iter().map(error).collect();
            let text = format!(r#"{{"data":{data},"errors":[{}]}}"#, errors.join(","));
            serde_json::from_str::<Answer>(&text).unwrap().verdict()
        };
        let customer = r#"["orders","nodes",0,"customer"]"#;
        assert_eq!(verdict("{}", &[customer, customer]), Verdict::Good);
        for (data, paths) in [
            ("null", &[customer][..]),
            ("{}", &[customer, r#"["orders"]"#]),
            ("{}", &[r#"["orders","nodes",0,"customer","id"]"#]),
            ("{}", &["null"]),
            ("{}", &["[]"]),
        ] {
            assert!(matches!(verdict(data, paths), Verdict::Refused(_)), "{data} {paths:?}");
        }
    }

    #[test]
    fn costs_are_read_with_and_without_a_fraction() {
        let text = r#"{"data":{},"extensions":{"cost":{"requestedQueryCost":101,
            "throttleStatus":{"maximumAvailable":2000.0,"currentlyAvailable":1899.5,
            "restoreRate":100.0}}}}"#;
        let answer: Answer = serde_json::from_str(text).unwrap();
        assert_eq!(answer.cost(), Some(101));
        let level = Level { available: 1899, maximum: 2000, restored_per_s: 100 };
        assert_eq!(answer.level(), Some(level));
    }
}
