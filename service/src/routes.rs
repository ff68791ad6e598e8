//! The routes: requests in, one epoch's answer out, every refusal a problem.
//!
//! Invariant: bodies, run times, queries and streams at once all have a bound, stated here or in
//! the module that owns it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRef, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post};
use ionflux_schemas::time::Epoch;
use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;

use crate::answer::{JSON, Pairs, blocking, of, pairs_of};
use crate::dashboard::Choice;
use crate::dashboard::live::Dashboards;
use crate::meters::{Metered, Meters, measured};
use crate::params::{shown, unique};
use crate::probes::{self, Probes};
use crate::problem::Problem;
use crate::render::{self, Format};
use crate::sql;
use crate::sse;
use crate::status;
use crate::store::Store;
use crate::stream::{self, Wanted};
use crate::{assets, views};

pub use crate::dashboard::Calendars;
pub use crate::health::HealthBoard;

/// The longest a request may take, body included; a little more than a query may run.
const REQUEST_MAX: Duration = Duration::from_secs(40);
/// Queries of clients at once: with the memory of each, the most they can hold together.
const QUERIES_MAX: usize = 4;
/// What exists, for whoever asks for something else.
const ROUTES: &str = "routes are /, /healthz, /readyz, /metrics, /v1/views, \
                      /v1/views/{name}, /v1/stream, /v1/dashboard, /v1/dashboard/stream (GET) \
                      and /v1/sql (POST)";
const PARQUET: &str = "application/vnd.apache.parquet";

/// What the service needs to know of the program around it.
#[derive(Clone)]
pub struct Context {
    /// Tells each shop's calendar.
    pub calendars: Calendars,
    /// Where the program's components say how they are.
    pub board: Arc<HealthBoard>,
    /// The program's metrics, shown at `/metrics` beside those of the service.
    pub registry: prometheus::Registry,
}

impl Context {
    /// A program without components and metrics of its own.
    #[must_use]
    pub fn new(calendars: Calendars) -> Self {
        Self { calendars, board: Arc::default(), registry: prometheus::Registry::new() }
    }
}

#[derive(Clone)]
struct App {
    store: Arc<Store>,
    probes: Arc<Probes>,
    dashboards: Arc<Dashboards>,
    streams: Arc<Semaphore>,
    queries: Arc<Semaphore>,
}

impl FromRef<App> for Arc<Store> {
    fn from_ref(app: &App) -> Self {
        Arc::clone(&app.store)
    }
}

impl FromRef<App> for Arc<Probes> {
    fn from_ref(app: &App) -> Self {
        Arc::clone(&app.probes)
    }
}

/// The whole service over a store, without a socket.
///
/// # Panics
/// When a metric of the service is malformed, which any test of a route rules out.
pub fn router(store: Arc<Store>, context: Context) -> Router {
    let Context { calendars, board, registry } = context;
    let meters = Arc::new(Meters::new());
    let app = App {
        dashboards: Arc::new(Dashboards::new(Arc::clone(&store), calendars)),
        probes: Arc::new(Probes { board, registry, meters: Arc::clone(&meters) }),
        store,
        streams: Arc::new(Semaphore::new(sse::STREAMS_MAX)),
        queries: Arc::new(Semaphore::new(QUERIES_MAX)),
    };
    let routes: [(&'static str, MethodRouter<App>); 14] = [
        ("/", get(assets::page)),
        ("/live.js", get(assets::live)),
        ("/paint.js", get(assets::paint)),
        ("/style.css", get(assets::style)),
        ("/icon.svg", get(assets::icon)),
        ("/healthz", get(probes::healthz)),
        ("/readyz", get(probes::readyz)),
        ("/metrics", get(probes::metrics)),
        ("/v1/views", get(views::views)),
        ("/v1/views/{name}", get(views::view)),
        ("/v1/sql", post(run_sql)),
        ("/v1/stream", get(stream)),
        ("/v1/dashboard", get(dashboard)),
        ("/v1/dashboard/stream", get(dashboard_stream)),
    ];
    let metered = |route| Metered { route, meters: Arc::clone(&meters) };
    let add = |router: Router<App>, (path, methods): (&'static str, MethodRouter<App>)| {
        // Measured on the route itself, where its pattern is known.
        let methods = methods
            .fallback(not_so)
            // A stream is answered when it begins, so that this bounds its beginning alone.
            .layer(middleware::from_fn(in_time))
            .layer(middleware::from_fn_with_state(metered(path), measured));
        router.route(path, methods)
    };
    let elsewhere = middleware::from_fn_with_state(metered("none"), measured);
    routes
        .into_iter()
        .fold(Router::new(), add)
        .fallback_service(any(nowhere).layer(elsewhere).with_state(()))
        .layer(DefaultBodyLimit::max(sql::TEXT_BYTES_MAX))
        .with_state(app)
}

async fn in_time(request: Request, next: Next) -> Response {
    let late = |_| {
        let detail = format!("the request took longer than {} seconds", REQUEST_MAX.as_secs());
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "too slow", detail, "ask for less at once")
            .into_response()
    };
    tokio::time::timeout(REQUEST_MAX, next.run(request)).await.unwrap_or_else(late)
}

