//! Which events came already: a bounded memory of each workspace, and what is on its way.
//!
//! Invariant: an id counts as known only once its event is durable; while it is on its way, a
//! second sender waits, and takes over if the first one fails.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ionflux_schemas::key::Id;
use tokio::sync::watch;

/// How many ids of a workspace are remembered; older ones are known to the ledger.
pub const IDS_MAX: usize = 65_536;

/// The memory of every workspace.
pub struct Known {
    ids_max: usize,
    workspaces: Mutex<BTreeMap<Id, Recent>>,
    settled: watch::Sender<()>,
}

#[derive(Default)]
struct Recent {
    /// Whether the event of an id is durable, or still on its way.
    ids: HashMap<Arc<str>, bool>,
    /// Those that are durable, oldest first.
    kept: VecDeque<Arc<str>>,
}

/// What is known of an id.
pub enum Found {
    /// Nothing: it is the caller's now.
    New(Reservation),
    /// Another sender's, on its way.
    OnItsWay,
    /// Its event is durable.
    Kept,
}

/// An id whose event is on its way. Dropped without [`Reservation::keep`], it is free again.
pub struct Reservation {
    known: Arc<Known>,
    workspace: Id,
    id: Arc<str>,
    kept: bool,
}

impl Known {
    /// A memory of so many ids of each workspace.
    #[must_use]
    pub fn new(ids_max: usize) -> Arc<Self> {
        Arc::new(Self { ids_max, workspaces: Mutex::default(), settled: watch::Sender::new(()) })
    }

    /// Whether the event of an id is durable, as far as is remembered.
    pub fn holds(&self, workspace: &str, id: &str) -> bool {
        self.lock().get(workspace).is_some_and(|recent| recent.ids.get(id) == Some(&true))
    }

    /// Takes an id, if nobody has it.
    pub fn reserve(self: &Arc<Self>, workspace: &str, id: &str) -> Found {
        let mut workspaces = self.lock();
        let recent = workspaces.entry(workspace.into()).or_default();
        match recent.ids.get(id) {
            Some(true) => return Found::Kept,
            Some(false) => return Found::OnItsWay,
            None => {}
        }
        let id: Arc<str> = id.into();
        recent.ids.insert(Arc::clone(&id), false);
        let (known, workspace) = (Arc::clone(self), workspace.into());
        Found::New(Reservation { known, workspace, id, kept: false })
    }

    /// Changes whenever something that was on its way is durable or free again.
    pub fn settled(&self) -> watch::Receiver<()> {
        self.settled.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Id, Recent>> {
        self.workspaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, workspace: &str, id: &Arc<str>, kept: bool) {
        let mut workspaces = self.lock();
        let recent = workspaces.entry(workspace.into()).or_default();
        if kept {
            recent.ids.insert(Arc::clone(id), true);
            recent.kept.push_back(Arc::clone(id));
            if recent.kept.len() > self.ids_max
                && let Some(oldest) = recent.kept.pop_front()
            {
                recent.ids.remove(&oldest);
            }
        } else {
            recent.ids.remove(id);
        }
        drop(workspaces);
        self.settled.send_replace(());
    }
}

impl Reservation {
    /// Its event is durable.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.known.settle(&self.workspace, &self.id, self.kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserved(known: &Arc<Known>, id: &str) -> Reservation {
        match known.reserve("w", id) {
            Found::New(reservation) => reservation,
            Found::OnItsWay => panic!("{id} is on its way"),
            Found::Kept => panic!("{id} is kept"),
        }
    }

    #[test]
    fn an_id_is_known_once_it_is_kept_and_free_again_when_it_was_not() {
        let known = Known::new(2);
        let first = reserved(&known, "a");
        assert!(matches!(known.reserve("w", "a"), Found::OnItsWay));
        assert!(!known.holds("w", "a"));
        let mut settled = known.settled();
        settled.mark_unchanged();
        drop(first);
        assert!(settled.has_changed().unwrap());
        reserved(&known, "a").keep();
        assert!(known.holds("w", "a") && matches!(known.reserve("w", "a"), Found::Kept));
        assert!(!known.holds("v", "a") && matches!(known.reserve("v", "a"), Found::New(_)));
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let known = Known::new(2);
        let open = reserved(&known, "open");
        for id in ["a", "b", "c"] {
            reserved(&known, id).keep();
        }
        assert!(!known.holds("w", "a") && known.holds("w", "b") && known.holds("w", "c"));
        assert!(matches!(known.reserve("w", "open"), Found::OnItsWay));
        open.keep();
        assert!(known.holds("w", "open"));
        assert_eq!(known.lock()["w"].ids.len(), 2);
    }
}
