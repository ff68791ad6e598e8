//! The first reading of a shop: everything there is, once.
//!
//! ```text
//! shop ─▶ orders ─▶ products ─▶ done          each but the first by a bulk operation:
//!         start ─▶ run ─▶ fetch ─▶ deliver    what fails begins again at `start`
//! ```
//!
//! Invariant: the cursor says which step is next, and moves when a step's work is kept; a crash at
//! any point repeats at most one step or one handful of deliveries. A partial export is never
//! delivered, for its orders may lack lines.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ionflux_schemas::time::{UtcMs, Zone};
use serde::{Deserialize, Serialize};

use super::bulk;
use super::courier::{Parcel, TOGETHER_MAX};
use super::delivery::{PRODUCT, STRAY};
use super::download::{Fetched, fetch};
use super::error::{AdminError, SCOPES_NEEDED};
use super::groups::{Group, Groups};
use super::queries::{PRODUCTS_EXPORT, orders_export};
use super::shop;
use super::sweep::Sweep;
use super::tools::Tools;

/// How often an export may fail before orders are read page by page instead.
const TRIES_MAX: u32 = 3;
/// The first and the longest wait between two looks at an operation.
const LOOK_AFTER: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// Looks in one round; the next round goes on looking.
const LOOKS_MAX: u32 = 1_440;
/// Bytes of bodies that are brought in together.
const TOGETHER_BYTES_MAX: usize = 8 << 20;

/// What is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Shop,
    Orders,
    Products,
    Done,
}

/// What of it is next.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Start,
    Run { operation: String },
    Fetch { operation: String, read_at: i64 },
    Deliver { operation: String, read_at: i64, done: u64 },
}

/// How far the backfill is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Place {
    stage: Stage,
    step: Step,
    /// Exports of this stage that failed.
    failed: u32,
    /// Whether the shop shows the app no customers: then they are not asked for.
    #[serde(default)]
    anonymous: bool,
}

impl Place {
    fn at(stage: Stage) -> Self {
        Self { stage, step: Step::Start, failed: 0, anonymous: false }
    }

    /// The place after something was denied: once more without customers, who may be all that was.
    fn denied(&self) -> Option<Self> {
        let again = self.stage == Stage::Orders && !self.anonymous;
        again.then(|| Self { anonymous: true, ..Self::at(self.stage) })
    }
}

/// The name of the backfill's cursor.
const NAME: &str = "backfill";

/// The first reading of one shop.
pub struct Backfill {
    /// Where exports are kept while they are delivered.
    pub folder: PathBuf,
    /// How much of an export is downloaded at once.
    pub piece_bytes: u64,
}

/// An operation's own number.
fn number(operation: &str) -> String {
    operation
        .chars()
        .rev()
        .take_while(char::is_ascii_digit)
        .collect::<Vec<_>>()
        .iter()
        .rev()
        .collect()
}

impl Backfill {
    /// Goes on until everything was read, and says whether orders were.
    ///
    /// # Errors
    /// [`AdminError`]; the next call goes on where this one ended.
    pub fn advance(&self, tools: &mut Tools<'_>) -> Result<(), AdminError> {
        let mut place = tools.place(NAME)?.unwrap_or(Place::at(Stage::Shop));
        while place.stage != Stage::Done {
            let next = match (place.stage, place.step.clone()) {
                (Stage::Shop, _) => {
                    shop::ask_first(tools)?;
                    after(Stage::Shop)
                }
                (_, Step::Start) => self.start(&place, tools)?,
                (_, Step::Run { operation }) => self.run(&place, operation, tools)?,
                (_, Step::Fetch { operation, read_at }) => {
                    self.fetch(&place, (operation, read_at), tools)?
                }
                (_, Step::Deliver { operation, read_at, done }) => {
                    self.deliver(&place, (operation, read_at, done), tools)?
                }
            };
            if next.anonymous && !place.anonymous {
                let shop = &*tools.client.account().shop;
                tracing::warn!(shop, "no customers are shown to the app: all count as guests");
            }
            tools.move_to(NAME, &next)?;
            if next.stage != place.stage {
                self.forget();
            }
            place = next;
        }
        // What could not be removed, or was not before a crash.
        self.forget();
        tools.say(String::new());
        Ok(())
    }

