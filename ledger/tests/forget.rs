//! Forgetting in the ledger: an order keeps a buyer that is nobody, and what could not be counted
//! loses what names somebody.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use ionflux_ledger::memory::Memory;
use ionflux_ledger::scrub::{Forget, Scrubbed};
use ionflux_ledger::{BaseZone, Ledger, Said};
use ionflux_schemas::currency::Currency;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::event::{Envelope, Event, Order};
use ionflux_schemas::fault::{Fault, FaultKind, Place};
use ionflux_schemas::key::{ShopKey, Version};
use ionflux_schemas::letter::Letter;
use ionflux_schemas::time::{Epoch, UtcMs};

fn envelope(stamp: i64, event: Event) -> Envelope {
    let shop = Arc::new(ShopKey::new("acme", "a.example"));
    let version = Version::new(UtcMs(stamp), UtcMs(0), format!("{event:?}").as_bytes());
    Envelope { shop, version, event }
}

fn open() -> (Ledger, Arc<Dictionary>) {
    let dictionary = Arc::new(Dictionary::new());
    let entities = Box::new(Memory::default());
    let ledger = Ledger::open(entities, Arc::clone(&dictionary), BaseZone::Unknown, 1).unwrap();
    (ledger, dictionary)
}

#[test]
fn an_order_keeps_its_buyer_when_a_platform_forgets_and_when_the_vault_does() {
    let said = |at: i64, who: u8| {
        let customer = match who {
            0 => Some("5000000000000000001".into()),
            1 => Some("5000000000000000002".into()),
            2 => Some("77".into()),
            4 => Some("email-4900000000000000001".into()),
            _ => None,
        };
        let order = Order {
            id: "1".into(),
            placed_at: UtcMs(0),
            currency: Currency::parse("EUR").unwrap(),
            channel: "web".into(),
            customer,
            test: false,
            lines: Vec::new(),
            shipping: 100 + at,
            taxes: 0,
            tips: 0,
            duties_and_fees: 0,
        };
        envelope(at, Event::Order(order))
    };
    let redacted = envelope(3, Event::Redacted { order: "1".into() });
    let customers = |said: &[Envelope]| {
        let (mut ledger, _) = open();
        let mut held = BTreeMap::new();
        for (epoch, envelope) in (1..).zip(said) {
            let said = Said { envelopes: vec![envelope.clone()], ..Said::default() };
            for (fact, diff) in ledger.commit(Epoch(epoch), said).unwrap().facts {
                *held.entry(fact).or_insert(0) += diff;
            }
        }
        let facts = held.into_iter().filter(|(_, count)| *count != 0);
        let customers = facts.map(|(fact, _)| fact.customer.0);
        customers.filter(|customer| *customer != 0).collect::<Vec<u64>>()
    };
    let (named, none, other) = (said(1, 0), said(2, 3), said(3, 1));
    let (first, second) = (vec![5_000_000_000_000_000_001], vec![5_000_000_000_000_000_002]);
    assert_eq!(customers(&[named.clone(), none.clone()]), first);
    assert_eq!(customers(&[none.clone(), named.clone()]), first);
    // Of two people the one that a later snapshot names, in whatever order they come.
    assert_eq!(customers(&[other.clone(), none.clone(), named.clone()]), second);
    assert_eq!(customers(&[named.clone(), redacted.clone(), other.clone()]), second);
    assert_eq!(customers(&[other, named.clone()]), second);
    // An id goes before an address, whichever was said last.
    assert_eq!(customers(&[said(9, 4), named.clone()]), first);
    assert_eq!(customers(&[named.clone(), redacted.clone(), said(9, 4)]), first);
    assert_eq!(customers(&[said(9, 4), redacted.clone()]), customers(&[said(9, 4)]));
    assert_eq!(customers(&[named.clone(), redacted.clone(), none.clone()]), first);
    assert_eq!(customers(&[redacted.clone(), none.clone(), named.clone()]), first);
    // An id of a platform does not outlive the redaction, nor take a pseudonym's place.
    assert_eq!(customers(&[said(9, 2), redacted.clone()]), Vec::<u64>::new());
    assert_eq!(customers(&[named.clone(), said(9, 2), redacted.clone()]), first);
    assert_eq!(customers(&[redacted, said(9, 2), named]), first);
}

fn fault(shop: &str, reason: &str) -> Fault {
    let place = Place { source: "orders.csv".into(), line: 3 };
    let shop = ShopKey::new("acme", shop);
    Fault { shop, kind: FaultKind::Price, place, subject: "order 9".into(), reason: reason.into() }
}

