//! A program over a target, driven by hand, and the batches it would write.
//!
//! Invariant: nothing here knows what the target is.

#![allow(dead_code, clippy::unwrap_used)]

use ionflux_schemas::snapshot::Change;
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_schemas::view::{Row, Value, View};
use ionflux_sinks::conformance::Bench;
use ionflux_sinks::history::{COUNTS, History};
use ionflux_sinks::memory::contents_of;
use ionflux_sinks::pump::{Pump, Stepped};
use ionflux_sinks::sink::{Mark, Outgoing, Sink};

/// The clock at every epoch of batches made by hand.
pub const AS_OF: UtcMs = UtcMs(1_700_000_000_123);

/// The view of counts with another column, one version later.
pub static COUNTS_2: View = View {
    version: 2,
    schema: r#"{"type": "record", "name": "conformance_counts", "doc": "Sums.",
    "ionflux.key": ["workspace_id"],
    "fields": [
        {"name": "workspace_id", "type": "string", "doc": "The tenant."},
        {"name": "units", "type": "long", "doc": "The sum."},
        {"name": "orders", "type": "long", "doc": "Another sum."}
    ]}"#,
    ..COUNTS
};

/// A courier and a sink over the epochs of a history.
pub struct Program<'a> {
    history: &'a History,
    pub pump: Pump,
    offered: usize,
}

impl<'a> Program<'a> {
    pub fn new(history: &'a History, state: u128, sink: Box<dyn Sink>) -> Self {
        let mut pump = Pump::new(state, sink);
        pump.courier.begin(&history.states[0]);
        Self { history, pump, offered: 0 }
    }

    pub fn offer(&mut self, upper: usize) {
        while self.offered < upper {
            let (before, batch, after) = self.history.epoch(self.offered);
            self.pump.courier.offer(before, batch, after);
            self.offered += 1;
        }
    }

    /// Steps until nothing is owed.
    pub async fn settle(&mut self) {
        for _ in 0..200 {
            match self.pump.advance_within(u32::MAX).await {
                Stepped::Idle => return,
                Stepped::Halted(error) => panic!("{error}: {error:?}"),
                _ => {}
            }
        }
        panic!("the sink does not come to rest");
    }
}

/// The mark of a target, which shows the epoch of it and nothing else.
pub async fn whole(bench: &mut dyn Bench, history: &History) -> Mark {
    let mark = bench.sink().resume().await.unwrap().unwrap();
    let expected = contents_of(&history.states[mark.epoch.0 as usize]);
    assert_eq!(bench.contents().await, expected, "at {mark:?}");
    mark
}

/// A batch of a state from one epoch to another.
pub fn batch(
    state: u128,
    from: Option<u64>,
    to: u64,
    views: Vec<(&'static View, Vec<Change>)>,
) -> Outgoing {
    let to = Mark { state, epoch: Epoch(to), as_of: AS_OF };
    Outgoing { from: from.map(Epoch), to, views }
}

pub fn change(old: Option<Row>, new: Option<Row>) -> Change {
    Change { old, new }
}

/// A row of the view of counts.
pub fn row(key: &str, units: i64) -> Option<Row> {
    Some(Row(vec![Value::text(key), Value::Int(units)]))
}
