//! The one door: groups that share a sync, ticks, refusals, closing.
//!
//! Invariant: every position given is that of the very delivery, also after opening again.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::health::Condition;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::clock::{Clock, Stepped, Wall};
use ionflux_sources::inbox::metrics::JournalMetrics;
use ionflux_sources::inbox::scribe::{EPOCH_BYTES_MAX, IDLE_TICK_MS, Scribe, TICK_MS};
use ionflux_sources::inbox::{BODY_BYTES_MAX, Inbox, Refused};
use ionflux_sources::journal::folder::Folder;
use ionflux_sources::journal::memory::{Fault, Memory};
use ionflux_sources::journal::storage::Storage;
use ionflux_sources::journal::{Journal, Limits};
use prometheus::{Registry, TextEncoder};

const FOREVER: Duration = Duration::from_secs(600);

fn delivery(body: impl Into<Box<[u8]>>) -> Delivery {
    Delivery {
        source: "shop".into(),
        workspace: "acme".into(),
        received_at: UtcMs(1),
        headers: BTreeMap::new(),
        body: body.into(),
    }
}

fn scribe(storage: Box<dyn Storage>, clock: Arc<dyn Clock>, registry: &Registry) -> Scribe {
    let (journal, opened) = Journal::open(storage, Limits::new(1 << 30)).unwrap();
    Scribe::new(journal, &opened, clock, JournalMetrics::new(registry).unwrap())
}

fn entries(scribe: &Scribe) -> Vec<(Position, Entry)> {
    let journal = scribe.journal();
    let mut reader = journal.read(journal.first());
    let mut entries = Vec::new();
    while let Some(record) = reader.next(journal.durable_end()).unwrap() {
        entries.push((record.at, record.entry));
    }
    entries
}

fn ticks(scribe: &Scribe) -> Vec<i64> {
    let tick = |(_, entry)| match entry {
        Entry::Tick(at) => Some(at.0),
        Entry::Delivery(_) => None,
    };
    entries(scribe).into_iter().filter_map(tick).collect()
}

#[test]
fn the_clock_ticks_after_a_while_after_much_and_when_idle() {
    let (memory, clock) = (Memory::new(1), Arc::new(Stepped::new(UtcMs(1_000))));
    let mut scribe = scribe(Box::new(memory.clone()), clock.clone(), &Registry::new());
    scribe.commit(vec![delivery(*b"a")]).unwrap();
    assert_eq!(scribe.next_tick_in(), Duration::from_millis(TICK_MS as u64));
    clock.advance(TICK_MS - 1);
    scribe.commit(vec![delivery(*b"b")]).unwrap();
    assert!(ticks(&scribe).is_empty());
    clock.advance(1);
    assert_eq!(scribe.next_tick_in(), Duration::ZERO);
    scribe.commit(vec![]).unwrap();
    assert_eq!(ticks(&scribe), [1_050]);
    // Nothing came: the next is an idle one.
    assert_eq!(scribe.next_tick_in(), Duration::from_millis(IDLE_TICK_MS as u64));
    clock.advance(IDLE_TICK_MS);
    scribe.commit(vec![]).unwrap();
    assert_eq!(ticks(&scribe), [1_050, 1_050 + IDLE_TICK_MS]);
    // Much at once: at once, and at an instant of its own though the clock stands still.
    let half = vec![0; EPOCH_BYTES_MAX as usize / 2];
    scribe.commit(vec![delivery(half.clone())]).unwrap();
    assert_eq!(ticks(&scribe).len(), 2);
    scribe.commit(vec![delivery(half)]).unwrap();
    assert_eq!(ticks(&scribe), [1_050, 1_050 + IDLE_TICK_MS, 1_051 + IDLE_TICK_MS]);
    let syncs = memory.syncs();
    scribe.commit(vec![delivery(*b"c"), delivery(*b"d")]).unwrap();
    assert_eq!(memory.syncs(), syncs + 1, "a group costs one sync");
}

#[test]
fn ticks_never_go_back_over_a_restart_and_the_open_epoch_is_closed_soon() {
    let memory = Memory::new(1);
    let late = Arc::new(Stepped::new(UtcMs(9_000)));
    let mut first = scribe(Box::new(memory.clone()), late.clone(), &Registry::new());
    first.commit(vec![delivery(*b"a")]).unwrap();
    late.advance(TICK_MS);
    first.commit(vec![delivery(*b"b")]).unwrap();
    first.commit(vec![delivery(*b"c")]).unwrap();
    drop(first);
    // The machine's clock is an hour or so behind after the restart.
    let early = Arc::new(Stepped::new(UtcMs(5)));
    let mut again = scribe(Box::new(memory), early.clone(), &Registry::new());
    assert_eq!(again.last_tick(), Some(UtcMs(9_050)));
    assert_eq!(again.next_tick_in(), Duration::from_millis(TICK_MS as u64));
    early.advance(TICK_MS);
    again.commit(vec![]).unwrap();
    assert_eq!(ticks(&again), [9_050, 9_051]);
    again.finish().unwrap();
    assert_eq!(ticks(&again).len(), 2, "no epoch is open");
}

