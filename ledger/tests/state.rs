//! What the ledger keeps beside orders, and what it keeps through crashes and failures: faults,
//! letters, progress and whole epochs, compared with a plain model in memory and on disk.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ionflux_ledger::disk::Disk;
use ionflux_ledger::entities::Entities;
use ionflux_ledger::memory::{Memory, Operation};
use ionflux_ledger::{BaseZone, Ledger, LedgerError, Said};
use ionflux_schemas::currency::Currency;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::event::{Envelope, Event, Order, OrderLine};
use ionflux_schemas::fact::{Differences, Fact};
use ionflux_schemas::fault::{Fault, FaultKind, Place};
use ionflux_schemas::key::{ShopKey, Version};
use ionflux_schemas::letter::Letter;
use ionflux_schemas::time::{Epoch, UtcMs};
use proptest::prelude::*;

fn letter(n: u8) -> Letter {
    Letter {
        format: "shopify-webhooks".into(),
        place: Place { source: "webhooks".into(), line: 0 },
        position: None,
        received_at: Some(UtcMs(7)),
        context: [("shop".into(), "a.example".into())].into(),
        bytes: vec![n; 3].into(),
    }
}

fn fault(n: u8) -> Fault {
    Fault {
        shop: ShopKey::new("acme", "a.example"),
        kind: FaultKind::Price,
        place: Place { source: "webhooks".into(), line: n.into() },
        subject: "".into(),
        reason: "no price".into(),
    }
}

fn order(id: u16, price: i64) -> Envelope {
    let product = Some("7900".into());
    let line = OrderLine { id: "1".into(), product, units: 1, gross: price, discounts: 0 };
    let order = Order {
        id: id.to_string().into(),
        placed_at: UtcMs(0),
        currency: Currency::parse("EUR").unwrap(),
        channel: "web".into(),
        customer: None,
        test: false,
        lines: vec![line],
        shipping: 0,
        taxes: 0,
        tips: 0,
        duties_and_fees: 0,
    };
    let version = Version::new(UtcMs(price), UtcMs(0), &price.to_be_bytes());
    let shop = Arc::new(ShopKey::new("acme", format!("{}.example", id % 3)));
    Envelope { shop, version, event: Event::Order(order) }
}

/// What one epoch may say; faults are numbered, and so are letters.
#[derive(Clone, Debug)]
struct Told {
    orders: Vec<(u16, i64)>,
    faults: Vec<(u8, Option<u8>)>,
    letters: Vec<u8>,
    resolved: Vec<u8>,
    progress: Option<u8>,
}

fn told() -> impl Strategy<Value = Told> {
    let orders = prop::collection::vec((0..40_u16, 1..50_i64), 0..6);
    let faults = prop::collection::vec((0..5_u8, prop::option::of(0..3_u8)), 0..4);
    let (letters, resolved) =
        (prop::collection::vec(0..3_u8, 0..3), prop::collection::vec(0..5_u8, 0..3));
    (orders, faults, letters, resolved, prop::option::of(any::<u8>())).prop_map(
        |(orders, faults, letters, resolved, progress)| Told {
            orders,
            faults,
            letters,
            resolved,
            progress,
        },
    )
}

impl Told {
    fn said(&self) -> Said {
        let id = |n: &u8| letter(*n).id();
        let progress = self.progress.iter();
        Said {
            envelopes: self.orders.iter().map(|(id, price)| order(*id, *price)).collect(),
            faults: self.faults.iter().map(|(n, l)| (fault(*n), l.as_ref().map(id))).collect(),
            letters: self.letters.iter().map(|n| letter(*n)).collect(),
            resolved: self.resolved.iter().map(|n| fault(*n).id()).collect(),
            progress: progress.map(|at| ("journal".into(), vec![*at])).collect(),
            ..Said::default()
        }
    }
}

/// The same promises in the plainest form.
#[derive(Clone, PartialEq, Debug, Default)]
struct Model {
    orders: BTreeMap<u16, i64>,
    faults: BTreeMap<u8, Option<u8>>,
    letters: BTreeSet<u8>,
    progress: Option<u8>,
}

impl Model {
    fn apply(&mut self, told: &Told) {
        for (id, price) in &told.orders {
            let held = self.orders.entry(*id).or_default();
            *held = (*held).max(*price);
        }
        let reported = |n: &u8| told.faults.iter().any(|(fault, _)| fault == n);
        for n in told.resolved.iter().filter(|n| !reported(n)) {
            self.faults.remove(n);
        }
        for (n, letter) in &told.faults {
            let held = self.faults.entry(*n).or_default();
            *held = held.or(*letter);
        }
        self.letters.extend(&told.letters);
        let claimed: BTreeSet<_> = self.faults.values().copied().flatten().collect();
        self.letters.retain(|letter| claimed.contains(letter));
        self.progress = told.progress.or(self.progress);
    }
}

