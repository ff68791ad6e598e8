//! Who may read what: a role for dashboards and, by workspace, the rows it sees.
//!
//! Invariant: what a login may read follows from `ionflux.readers` and its session's user alone; a
//! login that is not in it sees no row.
//!
//! ```text
//!   login grafana ── member of ionflux_reader ──▶ ionflux_read.revenue_by_day (security barrier)
//!                                                     rows of the workspaces of ionflux.readers
//! ```
//!
//! The tables below have the same filter as row security, for whoever is let in there, and the
//! views of `ionflux` over them ask for the rights of whoever reads (from PostgreSQL 15 on; before,
//! they show all rows). Hypertables, views over them and `metrics_daily` are not filtered there,
//! for the columnstore refuses row security: let readers into `ionflux_read` alone.

/// The role that dashboards are made members of.
pub(super) const ROLE: &str = "ionflux_reader";

/// The mapping and the functions that read it for whoever asks.
pub(super) const DEFINITION: [&str; 5] = [
    "CREATE TABLE ionflux.readers (role_name name NOT NULL, \
     workspace_id text COLLATE \"C\" NOT NULL, PRIMARY KEY (role_name, workspace_id))",
    "COMMENT ON TABLE ionflux.readers IS 'Which login sees which workspace; * for all.'",
    "CREATE FUNCTION ionflux.reads_all() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER \
     SET search_path = pg_catalog AS $$ SELECT EXISTS (SELECT FROM ionflux.readers \
     WHERE role_name = session_user AND workspace_id = '*') $$",
    "CREATE FUNCTION ionflux.readable_workspaces() RETURNS text[] LANGUAGE sql STABLE \
     SECURITY DEFINER SET search_path = pg_catalog AS $$ SELECT coalesce(array_agg(workspace_id), \
     '{}') FROM ionflux.readers WHERE role_name = session_user $$",
    "COMMENT ON SCHEMA ionflux_read IS 'Every table and view of ionflux, by workspace.'",
];

/// How far the tables are; which state folder it counts by is nobody's business.
pub(super) const MARK: [&str; 2] = [
    "CREATE VIEW ionflux_read.\"sink_mark\" AS \
     SELECT epoch, as_of, written_at FROM ionflux.sink_mark",
    "COMMENT ON VIEW ionflux_read.\"sink_mark\" IS \
     'How far all tables are: at the epoch, which the shops had reached at as_of.'",
];

/// Makes the role; needs the right to, and does nothing if it is there.
pub(super) const MAKE_ROLE: &str = "DO $$ BEGIN \
     IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ionflux_reader') THEN \
     CREATE ROLE ionflux_reader NOLOGIN; END IF; \
     EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$";

/// Whether the role, where there is one, is let in.
pub(super) const LET_IN: &str = "SELECT coalesce(bool_and(\
     has_schema_privilege(r.oid, 'ionflux', 'USAGE') AND \
     has_schema_privilege(r.oid, 'ionflux_read', 'USAGE')), true)::text \
     FROM pg_roles AS r WHERE r.rolname = 'ionflux_reader'";

/// Lets the role in. Functions are everybody's already.
pub(super) const GRANTS: [&str; 2] = [
    "GRANT USAGE ON SCHEMA ionflux, ionflux_read TO ionflux_reader",
    "GRANT SELECT ON ALL TABLES IN SCHEMA ionflux_read TO ionflux_reader",
];

/// Whether a row may be seen, by the column of its workspace; a row of no workspace is for those
/// who see all. Both functions run once for a query.
fn filter(workspace: Option<&str>) -> String {
    let all = "(SELECT ionflux.reads_all())";
    match workspace {
        Some(column) => {
            format!(
                "({all} OR \"{column}\" = ANY ((SELECT ionflux.readable_workspaces())::text[]))"
            )
        }
        None => all.to_owned(),
    }
}

/// The filtered view of a table or view of `ionflux`; one of the latter is named by what it shows,
/// for it might ask for the reader's rights on the tables below.
pub(super) fn filtered(name: &str, select: Option<&str>, workspace: Option<&str>) -> String {
    let of = select.map_or(format!("ionflux.\"{name}\""), |select| format!("({select}) AS shown"));
    format!(
        "CREATE VIEW ionflux_read.\"{name}\" WITH (security_barrier = true) AS \
         SELECT * FROM {of} WHERE {}",
        filter(workspace)
    )
}

/// Row security on a table that allows it. The sink owns the table and is not filtered.
pub(super) fn row_security(name: &str, workspace: Option<&str>) -> Vec<String> {
    vec![
        format!("ALTER TABLE ionflux.\"{name}\" ENABLE ROW LEVEL SECURITY"),
        format!(
            "CREATE POLICY readers ON ionflux.\"{name}\" FOR SELECT USING ({})",
            filter(workspace)
        ),
    ]
}
