//! The ledger's promise: what it holds depends on what was said, never on the order, the number of
//! repetitions, the epochs, or how often the program was restarted in between.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use ionflux_ledger::disk::Disk;
use ionflux_ledger::entities::Entities;
use ionflux_ledger::memory::Memory;
use ionflux_ledger::{BaseZone, Ledger, LedgerError, Said};
use ionflux_schemas::currency::Currency;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::event::{
    Envelope, Event, Order, OrderEdit, OrderLine, OrderRow, Refund, RefundLine, RowLine,
};
use ionflux_schemas::fact::{Differences, Fact, FactKind};
use ionflux_schemas::key::{CustomerKey, ShopKey, Version};
use ionflux_schemas::time::{Epoch, UtcMs, Zone};
use proptest::prelude::*;

const HOUR: i64 = 3_600_000;

fn eur() -> Currency {
    Currency::parse("EUR").unwrap()
}

fn envelope(stamp: i64, event: Event) -> Envelope {
    let shop = Arc::new(ShopKey::new("acme", "a.example"));
    let version = Version::new(UtcMs(stamp), UtcMs(0), format!("{event:?}").as_bytes());
    Envelope { shop, version, event }
}

/// A buyer as the vault calls them, one by a platform's id, or none.
fn buyer(who: u8) -> Option<Box<str>> {
    [
        Some("5000000000000000001".into()),
        Some("5000000000000000002".into()),
        Some("77".into()),
        None,
    ][usize::from(who % 4)]
    .clone()
}

fn order(id: u8, price: i64, hour: i64, test: bool) -> Order {
    let line = |id: &str, product: &str, units, gross, discounts| {
        let product = Some(product.into());
        OrderLine { id: id.into(), product, units, gross, discounts }
    };
    Order {
        id: id.to_string().into(),
        placed_at: UtcMs(hour * HOUR),
        currency: eur(),
        channel: "web".into(),
        customer: Some("77".into()),
        test,
        lines: vec![line("l1", "p1", 3, price * 3, price), line("l2", "p2", 1, 500, 0)],
        shipping: 490,
        taxes: 99,
        tips: price % 7,
        duties_and_fees: 0,
    }
}

/// Any of the things that can be said of three orders of one shop.
fn said() -> impl Strategy<Value = Envelope> {
    let order = (1..4_u8, 1..50_i64, 0..200_i64, 0..9_u8, 0..6_i64, 0..4_u8).prop_map(
        |(id, price, hour, test, at, who)| {
            let order = Order { customer: buyer(who), ..order(id, price, hour, test == 0) };
            envelope(at, Event::Order(order))
        },
    );
    let refund = (1..4_u8, 1..4_u8, 0..100_i64, 0..400_i64, 0..6_i64).prop_map(
        |(id, n, amount, hour, at)| {
            let line = [None, Some("l1".into()), Some("l2".into())][amount as usize % 3].clone();
            let lines = vec![RefundLine { line, product: Some("p1".into()), units: 1, amount }];
            let refund = Refund {
                id: format!("r{id}-{n}").into(),
                order: id.to_string().into(),
                aggregate: n == 3,
                processed_at: UtcMs(hour * HOUR),
                currency: eur(),
                lines,
                adjustment: amount % 3,
                shipping: amount % 5,
                taxes: amount % 2,
                duties_and_fees: 0,
            };
            envelope(at, Event::Refund(refund))
        },
    );
    let edit = (1..4_u8, 0..5_i32, 0..400_i64).prop_map(|(id, units, hour)| {
        let (edit, order) = (format!("e{id}").into(), id.to_string().into());
        let additions = vec![("l1".into(), units)];
        let edited_at = UtcMs(hour * HOUR);
        envelope(hour, Event::OrderEdit(OrderEdit { id: edit, order, edited_at, additions }))
    });
    let deleted =
        (1..4_u8).prop_map(|id| envelope(0, Event::OrderDeleted { order: id.to_string().into() }));
    let zones = prop::sample::select(vec!["Europe/Berlin", "Asia/Kathmandu", "America/New_York"]);
    let zone = (0..3_i64, zones).prop_map(|(from, zone)| {
        let from = UtcMs(from * 50 * HOUR);
        envelope(from.0, Event::Zone { from, zone: zone.into() })
    });
    let redacted =
        (1..4_u8).prop_map(|id| envelope(0, Event::Redacted { order: id.to_string().into() }));
    let row = (3..5_u8, 0..4_u8, 0..4_u8).prop_map(|(id, content, who)| {
        said_row(&id.to_string(), u128::from(content), 0, Some(who))
    });
    let rare = prop_oneof![deleted, zone, redacted];
    prop_oneof![6 => order, 4 => refund, 2 => edit, 3 => rare, 2 => row]
}