    /// Whether every order there was has been asked for, so that sweeps may begin.
    pub fn orders_done(tools: &Tools<'_>) -> Result<bool, AdminError> {
        let place: Option<Place> = tools.place(NAME)?;
        Ok(place.is_some_and(|place| matches!(place.stage, Stage::Products | Stage::Done)))
    }

    /// Exports that were delivered, or will never be. What cannot be removed is removed later.
    fn forget(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let _ = fs::remove_file(entry.path());
        }
    }

    fn path(&self, operation: &str) -> PathBuf {
        self.folder.join(format!("{}.jsonl", number(operation)))
    }

    fn start(&self, place: &Place, tools: &mut Tools<'_>) -> Result<Place, AdminError> {
        let failed =
            |cause: std::io::Error| AdminError::disk(&self.folder.display().to_string(), &cause);
        fs::create_dir_all(&self.folder).map_err(failed)?;
        tools.say(format!("backfill: the shop is asked to export its {}", name(place.stage)));
        let export = match place.stage {
            Stage::Products => PRODUCTS_EXPORT.into(),
            _ => orders_export(!place.anonymous),
        };
        let now = tools.client.clock.now();
        let started = match bulk::start(tools.client, &export, tools.stop) {
            Err(AdminError::Permanent(why)) if why.to_lowercase().contains("access denied") => {
                return place.denied().ok_or(AdminError::Permanent(why));
            }
            started => started?,
        };
        if place.stage == Stage::Orders {
            // What changes from now on may not be in the export.
            Sweep::begin_at(instant(started.created_at.as_deref()).unwrap_or(now), tools)?;
        }
        Ok(Place { step: Step::Run { operation: started.id }, ..place.clone() })
    }

    fn run(
        &self,
        place: &Place,
        operation: String,
        tools: &mut Tools<'_>,
    ) -> Result<Place, AdminError> {
        let (mut wait, longest) = LOOK_AFTER;
        for _ in 0..LOOKS_MAX {
            let Some(found) = bulk::look(tools.client, &operation, tools.stop)? else {
                return self.failed(place, "the shop does not know it any more", tools);
            };
            match found.stage {
                bulk::Stage::Running(objects) => {
                    let what = name(place.stage);
                    tools.say(format!("backfill: {what}: {objects} objects exported so far"));
                    tools.client.wait(wait, tools.stop)?;
                    wait = (wait * 2).min(longest);
                }
                bulk::Stage::Completed(None) => return Ok(after(place.stage)),
                bulk::Stage::Completed(Some(_)) => {
                    // As of its beginning: what was changed while it ran may be in it or not.
                    let at = instant(found.created_at.as_deref()).unwrap_or_default();
                    let step = Step::Fetch { operation, read_at: at.0 };
                    return Ok(Place { step, ..place.clone() });
                }
                bulk::Stage::Failed { why, denied: true } => {
                    let shop = &tools.client.account().shop;
                    let what = name(place.stage);
                    let reason = format!("{shop}: the export of its {what} {why}; {SCOPES_NEEDED}");
                    return place.denied().ok_or(AdminError::Permanent(reason));
                }
                bulk::Stage::Failed { why, .. } => return self.failed(place, &why, tools),
            }
        }
        let reason = format!("{}: the export still runs", tools.client.account().shop);
        Err(AdminError::Transient(reason))
    }

    /// Begins again; after some failures orders are read page by page, which takes longer and
    /// always goes on.
    fn failed(&self, place: &Place, why: &str, tools: &mut Tools<'_>) -> Result<Place, AdminError> {
        let (failed, what) = (place.failed + 1, name(place.stage));
        let shop = tools.client.account().shop.clone();
        tracing::warn!(shop = &*shop, "the export of its {what} failed: {why}");
        if failed < TRIES_MAX {
            return Ok(Place { step: Step::Start, failed, ..place.clone() });
        }
        if place.stage == Stage::Orders {
            Sweep::begin_again(tools)?;
            return Ok(after(place.stage));
        }
        tools.move_to(NAME, &Place::at(place.stage))?;
        let reason = format!("{shop}: the export of its {what} failed {failed} times: {why}");
        Err(AdminError::Transient(reason))
    }

    fn fetch(
        &self,
        place: &Place,
        (operation, read_at): (String, i64),
        tools: &mut Tools<'_>,
    ) -> Result<Place, AdminError> {
        // Addresses expire, so that a fresh one is asked for at every start; and once more where
        // that one has expired meanwhile.
        for _ in 0..2 {
            let found = bulk::look(tools.client, &operation, tools.stop)?;
            let Some(bulk::Operation { stage: bulk::Stage::Completed(Some(url)), .. }) = found
            else {
                return self.failed(place, "its file is gone", tools);
            };
            tools.say(format!("backfill: {} are downloaded", name(place.stage)));
            let target = (&*self.path(&operation), self.piece_bytes);
            if fetch(tools.client, &url, target, tools.stop)? == Fetched::Whole {
                let step = Step::Deliver { operation, read_at, done: 0 };
                return Ok(Place { step, ..place.clone() });
            }
        }
        self.failed(place, "its file has expired", tools)
    }

    fn deliver(
        &self,
        place: &Place,
        (operation, read_at, mut done): (String, i64, u64),
        tools: &mut Tools<'_>,
    ) -> Result<Place, AdminError> {
        let path = self.path(&operation);
        let disk = |cause: std::io::Error| AdminError::disk(&path.display().to_string(), &cause);
        if !path.exists() {
            // Removed for somebody whom the shop forgets: only a fresh export is without them.
            return Ok(Place { step: Step::Start, ..place.clone() });
        }
        let mut groups = Groups::open(&path).map_err(disk)?;
        for _ in 0..done {
            groups.next().map_err(disk)?;
        }
        loop {
            let some = together(&mut groups).map_err(disk)?;
            if some.is_empty() {
                return Ok(after(place.stage));
            }
            done += some.len() as u64;
            bring(some, UtcMs(read_at), tools)?;
            let operation = operation.clone();
            let step = Step::Deliver { operation, read_at, done };
            tools.move_to(NAME, &Place { step, ..place.clone() })?;
            tools.say(format!("backfill: {done} {} delivered", name(place.stage)));
        }
    }
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Products => "products",
        _ => "orders",
    }
}

