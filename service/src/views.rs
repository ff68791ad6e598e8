//! Views over HTTP: which there are, and the rows of one, page by page.
//!
//! Invariant: an answer is of the one epoch that it names.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

use crate::answer::{JSON, Pairs, blocking, of, pairs_of};
use crate::params::{Selection, shown};
use crate::probes::Probes;
use crate::problem::Problem;
use crate::render::{self, Cells};
use crate::select;
use crate::sql::Answer;
use crate::status;
use crate::store::Store;
use crate::tables::{Table, Tables};

pub(crate) async fn views(
    State(store): State<Arc<Store>>,
    State(probes): State<Arc<Probes>>,
) -> Result<Response, Problem> {
    let tables = store.published().tables;
    let tables = status::beside(&tables, &probes.board).map_err(Problem::ours)?;
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

pub(crate) async fn view(
    State(store): State<Arc<Store>>,
    State(probes): State<Arc<Probes>>,
    name: Result<Path<String>, PathRejection>,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let unread = |error: PathRejection| Problem::bad(error.body_text(), "use /v1/views/{name}");
    let Path(name) = name.map_err(unread)?;
    let pairs = pairs_of(pairs)?;
    let tables = store.published().tables;
    let tables = status::beside(&tables, &probes.board).map_err(Problem::ours)?;
    blocking(move || rows_of(&tables, &name, &pairs)).await
}

fn rows_of(
    tables: &Arc<Tables>,
    name: &str,
    pairs: &[(String, String)],
) -> Result<Response, Problem> {
    if tables.rebuilding(name) {
        return Err(Problem::rebuilding(name));
    }
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
