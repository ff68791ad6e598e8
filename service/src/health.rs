//! The board where components say how they are, and anybody reads it.
//!
//! Invariant: a component's `since` moves only when its condition does, so that a reason that is
//! said again, or in other words, does not make a stall look young.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ionflux_schemas::health::{Condition, Health, Standing};
use ionflux_schemas::time::UtcMs;

/// How every component is. The components are those of one program, which bounds them.
#[derive(Default)]
pub struct HealthBoard {
    components: Mutex<BTreeMap<Box<str>, Health>>,
    needed: Asked<Health>,
    others: Asked<Health>,
    sources: Asked<Health>,
    sinks: Asked<Standing>,
}

/// Components that say how they are when they are asked.
struct Asked<T>(Mutex<Vec<Ask<T>>>);

type Ask<T> = Box<dyn Fn() -> T + Send + Sync>;

impl<T> Default for Asked<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Asked<T> {
    fn add(&self, component: impl Fn() -> T + Send + Sync + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(component));
    }

    fn read(&self) -> Vec<T> {
        let components = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        components.iter().map(|component| component()).collect()
    }
}

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

    /// A component that is asked each time somebody reads the board, and that the rest does without.
    pub fn ask(&self, component: impl Fn() -> Health + Send + Sync + 'static) {
        self.others.add(component);
    }

    /// A source, asked likewise: one that cannot be reached is no reason to take nothing from the
    /// others.
    pub fn source(&self, source: impl Fn() -> Health + Send + Sync + 'static) {
        self.sources.add(source);
    }

    /// A sink, asked likewise: a target that is away holds up nothing else.
    pub fn sink(&self, sink: impl Fn() -> Standing + Send + Sync + 'static) {
        self.sinks.add(sink);
    }

    /// A component that is asked as well, and without which nothing goes, like those that
    /// [`HealthBoard::set`] tells of.
    pub fn need(&self, component: impl Fn() -> Health + Send + Sync + 'static) {
        self.needed.add(component);
    }

    /// Every component, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Health> {
        self.read().0
    }

    /// Every component, by name, and whether those run without which nothing goes.
    #[must_use]
    pub fn read(&self) -> (Vec<Health>, bool) {
        let mut list: Vec<Health> = self.components().values().cloned().collect();
        list.extend(self.needed.read());
        let run = list.iter().all(|health| health.state == Condition::Running);
        list.extend(self.others.read());
        list.extend(self.sources());
        list.extend(self.sinks().into_iter().map(|sink| {
            let component = format!("sink {}", sink.health.component).into();
            Health { component, ..sink.health }
        }));
        list.sort_by(|a, b| a.component.cmp(&b.component));
        (list, run)
    }

    /// Every source, by name.
    #[must_use]
    pub fn sources(&self) -> Vec<Health> {
        let mut list = self.sources.read();
        list.sort_by(|a, b| a.component.cmp(&b.component));
        list
    }

    /// Every sink, by name.
    #[must_use]
    pub fn sinks(&self) -> Vec<Standing> {
        let mut list = self.sinks.read();
        list.sort_by(|a, b| a.health.component.cmp(&b.health.component));
        list
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
