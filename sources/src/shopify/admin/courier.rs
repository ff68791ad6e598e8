//! Bringing what was asked for into the journal, some at a time.
//!
//! Invariant: whoever asked goes on only when all of them are acknowledged; a journal without room
//! is waited for, however long it takes.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::key::Id;
use ionflux_schemas::time::UtcMs;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use super::account::Account;
use super::client::Client;
use super::delivery::{KIND, READ_AT, SHOP, SOURCE};
use super::error::AdminError;
use crate::inbox::Refused;
use crate::intake::Intake;
use crate::poller::Stop;

/// How many wait for one sync together.
pub const TOGETHER_MAX: usize = 64;
/// How often in a row the disk may fail.
const FAILURES_MAX: u32 = 10;

/// Something to be brought in.
pub struct Parcel {
    /// What it is: `order`, `product`, `shop`.
    pub kind: &'static str,
    /// As what instant the shop told it, by its clock or by ours.
    pub read_at: UtcMs,
    /// The bytes.
    pub body: Vec<u8>,
}

/// Brings deliveries of one shop in.
pub struct Courier {
    intake: Intake,
    runtime: Runtime,
    workspace: Id,
    shop: Id,
}

impl Courier {
    /// A courier of a shop.
    ///
    /// # Errors
    /// If nothing can be waited for on this machine.
    pub fn new(intake: Intake, account: &Account) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().build()?;
        let (workspace, shop) = (account.workspace.clone(), account.shop.clone());
        Ok(Self { intake, runtime, workspace, shop })
    }

    /// Brings parcels in; not to be called inside an async runtime.
    pub fn bring(
        &self,
        parcels: Vec<Parcel>,
        client: &Client,
        stop: &Stop,
    ) -> Result<(), AdminError> {
        let mut waiting: Vec<Delivery> =
            parcels.into_iter().map(|parcel| self.delivery(parcel, client)).collect();
        let mut failures = 0;
        loop {
            let refused = self.attempt(waiting);
            let Some((_, why)) = refused.first() else { return Ok(()) };
            let wait = match *why {
                Refused::Full { retry_after_s } => Duration::from_secs(retry_after_s.into()),
                Refused::Closed => return Err(AdminError::Stopped),
                Refused::TooLarge { .. } => {
                    let reason = format!("{}: {why}", self.shop);
                    return Err(AdminError::Permanent(reason));
                }
                Refused::Failing if failures >= FAILURES_MAX => {
                    return Err(AdminError::Transient(format!("{}: {why}", self.shop)));
                }
                Refused::Failing => {
                    failures += 1;
                    Duration::from_secs(1)
                }
            };
            waiting = refused.into_iter().map(|(delivery, _)| delivery).collect();
            client.wait(wait, stop)?;
        }
    }

    fn delivery(&self, Parcel { kind, read_at, body }: Parcel, client: &Client) -> Delivery {
        let headers = BTreeMap::from([
            (Id::from(SHOP), self.shop.clone()),
            (Id::from(KIND), Id::from(kind)),
            (Id::from(READ_AT), Id::from(read_at.0.to_string())),
        ]);
        Delivery {
            source: SOURCE.into(),
            workspace: self.workspace.clone(),
            received_at: client.clock.now(),
            headers,
            body: body.into(),
        }
    }

    /// Gives back what was refused, in its order; the reason that weighs most first.
    fn attempt(&self, deliveries: Vec<Delivery>) -> Vec<(Delivery, Refused)> {
        self.runtime.block_on(async {
            let mut refused: Vec<(usize, Delivery, Refused)> = Vec::new();
            let mut sent = JoinSet::new();
            for (at, delivery) in deliveries.into_iter().enumerate() {
                let intake = self.intake.clone();
                sent.spawn(async move {
                    let answer = intake.deliver(delivery.clone()).await;
                    (at, delivery, answer)
                });
            }
            while let Some(answered) = sent.join_next().await {
                // A task neither panics nor is cancelled: it only waits for the writer.
                if let Ok((at, delivery, Err(why))) = answered {
                    refused.push((at, delivery, why));
                }
            }
            let lasts = |why: &Refused| matches!(why, Refused::TooLarge { .. } | Refused::Closed);
            refused.sort_by_key(|(at, _, why)| (!lasts(why), *at));
            refused.into_iter().map(|(_, delivery, why)| (delivery, why)).collect()
        })
    }
}
