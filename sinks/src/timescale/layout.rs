//! All that the schema `ionflux` should hold for the views of a program: tables, their policies,
//! and views over them.
//!
//! Invariant: an object's checksum says all that it is made of, so that an object whose checksum is
//! in the database is there as this program would make it.

use super::domain;
use super::hyper::{self, Extension, chunked};
use super::table::{Table, quoted};
use super::text::digest;
use super::{access, migrate};

/// The options that shape it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Options {
    pub(super) hypertables: bool,
    pub(super) columnstore_after_days: u32,
    pub(super) retention_days: u32,
    pub(super) answer_s: u32,
}

/// What an object is, which decides how it goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Table,
    Policies,
    View,
    Aggregate,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Table, Self::Policies, Self::View, Self::Aggregate];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Policies => "policies",
            Self::View => "view",
            Self::Aggregate => "aggregate",
        }
    }
}

/// Something to make in the database.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// The schema, `ionflux` or `ionflux_read`.
    pub(super) schema: &'static str,
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The version of the view that a table shows; 0 for others.
    pub(super) version: u32,
    /// The objects it stands on, by schema and name.
    pub(super) needs: Vec<String>,
    /// Makes it.
    pub(super) statements: Vec<String>,
    /// What a view of ours shows.
    pub(super) select: Option<String>,
    /// The column that says whose a row is, if rows are anybody's.
    pub(super) workspace: Option<&'static str>,
}

impl Object {
    /// Schema and name, as `to_regclass` takes them.
    pub(super) fn place(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    pub(super) fn checksum(&self) -> String {
        digest(&format!("{}\n{}", self.version, self.statements.join("\n")))
    }

    /// Something of `ionflux` over one of its tables or views.
    pub(super) fn over(
        needs: &str,
        name: &str,
        workspace: Option<&'static str>,
        statements: Vec<String>,
    ) -> Self {
        Self {
            schema: "ionflux",
            name: name.to_owned(),
            kind: Kind::View,
            version: 0,
            needs: vec![format!("ionflux.{needs}")],
            statements,
            select: None,
            workspace,
        }
    }

    /// A view of `ionflux` that shows a query over one of its tables.
    pub(super) fn showing(
        needs: &str,
        name: &str,
        workspace: Option<&'static str>,
        select: String,
    ) -> Self {
        let made = format!("CREATE VIEW ionflux.{} AS {select}", quoted(name));
        Self { select: Some(select), ..Self::over(needs, name, workspace, vec![made]) }
    }

    /// The same with the rights of whoever asks, so that the tables below filter for them.
    fn invoked(mut self) -> Self {
        if let (Some(select), Some(made)) = (&self.select, self.statements.first_mut()) {
            let name = quoted(&self.name);
            *made =
                format!("CREATE VIEW ionflux.{name} WITH (security_invoker = true) AS {select}");
        }
        self
    }
}

/// Takes an object away; `name` is plain.
pub(super) fn removal(kind: Kind, schema: &str, name: &str) -> Vec<String> {
    let place = format!("{schema}.{}", quoted(name));
    match kind {
        Kind::Table => vec![format!("DROP TABLE IF EXISTS {place}")],
        Kind::View => vec![format!("DROP VIEW IF EXISTS {place}")],
        Kind::Aggregate => vec![format!("DROP MATERIALIZED VIEW IF EXISTS {place}")],
        Kind::Policies => hyper::no_policies(&place),
    }
}

/// What a server can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Server {
    pub(super) extension: Extension,
    /// Whether views may have the rights of whoever asks: PostgreSQL 15 and later.
    pub(super) invokers: bool,
}

/// The tables and all objects, in the order they are made.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) tables: Vec<Table>,
    pub(super) objects: Vec<Object>,
    pub(super) extension: Extension,
    /// After how many days rows of hypertables are kept no more; 0 for never.
    pub(super) retention_days: u32,
    /// Of everything.
    pub(super) checksum: String,
}

impl Layout {
    pub(super) fn new(tables: &[Table], options: &Options, server: Server) -> Self {
        let Server { extension, invokers } = server;
        let invoked = |object: Object| if invokers { object.invoked() } else { object };
        let mut objects: Vec<Object> = tables.iter().map(|t| of_table(t, extension)).collect();
        for table in tables.iter().filter(|table| chunked(table, extension)) {
            let statements = hyper::policies(table, options);
            if !statements.is_empty() {
                let kind = Kind::Policies;
                objects.push(Object {
                    kind,
                    ..Object::over(table.view.name, table.view.name, None, statements)
                });
            }
        }
        objects.extend(daily(tables, options, extension).map(invoked));
        objects.extend(domain::views(tables).into_iter().map(invoked));
        let shown: Vec<&Object> = objects.iter().filter(|o| o.kind != Kind::Policies).collect();
        let filtered: Vec<Object> = shown.into_iter().map(filtered).collect();
        objects.extend(filtered);
        objects.push(mark());
        let mut whole = migrate::checksum();
        for object in &objects {
            whole.push_str(&object.checksum());
        }
        let retention_days = match extension {
            Extension::Present => options.retention_days,
            Extension::Absent => 0,
        };
        let (tables, checksum) = (tables.to_vec(), digest(&whole));
        Self { tables, objects, extension, retention_days, checksum }
    }
}

/// A table with what is its own.
pub(super) fn of_table(table: &Table, extension: Extension) -> Object {
    let mut statements = table.definition();
    let workspace = table.schema.column("workspace_id").map(|_| "workspace_id");
    match chunked(table, extension) {
        true => statements.extend(hyper::definition(table)),
        false => statements.extend(access::row_security(&table.own_name(), workspace)),
    }
    Object {
        schema: "ionflux",
        name: table.view.name.to_owned(),
        kind: Kind::Table,
        version: table.view.version,
        needs: Vec::new(),
        statements,
        select: None,
        workspace,
    }
}

/// How far the tables are, for readers.
fn mark() -> Object {
    let statements = access::MARK.map(str::to_owned).to_vec();
    Object {
        schema: "ionflux_read",
        name: "sink_mark".to_owned(),
        kind: Kind::View,
        version: 0,
        needs: Vec::new(),
        statements,
        select: None,
        workspace: None,
    }
}

fn filtered(of: &Object) -> Object {
    let statement = access::filtered(&of.name, of.select.as_deref(), of.workspace);
    let view = Object::over(&of.name, &of.name, of.workspace, vec![statement]);
    Object { schema: "ionflux_read", ..view }
}

/// The totals of days from those of hours, if there are hours.
fn daily(tables: &[Table], options: &Options, extension: Extension) -> Option<Object> {
    let hourly = tables.iter().find(|table| table.view.name == "metrics_hourly")?;
    let needed = ["hour", "currency", "orders", "revenue", "refunds", "returns"];
    let whole = needed.iter().all(|name| hourly.schema.column(name).is_some());
    let (name, workspace) = ("metrics_daily", Some("workspace_id"));
    let object = match chunked(hourly, extension) {
        true => {
            let statements = hyper::daily_aggregate(options);
            let aggregate = Object::over("metrics_hourly", name, workspace, statements);
            Object { kind: Kind::Aggregate, ..aggregate }
        }
        false => {
            let select = hyper::DAILY_SELECT.to_owned();
            let mut view = Object::showing("metrics_hourly", name, workspace, select);
            view.statements.push(hyper::DAILY_VIEW_IS.to_owned());
            view
        }
    };
    whole.then_some(object)
}
