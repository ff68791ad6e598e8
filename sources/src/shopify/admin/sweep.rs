//! Sweeps: orders that changed, asked for again in case a webhook was lost.
//!
//! ```text
//! last ──┐ overlap
//!        ▼
//! ──────●━━━━━━━━━━━━━━━━━━━━━●▶ updated_at       each page: deliver, acknowledge, move on
//! ```
//!
//! Invariant: the cursor is the latest change whose order, and all that changed before it, were
//! acknowledged; a sweep that ends early goes on at its page.

use std::time::Duration;

use ionflux_schemas::time::{UtcMs, Zone};
use serde::{Deserialize, Serialize};

use super::error::AdminError;
use super::gather::Gatherer;
use super::tools::Tools;

/// How far back a sweep reaches behind the last: changes are listed a while after they are made.
const OVERLAP: Duration = Duration::from_secs(600);
/// How far back the nightly sweep reaches.
const NIGHTLY: Duration = Duration::from_secs(7 * 86_400);
/// Pages in one round; the next round goes on at its page.
const PAGES_MAX: usize = 2_000;
/// Before any shop's first order: 2000-01-01.
const BEGINNING: UtcMs = UtcMs(946_684_800_000);

/// The names of the cursors.
const NAME: &str = "sweep";
const NIGHTLY_NAME: &str = "nightly";

/// How far a sweep is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Place {
    /// The latest change that was acknowledged.
    seen: i64,
    /// The sweep that is under way.
    open: Option<Open>,
}

/// A sweep that is under way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Open {
    from: i64,
    after: String,
}

/// How far the nightly sweep is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Night {
    /// The last day it was done, as days since 1970.
    day: i64,
    open: Option<Open>,
}

/// What a sweep came to after one page.
enum Turn {
    /// It was acknowledged up to its latest change; the sweep goes on, or is done.
    Page { seen: Option<i64>, next: Option<Open> },
    /// The place of the page is not known any more.
    Anew,
}

impl Turn {
    fn open(self) -> Option<Open> {
        match self {
            Self::Page { next, .. } => next,
            Self::Anew => None,
        }
    }
}

/// Sweeps of one shop.
pub struct Sweep;

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Sweep {
    /// Begins sweeping at an instant, unless it has begun already.
    pub fn begin_at(at: UtcMs, tools: &Tools<'_>) -> Result<(), AdminError> {
        match tools.place::<Place>(NAME)? {
            Some(_) => Ok(()),
            None => tools.move_to(NAME, &Place { seen: at.0, open: None }),
        }
    }

    /// Begins sweeping again at the very beginning.
    pub fn begin_again(tools: &Tools<'_>) -> Result<(), AdminError> {
        tools.move_to(NAME, &Place { seen: BEGINNING.0, open: None })
    }

    /// One sweep of what changed since the last.
    pub fn round(tools: &mut Tools<'_>) -> Result<(), AdminError> {
        let now = tools.client.clock.now();
        Self::begin_at(now, tools)?;
        let Some(mut place) = tools.place::<Place>(NAME)? else { return Ok(()) };
        let open = match place.open.take() {
            Some(open) => open,
            None => Open { from: place.seen - ms(OVERLAP), after: String::new() },
        };
        sweep(open, tools, |tools, turn| {
            if let Turn::Page { seen, .. } = turn {
                place.seen = place.seen.max(seen.unwrap_or(place.seen));
            }
            place.open = turn.open();
            tools.move_to(NAME, &place)
        })
    }

    /// Once a day, one sweep of the last seven days.
    pub fn nightly(tools: &mut Tools<'_>) -> Result<(), AdminError> {
        let now = tools.client.clock.now();
        let day = tools.today();
        let night = tools.place::<Night>(NIGHTLY_NAME)?;
        let open = match night {
            Some(Night { open: Some(open), .. }) => open,
            Some(Night { day: done, .. }) if done >= day => return Ok(()),
            Some(_) => Open { from: now.0 - ms(NIGHTLY), after: String::new() },
            // The first night is the next one.
            None => return tools.move_to(NIGHTLY_NAME, &Night { day, open: None }),
        };
        sweep(open, tools, |tools, turn| {
            // Until it is done, the last night that was is the one before.
            let day = if matches!(turn, Turn::Page { next: None, .. }) { day } else { day - 1 };
            tools.move_to(NIGHTLY_NAME, &Night { day, open: turn.open() })
        })
    }
}

/// Sweeps from an open place on; `moved` is told after each page.
fn sweep(
    mut open: Open,
    tools: &mut Tools<'_>,
    mut moved: impl FnMut(&Tools<'_>, Turn) -> Result<(), AdminError>,
) -> Result<(), AdminError> {
    // Changes are told to the second.
    let from = UtcMs(open.from.max(BEGINNING.0) / 1000 * 1000);
    let filter = format!("updated_at:>='{}'", from);
    for _ in 0..PAGES_MAX {
        // Before it is asked: what is raised after this instant may not be in the answer.
        let read_at = tools.client.clock.now();
        let after = Some(&*open.after).filter(|after| !after.is_empty());
        let page = {
            let Tools { client, sizes, stop, .. } = tools;
            Gatherer { client, sizes, stop }.page(&filter, after)
        };
        let (orders, next) = match page {
            // The place of a page that is refused may be too old: the sweep begins anew.
            Err(AdminError::Permanent(reason)) if after.is_some() => {
                moved(tools, Turn::Anew)?;
                return Err(AdminError::Transient(reason));
            }
            page => page?,
        };
        let changed = |text: &String| UtcMs::parse(text, &Zone::UTC).ok();
        let seen = orders.iter().filter_map(|order| changed(order.updated_at.as_ref()?)).max();
        tools.bring_orders(orders, read_at)?;
        let following = next.map(|after| Open { from: open.from, after });
        moved(tools, Turn::Page { seen: seen.map(|seen| seen.0), next: following.clone() })?;
        match following {
            Some(following) => open = following,
            None => return Ok(()),
        }
    }
    Ok(())
}
