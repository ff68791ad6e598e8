//! The events of one request: judged by the reader, told from what is known, and kept together.
//!
//! ```text
//! judge ─▶ refused, duplicate
//!   └────▶ open ─ reserve ─▶ kept with all others at once ─▶ accepted
//!            ▲       └ another sender's: wait until it is settled
//!            └───────────────┘
//! ```
//!
//! Invariant: an event is accepted, or told to be a duplicate, only when it is durable. Nobody
//! waits for another sender while events of its own are on their way, so that two never wait for
//! each other.

use std::collections::HashSet;
use std::sync::Arc;

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::entity::Kind;
use ionflux_schemas::event::Event;
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::{Id, ShopKey};
use ionflux_schemas::time::UtcMs;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::known::{Found, Known};
use super::read::{SOURCE, understood};
use super::tokens::Grant;
use crate::inbox::{QUEUE_DELIVERIES_MAX, Refused};
use crate::intake::Intake;
use crate::reading::{Decoded, Setting};

/// Whether the ledger has an entity of a kind, a shop and an id.
pub type InLedger = Arc<dyn Fn(Kind, &ShopKey, &str) -> bool + Send + Sync>;

/// Events that wait for the journal at once: half of its queue, so that other doors find room.
const WAITING_MAX: usize = QUEUE_DELIVERIES_MAX / 2;

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is durable.
    Accepted,
    /// It was durable before.
    Duplicate,
    /// It was not kept, and never will be as it is.
    Refused,
}

/// The answer to one event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Answer {
    /// Which of the request's events, from 0.
    pub index: usize,
    /// Its id, where that much was understood.
    pub event_id: Option<Id>,
    /// What became of it.
    pub status: Status,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
}

/// Where events go, and what is known of them.
pub struct Keeper {
    intake: Intake,
    known: Arc<Known>,
    in_ledger: InLedger,
    waiting: Arc<Semaphore>,
}

/// Answers, and the events among them that are not kept yet.
pub struct Judged {
    /// An answer for each event; those that are open count as accepted once they are kept.
    pub answers: Vec<Answer>,
    open: Vec<(usize, Id, Delivery)>,
}

