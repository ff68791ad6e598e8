//! Schema registries that speak Confluent's API: schemas by id, and ours put in.
//!
//! Invariant: what will never be answered is told from what may be answered later; no message
//! holds a credential.

pub mod check;
pub mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use thiserror::Error;
use ureq::http::{Response, Uri};
use ureq::{Agent, Body};

use crate::poller::Stop;

/// How long one request may take, and how long connecting.
const REQUEST_MAX: Duration = Duration::from_secs(10);
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// The longest schema that is used: it goes with every delivery of its messages.
pub const SCHEMA_BYTES_MAX: usize = 64 << 10;
/// How many schemas are remembered.
const SCHEMAS_MAX: usize = 1_000;
/// How often something is tried that may go well the next time, and the first pause.
const TRIES_MAX: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);
/// The type of what is sent and taken.
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Why a registry did not answer as it was asked.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RegistryError {
    /// It may the next time.
    #[error("schema registry: {0}")]
    Transient(String),
    /// It does not know what it was asked for.
    #[error("schema registry: {0} is unknown")]
    Unknown(String),
    /// It never will.
    #[error("schema registry: {0}")]
    Refused(String),
}

/// Who asks.
#[derive(Clone)]
pub struct Credentials {
    /// The user, or the name of an API key.
    pub user: String,
    /// The password, or the key's secret.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What a schema is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// Avro.
    Avro,
    /// JSON Schema: the datum is JSON.
    Json,
}

/// A schema that a registry knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registered {
    /// What it is written in.
    pub language: Language,
    /// Its text.
    pub text: Arc<str>,
}

/// One registry.
pub struct Registry {
    url: String,
    authorization: Option<String>,
    agent: Agent,
    known: BTreeMap<u32, Registered>,
}

impl Registry {
    /// A registry at a URL; nothing is asked yet.
    ///
    /// # Errors
    /// [`RegistryError::Refused`] when the URL is none of a registry.
    pub fn new(url: &str, credentials: Option<Credentials>) -> Result<Self, RegistryError> {
        let url = url.trim_end_matches('/').to_owned();
        let parsed = url.parse::<Uri>().ok();
        let scheme = parsed.as_ref().and_then(Uri::scheme_str);
        if !matches!(scheme, Some("http" | "https")) || url.contains('@') {
            let problem = "the URL must be http:// or https:// and hold no credentials";
            return Err(RegistryError::Refused(problem.into()));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(REQUEST_MAX))
            .timeout_connect(Some(CONNECT_MAX))
            .user_agent(concat!("ionflux/", env!("CARGO_PKG_VERSION")))
            .build();
        let authorization = credentials.map(|Credentials { user, password }| {
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
        });
        let (agent, known) = (Agent::new_with_config(config), BTreeMap::new());
        Ok(Self { url, authorization, agent, known })
    }

