//! The vault: one name for one person, whoever asks first; durable before it is used; cut anywhere
//! it opens again; and what was forgotten is in no file.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ionflux_schemas::time::UtcMs;
use ionflux_sources::subjects::error::SubjectError;
use ionflux_sources::subjects::keys::{Keys, Scope};
use ionflux_sources::subjects::table::Kind;
use ionflux_sources::subjects::vault::{FORGOTTEN_MS, Vault};

const NOW: UtcMs = UtcMs(1_000);

fn open(folder: &Path) -> Vault {
    Vault::open(&folder.join("vault"), NOW).unwrap()
}

fn keys(folder: &Path) -> Keys {
    Keys::open(folder).unwrap()
}

fn name(vault: &Vault, scope: &Scope, id: &str) -> u64 {
    let name = vault.name(scope, (Kind::Customer, id), NOW).unwrap().unwrap();
    assert!((1 << 62..1 << 63).contains(&name.number));
    name.number
}

/// Waits until everything so far is durable.
fn settle(vault: &Vault, scope: &Scope) {
    let last = vault.name(scope, (Kind::Customer, "the last"), NOW).unwrap().unwrap();
    let seq = format!("{last:?}");
    let after = seq.rsplit("after: ").next().unwrap().trim_end_matches([' ', '}']);
    vault.durable_blocking(after.parse().unwrap()).unwrap();
}

/// Every byte of every file of the vault.
fn bytes(folder: &Path) -> Vec<u8> {
    let files = fs::read_dir(folder.join("vault")).unwrap();
    files.flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}

fn holds(folder: &Path, part: &[u8]) -> bool {
    bytes(folder).windows(part.len()).any(|window| window == part)
}

#[test]
fn one_person_has_one_name_whoever_asks_first_and_after_every_restart() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path());
    let scope = keys.scope("acme", "a.example");
    let vault = open(folder.path());
    let names: BTreeSet<u64> = std::thread::scope(|threads| {
        let ask = || (0..200).map(|id| name(&vault, &scope, &id.to_string())).collect::<Vec<_>>();
        let all: Vec<_> = (0..8).map(|_| threads.spawn(ask)).collect();
        all.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(names.len(), 200);
    for (workspace, shop) in [("acme", "b.example"), ("acm", "ea.example"), ("b", "a.example")] {
        assert!(!names.contains(&name(&vault, &keys.scope(workspace, shop), "7")));
    }
    let user = vault.name(&scope, (Kind::User, "7"), NOW).unwrap().unwrap().number;
    assert!(!names.contains(&user));
    settle(&vault, &scope);
    drop(vault);
    let vault = open(folder.path());
    let again: BTreeSet<u64> = (0..200).map(|id| name(&vault, &scope, &id.to_string())).collect();
    assert_eq!(again, names);
    assert_eq!(vault.shown(user).as_deref(), Some("7"), "users are shown by their id");
    assert!(names.iter().all(|name| vault.shown(*name).is_none()), "buyers never are");
    assert!(!holds(folder.path(), b"the last"), "no id of a buyer is in any file");
}

#[test]
fn what_is_forgotten_is_in_no_file_and_stays_unknown_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path());
    let scope = keys.scope("acme", "a.example");
    let vault = open(folder.path());
    let (kept, gone) = (name(&vault, &scope, "1"), name(&vault, &scope, "2"));
    settle(&vault, &scope);
    let sought = scope.person(Kind::Customer, "2");
    assert!(holds(folder.path(), &gone.to_be_bytes()));
    assert!(holds(folder.path(), &sought.name.to_be_bytes()));
    let person = [(sought, scope.forgotten(Kind::Customer, "2"))];
    assert_eq!(vault.forget(&person, NOW).unwrap().links, 1);
    assert_eq!(vault.forget(&person, NOW).unwrap().links, 0, "twice is once");
    let check = |vault: &Vault| {
        assert!(!holds(folder.path(), &gone.to_be_bytes()));
        assert!(!holds(folder.path(), &sought.name.to_be_bytes()));
        assert_eq!(vault.known(&sought), None);
        assert_eq!(vault.name(&scope, (Kind::Customer, "2"), NOW).unwrap(), None);
        assert_eq!(name(vault, &scope, "1"), kept);
    };
    check(&vault);
    drop(vault);
    let vault = open(folder.path());
    check(&vault);
    let later = UtcMs(NOW.0 + FORGOTTEN_MS);
    let anew = vault.name(&scope, (Kind::Customer, "2"), later).unwrap().unwrap();
    assert_ne!(anew.number, gone);
}

#[test]
fn a_shop_is_forgotten_whole_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path());
    let (gone, stays) = (keys.scope("acme", "a.example"), keys.scope("acme", "b.example"));
    let vault = open(folder.path());
    let before: Vec<u64> = (0..50).map(|id| name(&vault, &gone, &id.to_string())).collect();
    let kept: Vec<u64> = (0..50).map(|id| name(&vault, &stays, &id.to_string())).collect();
    assert_eq!(vault.forget_shop(gone.id, NOW).unwrap().links, 50);
    assert!(before.iter().all(|name| !holds(folder.path(), &name.to_be_bytes())));
    assert!(!holds(folder.path(), &gone.id.to_be_bytes()));
    let vault = {
        drop(vault);
        open(folder.path())
    };
    let now: Vec<u64> = (0..50).map(|id| name(&vault, &stays, &id.to_string())).collect();
    assert_eq!(now, kept);
}

#[test]
fn cut_anywhere_it_opens_with_what_was_whole() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path());
    let scope = keys.scope("acme", "a.example");
    let vault = open(folder.path());
    let names: Vec<u64> = (0..6).map(|id| name(&vault, &scope, &id.to_string())).collect();
    settle(&vault, &scope);
    drop(vault);
    let path = fs::read_dir(folder.path().join("vault")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&path).unwrap();
    let record = whole.len() / 7;
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let vault = open(folder.path());
        for (id, known) in names.iter().enumerate() {
            let sought = scope.person(Kind::Customer, &id.to_string());
            let expected = (length >= (id + 1) * record).then_some(*known);
            assert_eq!(vault.known(&sought), expected, "cut at {length}");
        }
    }
    // Damage before what is whole is no torn tail: cutting would lose what was acknowledged.
    let mut damaged = whole.clone();
    damaged[record + 5] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let refused = Vault::open(&folder.path().join("vault"), NOW).err().unwrap();
    assert!(matches!(refused, SubjectError::Damaged { at, .. } if at == record as u64));
}

#[test]
fn what_is_no_id_has_no_name_and_the_vault_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path());
    let scope = keys.scope("acme", "a.example");
    let vault = open(folder.path());
    for kind in [Kind::Customer, Kind::User] {
        for length in [0, 513, 70_000] {
            let id = "9".repeat(length);
            assert_eq!(vault.name(&scope, (kind, &id), NOW).unwrap(), None, "{length} bytes");
        }
    }
    let longest = "9".repeat(512);
    let user = vault.name(&scope, (Kind::User, &longest), NOW).unwrap().unwrap().number;
    let gone = name(&vault, &scope, "2");
    settle(&vault, &scope);
    // Forgetting reads the whole file.
    let sought = scope.person(Kind::Customer, "2");
    let person = [(sought, scope.forgotten(Kind::Customer, "2"))];
    assert_eq!(vault.forget(&person, NOW).unwrap().links, 1);
    assert!(!holds(folder.path(), &gone.to_be_bytes()));
    drop(vault);
    let vault = open(folder.path());
    assert_eq!(vault.shown(user).as_deref(), Some(&*longest));
}
