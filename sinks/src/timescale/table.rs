//! A table of a view: its definition and every statement that touches its rows.
//!
//! Invariant: names come from the view schemas that are compiled in, are checked once, and are
//! always quoted; columns, order and key are those of the view.

use std::sync::Arc;

use ionflux_schemas::avro::{Column, ColumnKind, MONEY_PRECISION, MONEY_SCALE, Schema};
use ionflux_schemas::view::View;

use crate::error::SinkError;

/// An index of PostgreSQL takes rows of up to 2,704 bytes; some are left for headers.
const KEY_BYTES_MAX: usize = 2_648;
/// What a column of a key takes besides its text, or at all if it holds none.
const KEY_COLUMN_BYTES: usize = 8;
/// PostgreSQL cuts longer names.
const NAME_BYTES_MAX: usize = 50;
const COLUMNS_MAX: usize = 200;
/// The column of staging tables that says that a row goes.
const GONE: &str = "ionflux_gone";
/// How full pages are of new rows, in percent. With half of a page free a changed row stays on its
/// page and its index as it is, even if all rows change at once: thrice as fast, without bloat.
const FILL: u32 = 50;

/// A view and its table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) view: &'static View,
    pub(super) schema: Arc<Schema>,
    /// How long a text in the key may be.
    pub(super) key_text_bytes: usize,
    /// Whether it is made beside the table that readers still read.
    beside: bool,
}

impl Table {
    /// The table of a view.
    pub(super) fn new(view: &'static View) -> Result<Self, SinkError> {
        let schema = view.parsed();
        let names = schema.columns.iter().map(|column| column.name.as_str()).chain([view.name]);
        if let Some(name) = names.into_iter().find(|name| !plain(name)) {
            let what = format!("the view {}: {name} cannot name a column or table", view.name);
            return Err(SinkError::permanent(what));
        }
        if schema.columns.len() > COLUMNS_MAX {
            let what = format!("the view {} has more than {COLUMNS_MAX} columns", view.name);
            return Err(SinkError::permanent(what));
        }
        let kinds = schema.key.iter().map(|place| schema.columns[*place].kind);
        let texts = kinds.filter(|kind| *kind == ColumnKind::Text).count().max(1);
        let left = KEY_BYTES_MAX - KEY_COLUMN_BYTES * schema.key.len();
        Ok(Self { view, schema, key_text_bytes: left / texts, beside: false })
    }

    pub(super) fn width(&self) -> usize {
        self.schema.columns.len()
    }

    pub(super) fn column(&self, place: usize) -> &Column {
        &self.schema.columns[place]
    }

    pub(super) fn in_key(&self, place: usize) -> bool {
        self.schema.key.contains(&place)
    }

    /// The first column of the key that is a time.
    pub(super) fn time(&self) -> Option<&Column> {
        self.time_place().map(|place| self.column(place))
    }

    /// Where that column is in a row.
    pub(super) fn time_place(&self) -> Option<usize> {
        let time = |place: &usize| {
            matches!(self.column(*place).kind, ColumnKind::Day | ColumnKind::Instant)
        };
        self.schema.key.iter().copied().find(time)
    }

    /// The same under another name, which it loses by [`Table::take_place`].
    pub(super) fn beside(&self) -> Self {
        Self { beside: true, ..self.clone() }
    }

    /// Gives a table that was made beside the name it is for, once that is free.
    pub(super) fn take_place(&self) -> Vec<String> {
        let (new, old) = (self.beside(), self.own_name());
        let (of, key) = (self.name(), quoted(&format!("{}_pkey", new.own_name())));
        let mut renamed = vec![
            format!("ALTER TABLE {} RENAME TO {}", new.name(), quoted(&old)),
            format!(
                "ALTER TABLE {of} RENAME CONSTRAINT {key} TO {}",
                quoted(&format!("{old}_pkey"))
            ),
        ];
        // A hypertable has one more index.
        renamed.extend(self.time().map(|time| {
            let index = |of: &str| quoted(&format!("{of}_{}_idx", time.name));
            let index = (index(&new.own_name()), index(&old));
            format!("ALTER INDEX IF EXISTS ionflux.{} RENAME TO {}", index.0, index.1)
        }));
        renamed
    }

    /// The table's name in its schema.
    pub(super) fn own_name(&self) -> String {
        // No view has such a letter in its name.
        let mark = if self.beside { "~new" } else { "" };
        format!("{}{mark}", self.view.name)
    }

