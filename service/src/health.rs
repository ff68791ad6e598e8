//! The board where components say how they are, and anybody reads it.
//!
//! Invariant: a component's `since` moves only when its condition does, so that a reason that is
//! said again, or in other words, does not make a stall look young.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ionflux_schemas::health::{Condition, Health};
use ionflux_schemas::time::UtcMs;

/// How every component is. The components are those of one program, which bounds them.
#[derive(Default)]
pub struct HealthBoard {
    components: Mutex<BTreeMap<Box<str>, Health>>,
    needed: Mutex<Vec<Asked>>,
    asked: Mutex<Vec<Asked>>,
}

/// Says how a component is now.
type Asked = Box<dyn Fn() -> Health + Send + Sync>;

impl HealthBoard {
    /// Says how a component is without which nothing goes, and why in words, which are empty while
    /// all is well.
    pub fn set(&self, component: &str, condition: Condition, reason: &str, now: UtcMs) {
        let mut components = self.components();
        let known = components.entry(component.into()).or_insert_with(|| Health {
            component: component.into(),
            state: condition,
            since: now,
            reason: Box::default(),
        });
        if known.state != condition {
            (known.state, known.since) = (condition, now);
        }
        known.reason = reason.into();
    }

    /// A component that is asked each time somebody reads the board, and that others do without: a
    /// source that cannot be reached is no reason to take nothing from the others.
    pub fn ask(&self, component: impl Fn() -> Health + Send + Sync + 'static) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(component));
    }

    /// A component that is asked as well, and without which nothing goes, like those that
    /// [`HealthBoard::set`] tells of.
    pub fn need(&self, component: impl Fn() -> Health + Send + Sync + 'static) {
        self.needed.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(component));
    }

    /// Every component, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Health> {
        self.read().0
    }

    /// Every component, by name, and whether those run without which nothing goes.
    #[must_use]
    pub fn read(&self) -> (Vec<Health>, bool) {
        let asked = |components: &Mutex<Vec<Asked>>| -> Vec<Health> {
            let components = components.lock().unwrap_or_else(PoisonError::into_inner);
            components.iter().map(|component| component()).collect()
        };
        let mut list: Vec<Health> = self.components().values().cloned().collect();
        list.extend(asked(&self.needed));
        let run = list.iter().all(|health| health.state == Condition::Running);
        list.extend(asked(&self.asked));
        list.sort_by(|a, b| a.component.cmp(&b.component));
        (list, run)
    }

    fn components(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Health>> {
        self.components.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_when_the_condition_changed() {
        let board = HealthBoard::default();
        let told = || board.list().into_iter().map(|health| (health.since.0, health.reason));
        board.set("kafka", Condition::Starting, "", UtcMs(1));
        board.set("kafka", Condition::Stalled, "the broker is away", UtcMs(2));
        board.set("kafka", Condition::Stalled, "the broker refused", UtcMs(3));
        assert!(told().eq([(2, "the broker refused".into())]));
        board.set("kafka", Condition::Running, "", UtcMs(4));
        board.set("disk", Condition::Running, "", UtcMs(5));
        assert!(told().eq([(5, "".into()), (4, "".into())]));
    }
}