#[derive(Clone, PartialEq, Debug, Default)]
struct Seen {
    facts: BTreeMap<(u32, i64), i64>,
    faults: BTreeMap<String, i64>,
}

impl Seen {
    fn add(&mut self, differences: &Differences, dictionary: &Dictionary) {
        for (fact, difference) in &differences.facts {
            let Fact { shop, amounts, .. } = fact;
            let shop = u32::from(dictionary.shops.name(*shop).shop.as_bytes()[0]);
            *self.facts.entry((shop, amounts[0])).or_default() += difference;
        }
        for (fault, difference) in &differences.faults {
            let count = self.faults.entry(dictionary.faults.name(*fault).id()).or_default();
            *count += difference;
            assert!((0..=1).contains(count), "a fault is told once");
        }
        self.facts.retain(|_, count| *count != 0);
        self.faults.retain(|_, count| *count != 0);
    }

    fn of(model: &Model) -> Self {
        let mut seen = Self::default();
        for (id, price) in &model.orders {
            let shop = u32::from(b'0') + u32::from(id % 3);
            *seen.facts.entry((shop, *price)).or_default() += 1;
            // The order itself, whose shipping is nothing.
            *seen.facts.entry((shop, 0)).or_default() += 1;
        }
        seen.faults.extend(model.faults.keys().map(|n| (fault(*n).id(), 1)));
        seen
    }
}

fn open(entities: impl Entities + 'static) -> (Ledger, Arc<Dictionary>) {
    let (dictionary, base) = (Arc::new(Dictionary::new()), BaseZone::Unknown);
    let ledger = Ledger::open(Box::new(entities), Arc::clone(&dictionary), base, 2);
    (ledger.unwrap(), dictionary)
}

fn check(ledger: &Ledger, dictionary: &Dictionary, model: &Model) {
    let mut seen = Seen::default();
    let each = |differences: Differences| {
        seen.add(&differences, dictionary);
        Ok::<_, LedgerError>(())
    };
    ledger.hydrate(7, each).unwrap();
    assert_eq!(seen, Seen::of(model));
    assert_eq!(ledger.stats().entities, model.orders.len() as u64);
    for n in 0..5 {
        let kept = |l: &u8| model.letters.contains(l).then(|| letter(*l));
        let held = model.faults.get(&n).map(|l| (fault(n), l.as_ref().and_then(kept)));
        assert_eq!(ledger.fault(&fault(n).id()).unwrap(), held);
    }
    for n in 0..3 {
        let held = model.letters.contains(&n).then(|| letter(n));
        assert_eq!(ledger.letter(letter(n).id()).unwrap(), held, "letter {n}");
    }
    let mut listed = Vec::new();
    let each = |id: &str, _, letter: Option<u128>| {
        listed.push((id.to_owned(), letter));
        Ok::<_, LedgerError>(())
    };
    ledger.for_each_fault(each).unwrap();
    let id = |(n, l): (&u8, &Option<u8>)| (fault(*n).id(), l.map(|l| letter(l).id()));
    let mut faults: Vec<_> = model.faults.iter().map(id).collect();
    faults.sort();
    assert_eq!(listed, faults);
    assert_eq!(ledger.progress("journal").unwrap(), model.progress.map(|at| vec![at]));
}