    /// The table's name, quoted.
    pub(super) fn name(&self) -> String {
        format!("ionflux.{}", quoted(&self.own_name()))
    }

    /// The staging table's name, quoted; each connection has its own.
    fn stage(&self) -> String {
        format!("pg_temp.{}", quoted(&format!("stage_{}", self.view.name)))
    }

    /// An error about this table's rows, without their contents.
    pub(super) fn refused(&self, problem: &str) -> SinkError {
        SinkError::permanent(format!("PostgreSQL: the view {}: {problem}", self.view.name))
    }

    /// Makes the table.
    pub(super) fn definition(&self) -> Vec<String> {
        let name = self.name();
        let columns: Vec<String> = self.schema.columns.iter().map(definition).collect();
        let columns = columns.join(", ");
        let key = self.key_columns().join(", ");
        let mut made = vec![
            format!(
                "CREATE TABLE {name} ({columns}, PRIMARY KEY ({key})) WITH (fillfactor = {FILL})"
            ),
            format!("COMMENT ON TABLE {name} IS {}", literal(&self.schema.doc)),
        ];
        made.extend(self.schema.columns.iter().map(|column| {
            let doc = literal(&column.doc);
            format!("COMMENT ON COLUMN {name}.{} IS {doc}", quoted(&column.name))
        }));
        made
    }

    /// Makes the staging table, for rows that go and rows that change.
    pub(super) fn staging(&self) -> String {
        let columns = self.schema.columns.iter();
        let columns: Vec<String> =
            columns.map(|c| format!("{} {}", quoted(&c.name), kind(c.kind))).collect();
        format!(
            "CREATE TEMPORARY TABLE IF NOT EXISTS {} ({GONE} boolean NOT NULL, {}) \
             ON COMMIT DELETE ROWS",
            self.stage(),
            columns.join(", ")
        )
    }

    pub(super) fn copy_in(&self) -> String {
        format!("COPY {} ({}) FROM STDIN (FORMAT binary)", self.name(), self.all_columns())
    }

    pub(super) fn copy_to_stage(&self) -> String {
        let columns = self.all_columns();
        format!("COPY {} ({GONE}, {columns}) FROM STDIN (FORMAT binary)", self.stage())
    }

    /// So that the planner knows how many rows wait.
    pub(super) fn analyze_stage(&self) -> String {
        format!("ANALYZE {}", self.stage())
    }

    pub(super) fn empty(&self) -> String {
        format!("SELECT (NOT EXISTS (SELECT FROM {}))::text", self.name())
    }

    /// Removes the keys that go, where `span` holds.
    pub(super) fn delete_gone(&self, span: &str) -> String {
        let (name, stage, same) = (self.name(), self.stage(), self.same_key());
        format!("DELETE FROM {name} AS t USING {stage} AS s WHERE s.{GONE} AND {same} AND {span}")
    }

    /// Changes the rows of keys that stay, where `span` holds.
    pub(super) fn update(&self, span: &str) -> String {
        let (name, stage, same) = (self.name(), self.stage(), self.same_key());
        let set = self.set("s");
        format!(
            "UPDATE {name} AS t SET {set} FROM {stage} AS s \
             WHERE NOT s.{GONE} AND {same} AND {span}"
        )
    }

    /// Brings rows whether their keys are there or not.
    pub(super) fn upsert(&self) -> String {
        let (name, stage, columns) = (self.name(), self.stage(), self.all_columns());
        let key = self.key_columns().join(", ");
        format!(
            "INSERT INTO {name} ({columns}) SELECT {columns} FROM {stage} WHERE NOT {GONE} \
             ON CONFLICT ({key}) DO UPDATE SET {}",
            self.set("excluded")
        )
    }

    /// What makes the table hold what is staged and nothing else, and touches no row that already
    /// is as it should be.
    pub(super) fn replace(&self) -> [String; 3] {
        let (name, stage, same) = (self.name(), self.stage(), self.same_key());
        let columns = self.all_columns();
        let rest = self.rest();
        let list = |of: &str| {
            let names: Vec<String> = rest.iter().map(|name| format!("{of}.{name}")).collect();
            names.join(", ")
        };
        let differs = match rest.is_empty() {
            true => "false".to_owned(),
            false => format!("({}) IS DISTINCT FROM ({})", list("t"), list("s")),
        };
        let missing = format!("NOT EXISTS (SELECT FROM {name} AS t WHERE {same})");
        [
            format!(
                "DELETE FROM {name} AS t WHERE NOT EXISTS (SELECT FROM {stage} AS s WHERE {same})"
            ),
            format!(
                "UPDATE {name} AS t SET {} FROM {stage} AS s WHERE {same} AND {differs}",
                self.set("s")
            ),
            format!(
                "INSERT INTO {name} ({columns}) SELECT {columns} FROM {stage} AS s WHERE {missing}"
            ),
        ]
    }