impl Keeper {
    /// Keeps events through an intake.
    pub fn new(intake: Intake, known: Arc<Known>, in_ledger: InLedger) -> Self {
        Self { intake, known, in_ledger, waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }

    /// Judges events as the reader will read them. It computes, and may look into the ledger.
    pub fn judge(&self, items: &[&[u8]], grant: &Grant, received_at: UtcMs) -> Judged {
        let mut seen = HashSet::new();
        let mut judged = Judged { answers: Vec::with_capacity(items.len()), open: Vec::new() };
        for (index, item) in items.iter().enumerate() {
            let delivery = Delivery {
                source: SOURCE.into(),
                workspace: grant.workspace.clone(),
                received_at,
                headers: [("by".into(), grant.name.clone())].into(),
                body: (*item).into(),
            };
            let setting = Setting::of_delivery(&delivery);
            let understood = understood(&delivery, Position(0), &setting);
            let (event_id, decoded) = (understood.id, understood.decoded);
            let (status, reason) = match (refusal(&decoded), &event_id) {
                (None, Some(id)) if seen.contains(id) || self.came_before(id, grant, &decoded) => {
                    (Status::Duplicate, None)
                }
                (None, Some(id)) => {
                    seen.insert(id.clone());
                    judged.open.push((index, id.clone(), delivery));
                    (Status::Accepted, None)
                }
                (reason, _) => (Status::Refused, reason),
            };
            judged.answers.push(Answer { index, event_id, status, reason });
        }
        judged
    }

    fn came_before(&self, id: &str, grant: &Grant, decoded: &Decoded) -> bool {
        let entity = |event: &Event| match event {
            Event::Entity(entity) if *entity.id == *id => Some(entity.kind()),
            _ => None,
        };
        let entities = decoded.envelopes.iter();
        let mut entities = entities.filter_map(|e| Some((entity(&e.event)?, &e.shop)));
        self.known.holds(&grant.workspace, id)
            || entities.any(|(kind, shop)| (self.in_ledger)(kind, shop, id))
    }

    /// Keeps what is open, all at once, and waits for what other senders have on its way.
    ///
    /// # Errors
    /// Something was not kept. What was is known from now on, and a duplicate when all is sent
    /// again.
    pub async fn keep(&self, judged: Judged, grant: &Grant) -> Result<Vec<Answer>, Refused> {
        let Judged { mut answers, mut open } = judged;
        while !open.is_empty() {
            // From before the look on, so that nothing is settled unseen.
            let mut settled = self.known.settled();
            let (mut later, mut tasks) = (Vec::new(), JoinSet::new());
            for (index, id, delivery) in open {
                match self.known.reserve(&grant.workspace, &id) {
                    Found::Kept => answers[index].status = Status::Duplicate,
                    Found::OnItsWay => later.push((index, id, delivery)),
                    Found::New(reservation) => {
                        let (intake, room) = (self.intake.clone(), Arc::clone(&self.waiting));
                        tasks.spawn(async move {
                            let _room = room.acquire_owned().await;
                            intake.deliver(delivery).await.map(|_| reservation.keep())
                        });
                    }
                }
            }
            let mut broken = None;
            while let Some(kept) = tasks.join_next().await {
                // A task ends early only when the program does.
                broken = kept.unwrap_or(Err(Refused::Closed)).err().or(broken);
            }
            if let Some(refused) = broken {
                return Err(refused);
            }
            if !later.is_empty() {
                settled.changed().await.map_err(|_| Refused::Closed)?;
            }
            open = later;
        }
        Ok(answers)
    }
}

/// Why an event is not taken: nothing of it can be counted, and a better release would not. What
/// no view counts yet is taken, and so is what is understood in part.
fn refusal(decoded: &Decoded) -> Option<Box<str>> {
    let fatal = |kind| kind != FaultKind::Unsupported;
    let fault = decoded.faults.iter().find(|fault| fatal(fault.kind))?;
    decoded.envelopes.is_empty().then(|| fault.reason.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Stepped;
    use crate::inbox::Inbox;
    use crate::inbox::metrics::JournalMetrics;
    use crate::inbox::scribe::Scribe;
    use crate::intake::Privacy;
    use crate::journal::memory::Memory;
    use crate::journal::{Journal, Limits};
    use crate::platform::known::Reservation;

    const EVENT: &[u8] = br#"{"event_id":"e","event_type":"saas_connected",
        "event_timestamp":"2026-03-01T09:30:00Z","payload_json":{}}"#;

    fn keeper() -> (Keeper, Arc<Known>, Inbox) {
        let limits = Limits::new(1 << 20);
        let (journal, opened) = Journal::open(Box::new(Memory::new(1)), limits).unwrap();
        let clock = Arc::new(Stepped::new(UtcMs(1)));
        let metrics = JournalMetrics::new(&prometheus::Registry::new()).unwrap();
        let inbox = Inbox::open(Scribe::new(journal, &opened, clock, metrics)).unwrap();
        let known = Known::new(8);
        let intake = Intake::new(inbox.clone(), crate::intake::Privacy::Untouched);
        (Keeper::new(intake, Arc::clone(&known), Arc::new(|_, _, _| false)), known, inbox)
    }

    fn reserved(known: &Arc<Known>) -> Reservation {
        match known.reserve("w", "e") {
            Found::New(reservation) => reservation,
            _ => panic!("somebody has it"),
        }
    }

    /// What a second sender is told when the first one, whose event is on its way, then ends.
    async fn second(ends: impl FnOnce(Reservation)) -> Status {
        let (keeper, known, inbox) = keeper();
        let grant = Grant { workspace: "w".into(), name: "t".into() };
        let first = reserved(&known);
        let judged = keeper.judge(&[EVENT], &grant, UtcMs(1));
        let mut told = std::pin::pin!(keeper.keep(judged, &grant));
        for _ in 0..100 {
            tokio::select! {
                biased;
                _ = &mut told => panic!("told before the first sender's event was durable"),
                () = tokio::task::yield_now() => {}
            }
        }
        ends(first);
        let status = told.await.unwrap()[0].status;
        tokio::task::spawn_blocking(move || inbox.close()).await.unwrap();
        status
    }

    #[tokio::test]
    async fn a_second_sender_waits_for_the_first_and_takes_over_when_it_fails() {
        assert_eq!(second(Reservation::keep).await, Status::Duplicate);
        assert_eq!(second(drop).await, Status::Accepted);
    }

    #[tokio::test]
    async fn whoever_goes_away_holds_nothing() {
        let (keeper, known, inbox) = keeper();
        let grant = Grant { workspace: "w".into(), name: "t".into() };
        let judged = keeper.judge(&[EVENT, EVENT], &grant, UtcMs(1));
        let told: Vec<Status> = judged.answers.iter().map(|answer| answer.status).collect();
        assert_eq!(told, [Status::Accepted, Status::Duplicate]);
        let gone = keeper.keep(judged, &grant);
        {
            let mut gone = std::pin::pin!(gone);
            tokio::select! {
                biased;
                _ = &mut gone => {}
                () = std::future::ready(()) => {}
            }
        }
        // Its tasks are told to end; whether they were in time or not, nothing stays on its way.
        let mut settled = known.settled();
        while matches!(known.reserve("w", "e"), Found::OnItsWay) {
            settled.changed().await.unwrap();
        }
        tokio::task::spawn_blocking(move || inbox.close()).await.unwrap();
    }
}
