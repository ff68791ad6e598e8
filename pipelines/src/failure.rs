//! What goes wrong in the program, as a person should read it: what, why, what to do.

use std::error::Error;
use std::fmt::Display;

use ionflux_ledger::LedgerError;
use ionflux_ledger::entities::EntitiesError;
use ionflux_service::sql::SqlError;
use ionflux_sinks::files::ExportError;
use ionflux_sources::error::SourceError;
use ionflux_sources::journal::error::JournalError;
use ionflux_sources::subjects::error::SubjectError;

use crate::runtime::RuntimeError;

/// A command that could not do its work.
#[derive(Debug)]
pub struct Failure {
    /// Whose fault it is, which decides the exit code.
    pub kind: Kind,
    /// What happened and where, with its causes.
    pub problem: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

/// The two kinds of failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The world: a file, a disk, a port. Exit code 1.
    World,
    /// The command line or the configuration. Exit code 2.
    Usage,
}

impl Failure {
    /// A failure of the world.
    pub fn world(problem: impl Display, hint: impl Into<String>) -> Self {
        Self { kind: Kind::World, problem: problem.to_string(), hint: hint.into() }
    }

    /// A wrong option, argument or configuration.
    pub fn usage(problem: impl Display, hint: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, problem: problem.to_string(), hint: hint.into() }
    }

    /// The same failure, as one of the configuration.
    #[must_use]
    pub fn of_usage(self) -> Self {
        Self { kind: Kind::Usage, ..self }
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::World => 1,
            Kind::Usage => 2,
        }
    }
}

/// An error with all its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(beneath) = cause {
        text = format!("{text}: {beneath}");
        cause = beneath.source();
    }
    text
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::world(chain(&error), error.hint.clone())
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        Self::world(chain(&error), error.hint())
    }
}

impl From<SubjectError> for Failure {
    fn from(error: SubjectError) -> Self {
        let hint = "check the disk and the folder's permissions; never repair the folder of \
                    subjects by hand: put a whole copy back";
        Self::world(chain(&error), hint)
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        let hint = match &error {
            LedgerError::Entities(EntitiesError::InUse(_)) => {
                "stop the other ionflux, or give another folder with --state"
            }
            LedgerError::Entities(_) => "check the disk and the folder's permissions",
            LedgerError::Codec(_) | LedgerError::Format { .. } => {
                "use the release that made this state, or a new --state folder"
            }
            LedgerError::Unfinished | LedgerError::NotEmpty => {
                "open the state again: an upgrade that was cut off begins anew"
            }
            LedgerError::BaseZone { .. } => {
                "leave --timezone out, or give a new --state folder: closed days never move"
            }
        };
        Self::world(chain(&error), hint)
    }
}

impl From<EntitiesError> for Failure {
    fn from(error: EntitiesError) -> Self {
        LedgerError::from(error).into()
    }
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::Workers(_) => Self::usage(error, "give --workers a number of cores"),
            RuntimeError::Start(_) => Self::world(error, "check the limits of this account"),
            RuntimeError::Stopped => Self::world(error, "please report what is printed above"),
        }
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        Self::world(chain(&error), "check the disk and the folder's permissions")
    }
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        let hint = error.hint();
        Self::world(error, hint)
    }
}