    fn all_columns(&self) -> String {
        let names: Vec<String> = self.schema.columns.iter().map(|c| quoted(&c.name)).collect();
        names.join(", ")
    }

    pub(super) fn key_columns(&self) -> Vec<String> {
        self.schema.key_names().into_iter().map(quoted).collect()
    }

    /// The columns that are not in the key, quoted.
    fn rest(&self) -> Vec<String> {
        let places = (0..self.width()).filter(|place| !self.in_key(*place));
        places.map(|place| quoted(&self.column(place).name)).collect()
    }

    fn same_key(&self) -> String {
        let same: Vec<String> =
            self.key_columns().iter().map(|c| format!("t.{c} = s.{c}")).collect();
        same.join(" AND ")
    }

    /// Assignments from another row; a table of keys alone assigns its first column to itself.
    fn set(&self, from: &str) -> String {
        let mut columns = self.rest();
        if columns.is_empty() {
            columns = self.key_columns();
            columns.truncate(1);
        }
        let set: Vec<String> = columns.iter().map(|c| format!("{c} = {from}.{c}")).collect();
        set.join(", ")
    }
}

/// A name of lower-case letters, digits and `_`, short enough for PostgreSQL.
pub(super) fn plain(name: &str) -> bool {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    fits && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// A plain name in quotes, for some are words of SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// A text as a literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn definition(column: &Column) -> String {
    let null = if column.nullable { "" } else { " NOT NULL" };
    format!("{} {}{null}", quoted(&column.name), kind(column.kind))
}

/// The type of a column. Text compares by its bytes, as everywhere in the program.
pub(super) fn kind(kind: ColumnKind) -> String {
    match kind {
        ColumnKind::Text => "text COLLATE \"C\"".to_owned(),
        ColumnKind::Int => "bigint".to_owned(),
        ColumnKind::Day => "date".to_owned(),
        ColumnKind::Instant => "timestamptz".to_owned(),
        ColumnKind::Money => format!("numeric({MONEY_PRECISION}, {MONEY_SCALE})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{COUNTS, SALES};

    #[test]
    fn a_table_is_what_its_view_says() {
        let table = Table::new(&SALES).unwrap();
        assert_eq!(
            table.definition()[0],
            "CREATE TABLE ionflux.\"conformance_sales\" (\
             \"workspace_id\" text COLLATE \"C\" NOT NULL, \"day\" date NOT NULL, \
             \"net\" numeric(38, 4) NOT NULL, \"orders\" bigint, \
             \"last_at\" timestamptz NOT NULL, PRIMARY KEY (\"workspace_id\", \"day\")) \
             WITH (fillfactor = 50)"
        );
        assert_eq!(table.time().unwrap().name, "day");
        assert_eq!(
            table.definition()[1],
            "COMMENT ON TABLE ionflux.\"conformance_sales\" IS \
             'Sums of the suite, by shop and day.'"
        );
        assert!(Table::new(&COUNTS).unwrap().time().is_none());
    }

    #[test]
    fn a_snapshot_touches_only_what_differs() {
        let [delete, update, insert] = Table::new(&COUNTS).unwrap().replace();
        assert_eq!(
            delete,
            "DELETE FROM ionflux.\"conformance_counts\" AS t WHERE NOT EXISTS (SELECT FROM \
             pg_temp.\"stage_conformance_counts\" AS s WHERE \
             t.\"workspace_id\" = s.\"workspace_id\")"
        );
        assert!(update.ends_with("AND (t.\"units\") IS DISTINCT FROM (s.\"units\")"), "{update}");
        assert!(insert.contains("AS s WHERE NOT EXISTS"), "{insert}");
    }

    #[test]
    fn names_and_literals_cannot_break_out() {
        assert!(plain("revenue_by_day2") && !plain("Revenue") && !plain("a\"b") && !plain(""));
        assert!(!plain(&"a".repeat(51)));
        assert_eq!(literal("the shop's"), "'the shop''s'");
    }
}