fn letter(bytes: &[u8]) -> Letter {
    let place = Place { source: "orders.csv".into(), line: 3 };
    let (format, context) = ("csv".into(), BTreeMap::new());
    Letter { format, place, position: None, received_at: None, context, bytes: bytes.into() }
}

/// Every fault that is held, with the bytes of its letter.
fn held(ledger: &Ledger) -> Vec<(String, Option<String>)> {
    let mut held = Vec::new();
    let each = |_: &str, fault: Fault, letter: Option<u128>| {
        let letter = letter.and_then(|id| ledger.letter(id).unwrap());
        let bytes = letter.map(|letter| String::from_utf8(letter.bytes.to_vec()).unwrap());
        held.push((format!("{} {}", fault.shop.shop, fault.reason), bytes));
        Ok::<_, ionflux_ledger::LedgerError>(())
    };
    ledger.for_each_fault(each).unwrap();
    held.sort();
    held
}

#[test]
fn what_names_somebody_leaves_faults_and_letters_of_their_shop_and_no_others() {
    let (mut ledger, dictionary) = open();
    let record = |shop: &str, reason: &str, bytes: &[u8]| {
        let letter = letter(bytes);
        ((fault(shop, reason), Some(letter.id())), letter)
    };
    let (faults, letters) = [
        record("a", "the price is \"free, ann@x\"", b"9,ann@x,free"),
        record("a", "the price is gone", b"9,ann@x,,"),
        record("a", "the price is \"dear\"", b"9,bob@x,dear"),
        record("b", "the price is \"ann@x\"", b"b,ann@x"),
    ]
    .into_iter()
    .unzip();
    let first = ledger.commit(Epoch(1), Said { faults, letters, ..Said::default() }).unwrap();
    let forget = |words: &[&str]| Forget {
        shop: ShopKey::new("acme", "a"),
        words: words.iter().map(|word| Box::from(*word)).collect(),
        all: false,
    };
    // One that comes in the same epoch is scrubbed before it is ever kept.
    let ((late, id), late_letter) = record("a", "the price is late", b"late,ann@x");
    let said = || Said {
        faults: vec![(late.clone(), id)],
        letters: vec![late_letter.clone()],
        forget: vec![forget(&["ann@x"])],
        ..Said::default()
    };
    let second = ledger.commit(Epoch(2), said()).unwrap();
    assert_eq!(ledger.scrubbed(), [Scrubbed { letters: 3, faults: 1 }]);
    let empty = || Some(String::new());
    let expected = [
        ("a the price is \"dear\"", Some("9,bob@x,dear".to_owned())),
        ("a the price is \"redacted\"", empty()),
        ("a the price is gone", empty()),
        ("a the price is late", empty()),
        ("b the price is \"ann@x\"", Some("b,ann@x".to_owned())),
    ];
    let expected: Vec<_> = expected.map(|(text, bytes)| (text.to_owned(), bytes)).into();
    assert_eq!(held(&ledger), expected);
    let again = Said { forget: vec![forget(&["ann@x"])], ..Said::default() };
    let third = ledger.commit(Epoch(3), again).unwrap();
    assert_eq!(ledger.scrubbed(), [Scrubbed::default()]);
    assert_eq!(held(&ledger), expected);
    let mut told = BTreeMap::new();
    for (fault, diff) in [first, second, third].into_iter().flat_map(|said| said.faults) {
        *told.entry(dictionary.faults.name(fault).id()).or_insert(0) += diff;
    }
    told.retain(|_, count| *count != 0);
    assert!(told.values().all(|count| *count == 1) && told.len() == 5, "{told:?}");
    // What names no shop is not of the shop that is forgotten.
    let (faults, letters) =
        [record("", "the price is odd", b"{\"id\": 7, \"at\": 12}")].into_iter().unzip();
    let all = Forget { all: true, ..forget(&[]) };
    let forget_all = Said { faults, letters, forget: vec![all], ..Said::default() };
    ledger.commit(Epoch(4), forget_all).unwrap();
    assert_eq!(ledger.scrubbed(), [Scrubbed { letters: 1, faults: 1 }]);
    // A short word is in every letter; only a whole value is an id.
    for (epoch, word, letters) in [(5, "id", 0), (6, "at", 0), (7, "12", 1)] {
        let said = Said { forget: vec![forget(&[word])], ..Said::default() };
        ledger.commit(Epoch(epoch), said).unwrap();
        assert_eq!(ledger.scrubbed()[0].letters, letters, "{word}");
    }
}
