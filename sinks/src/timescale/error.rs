//! What a PostgreSQL error means for the sink.
//!
//! Invariant: a message names the step, the SQLSTATE and the object; values of rows, which the
//! server puts into details and into messages about data, never leave this file.

use std::io;

use sqlx::Error;
use sqlx::postgres::PgDatabaseError;

use crate::error::SinkError;

/// Classes of SQLSTATE that pass: connection, conflict, resources, timeout or shutdown, disk.
const PASSING_CLASSES: [&str; 5] = ["08", "40", "53", "57", "58"];
/// Single codes that pass: a lock that was not had in time, a transaction that idled, a standby, a
/// row that came in between, and a table, column or schema that somebody dropped, which the next
/// connection makes again.
const PASSING: [&str; 7] = ["55P03", "25P03", "25006", "23505", "42P01", "42703", "3F000"];
/// Classes whose messages may quote the values of a row.
const QUOTING_CLASSES: [&str; 3] = ["22", "23", "44"];
/// A second row of one key.
const UNIQUE_VIOLATION: &str = "23505";
/// Other objects need what should be dropped.
const DEPENDENT: &str = "2BP01";

/// Steps that need rights of their own.
pub(super) const SCHEMAS: &str = "make the schemas";
pub(super) const RIGHTS: &str = "make the role of readers and let it in";

/// Why a step of a transaction ended.
#[derive(Debug)]
pub(super) enum Stop {
    /// The table does not hold what the program thinks it does: a stranger was at it.
    Differs,
    /// Anything else.
    Failed(SinkError),
}

impl Stop {
    /// A failure of a step that trusts what the table holds.
    pub(super) fn trusting(step: &str, error: Error) -> Self {
        if code(&error) == Some(UNIQUE_VIOLATION) {
            return Self::Differs;
        }
        Self::Failed(failed(step, error))
    }
}

impl From<SinkError> for Stop {
    fn from(error: SinkError) -> Self {
        Self::Failed(error)
    }
}

/// The SQLSTATE of an error of the server's.
pub(super) fn code(error: &Error) -> Option<&str> {
    Some(database(error)?.code())
}

fn database(error: &Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

/// What the error of a step means.
pub(super) fn failed(step: &str, error: Error) -> SinkError {
    if let Some(said) = database(&error) {
        return refused(step, said);
    }
    match error {
        Error::Io(cause) => unreachable(step, cause),
        // A certificate that is not trusted may be replaced, a handshake may be cut short.
        Error::Tls(cause) => {
            SinkError::transient(format!("PostgreSQL: {step}: TLS failed")).caused_by(cause)
        }
        Error::Protocol(_) => SinkError::transient(format!("PostgreSQL: {step}: a garbled answer")),
        _ => SinkError::permanent(format!("PostgreSQL: {step}: the client refuses")),
    }
}

fn unreachable(step: &str, cause: io::Error) -> SinkError {
    SinkError::transient(format!("PostgreSQL: {step}: the connection failed")).caused_by(cause)
}

fn refused(step: &str, said: &PgDatabaseError) -> SinkError {
    let code = said.code();
    let quoting = QUOTING_CLASSES.iter().any(|class| code.starts_with(class));
    let shown = if quoting { "" } else { said.message() };
    let table = said.table().map(|table| format!(" (table {table})")).unwrap_or_default();
    let what = format!("PostgreSQL: {step}: SQLSTATE {code} {shown}{table}{}", remedy(step, code));
    if passing(code) { SinkError::transient(what) } else { SinkError::permanent(what) }
}

fn passing(code: &str) -> bool {
    PASSING_CLASSES.iter().any(|class| code.starts_with(class)) || PASSING.contains(&code)
}

fn remedy(step: &str, code: &str) -> &'static str {
    match code {
        "42501" if step == RIGHTS => "; give the user CREATEROLE, or see docs/sinks.md",
        "42501" if step == SCHEMAS => {
            "; GRANT CREATE ON DATABASE to the user, or make it the owner"
        }
        "28P01" | "28000" => "; check user and password of the address",
        "3D000" => "; create the database first",
        "42501" => "; the user must own the schemas ionflux and ionflux_read",
        DEPENDENT => "; a table changes, and objects that are not ours need it: drop those first",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_tried_again_and_the_rest_halts() {
        for code in ["08006", "40001", "40P01", "53300", "57014", "57P01", "55P03", "23505"] {
            assert!(passing(code), "{code}");
        }
        for code in ["28P01", "42501", "22003", "3D000", "2BP01", "42601", "XX000"] {
            assert!(!passing(code), "{code}");
        }
    }

    #[test]
    fn a_right_that_is_missing_is_named_by_what_needs_it() {
        let remedies = [RIGHTS, SCHEMAS, "update rows"].map(|step| remedy(step, "42501"));
        let needs = ["CREATEROLE", "GRANT CREATE ON DATABASE", "must own the schemas"];
        for (remedy, need) in remedies.iter().zip(needs) {
            assert!(remedy.contains(need), "{remedy}");
        }
    }

    #[test]
    fn a_lost_connection_passes() {
        let error = failed("write", Error::Io(io::ErrorKind::ConnectionReset.into()));
        assert!(error.passing());
        assert_eq!(error.to_string(), "PostgreSQL: write: the connection failed");
        assert!(!failed("write", Error::RowNotFound).passing());
    }
}