#[test]
fn a_failing_disk_refuses_shows_in_the_health_and_recovers() {
    let (memory, clock) = (Memory::new(1), Arc::new(Stepped::new(UtcMs(1_000))));
    let registry = Registry::new();
    let mut scribe = scribe(Box::new(memory.clone()), clock.clone(), &registry);
    scribe.commit(vec![delivery(*b"a")]).unwrap();
    memory.fail_next(Fault::SyncError);
    clock.advance(7);
    assert_eq!(scribe.commit(vec![delivery(*b"b"), delivery(*b"c")]), Err(Refused::Failing));
    let health = scribe.health().clone();
    assert_eq!((health.state, health.since), (Condition::Stalled, UtcMs(1_007)));
    assert!(health.reason.contains("syncing failed"));
    memory.limit(Some(0));
    assert!(matches!(scribe.commit(vec![delivery(*b"d")]), Err(Refused::Full { .. })));
    memory.limit(None);
    scribe.commit(vec![delivery(*b"e")]).unwrap();
    assert_eq!((scribe.health().state, &*scribe.health().reason), (Condition::Running, ""));
    let bodies: Vec<_> = entries(&scribe)
        .into_iter()
        .filter_map(|(_, entry)| match entry {
            Entry::Delivery(delivery) => Some(delivery.body),
            Entry::Tick(_) => None,
        })
        .collect();
    assert_eq!(bodies, [Box::from(*b"a") as Box<[u8]>, Box::from(*b"e")]);
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    for line in [
        "ionflux_journal_refused_total{reason=\"failing\"} 2",
        "ionflux_journal_refused_total{reason=\"full\"} 1",
        "ionflux_journal_group_deliveries_count 2",
        "ionflux_journal_fsync_seconds_count 3",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn many_threads_share_syncs_and_every_position_holds_its_delivery() {
    const THREADS: usize = 64;
    const EACH: usize = 25;
    let folder = tempfile::tempdir().unwrap();
    let storage = || Box::new(Folder::open(folder.path()).unwrap());
    let inbox =
        Inbox::open(scribe(storage(), Arc::new(Wall::default()), &Registry::new())).unwrap();
    let deliver = |thread: usize| {
        let inbox = inbox.clone();
        thread::spawn(move || {
            let body = |i: usize| format!("{thread}/{i}");
            let deliver = |i| inbox.deliver_blocking(delivery(body(i).into_bytes()));
            (0..EACH).map(|i| (deliver(i).unwrap(), body(i))).collect::<Vec<_>>()
        })
    };
    let threads: Vec<_> = (0..THREADS).map(deliver).collect();
    let given: BTreeMap<Position, String> =
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert_eq!(given.len(), THREADS * EACH, "no position is given twice");
    inbox.close();
    assert_eq!(inbox.deliver_blocking(delivery(*b"late")), Err(Refused::Closed));
    let again = scribe(storage(), Arc::new(Wall::default()), &Registry::new());
    let kept: BTreeMap<Position, String> = entries(&again)
        .into_iter()
        .filter_map(|(at, entry)| match entry {
            Entry::Delivery(delivery) => {
                Some((at, String::from_utf8(delivery.body.into()).unwrap()))
            }
            Entry::Tick(_) => None,
        })
        .collect();
    assert_eq!(kept, given);
    assert!(matches!(entries(&again).last(), Some((_, Entry::Tick(_)))), "the epoch is closed");
}

#[test]
fn a_reader_beside_the_door_sees_what_is_durable_as_it_becomes_so() {
    let clock = Arc::new(Stepped::new(UtcMs(1)));
    let inbox = Inbox::open(scribe(Box::new(Memory::new(1)), clock, &Registry::new())).unwrap();
    let reading = {
        let inbox = inbox.clone();
        thread::spawn(move || {
            let (mut reader, mut bodies) = (inbox.read(Position(0)), Vec::new());
            while bodies.len() < 200 {
                let durable = inbox.wait_durable(reader.position(), FOREVER);
                while let Some(record) = reader.next(durable).unwrap() {
                    if let Entry::Delivery(delivery) = record.entry {
                        bodies.push(delivery.body);
                    }
                }
            }
            bodies
        })
    };
    let bodies: Vec<Box<[u8]>> = (0..200_u8).map(|i| vec![i; i.into()].into()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let watch = inbox.durable();
    for body in &bodies {
        let at = runtime.block_on(inbox.deliver(delivery(body.clone()))).unwrap();
        assert!(*watch.borrow() > at);
    }
    assert_eq!(reading.join().unwrap(), bodies);
    inbox.close();
    assert_eq!(inbox.wait_durable(Position(u64::MAX), FOREVER), *watch.borrow());
}

#[test]
fn what_is_too_large_is_refused_at_the_door_and_trimming_is_done_by_the_writer() {
    let clock = Arc::new(Stepped::new(UtcMs(1)));
    let memory = Memory::new(1);
    let limits = Limits { segment_bytes: 1_000, ..Limits::new(100_000) };
    let (journal, opened) = Journal::open(Box::new(memory.clone()), limits).unwrap();
    let metrics = JournalMetrics::new(&Registry::new()).unwrap();
    let inbox = Inbox::open(Scribe::new(journal, &opened, clock, metrics)).unwrap();
    let refused = inbox.deliver_blocking(delivery(vec![0; BODY_BYTES_MAX + 1])).unwrap_err();
    assert!(matches!(refused, Refused::TooLarge { .. }) && refused.retry_after_s().is_none());
    let mut full = 0;
    let mut last = Position(0);
    for number in 0..600_u32 {
        match inbox.deliver_blocking(delivery(vec![number as u8; 700])) {
            Ok(at) => last = at,
            Err(refused) => {
                assert!(matches!(refused, Refused::Full { .. }));
                full += 1;
                inbox.trim(last);
            }
        }
    }
    assert!((1..300).contains(&full), "{full} refused");
    inbox.close();
    assert_eq!(inbox.health().state, Condition::Running);
    assert!(memory.files().values().map(Vec::len).sum::<usize>() <= 100_000);
}
