//! Brings the schemas to what this program needs.
//!
//! Invariant: it is done in one transaction under a lock, so that two programs migrate one after
//! the other and a reader sees before or after. Tables that are made anew are made beside those
//! that readers read, in the transaction of the snapshot that fills them, and take their places
//! right before its end. A database that a newer program made is left alone.
//!
//! ```text
//!   mark says our layout, and all is there ──▶ nothing to do
//!   no table is to be made:   lock ▶ mark ▶ drop what changed and what stands on it ▶ make
//!   else, with a snapshot:    lock ▶ mark ▶ make tables beside ▶ rows ▶ drop, rename, make
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::access;
use super::error::{RIGHTS, SCHEMAS};
use super::layout::{Kind, Layout, Object, of_table, removal};
use super::session::{ASK, Session};
use super::table::{Table, plain};
use super::text::digest;
use crate::error::SinkError;

/// Names the lock among those of the database: `ionflux` in ASCII.
const LOCK: i64 = 0x0069_6f6e_666c_7578;

const MARK: [&str; 4] = [
    "CREATE TABLE ionflux.sink_mark (one boolean PRIMARY KEY DEFAULT true CHECK (one), state uuid, \
     epoch bigint CHECK (epoch >= 0), as_of timestamptz, written_at timestamptz, layout text)",
    "COMMENT ON TABLE ionflux.sink_mark IS 'How far the tables are: all epochs below epoch.'",
    "INSERT INTO ionflux.sink_mark DEFAULT VALUES",
    "CREATE TABLE ionflux.sink_objects (name text, kind text, version bigint NOT NULL, \
     checksum text NOT NULL, place bigint GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (name, kind))",
];

/// What the schema stands on, step by step; a step that was released never changes.
const STEPS: [(&str, &[&str]); 2] = [("mark", &MARK), ("readers", &access::DEFINITION)];

/// Of all steps.
pub(super) fn checksum() -> String {
    STEPS.iter().map(|(_, statements)| digest(&statements.join("\n"))).collect()
}

