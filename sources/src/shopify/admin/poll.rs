//! A shop that is asked in rounds: for itself at first and every night, the backfill until it is
//! done, then sweeps.
//!
//! Invariant: what one part cannot do now does not keep another from its work, and the first
//! failure is what the round says of itself.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::backfill::Backfill;
use super::client::Client;
use super::courier::Courier;
use super::download::PIECE_BYTES;
use super::error::AdminError;
use super::gather::Sizes;
use super::shop;
use super::sweep::Sweep;
use super::tools::{Progress, Tools};
use crate::cursor::Cursors;
use crate::intake::Intake;
use crate::poller::{Poll, PollError, Stop};

/// One shop, asked in rounds.
pub struct Admin {
    client: Client,
    courier: Courier,
    cursors: Cursors,
    sizes: Sizes,
    backfill: Option<Backfill>,
    progress: Progress,
    /// The day on which the shop was asked for itself.
    asked_on: Option<i64>,
}

impl Admin {
    /// A shop whose changes are swept.
    ///
    /// # Errors
    /// If nothing can be waited for on this machine.
    pub fn new(client: Client, intake: Intake, cursors: Cursors) -> io::Result<Self> {
        let courier = Courier::new(intake, client.account())?;
        let (sizes, progress) = (Sizes::default(), Arc::new(Mutex::new(String::new())));
        Ok(Self { client, courier, cursors, sizes, backfill: None, progress, asked_on: None })
    }

    /// The same shop, whose past is read first. Its exports are kept in a folder of its own while
    /// they are delivered.
    #[must_use]
    pub fn with_backfill(self, folder: PathBuf) -> Self {
        self.with_pieces(folder, PIECE_BYTES)
    }

    /// The same, downloading so many bytes at once.
    #[must_use]
    pub fn with_pieces(mut self, folder: PathBuf, piece_bytes: u64) -> Self {
        self.backfill = Some(Backfill { folder, piece_bytes });
        self
    }

    /// How far the backfill is, in words; empty when there is nothing to say.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Arc::clone(&self.progress)
    }

    fn round(&mut self, stop: &Stop) -> Result<(), AdminError> {
        let mut tools = Tools {
            client: &mut self.client,
            courier: &self.courier,
            cursors: &self.cursors,
            sizes: &mut self.sizes,
            progress: &self.progress,
            stop,
        };
        let today = tools.today();
        let told = match self.asked_on {
            Some(day) if day >= today => Ok(()),
            _ => shop::ask(&mut tools),
        };
        if told.is_ok() {
            self.asked_on = Some(today);
        } else if stop.asked() {
            return told;
        }
        told.and(orders(self.backfill.as_ref(), &mut tools))
    }
}

/// The orders there were, and those that changed.
fn orders(backfill: Option<&Backfill>, tools: &mut Tools<'_>) -> Result<(), AdminError> {
    let filled = backfill.map_or(Ok(()), |backfill| backfill.advance(tools));
    if filled.is_err() && (tools.stop.asked() || !Backfill::orders_done(tools)?) {
        return filled;
    }
    let swept = Sweep::round(tools).and_then(|()| Sweep::nightly(tools));
    filled.and(swept)
}

impl Poll for Admin {
    fn poll(&mut self, stop: &Stop) -> Result<(), PollError> {
        self.round(stop).or_else(AdminError::polled)
    }
}
