//! A disk that fails, fills up or is short from the start, and the archive behind the journal.
//!
//! Invariant: what was acknowledged stays, what was refused is not there, and the journal works
//! again once the disk does.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::time::UtcMs;
use ionflux_sources::journal::error::JournalError;
use ionflux_sources::journal::folder::Folder;
use ionflux_sources::journal::memory::{Fault, Memory};
use ionflux_sources::journal::{Journal, Limits, archive};

const LIMITS: Limits = Limits { max_bytes: 1 << 20, segment_bytes: 4_000, keep_ms: None };

fn delivery(number: usize, bytes: usize) -> Entry {
    Entry::Delivery(Delivery {
        source: "shop".into(),
        workspace: "acme".into(),
        received_at: UtcMs(number as i64),
        headers: BTreeMap::new(),
        body: (0..bytes).map(|i| (i * 31 + number * 17) as u8).collect(),
    })
}

fn open(memory: &Memory) -> Journal {
    Journal::open(Box::new(memory.clone()), LIMITS).unwrap().0
}

fn read(journal: &Journal) -> Vec<Entry> {
    let mut reader = journal.read(journal.first());
    let mut entries = Vec::new();
    while let Some(record) = reader.next(journal.durable_end()).unwrap() {
        entries.push(record.entry);
    }
    entries
}

fn keep(journal: &mut Journal, entry: &Entry) -> Result<Position, JournalError> {
    journal.append(std::slice::from_ref(entry))?;
    journal.sync()
}

#[test]
fn one_failed_write_or_sync_loses_nothing_acknowledged_and_keeps_nothing_refused() {
    for fault in [Fault::TornWrite, Fault::WriteError, Fault::SyncError] {
        for at in 0..6 {
            let memory = Memory::new(at as u64);
            let mut journal = open(&memory);
            let mut acknowledged = Vec::new();
            for number in 0..6 {
                if number == at {
                    memory.fail_next(fault);
                }
                let entry = delivery(number, 900);
                match keep(&mut journal, &entry) {
                    Ok(_) => acknowledged.push(entry),
                    Err(error) => assert!(matches!(error, JournalError::Io { .. }), "{error}"),
                }
            }
            assert_eq!(acknowledged.len(), 5);
            assert_eq!(read(&journal), acknowledged);
            drop(journal);
            memory.crash();
            assert_eq!(read(&open(&memory)), acknowledged);
        }
    }
}

#[test]
fn a_failure_that_cannot_be_taken_back_halts_until_opened_again() {
    let memory = Memory::new(3);
    let mut journal = open(&memory);
    let first = delivery(0, 50);
    keep(&mut journal, &first).unwrap();
    memory.fail_next(Fault::SyncError);
    memory.fail_next(Fault::TruncateError);
    assert!(matches!(keep(&mut journal, &delivery(1, 50)), Err(JournalError::Io { .. })));
    assert!(journal.halted());
    let error = keep(&mut journal, &delivery(2, 50)).unwrap_err();
    assert!(matches!(error, JournalError::Halted { .. }) && !error.hint().is_empty());
    assert_eq!(read(&journal), std::slice::from_ref(&first));
    drop(journal);
    memory.crash();
    let mut journal = open(&memory);
    let third = delivery(3, 50);
    keep(&mut journal, &third).unwrap();
    assert_eq!(read(&journal), [first, third]);
}

/// Fills a journal until it is refused, makes room by trimming, and goes on.
fn fills_up_and_goes_on(mut journal: Journal, by_disk: bool) {
    let mut kept = Vec::new();
    let error = loop {
        let entry = delivery(kept.len(), 1_500);
        match keep(&mut journal, &entry) {
            Ok(_) => kept.push(entry),
            Err(error) => break error,
        }
        assert!(kept.len() < 10_000, "it never fills up");
    };
    match &error {
        JournalError::Full { disk, used_bytes } => {
            assert_eq!((disk.is_some(), *used_bytes), (by_disk, journal.bytes()));
        }
        error => panic!("{error}"),
    }
    assert_eq!(read(&journal), kept);
    for _ in 0..3 {
        assert!(matches!(keep(&mut journal, &delivery(0, 5_000)), Err(JournalError::Full { .. })));
    }
    assert_eq!(read(&journal), kept);
    let middle = Position(journal.end().0 / 2);
    assert!(journal.trim(middle, UtcMs(0)).unwrap().segments > 0);
    let before = read(&journal).len();
    for number in 0..5 {
        keep(&mut journal, &delivery(number, 1_500)).unwrap();
    }
    assert_eq!(read(&journal).len(), before + 5);
    let end = journal.end();
    journal.trim(end, UtcMs(0)).unwrap();
    assert!(journal.bytes() < 10_000 && journal.end() == end);
    keep(&mut journal, &delivery(7, 1_500)).unwrap();
    assert_eq!(read(&journal).last(), Some(&delivery(7, 1_500)));
}

