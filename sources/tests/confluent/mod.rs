//! A small server of the Confluent registry API, on loopback, for tests of its client.
//!
//! Invariant: what it answers is what the API says; it can be away, and asks for a password.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// What the server has.
#[derive(Default)]
pub struct Held {
    /// Schemas by id.
    pub schemas: BTreeMap<u32, Value>,
    /// Ids of the versions of each subject.
    pub subjects: BTreeMap<String, Vec<u32>>,
    /// How many requests are still answered with 503.
    pub away: u32,
    /// How many requests came.
    pub asked: u32,
    /// Whether nothing more is taken.
    pub read_only: bool,
    /// The `Authorization` that is asked for.
    pub authorization: Option<String>,
}

type Shared = Arc<Mutex<Held>>;

/// A server at work.
pub struct Server {
    /// What it has.
    pub held: Shared,
    address: SocketAddr,
    _runtime: Runtime,
}

impl Server {
    /// Starts one.
    pub fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let held = Shared::default();
        let router = Router::new()
            .route("/schemas/ids/{id}", get(schema))
            .route("/subjects/{subject}", post(known))
            .route("/subjects/{subject}/versions", post(register))
            .route("/compatibility/subjects/{subject}/versions/latest", post(compatible))
            .layer(from_fn_with_state(Arc::clone(&held), guard))
            .with_state(Arc::clone(&held));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { held, address, _runtime: runtime }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn problem(status: u16, code: u32, message: &str) -> Response {
    let body = Json(json!({ "error_code": code, "message": message }));
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

async fn guard(State(held): State<Shared>, request: Request, next: Next) -> Response {
    {
        let mut held = held.lock().unwrap();
        held.asked += 1;
        if held.away > 0 {
            held.away -= 1;
            return problem(503, 50301, "away");
        }
        let shown = request.headers().get("authorization").map(|text| text.to_str().unwrap());
        if held.authorization.as_deref().is_some_and(|asked| shown != Some(asked)) {
            return problem(401, 40101, "Unauthorized");
        }
        let kind = request.headers().get("content-type").map(|text| text.to_str().unwrap());
        if request.method() == "POST" && kind != Some("application/vnd.schemaregistry.v1+json") {
            return problem(415, 415, "Unsupported Media Type");
        }
    }
    next.run(request).await
}

async fn schema(State(held): State<Shared>, Path(id): Path<u32>) -> Response {
    match held.lock().unwrap().schemas.get(&id) {
        Some(schema) => Json(schema.clone()).into_response(),
        None => problem(404, 40403, "Schema not found"),
    }
}

fn latest(held: &Held, subject: &str) -> Option<Schema> {
    let id = held.subjects.get(subject)?.last()?;
    Some(Schema::parse_str(held.schemas[id]["schema"].as_str().unwrap()).unwrap())
}

async fn known(State(held): State<Shared>, Path(subject): Path<String>, body: String) -> Response {
    let body: Value = serde_json::from_str(&body).unwrap();
    let held = held.lock().unwrap();
    let Some(versions) = held.subjects.get(&subject) else {
        return problem(404, 40401, "Subject not found");
    };
    match versions.iter().find(|id| held.schemas[id]["schema"] == body["schema"]) {
        Some(id) => Json(json!({ "subject": subject, "id": id })).into_response(),
        None => problem(404, 40403, "Schema not found"),
    }
}

async fn register(
    State(held): State<Shared>,
    Path(subject): Path<String>,
    body: String,
) -> Response {
    let body: Value = serde_json::from_str(&body).unwrap();
    let Ok(new) = Schema::parse_str(body["schema"].as_str().unwrap()) else {
        return problem(422, 42201, "Invalid Avro schema");
    };
    let mut held = held.lock().unwrap();
    if held.read_only {
        return problem(422, 42205, &format!("Subject {subject} is in read-only mode"));
    }
    if latest(&held, &subject).is_some_and(|old| SchemaCompatibility::can_read(&old, &new).is_err())
    {
        return problem(409, 409, "Schema being registered is incompatible");
    }
    let known = held.schemas.iter().find(|(_, known)| known["schema"] == body["schema"]);
    let id = known.map_or_else(|| held.schemas.len() as u32 + 1, |(id, _)| *id);
    held.schemas.insert(id, json!({ "schema": body["schema"] }));
    let versions = held.subjects.entry(subject).or_default();
    if !versions.contains(&id) {
        versions.push(id);
    }
    Json(json!({ "id": id })).into_response()
}

async fn compatible(
    State(held): State<Shared>,
    Path(subject): Path<String>,
    body: String,
) -> Response {
    let body: Value = serde_json::from_str(&body).unwrap();
    let new = Schema::parse_str(body["schema"].as_str().unwrap()).unwrap();
    let Some(old) = latest(&held.lock().unwrap(), &subject) else {
        return problem(404, 40401, "Subject not found");
    };
    let read = SchemaCompatibility::can_read(&old, &new);
    let messages: Vec<String> = read.as_ref().err().map(ToString::to_string).into_iter().collect();
    Json(json!({ "is_compatible": read.is_ok(), "messages": messages })).into_response()
}
