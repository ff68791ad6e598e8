//! A state as the first release wrote it, byte for byte, is brought over whole; what is not such a
//! state is refused.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ionflux_ledger::disk::Disk;
use ionflux_ledger::entities::{Entities, Table, Write};
use ionflux_ledger::migration::migrate;
use ionflux_ledger::{BaseZone, Ledger, LedgerError, Said};
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::fact::{Fact, FactKind};
use ionflux_schemas::fault::{Fault, FaultKind, Place};
use ionflux_schemas::key::{CustomerKey, ShopKey};
use ionflux_schemas::time::Epoch;
use serde::Serialize;

type Id = &'static str;
type Version = (i64, i64, u128);
type Line = (Id, Option<Id>, i32, i64, i64);
type Amounts = (i64, i64, i64, i64);
type Order = (Id, i64, Id, Id, Option<Id>, bool, Vec<Line>, Amounts);
type Refund = (Id, Id, bool, i64, Id, Vec<(Option<Id>, i32, i64)>, Amounts);
type Edit = (Id, Id, i64, Vec<(Id, i32)>);
type RowLine = (i64, bool, Option<Id>, i32, i64, i64, Id, Option<Id>, Id);
type Row = (RowLine, u32, u64, u32);

/// A dossier of format 1: tuples are written as the structs of that release were.
#[derive(Serialize, Default)]
struct Dossier {
    order: Option<(Version, Order)>,
    deleted: bool,
    refunds: BTreeMap<Id, (Version, Refund)>,
    edits: BTreeMap<Id, (Version, Edit)>,
    rows: BTreeMap<u128, Row>,
    held: u64,
}

fn value<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![1]).unwrap()
}

fn shop_key(shop: &str) -> Vec<u8> {
    let name = |name: &str| [&(name.len() as u32).to_be_bytes()[..], name.as_bytes()].concat();
    [name("acme"), name(shop)].concat()
}

fn refused() -> Fault {
    Fault {
        shop: ShopKey::new("acme", "a.example"),
        kind: FaultKind::Time,
        place: Place { source: "orders.csv".into(), line: 7 },
        subject: "order 9".into(),
        reason: "no time".into(),
    }
}

fn dossiers() -> Vec<(&'static str, Dossier)> {
    let lines = vec![("l1", Some("p1"), 3, 3_000, 100), ("l2", None, 1, 500, 0)];
    let order = ("1001", 3_600_000, "EUR", "web", Some("77"), false, lines, (490, 99, 1, 0));
    let refunded = vec![(Some("p1"), 1, 1_000)];
    let refund = ("r1", "1001", false, 90_000_000, "EUR", refunded, (5, 0, 2, 0));
    let edit = ("e1", "1001", 90_000_000, vec![("l1", 1)]);
    let row = (0, false, Some("p2"), 2, 700, 0, "EUR", Some("ada@example.com"), "");
    vec![
        (
            "1001",
            Dossier {
                order: Some(((5, 0, 1 << 100), order)),
                refunds: [("r1", ((6, 0, 2), refund))].into(),
                edits: [("e1", ((7, 0, 3), edit))].into(),
                ..Dossier::default()
            },
        ),
        ("1002", Dossier { deleted: true, ..Dossier::default() }),
        ("A-7", Dossier { rows: [(9, (row, 2, 1, 2))].into(), held: 2, ..Dossier::default() }),
    ]
}

/// What the first release would have left in a folder.
fn write_v1(folder: &Path) {
    let database = fjall::Database::builder(folder).open().unwrap();
    let table = |name| database.keyspace(name, fjall::KeyspaceCreateOptions::default).unwrap();
    let zones: (BTreeMap<i64, (Version, Id)>,) = ([(0, ((0, 0, 0), "Europe/Berlin"))].into(),);
    table("shops").insert(shop_key("a.example"), value(&zones)).unwrap();
    for (order, dossier) in dossiers() {
        let key = [&shop_key("a.example")[..], order.as_bytes()].concat();
        table("dossiers").insert(key, value(&dossier)).unwrap();
    }
    let fault = (("acme", "a.example"), 6_u32, ("orders.csv", 7_u64), "order 9", "no time");
    table("faults").insert(refused().id(), value(&fault)).unwrap();
    table("meta").insert("epoch", value(&41_u64)).unwrap();
    table("meta").insert("readings", value(&3_u64)).unwrap();
    table("meta").insert("base_zone", value(&"UTC")).unwrap();
    database.persist(fjall::PersistMode::SyncAll).unwrap();
}

