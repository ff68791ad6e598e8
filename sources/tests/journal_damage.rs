//! What damage does to a journal: cut where nothing was promised, and else an error with its place.
//!
//! Invariant: no damage ever makes a record that was not written.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::time::UtcMs;
use ionflux_sources::journal::error::JournalError;
use ionflux_sources::journal::memory::Memory;
use ionflux_sources::journal::reader::Record;
use ionflux_sources::journal::{Journal, Limits};
use proptest::collection::vec;
use proptest::prelude::{any, proptest};

/// Bytes before the first record of a segment.
const HEADER_BYTES: usize = 42;
const LIMITS: Limits = Limits { max_bytes: 1 << 20, segment_bytes: 1 << 16, keep_ms: None };
const FIRST: &str = "00000000000000000000.segment";

fn delivery(number: u8) -> Entry {
    Entry::Delivery(Delivery {
        source: "shop".into(),
        workspace: "acme".into(),
        received_at: UtcMs(number.into()),
        headers: BTreeMap::from([("topic".into(), "orders/create".into())]),
        body: vec![number; 20 + usize::from(number)].into(),
    })
}

/// Groups of so many records, each synced.
fn written(memory: &Memory, groups: &[u8]) -> Vec<Record> {
    let mut journal = Journal::open(Box::new(memory.clone()), LIMITS).unwrap().0;
    for (number, size) in groups.iter().enumerate() {
        let entries: Vec<Entry> = (0..*size).map(|i| delivery(number as u8 * 10 + i)).collect();
        journal.append(&entries).unwrap();
        journal.sync().unwrap();
    }
    read(&journal).unwrap()
}

fn read(journal: &Journal) -> Result<Vec<Record>, JournalError> {
    let mut reader = journal.read(journal.first());
    let mut records = Vec::new();
    while let Some(record) = reader.next(journal.durable_end())? {
        records.push(record);
    }
    Ok(records)
}

fn open(memory: &Memory) -> Result<(Journal, u64), JournalError> {
    let (journal, opened) = Journal::open(Box::new(memory.clone()), LIMITS)?;
    Ok((journal, opened.cut_bytes))
}

#[test]
fn every_cut_leaves_exactly_the_whole_records() {
    let memory = Memory::new(1);
    let records = written(&memory, &[1, 3, 2]);
    let whole = memory.files().remove(FIRST).unwrap();
    for length in 0..=whole.len() {
        let cut = Memory::new(2);
        cut.put(FIRST, whole[..length].to_vec());
        let (mut journal, cut_bytes) = open(&cut).unwrap();
        let expected: Vec<Record> = records
            .iter()
            .filter(|record| record.end.0 as usize + HEADER_BYTES <= length)
            .cloned()
            .collect();
        let good = expected.last().map_or(HEADER_BYTES, |last| HEADER_BYTES + last.end.0 as usize);
        let expected_cut = if length < HEADER_BYTES { length } else { length - good };
        assert_eq!((cut_bytes, read(&journal).unwrap()), (expected_cut as u64, expected));
        // It goes on from there.
        let at = journal.append(&[delivery(99)]).unwrap().positions[0];
        journal.sync().unwrap();
        drop(journal);
        assert_eq!(read(&open(&cut).unwrap().0).unwrap().last().unwrap().at, at);
    }
}

#[test]
fn every_flipped_bit_is_cut_or_named() {
    let memory = Memory::new(1);
    let records = written(&memory, &[1, 2, 1, 2]);
    let whole = memory.files().remove(FIRST).unwrap();
    // The last group has no witness behind it.
    let promised = records[4].at;
    for bit in 0..whole.len() * 8 {
        let broken = Memory::new(2);
        broken.put(FIRST, whole.clone());
        broken.flip(FIRST, bit);
        let hit = records.iter().find(|record| record.end.0 as usize + HEADER_BYTES > bit / 8);
        let hit = hit.map(|record| record.at).unwrap();
        match open(&broken) {
            Ok((journal, cut_bytes)) => {
                assert!(hit >= promised && cut_bytes > 0, "bit {bit} was cut");
                let whole_ones = records.iter().filter(|record| record.end <= hit);
                assert!(read(&journal).unwrap().iter().eq(whole_ones));
            }
            Err(JournalError::Corrupt { position, segment, offset_bytes, .. }) => {
                assert!(bit / 8 < HEADER_BYTES || hit < promised, "bit {bit} was named");
                assert_eq!((position, segment.as_str()), (hit, FIRST));
                assert!(offset_bytes as usize <= bit / 8);
            }
            Err(JournalError::UnknownFormat { .. }) => assert!((64..80).contains(&bit)),
            Err(error) => panic!("bit {bit}: {error}"),
        }
    }
}