/// Facts and faults by what they say, each with its count.
type Contents = (BTreeMap<Fact, i64>, BTreeMap<String, i64>);

/// What is held in the end: each fact with its count.
#[derive(Default)]
struct Held {
    facts: BTreeMap<Fact, i64>,
    faults: BTreeMap<String, i64>,
}

impl Held {
    fn add(&mut self, differences: &Differences, dictionary: &Dictionary) {
        for (fact, difference) in &differences.facts {
            // Numbers depend on the order of arrival; names do not.
            *self.facts.entry(named(*fact, dictionary)).or_default() += difference;
        }
        for (fault, difference) in &differences.faults {
            *self.faults.entry(dictionary.faults.name(*fault).id()).or_default() += difference;
        }
        self.facts.retain(|_, count| *count != 0);
        self.faults.retain(|_, count| *count != 0);
    }

    fn contents(self) -> Contents {
        (self.facts, self.faults)
    }
}

/// The fact with numbers that do not depend on arrival: products are called p1 and p2 here.
fn named(fact: Fact, dictionary: &Dictionary) -> Fact {
    let product = dictionary.products.name(fact.product);
    let channel = dictionary.channels.name(fact.channel).len() as u32;
    Fact { product: product.as_bytes().last().copied().unwrap_or(0).into(), channel, ..fact }
}

fn open(
    entities: impl Entities + 'static,
    workers: usize,
) -> Result<(Ledger, Arc<Dictionary>), LedgerError> {
    let dictionary = Arc::new(Dictionary::new());
    let (base, entities) = (BaseZone::Unknown, Box::new(entities));
    Ok((Ledger::open(entities, Arc::clone(&dictionary), base, workers)?, dictionary))
}

fn envelopes(envelopes: &[Envelope]) -> Said {
    Said { envelopes: envelopes.to_vec(), ..Said::default() }
}

fn fold(epochs: &[Vec<Envelope>]) -> Contents {
    fold_with(epochs, 1)
}

fn fold_with(epochs: &[Vec<Envelope>], workers: usize) -> Contents {
    let (mut ledger, dictionary) = open(Memory::default(), workers).unwrap();
    let mut held = Held::default();
    for (epoch, said) in (1..).zip(epochs) {
        held.add(&ledger.commit(Epoch(epoch), envelopes(said)).unwrap(), &dictionary);
    }
    held.contents()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn order_repetition_batching_and_threads_cannot_be_seen(
        (said, shuffled) in prop::collection::vec(said(), 0..25).prop_flat_map(|said| {
            let (said, again) = (readings(&said, 0), readings(&said, 1_000));
            let twice: Vec<_> = said.iter().cloned().chain(again).collect();
            (Just(said), Just(twice).prop_shuffle())
        }),
        size in 1..10_usize,
    ) {
        let chunks: Vec<_> = shuffled.chunks(size).map(<[_]>::to_vec).collect();
        prop_assert_eq!(fold(&chunks), fold(&[said]));
    }

    #[test]
    fn the_number_of_threads_cannot_be_seen(
        said in prop::collection::vec(said(), 64..200),
        workers in 2..5_usize,
        epochs in 1..4_usize,
    ) {
        let said = readings(&said, 0);
        let chunks: Vec<_> = said.chunks(said.len() / epochs).map(<[_]>::to_vec).collect();
        prop_assert_eq!(fold_with(&chunks, workers), fold(&[said]));
    }
}