fn open(folder: &Path) -> Result<(Ledger, Arc<Dictionary>), LedgerError> {
    let dictionary = Arc::new(Dictionary::new());
    let disk = Box::new(Disk::open(folder).unwrap());
    Ok((Ledger::open(disk, Arc::clone(&dictionary), BaseZone::Unknown, 2)?, dictionary))
}

#[test]
fn everything_of_the_first_format_is_brought_over() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_v1(old.path());
    assert!(matches!(open(old.path()).err(), Some(LedgerError::Format { found: 1 })));

    let mut last = (0, 0);
    let migrated = migrate(old.path(), new.path(), |done, all| last = (done, all)).unwrap();
    assert_eq!((migrated.stats.entities, migrated.shops, migrated.faults), (3, 1, 1));
    assert_eq!(last, (3, 3));

    let (mut ledger, dictionary) = open(new.path()).unwrap();
    assert_eq!(ledger.epoch().unwrap(), Epoch(41));
    assert_eq!(ledger.new_reading().unwrap(), 4);
    assert_eq!(ledger.base_zone().unwrap().name(), "UTC");
    assert_ne!(ledger.identity().unwrap(), 0);
    assert_eq!(ledger.stats(), migrated.stats);
    assert_eq!(ledger.fault(&refused().id()).unwrap(), Some((refused(), None)));
    let mut facts: Vec<Fact> = Vec::new();
    let each = |differences: ionflux_schemas::fact::Differences| {
        facts.extend(differences.facts.iter().map(|(fact, _)| *fact));
        Ok::<_, LedgerError>(())
    };
    ledger.hydrate(2, each).unwrap();
    let count = |kind| facts.iter().filter(|fact| fact.kind == kind).count();
    assert_eq!(count(FactKind::Order), 2);
    // The edit moves one unit of the first line to its own day; the equal rows are two.
    assert_eq!(count(FactKind::Sale), 3 + 2);
    assert_eq!(count(FactKind::Return), 2);
    assert!(facts.iter().any(|fact| fact.customer == CustomerKey(77) && fact.amounts == [490, 99]));
    assert!(facts.iter().any(|fact| fact.customer == CustomerKey::of("ada@example.com")));
    assert_eq!(dictionary.products.len(), 3);
}

#[test]
fn two_states_are_never_mixed_and_a_state_is_not_migrated_twice() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_v1(old.path());
    migrate(old.path(), new.path(), |_, _| ()).unwrap();
    let again = migrate(old.path(), new.path(), |_, _| ());
    assert!(matches!(again, Err(LedgerError::NotEmpty)));
    let other = tempfile::tempdir().unwrap();
    let current = migrate(new.path(), other.path(), |_, _| ());
    assert!(matches!(current, Err(LedgerError::Format { found: 2 })));
}

#[test]
fn a_state_of_a_later_format_is_refused_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(folder.path()).unwrap();
    ledger.commit(Epoch(1), Said::default()).unwrap();
    ledger.sync().unwrap();
    drop(ledger);
    let database = fjall::Database::builder(folder.path()).open().unwrap();
    let meta = database.keyspace("meta", fjall::KeyspaceCreateOptions::default).unwrap();
    meta.insert("format", [9]).unwrap();
    database.persist(fjall::PersistMode::SyncAll).unwrap();
    drop((meta, database));
    let refused = open(folder.path()).err().unwrap().to_string();
    assert_eq!(refused, "this state is of format 9, this release reads format 2");
}

#[test]
fn a_migration_that_was_cut_short_left_no_state() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = Disk::open(folder.path()).unwrap();
    disk.commit(vec![Write::put(Table::Dossiers, &b"\0\0\0\0\x07\x01\x09"[..], &[2, 2][..])])
        .unwrap();
    disk.sync().unwrap();
    drop(disk);
    assert!(matches!(open(folder.path()).err(), Some(LedgerError::Unfinished)));
}