#[test]
fn a_full_journal_refuses_until_it_is_trimmed() {
    let limits = Limits { max_bytes: 60_000, ..LIMITS };
    let journal = Journal::open(Box::new(Memory::new(1)), limits).unwrap().0;
    fills_up_and_goes_on(journal, false);
}

#[test]
fn a_full_disk_refuses_until_there_is_room() {
    let memory = Memory::new(1);
    memory.limit(Some(60_000));
    fills_up_and_goes_on(open(&memory), true);
    memory.limit(Some(20));
    let mut journal = open(&memory);
    let kept = read(&journal).len();
    assert!(keep(&mut journal, &delivery(1, 10)).is_err());
    memory.limit(None);
    keep(&mut journal, &delivery(1, 10)).unwrap();
    assert_eq!(read(&journal).len(), kept + 1);
}

/// Unmounts when dropped.
struct Mount<'a>(&'a Path);

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_real_small_disk_refuses_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut mount = Command::new("mount");
    let mounted = mount.args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(path).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: a small disk cannot be mounted here, which needs root");
        assert!(std::env::var_os("CI").is_none(), "a small disk could not be mounted");
        return;
    }
    let _mount = Mount(path);
    let storage = Folder::open(path).unwrap();
    let journal = Journal::open(Box::new(storage), LIMITS).unwrap().0;
    fills_up_and_goes_on(journal, true);
}

#[test]
fn a_folder_has_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let first = Folder::open(folder.path()).unwrap();
    assert!(Folder::open(folder.path()).is_err());
    drop(first);
    Folder::open(folder.path()).unwrap();
}

#[test]
fn what_is_trimmed_is_kept_compressed_for_as_long_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { keep_ms: Some(1_000), ..LIMITS };
    let storage = Folder::open(folder.path()).unwrap();
    let mut journal = Journal::open(Box::new(storage), limits).unwrap().0;
    let mut written = Vec::new();
    for number in 0..20 {
        let at = UtcMs(number as i64 * 100);
        for entry in [delivery(number, 1_000), Entry::Tick(at)] {
            keep(&mut journal, &entry).unwrap();
            written.push(entry);
        }
    }
    let end = journal.end();
    let trimmed = journal.trim(end, UtcMs(0)).unwrap();
    assert!(trimmed.segments > 2 && trimmed.expired == 0);
    let shelf = journal.shelf();
    let archived = archive::list(&*shelf).unwrap();
    let mut found = Vec::new();
    for (_, newest, name) in &archived {
        for record in archive::read_file(&folder.path().join(&**name)).unwrap() {
            found.push(record.unwrap().entry);
        }
        let last_tick = found.iter().rev().find_map(|entry| match entry {
            Entry::Tick(at) => Some(*at),
            Entry::Delivery(_) => None,
        });
        assert_eq!(last_tick, Some(*newest));
    }
    found.extend(read(&journal));
    assert_eq!(found, written);
    // One more damaged byte, one error; never a wrong record.
    let path = folder.path().join(&*archived[0].2);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let read_again = archive::read_file(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    assert!(read_again.is_err());
    // The newest instant of the first is 300 ms or so; all but the last are older than this.
    let newest = archived[archived.len() - 1].1;
    let trimmed = journal.trim(end, UtcMs(newest.0 + 1_000)).unwrap();
    assert_eq!(trimmed.expired, archived.len() as u64 - 1);
    assert_eq!(archive::list(&*shelf).unwrap().len(), 1);
}

#[test]
fn bytes_of_a_failed_sync_reach_the_disk_when_the_next_life_reads_them() {
    let memory = Memory::new(7);
    let entries: Vec<Entry> = (0..4).map(|number| delivery(number, 900)).collect();
    let mut journal = open(&memory);
    keep(&mut journal, &entries[0]).unwrap();
    // Neither durable nor cut back: the bytes can be read, but no sync will ever write them.
    memory.fail_next(Fault::SyncError);
    memory.fail_next(Fault::TruncateError);
    keep(&mut journal, &entries[1]).unwrap_err();
    assert!(journal.halted());
    drop(journal);
    // The process begins anew, the machine does not.
    let mut journal = open(&memory);
    assert_eq!(read(&journal), entries[..2]);
    keep(&mut journal, &entries[2]).unwrap();
    keep(&mut journal, &entries[3]).unwrap();
    drop(journal);
    memory.crash();
    assert_eq!(read(&open(&memory)), entries);
}
