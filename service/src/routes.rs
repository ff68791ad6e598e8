//! The routes: requests in, one epoch's answer out, every refusal a problem.
//!
//! Invariant: bodies, run times, queries and streams at once all have a bound, stated here or in
//! the module that owns it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use ionflux_schemas::time::Epoch;
use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;

use crate::assets;
use crate::dashboard::Choice;
use crate::dashboard::live::Dashboards;
use crate::params::{Selection, shown, unique};
use crate::problem::Problem;
use crate::render::{self, Cells, Format};
use crate::select;
use crate::sql::{self, Answer};
use crate::sse;
use crate::store::{Phase, Store};
use crate::stream::{self, Wanted};
use crate::tables::{Table, Tables};

pub use crate::dashboard::Calendars;

/// The longest a request may take, body included; a little more than a query may run.
const REQUEST_MAX: Duration = Duration::from_secs(40);
/// Queries of clients at once: with the memory of each, the most they can hold together.
const QUERIES_MAX: usize = 4;
/// What exists, for whoever asks for something else.
const ROUTES: &str = "routes are /, /healthz, /v1/views, /v1/views/{name}, /v1/stream, \
                      /v1/dashboard, /v1/dashboard/stream (GET) and /v1/sql (POST)";
/// The header that names the epoch of every answer.
const EPOCH: HeaderName = HeaderName::from_static("ionflux-epoch");

#[derive(Clone)]
struct App {
    store: Arc<Store>,
    dashboards: Arc<Dashboards>,
    streams: Arc<Semaphore>,
    queries: Arc<Semaphore>,
}

type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// The whole service over a store, without a socket.
pub fn router(store: Arc<Store>, calendars: Calendars) -> Router {
    let app = App {
        dashboards: Arc::new(Dashboards::new(Arc::clone(&store), calendars)),
        store,
        streams: Arc::new(Semaphore::new(sse::STREAMS_MAX)),
        queries: Arc::new(Semaphore::new(QUERIES_MAX)),
    };
    Router::new()
        .route("/", get(assets::page))
        .route("/live.js", get(assets::live))
        .route("/paint.js", get(assets::paint))
        .route("/style.css", get(assets::style))
        .route("/icon.svg", get(assets::icon))
        .route("/healthz", get(healthz))
        .route("/v1/views", get(views))
        .route("/v1/views/{name}", get(view))
        .route("/v1/sql", post(run_sql))
        .route("/v1/stream", get(stream))
        .route("/v1/dashboard", get(dashboard))
        .route("/v1/dashboard/stream", get(dashboard_stream))
        .fallback(nowhere)
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(sql::TEXT_BYTES_MAX))
        // A stream is answered when it begins, so that this bounds its beginning alone.
        .layer(middleware::from_fn(in_time))
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

async fn healthz(State(app): State<App>) -> Response {
    let health = app.store.health();
    let status = match health.phase {
        Phase::Closed => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    let mut body = serde_json::to_value(health).unwrap_or_default();
    body["as_of"] = health.as_of.to_string().into();
    (status, of(Epoch(health.epoch), JSON), body.to_string()).into_response()
}

async fn views(State(app): State<App>) -> Result<Response, Problem> {
    let tables = app.store.published().tables;
    blocking(move || {
        let views = tables.iter().map(|table| described(table)).collect::<Result<Vec<_>, _>>()?;
        let body = json!({
            "epoch": tables.epoch.0,
            "as_of": tables.as_of.to_string(),
            "views": views,
        });
        Ok((of(tables.epoch, JSON), body.to_string()).into_response())
    })
    .await
}

fn described(table: &Table) -> Result<Json, Problem> {
    let rows = table.rows().map_err(Problem::ours)?.num_rows();
    let schema = table.schema.as_deref();
    let columns = schema.map(|schema| {
        let columns = schema.columns.iter().enumerate().map(|(place, column)| {
            json!({
                "name": column.name,
                "type": column.kind.name(),
                "nullable": column.nullable,
                "key": schema.key.contains(&place),
                "doc": column.doc,
            })
        });
        columns.collect::<Vec<_>>()
    });
    Ok(json!({
        "name": table.name,
        "version": table.version,
        "doc": schema.map(|schema| &schema.doc),
        "rows": rows,
        "columns": columns,
    }))
}

async fn view(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let unread = |error: PathRejection| Problem::bad(error.body_text(), ROUTES);
    let Path(name) = name.map_err(unread)?;
    let pairs = pairs_of(pairs)?;
    let tables = app.store.published().tables;
    blocking(move || rows_of(&tables, &name, &pairs)).await
}

fn rows_of(
    tables: &Arc<Tables>,
    name: &str,
    pairs: &[(String, String)],
) -> Result<Response, Problem> {
    let missing = || {
        let detail = format!("there is no view {}", shown(name));
        Problem::missing(detail, format!("views are {}", tables.names()))
    };
    let table = tables.get(name).ok_or_else(missing)?;
    let schema = table.schema.as_deref().ok_or_else(missing)?;
    let selection = Selection::parse(schema, pairs)?;
    let batch = table.rows().map_err(Problem::ours)?;
    let page = select::page(table, schema, batch, &selection)?;
    let broken = |error: arrow::error::ArrowError| Problem::ours(error.to_string());
    if selection.csv {
        let places =
            arrow::array::UInt64Array::from_iter_values(page.rows.iter().map(|row| *row as u64));
        let batches = vec![arrow::compute::take_record_batch(batch, &places).map_err(broken)?];
        let (epoch, as_of, schema) = (tables.epoch, tables.as_of, batch.schema());
        let answer = Answer { epoch, as_of, schema, batches, truncated: page.next.is_some() };
        let text = render::csv(&answer).map_err(broken)?;
        let mut headers = of(tables.epoch, "text/csv; charset=utf-8");
        if let Some(next) = page.next.and_then(|next| HeaderValue::from_str(&next).ok()) {
            headers.insert("ionflux-next-cursor", next);
        }
        return Ok((headers, text).into_response());
    }
    let cells = Cells::new(batch).map_err(broken)?;
    let mut rows = String::new();
    for row in page.rows {
        rows.push_str(if rows.is_empty() { "" } else { "," });
        cells.json(row, &mut rows).map_err(broken)?;
    }
    let next = page.next.map_or("null".to_owned(), |next| render::json_text(&next));
    let (view, version, epoch, as_of) = (&table.name, table.version, tables.epoch, tables.as_of);
    let head = format!(r#""view":"{view}","version":{version},"epoch":{epoch},"as_of":"{as_of}""#);
    let body = format!(r#"{{{head},"rows":[{rows}],"next_cursor":{next}}}"#);
    Ok((of(tables.epoch, JSON), body).into_response())
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
    let answer = sql::query(&app.store.published().tables, text).await?;
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

const JSON: &str = "application/json";
const PARQUET: &str = "application/vnd.apache.parquet";

fn pairs_of(pairs: Pairs) -> Result<Vec<(String, String)>, Problem> {
    let unread =
        |error: QueryRejection| Problem::bad(error.body_text(), "use name=value&name=value");
    pairs.map(|Query(pairs)| pairs).map_err(unread)
}

fn of(epoch: Epoch, kind: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(EPOCH, HeaderValue::from(epoch.0));
    headers
}

/// Runs what takes a while beside the tasks that must stay quick.
async fn blocking(
    work: impl FnOnce() -> Result<Response, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Problem::ours("the answer could not be made")))
}
