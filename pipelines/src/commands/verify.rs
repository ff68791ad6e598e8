//! `ionflux verify`: is what readers see what plain loops over the ledger give?

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use ionflux_ledger::BaseZone;
use ionflux_schemas::dictionary::Dictionary;

use crate::assemble::{self, Options};
use crate::failure::Failure;
use crate::state::State;
use crate::verify::{Verdict, verify};

/// How many rows that differ are printed.
const SHOWN_MAX: usize = 20;

/// Recompute every view by plain loops from the ledger, and compare row by row
///
/// Compares with what the dataflow makes of the same ledger, and with the views kept in the state
/// folder when they are of the same epoch. Prints "equal", or the first rows that differ with their
/// keys. Exit code 0 means equal. Deliveries that wait in the journal are not in the ledger yet.
#[derive(Args, Debug)]
pub struct Verify {
    /// The state folder; no other ionflux may be using it
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// Worker threads of the dataflow
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
}

impl Verify {
    /// Verifies, and prints the verdict.
    ///
    /// # Errors
    /// When the state cannot be read, or a row differs.
    pub fn execute(&self) -> Result<(), Failure> {
        let started = Instant::now();
        let state = State::own(&self.state)?;
        let workers = usize::from(self.workers);
        let options = Options { state: None, base_zone: BaseZone::Unknown, workers };
        let dictionary = Arc::new(Dictionary::new());
        let ledger = assemble::ledger(Some(&state), Arc::clone(&dictionary), &options)?;
        let views = state.views_if_kept()?;
        let verdict = verify(&ledger, &dictionary, views.as_ref(), workers)?;
        let seconds = started.elapsed().as_secs_f64();
        super::print(said(&verdict, seconds).as_bytes())?;
        if verdict.differences.is_empty() {
            return Ok(());
        }
        let problem = format!("{} rows differ", verdict.differences.len());
        let hint = "the views on disk are made again from the ledger by any ionflux replay or run";
        Err(Failure::world(problem, hint))
    }
}

fn said(verdict: &Verdict, seconds: f64) -> String {
    let mut text = String::new();
    let rows: usize = verdict.rows.iter().map(|(_, rows)| rows).sum();
    let (epoch, facts, views) = (verdict.epoch, verdict.facts, verdict.rows.len());
    let word = if verdict.differences.is_empty() { "equal" } else { "different" };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{word}: {views} views, {rows} rows, from {facts} facts at epoch {epoch} ({seconds:.1} s)"
    );
    for (view, rows) in &verdict.rows {
        let differ = verdict.differences.iter().filter(|d| d.view == *view).count();
        let word = if differ == 0 { "equal".into() } else { format!("{differ} differ") };
        let _ = writeln!(text, "  {view:<24} {rows:>9} rows  {word}");
    }
    match verdict.kept {
        None => text.push_str("no views are kept on disk yet: only the dataflow was compared\n"),
        Some(kept) if kept != epoch => {
            let _ = writeln!(
                text,
                "the views on disk are of epoch {kept} and were not compared: the next \
                 ionflux run or replay makes them again"
            );
        }
        Some(_) if !verdict.outdated.is_empty() => {
            let names = verdict.outdated.join(", ");
            let _ = writeln!(text, "of another definition on disk, and not compared: {names}");
        }
        Some(_) => {}
    }
    for difference in verdict.differences.iter().take(SHOWN_MAX) {
        let _ = writeln!(text, "{difference}");
    }
    text
}