/// Each row in a reading of its own: equal rows of one reading are separate lines.
fn readings(said: &[Envelope], first: u64) -> Vec<Envelope> {
    let mut said = said.to_vec();
    for (reading, envelope) in (first..).zip(&mut said) {
        if let Event::Row(row) = &mut envelope.event {
            row.reading = reading;
        }
    }
    said
}

proptest! {
    // Every case opens real files several times.
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn hydrating_gives_what_was_told(said in prop::collection::vec(said(), 0..25)) {
        let folder = tempfile::tempdir().unwrap();
        let mut told = Held::default();
        for (epoch, said) in (1..).zip(said.chunks(9)) {
            // A restart before every epoch.
            let workers = 1 + epoch as usize % 4;
            let (mut ledger, dictionary) =
                open(Disk::open(folder.path()).unwrap(), workers).unwrap();
            told.add(&ledger.commit(Epoch(epoch), envelopes(said)).unwrap(), &dictionary);
            ledger.sync().unwrap();
        }
        let (ledger, dictionary) = open(Disk::open(folder.path()).unwrap(), 3).unwrap();
        prop_assert_eq!(ledger.epoch().unwrap(), Epoch(said.chunks(9).len() as u64));
        let mut held = Held::default();
        ledger.hydrate(5, |differences| {
            held.add(&differences, &dictionary);
            Ok::<_, LedgerError>(())
        }).unwrap();
        prop_assert_eq!(held.contents(), told.contents());
    }
}

fn row(order: &str, content: u128, reading: u64) -> Envelope {
    said_row(order, content, reading, None)
}

/// A row of a file; of equal rows each reader may say another customer and another channel.
fn said_row(order: &str, content: u128, reading: u64, who: Option<u8>) -> Envelope {
    let line = RowLine {
        at: UtcMs(0),
        returned: false,
        product: Some("p1".into()),
        units: 1,
        amount: content as i64,
        discounts: 0,
        currency: eur(),
        customer: who.map(|who| who.to_string().into()),
        channel: "abcd"[..who.map_or(0, |who| 3 - usize::from(who))].into(),
    };
    envelope(0, Event::Row(OrderRow { order: order.into(), content, reading, line }))
}

fn sold(held: &Contents) -> i64 {
    let sales = held.0.iter().filter(|(fact, _)| fact.kind == FactKind::Sale);
    sales.map(|(fact, count)| fact.amounts[0] * count).sum()
}

#[test]
fn equal_rows_are_separate_lines_and_reading_a_file_again_changes_nothing() {
    let file = |reading| vec![row("1", 10, reading), row("2", 5, reading), row("1", 10, reading)];
    assert_eq!(sold(&fold(&[file(1)])), 25);
    assert_eq!(sold(&fold(&[file(1), file(2)])), 25, "the same file again");
    let apart: Vec<_> = file(1).into_iter().map(|row| vec![row]).collect();
    assert_eq!(sold(&fold(&apart)), 25, "lines of one order need not be adjacent");
    let longer = [file(2), vec![row("1", 10, 2)]].concat();
    assert_eq!(sold(&fold(&[file(1), longer])), 35, "the file with most equal rows decides");
}

/// A refund of money alone, of order 1.
fn money_back(id: &str, aggregate: bool) -> Refund {
    Refund {
        id: id.into(),
        order: "1".into(),
        aggregate,
        processed_at: UtcMs(30 * HOUR),
        currency: eur(),
        lines: vec![],
        adjustment: 100,
        shipping: 0,
        taxes: 0,
        duties_and_fees: 0,
    }
}

