//! The task of a sink: it gets over what passes, halts alone over what does not, stops in order.
//!
//! Invariant: no test waits for a length of time; each waits for what the driver says.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ionflux_schemas::health::{Condition, Health, Standing};
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_schemas::view::{Row, Value};
use ionflux_sinks::driver::{Handle, Limits, Setting, start};
use ionflux_sinks::error::SinkError;
use ionflux_sinks::history::{COUNTS, History};
use ionflux_sinks::memory::{Fault, Target, contents_of};
use ionflux_sinks::metrics::Metrics;
use ionflux_sinks::retry::RetryLimits;
use ionflux_sinks::sink::{BoxFuture, Mark, Outgoing, Sink};
use prometheus::{Registry, TextEncoder};

const LIMITS: Limits = Limits {
    retry: RetryLimits { first_ms: 0, longest_ms: 1, failures_max: 3, seed: 1 },
    flush_ms: 60_000,
};

/// The state's identity after it was renewed.
const RENEWED: u128 = 6;

/// What one driver test shares among its sinks.
struct Room {
    registry: Registry,
    metrics: Metrics,
    reports: Arc<Mutex<Vec<Health>>>,
}

impl Room {
    fn new() -> Self {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        Self { registry, metrics, reports: Arc::default() }
    }

    fn start(&self, sink: impl Sink + 'static, limits: Limits) -> Handle {
        let reports = Arc::clone(&self.reports);
        let setting = Setting {
            state: 5,
            limits,
            metrics: self.metrics.clone(),
            now: Arc::new(|| UtcMs(0)),
            report: Arc::new(move |health| reports.lock().unwrap().push(health)),
            renew: Arc::new(|| Ok(RENEWED)),
        };
        start(Box::new(sink), setting, &tokio::runtime::Handle::current())
    }

    fn last(&self, name: &str) -> Health {
        let reports = self.reports.lock().unwrap();
        reports.iter().rfind(|health| &*health.component == name).unwrap().clone()
    }

    /// The lines of metrics that have this in them.
    fn measured(&self, part: &str) -> Vec<String> {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        text.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }
}

/// A sink with times of its own.
struct Timed<S> {
    sink: S,
    /// How long its calls may take.
    answer: Duration,
    /// How long it is to be left alone after each write.
    rest: Duration,
}

/// Its calls may take 5 ms.
fn hasty<S: Sink>(sink: S) -> Timed<S> {
    Timed { answer: Duration::from_millis(5), rest: sink.rest(), sink }
}

/// It is to be left alone for a day.
fn resting<S: Sink>(sink: S) -> Timed<S> {
    Timed { answer: sink.answer_within(), rest: Duration::from_secs(86_400), sink }
}

impl<S: Sink> Sink for Timed<S> {
    fn name(&self) -> &str {
        self.sink.name()
    }

    fn answer_within(&self) -> Duration {
        self.answer
    }

    fn rest(&self) -> Duration {
        self.rest
    }

    fn resume(&mut self) -> BoxFuture<'_, Result<Option<Mark>, SinkError>> {
        self.sink.resume()
    }

    fn write<'a>(&'a mut self, batch: &'a Outgoing) -> BoxFuture<'a, Result<(), SinkError>> {
        self.sink.write(batch)
    }
}

fn offer(handle: &Handle, history: &History, epochs: std::ops::Range<usize>) {
    for at in epochs {
        let (before, batch, after) = history.epoch(at);
        handle.offer(before, batch, after);
    }
}

async fn arrived(handle: &Handle, epoch: u64) {
    let mut reached = handle.reached();
    reached.wait_for(|reached| *reached >= Some(Epoch(epoch))).await.unwrap();
}

async fn ended(handle: &Handle) {
    let mut reached = handle.reached();
    assert!(reached.wait_for(|_| false).await.is_err());
}

#[tokio::test]
async fn a_troubled_target_ends_up_with_everything() {
    let (room, history, target) = (Room::new(), History::sample(), Target::new());
    target.trouble(4, 500);
    let handle = room.start(target.sink("memory"), LIMITS);
    handle.begin(&history.states[0]);
    for at in 0..history.batches.len() {
        offer(&handle, &history, at..at + 1);
        arrived(&handle, at as u64 + 1).await;
        assert_eq!(target.contents(), contents_of(&history.states[at + 1]));
    }
    assert_eq!(handle.stop().await, Some(Epoch(8)));
    assert!(!room.measured("outcome=\"transient\"").is_empty(), "the trouble was felt");
    assert_eq!(room.measured("sink_epoch{"), ["ionflux_sink_epoch{sink=\"memory\"} 8"]);
    assert_eq!(room.measured("lag_epochs{"), ["ionflux_sink_lag_epochs{sink=\"memory\"} 0"]);
}

