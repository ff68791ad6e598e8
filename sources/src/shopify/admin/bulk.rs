//! Bulk operations: an export that a shop makes by itself, and how it stands.
//!
//! Invariant: an operation is taken over only if it exports what we ask for; the address of its
//! file, which opens it without a token, is in no message.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::client::Client;
use super::error::{AdminError, short};
use super::queries::{BULK_LOOK, BULK_START};
use crate::poller::Stop;

/// What leads the id of an operation.
const OPERATION: &str = "gid://shopify/BulkOperation/";

/// An operation that was started.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Started {
    /// Its id.
    pub id: String,
    /// When, by the shop's clock.
    #[serde(rename = "createdAt")]
    pub created_at: Option<String>,
}

/// How an operation stands.
pub struct Operation {
    /// When it was started.
    pub created_at: Option<String>,
    /// What it exports.
    pub query: String,
    /// How far it is.
    pub stage: Stage,
}

/// How far an operation is.
pub enum Stage {
    /// It runs; so many objects are done.
    Running(u64),
    /// It is done. Without a file there was nothing to export.
    Completed(Option<String>),
    /// It will never be done. What it exported until then is of no use: an order may lack lines.
    Failed {
        /// Why, in the shop's words.
        why: String,
        /// It would fail again.
        denied: bool,
    },
}

#[derive(Deserialize)]
struct Start {
    #[serde(rename = "bulkOperationRunQuery")]
    run: Run,
}

#[derive(Deserialize)]
struct Run {
    #[serde(rename = "bulkOperation")]
    operation: Option<Started>,
    #[serde(rename = "userErrors", default)]
    errors: Vec<UserError>,
}

#[derive(Deserialize)]
struct UserError {
    #[serde(default)]
    message: String,
    code: Option<String>,
}

#[derive(Deserialize)]
struct Look {
    node: Option<Looked>,
}

#[derive(Deserialize)]
struct Looked {
    #[serde(default)]
    status: String,
    #[serde(rename = "errorCode")]
    error: Option<String>,
    #[serde(rename = "createdAt")]
    created_at: Option<String>,
    #[serde(rename = "objectCount")]
    objects: Option<Box<RawValue>>,
    url: Option<String>,
    #[serde(rename = "partialDataUrl")]
    partial: Option<String>,
    #[serde(default)]
    query: String,
}

/// The words of a query: how it is laid out does not matter.
fn words(query: &str) -> impl Iterator<Item = &str> {
    query.split_whitespace()
}

/// Starts an export, or takes over the same one that already runs.
pub fn start(client: &mut Client, export: &str, stop: &Stop) -> Result<Started, AdminError> {
    let Start { run } = client.ask(&BULK_START, &json!({ "query": export }), stop)?;
    if let (Some(operation), true) = (run.operation, run.errors.is_empty()) {
        return Ok(operation);
    }
    let told: Vec<String> = run.errors.iter().map(|error| short(&error.message)).collect();
    let told = told.join("; ");
    let busy = |error: &UserError| {
        let coded = error.code.as_deref() == Some("OPERATION_IN_PROGRESS");
        coded || error.message.contains("already in progress")
    };
    if !run.errors.iter().any(busy) {
        return Err(AdminError::Permanent(client.about(&BULK_START, &told)));
    }
    if let Some(id) = operation_in(&told)
        && let Some(found) = look(client, &id, stop)?
        && words(&found.query).eq(words(export))
    {
        return Ok(Started { id, created_at: found.created_at });
    }
    let reason = client.about(&BULK_START, "another one of the same app is still running");
    Err(AdminError::Transient(reason))
}

/// The id of an operation that a message names.
fn operation_in(message: &str) -> Option<String> {
    let (_, rest) = message.split_once(OPERATION)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty()).then(|| format!("{OPERATION}{digits}"))
}

/// How an operation stands; `None` if the shop does not know it any more.
pub fn look(client: &mut Client, id: &str, stop: &Stop) -> Result<Option<Operation>, AdminError> {
    let Look { node } = client.ask(&BULK_LOOK, &json!({ "id": id }), stop)?;
    let Some(found) = node else { return Ok(None) };
    let objects = found.objects.and_then(|raw| raw.get().trim_matches('"').parse().ok());
    let stage = match &*found.status {
        "CREATED" | "RUNNING" | "CANCELING" => Stage::Running(objects.unwrap_or_default()),
        "COMPLETED" => Stage::Completed(found.url),
        status @ ("FAILED" | "CANCELED" | "EXPIRED") => {
            let code = found.error.as_deref().unwrap_or("no reason given");
            let partial = if found.partial.is_some() { ", part of it is left unread" } else { "" };
            let why = format!("{}: {}{partial}", status.to_lowercase(), short(code));
            Stage::Failed { why, denied: code == "ACCESS_DENIED" }
        }
        other => {
            let reason = format!("its status {:?} is none we know", short(other));
            return Err(AdminError::Permanent(client.about(&BULK_LOOK, &reason)));
        }
    };
    Ok(Some(Operation { created_at: found.created_at, query: found.query, stage }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operation_that_runs_is_found_in_the_message() {
        let message = "A bulk query operation for this app and shop is already in progress: \
                       gid://shopify/BulkOperation/4039184154813.";
        let id = operation_in(message);
        assert_eq!(id.as_deref(), Some("gid://shopify/BulkOperation/4039184154813"));
        assert_eq!(operation_in("already in progress"), None);
        assert_eq!(operation_in(OPERATION), None);
    }
}