    /// The schema of an id, asked once and then remembered: an id never means another schema.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn schema(&mut self, id: u32) -> Result<Registered, RegistryError> {
        if let Some(known) = self.known.get(&id) {
            return Ok(known.clone());
        }
        let what = format!("schema {id}");
        let answer = self.get(&format!("/schemas/ids/{id}"), &what)?;
        let text = answer["schema"].as_str().unwrap_or_default();
        let refused = |why: &str| Err(RegistryError::Refused(format!("{what}: {why}")));
        let language = match answer["schemaType"].as_str() {
            None | Some("AVRO") => Language::Avro,
            Some("JSON") => Language::Json,
            Some(_) => return refused("it is neither Avro nor JSON Schema"),
        };
        if answer["references"].as_array().is_some_and(|list| !list.is_empty()) {
            return refused("it refers to other schemas; register it whole");
        }
        if text.is_empty() || text.len() > SCHEMA_BYTES_MAX {
            return refused(&format!("it is empty or longer than {SCHEMA_BYTES_MAX} bytes"));
        }
        let registered = Registered { language, text: text.into() };
        if self.known.len() >= SCHEMAS_MAX {
            self.known.pop_first();
        }
        self.known.insert(id, registered.clone());
        Ok(registered)
    }

    /// Whether a schema may become the next version of a subject, and why not.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn compatible(
        &self,
        subject: &str,
        schema: &str,
        stop: &Stop,
    ) -> Result<Result<(), String>, RegistryError> {
        let path = format!("/compatibility/subjects/{subject}/versions/latest?verbose=true");
        let body = json!({ "schema": schema });
        match tried(stop, || self.post(&path, &body, subject)) {
            Ok(answer) if answer["is_compatible"].as_bool() == Some(false) => {
                let messages = answer["messages"].as_array().map_or(&[][..], Vec::as_slice);
                let messages: Vec<&str> = messages.iter().filter_map(Json::as_str).collect();
                Ok(Err(messages.join("; ")))
            }
            // A subject without a version takes any schema.
            Ok(_) | Err(RegistryError::Unknown(_)) => Ok(Ok(())),
            Err(error) => Err(error),
        }
    }

    /// The id of a schema that is one of the versions of a subject. Whoever may only read may ask.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn known(
        &self,
        subject: &str,
        schema: &str,
        stop: &Stop,
    ) -> Result<Option<u32>, RegistryError> {
        let body = json!({ "schema": schema });
        match tried(stop, || self.post(&format!("/subjects/{subject}"), &body, subject)) {
            Ok(answer) => id_of(&answer, subject).map(Some),
            Err(RegistryError::Unknown(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a schema in as the next version of a subject, unless it is there; gives its id.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn register(&self, subject: &str, schema: &str, stop: &Stop) -> Result<u32, RegistryError> {
        let path = format!("/subjects/{subject}/versions");
        let body = json!({ "schema": schema });
        let answer = tried(stop, || self.post(&path, &body, subject))?;
        id_of(&answer, subject)
    }

    fn get(&self, path: &str, what: &str) -> Result<Json, RegistryError> {
        let request = self.agent.get(format!("{}{path}", self.url)).header("accept", CONTENT_TYPE);
        let request = match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        };
        answer(request.call(), what)
    }

    fn post(&self, path: &str, body: &Json, what: &str) -> Result<Json, RegistryError> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let request = request.header("accept", CONTENT_TYPE).header("content-type", CONTENT_TYPE);
        let request = match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        };
        answer(request.send(body.to_string()), what)
    }
}

fn id_of(answer: &Json, subject: &str) -> Result<u32, RegistryError> {
    let id = answer["id"].as_u64().and_then(|id| u32::try_from(id).ok());
    id.ok_or_else(|| RegistryError::Refused(format!("{subject}: the answer has no id")))
}

/// Tries what may go well the next time.
fn tried(
    stop: &Stop,
    mut ask: impl FnMut() -> Result<Json, RegistryError>,
) -> Result<Json, RegistryError> {
    let mut tries = 1;
    loop {
        match ask() {
            Err(RegistryError::Transient(_)) if tries < TRIES_MAX => {
                if stop.wait(PAUSE * 2_u32.pow(tries - 1)) {
                    return Err(RegistryError::Transient("told to stop".into()));
                }
                tries += 1;
            }
            done => return done,
        }
    }
}

fn answer(asked: Result<Response<Body>, ureq::Error>, what: &str) -> Result<Json, RegistryError> {
    let transient = |why: &dyn fmt::Display| RegistryError::Transient(format!("{what}: {why}"));
    let answer = asked.map_err(|error| transient(&error))?;
    let status = answer.status().as_u16();
    let mut text = String::new();
    let body = answer.into_body().into_reader().take(ANSWER_BYTES_MAX + 1);
    let read = std::io::BufReader::new(body).read_to_string(&mut text);
    read.map_err(|error| transient(&error))?;
    if text.len() as u64 > ANSWER_BYTES_MAX {
        let why = format!("{what}: an answer of more than {ANSWER_BYTES_MAX} bytes");
        return Err(RegistryError::Refused(why));
    }
    let json = serde_json::from_str::<Json>(&text).unwrap_or(Json::Null);
    let told = json["message"].as_str().unwrap_or("no reason given");
    let told: String = told.chars().take(300).collect();
    match status {
        200..=299 if json.is_object() => Ok(json),
        // A proxy in between that knows no such page does not say so in the registry's words.
        404 if json["error_code"].is_u64() => Err(RegistryError::Unknown(what.to_owned())),
        408 | 429 | 500..=599 => Err(transient(&format!("status {status}: {told}"))),
        200..=399 | 404 => Err(transient(&format!("status {status} of something else"))),
        401 | 403 => Err(transient(&format!("status {status}: check user, password and rights"))),
        _ => Err(RegistryError::Refused(format!("{what}: status {status}: {told}"))),
    }
}