#[tokio::test]
async fn a_permanent_error_halts_that_sink_alone() {
    let (room, history) = (Room::new(), History::sample());
    let (sound, broken) = (Target::new(), Target::new());
    let handles =
        [room.start(sound.sink("sound"), LIMITS), room.start(broken.sink("broken"), LIMITS)];
    for handle in &handles {
        handle.begin(&history.states[2]);
        arrived(handle, 2).await;
    }
    broken.put(&COUNTS, Row(vec![Value::text("w1"), Value::Int(-9)]));
    handles.iter().for_each(|handle| offer(handle, &history, 2..4));
    arrived(&handles[0], 4).await;
    ended(&handles[1]).await;
    offer(&handles[0], &history, 4..6);
    arrived(&handles[0], 6).await;
    assert_eq!(sound.contents(), contents_of(&history.states[6]));
    assert_eq!(room.last("sound").state, Condition::Running);
    let halted = room.last("broken");
    assert_eq!(halted.state, Condition::Halted);
    assert!(halted.reason.starts_with("conformance_counts [w1]: "), "{}", halted.reason);
    let standing = handles[1].standing()();
    assert_eq!(
        standing,
        Standing { health: halted, epoch: Some(Epoch(2)), offered: Some(Epoch(4)) }
    );
    let permanent = r#"ionflux_sink_writes_total{outcome="permanent",sink="broken"} 1"#;
    assert_eq!(room.measured("\"permanent\""), [permanent]);
}

#[tokio::test]
async fn a_stop_brings_what_waits() {
    let (room, history, target) = (Room::new(), History::sample(), Target::new());
    target.inject(Fault::Unreachable { calls: 5 });
    let handle = room.start(target.sink("memory"), LIMITS);
    handle.begin(&history.states[0]);
    offer(&handle, &history, 0..8);
    assert_eq!(handle.stop().await, Some(Epoch(8)));
    assert_eq!(target.contents(), contents_of(history.last()));
    assert_eq!(target.writes(), 1, "all of it as one batch");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_target_that_is_away() {
    let (room, history, target) = (Room::new(), History::sample(), Target::new());
    target.inject(Fault::Unreachable { calls: u32::MAX });
    let handle = room.start(target.sink("memory"), Limits { flush_ms: 5, ..LIMITS });
    handle.begin(history.last());
    assert_eq!(handle.stop().await, None);
    assert_eq!(room.last("memory").state, Condition::Stalled);
    assert_eq!(target.contents(), contents_of(&history.states[0]));
}

#[tokio::test]
async fn a_call_without_an_answer_is_given_up_and_the_target_asked() {
    let (room, history, target) = (Room::new(), History::sample(), Target::new());
    let handle = room.start(hasty(target.sink("memory")), LIMITS);
    handle.begin(&history.states[1]);
    arrived(&handle, 1).await;
    target.inject(Fault::Delay { before: 0, after: u32::MAX });
    offer(&handle, &history, 1..2);
    arrived(&handle, 2).await;
    assert_eq!(handle.stop().await, Some(Epoch(2)));
    assert_eq!(room.measured("\"unanswered\"").len(), 1);
    assert_eq!(target.writes(), 2, "the write had happened and is not repeated");
}

#[tokio::test]
async fn a_sink_that_rests_gets_what_came_meanwhile_at_once_and_a_stop_ends_its_rest() {
    let (room, history, target) = (Room::new(), History::sample(), Target::new());
    let handle = room.start(resting(target.sink("memory")), LIMITS);
    handle.begin(&history.states[1]);
    arrived(&handle, 1).await;
    offer(&handle, &history, 1..8);
    assert_eq!(handle.stop().await, Some(Epoch(8)));
    assert_eq!(target.contents(), contents_of(history.last()));
    assert_eq!(target.writes(), 2, "all that came while it rested as one batch");
}

#[tokio::test]
async fn a_target_ahead_of_a_state_that_was_put_back_is_made_like_it() {
    let (room, history, target) = (Room::new(), History::sample(), Target::new());
    let before = room.start(target.sink("memory"), LIMITS);
    before.begin(&history.states[7]);
    assert_eq!(before.stop().await, Some(Epoch(7)));
    let handle = room.start(target.sink("memory"), LIMITS);
    handle.begin(&history.states[2]);
    offer(&handle, &history, 2..4);
    handle.caught_up();
    let mut reached = handle.reached();
    reached.wait_for(|reached| *reached == Some(Epoch(4))).await.unwrap();
    assert_eq!(target.mark(), Some(history.mark(RENEWED, 4)));
    assert_eq!(target.contents(), contents_of(&history.states[4]));
}

struct Broken;

impl Sink for Broken {
    fn name(&self) -> &str {
        "broken"
    }

    fn resume(&mut self) -> BoxFuture<'_, Result<Option<Mark>, ionflux_sinks::error::SinkError>> {
        Box::pin(async { panic!("a bug") })
    }

    fn write<'a>(
        &'a mut self,
        _: &'a Outgoing,
    ) -> BoxFuture<'a, Result<(), ionflux_sinks::error::SinkError>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn a_sink_that_panics_is_reported_and_offers_to_it_go_nowhere() {
    let (room, history) = (Room::new(), History::sample());
    let handle = room.start(Broken, LIMITS);
    ended(&handle).await;
    assert_eq!(room.last("broken").state, Condition::Halted);
    offer(&handle, &history, 0..8);
    assert_eq!(Arc::strong_count(history.last()), 1, "nothing piles up");
    assert_eq!(handle.stop().await, None);
}