fn after(stage: Stage) -> Place {
    Place::at(match stage {
        Stage::Shop => Stage::Orders,
        Stage::Orders => Stage::Products,
        Stage::Products | Stage::Done => Stage::Done,
    })
}

fn instant(text: Option<&str>) -> Option<UtcMs> {
    UtcMs::parse(text?, &Zone::UTC).ok()
}

/// Some groups, as many as are brought in together.
fn together(groups: &mut Groups) -> std::io::Result<Vec<Group>> {
    let (mut some, mut bytes) = (Vec::new(), 0);
    while some.len() < TOGETHER_MAX && bytes < TOGETHER_BYTES_MAX {
        let Some(group) = groups.next()? else { break };
        bytes += match &group {
            Group::Order(order) => order.bytes(),
            Group::Product(body) | Group::Stray(body) => body.len(),
        };
        some.push(group);
    }
    Ok(some)
}

fn bring(groups: Vec<Group>, read_at: UtcMs, tools: &mut Tools<'_>) -> Result<(), AdminError> {
    let (mut orders, mut others) = (Vec::new(), Vec::new());
    for group in groups {
        match group {
            Group::Order(order) => orders.push(*order),
            Group::Product(body) => others.push(Parcel { kind: PRODUCT, read_at, body }),
            Group::Stray(body) => others.push(Parcel { kind: STRAY, read_at, body }),
        }
    }
    tools.bring(others)?;
    tools.bring_orders(orders, read_at)
}