#[test]
fn a_lost_start_of_a_group_is_a_torn_tail_though_its_end_is_there() {
    let memory = Memory::new(1);
    let records = written(&memory, &[2, 3]);
    let mut bytes = memory.files().remove(FIRST).unwrap();
    let from = HEADER_BYTES + records[2].at.0 as usize;
    bytes[from..from + 30].fill(0);
    memory.put(FIRST, bytes);
    let (journal, cut_bytes) = open(&memory).unwrap();
    assert_eq!(cut_bytes, records[4].end.0 - records[2].at.0);
    assert_eq!(read(&journal).unwrap(), records[..2]);
}

#[test]
fn zeros_behind_the_end_are_cut_and_a_body_that_looks_like_records_is_no_witness() {
    let memory = Memory::new(1);
    let records = written(&memory, &[2, 1]);
    let mut bytes = memory.files().remove(FIRST).unwrap();
    // What a body could hold: the records of this very file, at another place.
    let copy = bytes[HEADER_BYTES..].to_vec();
    bytes.extend([7; 31]);
    bytes.extend(copy);
    bytes.extend([0; 5_000]);
    memory.put(FIRST, bytes);
    assert_eq!(read(&open(&memory).unwrap().0).unwrap(), records);
}

#[test]
fn damage_in_an_older_segment_is_named_by_its_reader_and_a_missing_one_on_opening() {
    let limits = Limits { segment_bytes: 100, ..LIMITS };
    let memory = Memory::new(1);
    let mut journal = Journal::open(Box::new(memory.clone()), limits).unwrap().0;
    for number in 0..4 {
        journal.append(&[delivery(number)]).unwrap();
        journal.sync().unwrap();
    }
    let records = read(&journal).unwrap();
    let second = format!("{:020}.segment", records[1].at.0);
    memory.flip(&second, (HEADER_BYTES + 40) * 8);
    drop(journal);
    let journal = Journal::open(Box::new(memory.clone()), limits).unwrap().0;
    let error = read(&journal).unwrap_err();
    assert!(matches!(error, JournalError::Corrupt { position, .. } if position == records[1].at));
    assert!(!error.hint().is_empty());
    drop(journal);
    let files = memory.files();
    let without = Memory::new(1);
    for (name, bytes) in files.into_iter().filter(|(name, _)| **name != *second) {
        without.put(&name, bytes);
    }
    let error = Journal::open(Box::new(without), limits).err().unwrap();
    assert!(matches!(error, JournalError::Corrupt { .. }));
}

#[test]
fn positions_survive_trimming_and_what_is_trimmed_is_said_to_be() {
    let limits = Limits { segment_bytes: 100, ..LIMITS };
    let memory = Memory::new(1);
    let mut journal = Journal::open(Box::new(memory.clone()), limits).unwrap().0;
    journal.append(&[delivery(1), Entry::Tick(UtcMs(70))]).unwrap();
    let end = journal.sync().unwrap();
    let mut late = journal.read(Position(0));
    assert_eq!(journal.trim(end, UtcMs(0)).unwrap().segments, 1);
    assert_eq!(journal.first(), end);
    let error = late.next(end).unwrap_err();
    assert!(matches!(error, JournalError::Trimmed { first, .. } if first == end));
    drop(journal);
    let (mut journal, opened) = Journal::open(Box::new(memory), limits).unwrap();
    assert_eq!((journal.end(), opened.last_tick), (end, Some(UtcMs(70))));
    assert_eq!(journal.append(&[delivery(2)]).unwrap().positions, [end]);
}

proptest! {
    #[test]
    fn any_bytes_as_a_segment_open_or_are_refused(
        whole in any::<bool>(),
        bytes in vec(any::<u8>(), 0..3_000),
        at in 0..400_usize,
    ) {
        let memory = Memory::new(1);
        let mut file = Vec::new();
        let mut records = Vec::new();
        if whole {
            records = written(&memory, &[1, 2]);
            file = memory.files().remove(FIRST).unwrap();
            file.truncate(at.max(HEADER_BYTES));
        }
        file.extend(bytes);
        memory.put(FIRST, file);
        if let Ok((journal, _)) = open(&memory) {
            let found = read(&journal).unwrap();
            assert_eq!(found, records[..found.len()]);
        }
    }
}
