//! What a shop is read with: who is asked, who brings in, where it is kept how far we are.
//!
//! Invariant: cursors have the workspace and the shop in their names, and one that is not ours is
//! never overwritten.

use std::sync::{Arc, Mutex, PoisonError};

use ionflux_schemas::time::UtcMs;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::courier::{Courier, Parcel};
use super::delivery::ORDER;
use super::error::AdminError;
use super::gather::{Gathered, Gatherer, Sizes};
use crate::cursor::Cursors;
use crate::poller::Stop;

/// A day.
const DAY_MS: i64 = 86_400_000;

/// What is shared with whoever shows how far a backfill is.
pub type Progress = Arc<Mutex<String>>;

/// What a shop is read with.
pub struct Tools<'t> {
    /// Who is asked.
    pub client: &'t mut Client,
    /// Who brings in what was answered.
    pub courier: &'t Courier,
    /// Where it is kept how far we are.
    pub cursors: &'t Cursors,
    /// How much is asked for at once.
    pub sizes: &'t mut Sizes,
    /// Where to say, in words, how far we are.
    pub progress: &'t Mutex<String>,
    /// The wish to stop.
    pub stop: &'t Stop,
}

impl Tools<'_> {
    /// Today, as days since 1970: nightly work is done once in each.
    pub fn today(&self) -> i64 {
        self.client.clock.now().0.div_euclid(DAY_MS)
    }

    /// Says how far we are; empty when there is nothing to say.
    pub fn say(&self, progress: String) {
        if !progress.is_empty() {
            tracing::info!(shop = &*self.client.account().shop, "{progress}");
        }
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    /// The name of a cursor of this shop.
    pub fn cursor(&self, name: &str) -> String {
        let account = self.client.account();
        format!("shopify/{}/{}/{name}", account.workspace, account.shop)
    }

    /// Reads a cursor of this shop.
    pub fn place<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>, AdminError> {
        let name = self.cursor(name);
        let held = self.cursors.get(&name).map_err(|cause| AdminError::disk(&name, &cause))?;
        let Some(held) = held else { return Ok(None) };
        let wrong = |error: serde_json::Error| {
            let reason = format!("the cursor {name} is none of ours: {error}; move its file away");
            AdminError::Permanent(reason)
        };
        serde_json::from_str(&held).map(Some).map_err(wrong)
    }

    /// Moves a cursor of this shop.
    pub fn move_to(&self, name: &str, place: &impl Serialize) -> Result<(), AdminError> {
        let name = self.cursor(name);
        let failed = |cause: std::io::Error| AdminError::disk(&name, &cause);
        let text = serde_json::to_string(place).map_err(|error| failed(error.into()))?;
        self.cursors.set(&name, &text).map_err(failed)
    }

    /// Brings orders in, with their refunds.
    pub fn bring_orders(
        &mut self,
        orders: Vec<Gathered>,
        read_at: UtcMs,
    ) -> Result<(), AdminError> {
        let Self { client, sizes, stop, .. } = self;
        let refunds = Gatherer { client, sizes, stop }.refunds(&orders)?;
        let bodies = orders.into_iter().map(|order| order.body(&refunds));
        let parcel = |body| Ok(Parcel { kind: ORDER, read_at, body: body? });
        self.bring(bodies.map(parcel).collect::<Result<_, AdminError>>()?)
    }

    /// Brings parcels in.
    pub fn bring(&self, parcels: Vec<Parcel>) -> Result<(), AdminError> {
        self.courier.bring(parcels, self.client, self.stop)
    }
}