proptest! {
    // Every case opens real files several times.
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_holds_what_the_model_holds(epochs in prop::collection::vec(told(), 1..8)) {
        let folder = tempfile::tempdir().unwrap();
        let (memory, mut model) = (Memory::default(), Model::default());
        for (epoch, told) in (1..).zip(&epochs) {
            model.apply(told);
            for disk in [false, true] {
                let (mut ledger, dictionary) = match disk {
                    true => open(Disk::open(folder.path()).unwrap()),
                    false => open(memory.clone()),
                };
                let mut seen = Seen::default();
                ledger.hydrate(50, |differences| {
                    seen.add(&differences, &dictionary);
                    Ok::<_, LedgerError>(())
                }).unwrap();
                seen.add(&ledger.commit(Epoch(epoch), told.said()).unwrap(), &dictionary);
                ledger.sync().unwrap();
                prop_assert_eq!(seen, Seen::of(&model));
                check(&ledger, &dictionary, &model);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_loses_whole_epochs_from_the_end_and_replaying_them_mends_it(
        epochs in prop::collection::vec((told(), any::<bool>()), 1..8),
        crashes in prop::collection::vec((0..8_usize, 0..4_usize), 0..4),
    ) {
        let memory = Memory::default();
        let identity = open(memory.clone()).0.identity().unwrap();
        let mut crashes = crashes.into_iter();
        let (mut next, mut models) = (0, vec![Model::default()]);
        for (told, _) in &epochs {
            let mut model = models.last().unwrap().clone();
            model.apply(told);
            models.push(model);
        }
        loop {
            let (mut ledger, dictionary) = open(memory.clone());
            prop_assert_eq!(ledger.epoch().unwrap().0 as usize, next);
            check(&ledger, &dictionary, &models[next]);
            let crash = crashes.next();
            let until = crash.map_or(epochs.len(), |(after, _)| epochs.len().min(next + after));
            let mut synced = next;
            while next < until {
                let (told, sync) = &epochs[next];
                next += 1;
                ledger.commit(Epoch(next as u64), told.said()).unwrap();
                if *sync {
                    ledger.sync().unwrap();
                    synced = next;
                }
            }
            check(&ledger, &dictionary, &models[next]);
            let Some((_, keep)) = crash else { break };
            next = next.min(synced + keep);
            memory.crash(keep);
        }
        prop_assert_eq!(open(memory).0.identity().unwrap(), identity);
    }

    #[test]
    fn after_a_failure_nothing_of_the_epoch_is_seen_and_trying_again_succeeds(
        (before, failing) in (told(), told()),
        after in 0..6_u64,
        commit in any::<bool>(),
    ) {
        let memory = Memory::default();
        let (mut ledger, dictionary) = open(memory.clone());
        let mut model = Model::default();
        let mut seen = Seen::default();
        model.apply(&before);
        seen.add(&ledger.commit(Epoch(1), before.said()).unwrap(), &dictionary);
        let operation = if commit { Operation::Commit } else { Operation::Get };
        memory.fail(operation, if commit { 0 } else { after });
        let mut told = ledger.commit(Epoch(2), failing.said());
        if told.is_err() {
            check(&ledger, &dictionary, &model);
            told = ledger.commit(Epoch(2), failing.said());
        }
        prop_assert!(!commit || memory.unsynced() >= 2);
        memory.crash(usize::MAX);
        model.apply(&failing);
        seen.add(&told.unwrap(), &dictionary);
        prop_assert_eq!(seen, Seen::of(&model));
        check(&ledger, &dictionary, &model);
    }
}

#[test]
fn what_was_not_synced_is_not_promised() {
    let memory = Memory::default();
    let (mut ledger, _) = open(memory.clone());
    memory.fail(Operation::Sync, 0);
    ledger.commit(Epoch(1), Said::default()).unwrap();
    assert!(ledger.sync().is_err());
    assert_eq!(memory.unsynced(), 1);
    ledger.sync().unwrap();
    ledger.commit(Epoch(2), Said::default()).unwrap();
    memory.crash(0);
    assert_eq!(open(memory).0.epoch().unwrap(), Epoch(1));
}

#[test]
fn a_large_epoch_gives_the_same_on_any_number_of_threads() {
    let fold = |workers| {
        let dictionary = Arc::new(Dictionary::new());
        let entities = Box::new(Memory::default());
        let base = BaseZone::Unknown;
        let mut ledger = Ledger::open(entities, Arc::clone(&dictionary), base, workers).unwrap();
        let mut seen = Seen::default();
        for epoch in 1..4 {
            let price = |n: u16| i64::from(n) * 7 % 90 * epoch % 89;
            let envelopes = (0..2_000).map(|n| order(n % 1_500, price(n))).collect();
            let said = Said { envelopes, ..Said::default() };
            seen.add(&ledger.commit(Epoch(epoch as u64), said).unwrap(), &dictionary);
        }
        (seen, ledger.stats())
    };
    let one = fold(1);
    assert_eq!(one.1.entities, 1_500);
    for workers in 2..5 {
        assert_eq!(fold(workers), one, "{workers} threads");
    }
}

#[test]
fn an_order_id_beyond_the_limit_is_a_fault_that_shows_little_of_it() {
    let (mut ledger, dictionary) = open(Memory::default());
    let mut long = order(1, 5);
    let Event::Order(held) = &mut long.event else { unreachable!() };
    held.id = "x".repeat(70_000).into();
    let said = Said { envelopes: vec![long, order(2, 5)], ..Said::default() };
    let told = ledger.commit(Epoch(1), said).unwrap();
    assert_eq!((told.facts.len(), told.faults.len()), (2, 1));
    assert!(dictionary.faults.name(told.faults[0].0).reason.len() < 200);
    assert!(ledger.progress("").unwrap().is_none());
}
