//! Upgrading a state folder that the release before this one wrote.
//!
//! ```text
//! ledger (old) ─migrate─▶ ledger.new      ledger ─▶ ledger.old, ledger.new ─▶ ledger, FORMAT
//! ```
//!
//! Invariant: at every moment the old ledger or the whole new one is there; a step that was cut
//! off is taken up again, and nothing is removed before the new format stands in `FORMAT`.

use std::fs;
use std::io;
use std::path::Path;

use ionflux_ledger::migration;

use super::unusable;
use crate::failure::Failure;
use crate::progress::Progress;

/// The format of folders that are upgraded.
pub(super) const FROM: &str = "1";

/// Brings the ledger of a folder into the present form.
pub(super) fn upgrade(folder: &Path) -> Result<(), Failure> {
    let [held, new, old] = ["ledger", "ledger.new", "ledger.old"].map(|name| folder.join(name));
    let moved = |from: &Path, to: &Path| fs::rename(from, to).map_err(|e| unusable(from, &e));
    if !old.exists() {
        // What a cut-off upgrade left is not whole.
        remove(&new)?;
        let mut bar = Progress::steps("upgrading the ledger", 0);
        if held.exists() {
            migration::migrate(&held, &new, |done, total| bar.of(done, total))?;
            bar.done();
            moved(&held, &old)?;
        }
    }
    if new.exists() {
        moved(&new, &held)?;
    }
    Ok(())
}

/// Removes the ledger that was replaced.
pub(super) fn clean_up(folder: &Path) -> Result<(), Failure> {
    remove(&folder.join("ledger.old"))
}

/// Removes the views that were kept before the upgrade: their epochs were counted otherwise, and
/// they are made again from the ledger.
pub(super) fn forget_views(folder: &Path) -> Result<(), Failure> {
    remove(&folder.join("views"))
}

fn remove(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(unusable(folder, &cause)),
        _ => Ok(()),
    }
}