/// Makes what is missing, unless tables are; says whether the layout is whole.
pub(super) async fn prepare(session: &mut Session, layout: &Layout) -> Result<bool, SinkError> {
    if whole(session, layout).await? {
        return Ok(true);
    }
    session.run("migrate", "BEGIN").await?;
    session.run("migrate", &format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    base(session).await?;
    session.rows("migrate", ASK).await?;
    let plan = Plan::new(session, layout).await?;
    let whole = plan.beside.is_empty();
    if whole {
        finish(session, layout, &plan).await?;
    }
    session.run("migrate", "COMMIT").await?;
    Ok(whole)
}

/// Begins a transaction that holds the mark, and makes tables beside those that are there.
pub(super) async fn begin(session: &mut Session, layout: &Layout) -> Result<Plan, SinkError> {
    // The lock comes before the mark, and the mark before any table, here as everywhere.
    session.run("migrate", "BEGIN").await?;
    session.run("migrate", &format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    session.rows("migrate", ASK).await?;
    let plan = Plan::new(session, layout).await?;
    if plan.beside.is_empty() {
        return Err(SinkError::transient("PostgreSQL: another program made the tables"));
    }
    for table in &plan.beside {
        for statement in of_table(table, layout.extension).statements {
            session.run("migrate", &statement).await?;
        }
    }
    Ok(plan)
}

/// Puts tables that were made beside into their places and makes all else; readers wait for the
/// end of the transaction from here on.
pub(super) async fn finish(
    session: &mut Session,
    layout: &Layout,
    plan: &Plan,
) -> Result<(), SinkError> {
    objects(session, layout, plan).await?;
    rights(session).await?;
    let mark = format!("UPDATE ionflux.sink_mark SET layout = '{}'", layout.checksum);
    session.run("migrate", &mark).await?;
    let (tables, made) = (layout.tables.len(), plan.beside.len());
    tracing::info!(tables, made, "the schema ionflux is brought up to date");
    Ok(())
}

/// What a database holds and lacks.
pub(super) struct Plan {
    held: Vec<Held>,
    /// What stays, by place and kind.
    kept: BTreeSet<(String, &'static str)>,
    /// The tables that are to be made, beside those that are there.
    beside: Vec<Table>,
}

impl Plan {
    async fn new(session: &mut Session, layout: &Layout) -> Result<Self, SinkError> {
        let held = held(session).await?;
        for table in layout.objects.iter().filter(|object| object.kind == Kind::Table) {
            let same = |held: &&Held| held.kind == Kind::Table && held.place() == table.place();
            let of = held.iter().find(same);
            if let Some(of) = of.filter(|of| of.version > u64::from(table.version)) {
                let (version, name) = (table.version, &table.name);
                let what = format!("version {} of {name}, this one has {version}", of.version);
                return Err(newer(&what));
            }
        }
        let lacking = lacking(session, layout).await?;
        let kept = kept(&layout.objects, &held, &lacking);
        let there = |table: &&Table| {
            kept.contains(&(format!("ionflux.{}", table.view.name), Kind::Table.name()))
        };
        let beside = layout.tables.iter().filter(|table| !there(table));
        let beside = beside.map(Table::beside).collect();
        Ok(Self { held, kept, beside })
    }

    /// The table to fill instead of another.
    pub(super) fn instead(&self, table: &Table) -> Option<&Table> {
        self.beside.iter().find(|beside| beside.view == table.view)
    }
}

/// Whether the database holds the layout already.
async fn whole(session: &mut Session, layout: &Layout) -> Result<bool, SinkError> {
    let there = "SELECT (to_regclass('ionflux.sink_mark') IS NOT NULL \
                 AND to_regclass('ionflux.sink_objects') IS NOT NULL)::text";
    if session.one("migrate", there).await?.as_deref() != Some("true") {
        return Ok(false);
    }
    let same = format!(
        "SELECT (layout = '{}' AND NOT EXISTS (SELECT FROM ionflux.sink_objects \
         WHERE to_regclass(name) IS NULL))::text FROM ionflux.sink_mark",
        layout.checksum
    );
    if session.one("migrate", &same).await?.as_deref() != Some("true") {
        return Ok(false);
    }
    // An administrator may make the role at any time.
    let let_in = session.one("migrate", access::LET_IN).await?;
    Ok(let_in.as_deref() == Some("true") && lacking(session, layout).await?.is_empty())
}

/// The tables that are there without a column of theirs.
async fn lacking(session: &mut Session, layout: &Layout) -> Result<Vec<String>, SinkError> {
    let columns = layout.tables.iter().flat_map(|table| {
        let place = format!("ionflux.{}", table.view.name);
        let columns = table.schema.columns.iter();
        columns.map(move |column| format!("('{place}', '{}')", column.name))
    });
    let columns: Vec<String> = columns.collect();
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let query = format!(
        "SELECT DISTINCT place FROM (VALUES {}) AS c (place, name) \
         WHERE to_regclass(place) IS NOT NULL AND NOT EXISTS (SELECT FROM pg_attribute \
         WHERE attrelid = to_regclass(place) AND attname = name)",
        columns.join(", ")
    );
    let rows = session.rows("migrate", &query).await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

async fn base(session: &mut Session) -> Result<(), SinkError> {
    for schema in ["ionflux", "ionflux_read"] {
        let there = format!("SELECT (to_regnamespace('{schema}') IS NOT NULL)::text");
        if session.one("migrate", &there).await?.as_deref() != Some("true") {
            session.run(SCHEMAS, &format!("CREATE SCHEMA {schema}")).await?;
        }
    }
    let versions = "CREATE TABLE IF NOT EXISTS ionflux.sink_migrations (\
                    version bigint PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, \
                    applied_at timestamptz NOT NULL DEFAULT now())";
    session.run("migrate", versions).await?;
    let applied = "SELECT version::text, checksum FROM ionflux.sink_migrations ORDER BY version";
    let applied = session.rows("migrate", applied).await?;
    if applied.len() > STEPS.len() {
        return Err(newer(&format!(
            "{} migrations, this one knows {}",
            applied.len(),
            STEPS.len()
        )));
    }
    for (at, (name, statements)) in STEPS.iter().enumerate() {
        let checksum = digest(&statements.join("\n"));
        if let Some(row) = applied.get(at) {
            if row.get(1) != Some(&Some(checksum)) {
                let what = format!("the migration {name} is another one in the database");
                return Err(SinkError::permanent(format!("PostgreSQL: migrate: {what}")));
            }
            continue;
        }
        for statement in *statements {
            session.run("migrate", statement).await?;
        }
        let version = at + 1;
        let done = format!(
            "INSERT INTO ionflux.sink_migrations (version, name, checksum) \
             VALUES ({version}, '{name}', '{checksum}')"
        );
        session.run("migrate", &done).await?;
    }
    let mark = "INSERT INTO ionflux.sink_mark DEFAULT VALUES ON CONFLICT DO NOTHING";
    session.run("migrate", mark).await?;
    Ok(())
}

fn newer(what: &str) -> SinkError {
    SinkError::permanent(format!(
        "PostgreSQL: migrate: a newer program made the schema ionflux ({what}); \
         run that program, or drop the schemas ionflux and ionflux_read"
    ))
}

/// An object as the database remembers it.
struct Held {
    schema: &'static str,
    name: String,
    kind: Kind,
    version: u64,
    checksum: String,
    missing: bool,
}

impl Held {
    fn place(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// Makes the objects that are missing or differ, once the tables among them are filled.
async fn objects(session: &mut Session, layout: &Layout, plan: &Plan) -> Result<(), SinkError> {
    let kept = &plan.kept;
    for of in plan.held.iter().rev().filter(|of| !kept.contains(&(of.place(), of.kind.name()))) {
        // Without the extension policies went with it.
        let there = !of.missing && (of.kind != Kind::Policies || extended(session).await?);
        if there {
            for statement in removal(of.kind, of.schema, &of.name) {
                session.run("migrate", &statement).await?;
            }
        }
        let (place, kind) = (of.place(), of.kind.name());
        let forget =
            format!("DELETE FROM ionflux.sink_objects WHERE name = '{place}' AND kind = '{kind}'");
        session.run("migrate", &forget).await?;
    }
    for table in &layout.tables {
        if plan.instead(table).is_some() {
            for statement in table.take_place() {
                session.run("migrate", &statement).await?;
            }
        }
    }
    for object in &layout.objects {
        let (place, kind) = (object.place(), object.kind.name());
        if kept.contains(&(place.clone(), kind)) {
            continue;
        }
        for statement in object.statements.iter().filter(|_| object.kind != Kind::Table) {
            session.run("migrate", statement).await?;
        }
        let (version, checksum) = (object.version, object.checksum());
        let made = format!(
            "INSERT INTO ionflux.sink_objects (name, kind, version, checksum) \
             VALUES ('{place}', '{kind}', {version}, '{checksum}')"
        );
        session.run("migrate", &made).await?;
    }
    Ok(())
}

/// Whether the extension is there, wanted or not, and knows policies.
async fn extended(session: &mut Session) -> Result<bool, SinkError> {
    let there = "SELECT count(*)::text FROM pg_extension WHERE extname = 'timescaledb' \
                 AND current_setting('timescaledb.license', true) = 'timescale'";
    Ok(session.one("migrate", there).await?.as_deref() == Some("1"))
}

async fn held(session: &mut Session) -> Result<Vec<Held>, SinkError> {
    let query = "SELECT name, kind, version::text, checksum, (to_regclass(name) IS NULL)::text \
                 FROM ionflux.sink_objects ORDER BY place";
    let strange = || {
        let what = "PostgreSQL: migrate: ionflux.sink_objects holds what no program wrote";
        SinkError::permanent(what)
    };
    let mut held = Vec::new();
    for row in session.rows("migrate", query).await? {
        let mut cells = row.into_iter().map(Option::unwrap_or_default);
        let mut cell = || cells.next().unwrap_or_default();
        let (place, kind, version, checksum, missing) = (cell(), cell(), cell(), cell(), cell());
        let kind = Kind::ALL.into_iter().find(|known| known.name() == kind);
        let (schema, name) = place.split_once('.').ok_or_else(strange)?;
        let schema = ["ionflux", "ionflux_read"].into_iter().find(|known| *known == schema);
        if !plain(name) {
            return Err(strange());
        }
        held.push(Held {
            schema: schema.ok_or_else(strange)?,
            name: name.to_owned(),
            kind: kind.ok_or_else(strange)?,
            version: version.parse().map_err(|_| strange())?,
            checksum,
            missing: missing != "false",
        });
    }
    Ok(held)
}

/// The objects, by place and kind, that are there as they should be and stand on such as are.
fn kept(wanted: &[Object], held: &[Held], lacking: &[String]) -> BTreeSet<(String, &'static str)> {
    let held: BTreeMap<(String, &str), &Held> =
        held.iter().map(|of| ((of.place(), of.kind.name()), of)).collect();
    let mut kept = BTreeSet::new();
    // What is stood on comes first, so that one pass is enough.
    for object in wanted {
        let key = (object.place(), object.kind.name());
        let same = held.get(&key).is_some_and(|of| !of.missing && of.checksum == object.checksum());
        let stands = object.needs.iter().all(|need| {
            [Kind::Table, Kind::View, Kind::Aggregate]
                .into_iter()
                .any(|kind| kept.contains(&(need.clone(), kind.name())))
        });
        if same && stands && !lacking.contains(&key.0) {
            kept.insert(key);
        }
    }
    kept
}

/// Makes the role of readers and lets it in, where that is allowed; without it everything else
/// works, and rights are for the administrator to give.
async fn rights(session: &mut Session) -> Result<(), SinkError> {
    let mut statements = vec![access::MAKE_ROLE];
    statements.extend(access::GRANTS);
    for statement in statements {
        session.run("migrate", "SAVEPOINT rights").await?;
        match session.run(RIGHTS, statement).await {
            Ok(_) => session.run("migrate", "RELEASE SAVEPOINT rights").await?,
            Err(error) => {
                // Where the connection itself is gone, this says so.
                session.run("migrate", "ROLLBACK TO SAVEPOINT rights").await?;
                let role = access::ROLE;
                tracing::warn!(%error, role, "the role of readers was not made or let in");
                return Ok(());
            }
        };
    }
    Ok(())
}
