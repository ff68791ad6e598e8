//! Which of a setting's changes holds at an instant.
//!
//! Invariant: the answer depends on the set of changes alone, never on their order or on how often
//! one is told.

use std::collections::BTreeMap;

use ionflux_schemas::entity::Setting;
use ionflux_schemas::key::Version;
use ionflux_schemas::time::UtcMs;

/// The changes of one setting: of those that hold from one instant the latest version.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Timeline {
    changes: BTreeMap<UtcMs, (Version, Setting)>,
}

impl Timeline {
    /// Adds a change that holds from an instant.
    pub fn add(&mut self, from: UtcMs, version: Version, setting: Setting) {
        match self.changes.get(&from) {
            Some((known, _)) if *known >= version => {}
            _ => drop(self.changes.insert(from, (version, setting))),
        }
    }

    /// The change that holds at an instant: the one that began last among those that have begun
    /// and have not ended. Where one ends, the one before holds again. A change that takes the
    /// setting back is given like any other, without a document.
    #[must_use]
    pub fn at(&self, instant: UtcMs) -> Option<(UtcMs, &Version, &Setting)> {
        let begun = self.changes.range(..=instant).rev();
        let mut holding =
            begun.filter(|(_, (_, setting))| setting.until.is_none_or(|until| instant < until));
        holding.next().map(|(from, (version, setting))| (*from, version, setting))
    }
}