#[test]
fn a_refund_waits_for_its_order_and_an_edit_moves_units_to_its_day() {
    let refund = envelope(1, Event::Refund(money_back("r1", false)));
    let (facts, faults) = fold(&[vec![refund.clone()]]);
    assert_eq!((facts.len(), faults.len()), (0, 1));

    let edit = OrderEdit {
        id: "e1".into(),
        order: "1".into(),
        edited_at: UtcMs(50 * HOUR),
        additions: vec![("l1".into(), 2)],
    };
    let edit = envelope(2, Event::OrderEdit(edit));
    let order = envelope(0, Event::Order(order(1, 100, 1, false)));
    let (facts, faults) = fold(&[vec![refund], vec![order], vec![edit]]);
    assert_eq!(faults.len(), 0, "the fault goes away with the order");
    let of_line = |fact: &&Fact| fact.kind == FactKind::Sale && fact.product == u32::from(b'1');
    let sales: Vec<_> =
        facts.keys().filter(of_line).map(|f| (f.day.0, f.units, f.amounts)).collect();
    assert_eq!(sales, [(0, 1, [100, 33]), (2, 2, [200, 67])]);
}

#[test]
fn a_state_keeps_its_base_zone() {
    let folder = tempfile::tempdir().unwrap();
    let berlin = || Zone::parse("Europe/Berlin").unwrap();
    let open = |zone: BaseZone| {
        let entities = Box::new(Disk::open(folder.path()).unwrap());
        Ledger::open(entities, Arc::new(Dictionary::new()), zone, 1)
    };
    drop(open(BaseZone::Asked(Zone::UTC)).unwrap());
    let mut ledger = open(BaseZone::Asked(berlin())).unwrap();
    ledger.commit(Epoch(1), Said::default()).unwrap();
    ledger.sync().unwrap();
    drop(ledger);
    for zone in [BaseZone::Unknown, BaseZone::Proposed(Zone::UTC), BaseZone::Asked(berlin())] {
        assert_eq!(open(zone).unwrap().base_zone(), Some(&berlin()));
    }
    let refused = open(BaseZone::Asked(Zone::UTC)).err().unwrap().to_string();
    assert_eq!(refused, "this state counts days in Europe/Berlin, not in UTC");
}

#[test]
fn an_exports_sum_of_refunds_gives_way_to_the_refunds_themselves() {
    let said = [
        envelope(0, Event::Order(order(1, 100, 1, false))),
        envelope(1, Event::Refund(money_back("1-export", true))),
        envelope(2, Event::Refund(money_back("r1", false))),
    ];
    let returned = |said: &[Envelope]| {
        let (facts, _) = fold(&[said.to_vec()]);
        let back = facts.keys().filter(|fact| fact.kind == FactKind::Return);
        back.map(|fact| fact.amounts[0]).sum::<i64>()
    };
    assert_eq!(returned(&said[..2]), 100);
    assert_eq!(returned(&said), 100);
}

#[test]
fn amounts_beyond_the_limit_are_faults_whoever_computed_them() {
    let mut huge = order(1, 100, 1, false);
    huge.lines[0].gross = i64::MAX;
    let (facts, faults) = fold(&[vec![envelope(0, Event::Order(huge))]]);
    assert_eq!((facts.len(), faults.len()), (0, 1));
}

#[test]
fn a_redacted_order_has_no_customer_whatever_is_said_later_and_its_totals_stay() {
    let redacted = |id: &str| envelope(3, Event::Redacted { order: id.into() });
    let before = [
        vec![envelope(0, Event::Order(order(1, 100, 1, false)))],
        vec![said_row("2", 5, 1, Some(1))],
    ];
    let after = [
        vec![redacted("1"), redacted("2")],
        vec![envelope(9, Event::Order(order(1, 120, 1, false))), said_row("2", 6, 2, Some(2))],
    ];
    let customers = |epochs: &[Vec<Envelope>]| {
        let (facts, _) = fold(epochs);
        facts.keys().filter(|fact| fact.customer != CustomerKey::GUEST).count()
    };
    assert_eq!(customers(&before), 2);
    let all = [&before[..], &after[..]].concat();
    assert_eq!((customers(&all[..3]), customers(&all)), (0, 0));
    assert_eq!(sold(&fold(&all[..3])), sold(&fold(&before)));
}