async fn nowhere() -> Problem {
    Problem::missing("there is nothing at this path", ROUTES)
}

async fn not_so() -> Problem {
    let detail = "this path does not take this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", detail, ROUTES)
}

async fn run_sql(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|error| {
        let hint = format!("send the SQL text as the body, at most {} bytes", sql::TEXT_BYTES_MAX);
        Problem::new(error.status(), "unreadable body", error.body_text(), hint)
    })?;
    let not_text = |_| Problem::bad("the body is not UTF-8", "send the SQL text as the body");
    let text = std::str::from_utf8(&body).map_err(not_text)?;
    let full = |_| Problem::busy(format!("{QUERIES_MAX} queries are running already"));
    let _permit = app.queries.try_acquire().map_err(full)?;
    let (format, kind) = accepted(&headers)?;
    let tables = app.store.published().tables;
    let tables = status::beside_if_asked(tables, &app.probes.board, text).map_err(Problem::ours)?;
    let answer = sql::query(&tables, text).await?;
    blocking(move || {
        let broken = |error: arrow::error::ArrowError| Problem::ours(error.to_string());
        let mut sent = of(answer.epoch, kind);
        if answer.truncated {
            sent.insert("ionflux-truncated", HeaderValue::from_static("true"));
        }
        if format != Format::Json {
            let bytes = render::render(&answer, format).map_err(broken)?;
            return Ok((sent, bytes).into_response());
        }
        let fields = answer.schema.fields().iter();
        let column = |f: &Arc<arrow::datatypes::Field>| {
            json!({"name": f.name(), "type": f.data_type().to_string()})
        };
        let columns = Json::from(fields.map(column).collect::<Vec<_>>());
        let rows = render::json(&answer.batches).map_err(broken)?;
        let (epoch, as_of, cut) = (answer.epoch, answer.as_of, answer.truncated);
        let head = format!(r#""epoch":{epoch},"as_of":"{as_of}","truncated":{cut}"#);
        let body = format!(r#"{{{head},"columns":{columns},"rows":{rows}}}"#);
        Ok((sent, body).into_response())
    })
    .await
}

/// The first format of `Accept` that we speak; JSON if there is no such header.
fn accepted(headers: &HeaderMap) -> Result<(Format, &'static str), Problem> {
    let Some(accept) = headers.get(header::ACCEPT) else { return Ok((Format::Json, JSON)) };
    let kinds = accept.to_str().unwrap_or_default().split(',');
    let format = |kind: &str| match kind.split(';').next().unwrap_or_default().trim() {
        "*/*" | "application/*" | JSON => Some((Format::Json, JSON)),
        "text/csv" => Some((Format::Csv, "text/csv; charset=utf-8")),
        "text/plain" | "text/*" => Some((Format::Table, "text/plain; charset=utf-8")),
        PARQUET => Some((Format::Parquet, PARQUET)),
        _ => None,
    };
    kinds.filter_map(format).next().ok_or_else(|| {
        let hint = format!("ask for {JSON}, text/csv, text/plain or {PARQUET}");
        Problem::new(StatusCode::NOT_ACCEPTABLE, "not acceptable", "no such format", hint)
    })
}

async fn stream(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    let pairs = pairs_of(pairs)?;
    let wanted = Arc::new(Wanted::parse(&app.store.published().tables, &pairs)?);
    let (outlet, response) = sse::open(&app.streams)?;
    let begun = stream::begin(&app.store, &wanted).await?;
    tokio::spawn(stream::feed(app.store, wanted, begun, outlet));
    Ok(response)
}

async fn dashboard(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    let choice = choice(&pairs_of(pairs)?)?;
    let (epoch, body) = app.dashboards.json(&choice).await?;
    Ok((of(Epoch(epoch), JSON), body).into_response())
}

async fn dashboard_stream(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    let choice = choice(&pairs_of(pairs)?)?;
    let (outlet, response) = sse::open(&app.streams)?;
    let first = app.dashboards.first(&choice).await?;
    tokio::spawn(Arc::clone(&app.dashboards).feed(choice, first, outlet));
    Ok(response)
}

fn choice(pairs: &[(String, String)]) -> Result<Choice, Problem> {
    unique(pairs)?;
    let mut choice = Choice::default();
    for (name, value) in pairs {
        let value = Some(value.as_str().into());
        match name.as_str() {
            "workspace_id" => choice.workspace = value,
            "shop_id" => choice.shop = value,
            "currency" => choice.currency = value,
            _ => {
                let detail = format!("there is no parameter {}", shown(name));
                return Err(Problem::bad(detail, "use workspace_id, shop_id, currency or none"));
            }
        }
    }
    Ok(choice)
}
