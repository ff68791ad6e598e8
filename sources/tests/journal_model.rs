//! The journal against a list, over memory that crashes and over a real folder.
//!
//! Invariant: whatever is done and whatever fails, what was durable is read back in order, and of
//! the rest only a part from its start.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::time::UtcMs;
use ionflux_sources::journal::folder::Folder;
use ionflux_sources::journal::memory::{Fault, Memory};
use ionflux_sources::journal::reader::Record;
use ionflux_sources::journal::storage::Storage;
use ionflux_sources::journal::{Journal, Limits, archive};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::Config;

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(u8, u16)>),
    Sync,
    Fail(Fault),
    Crash,
    Trim(u16),
    Read(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fault =
        prop_oneof![Just(Fault::TornWrite), Just(Fault::WriteError), Just(Fault::SyncError),];
    let group = vec((any::<u8>(), 0..200_u16), 1..6);
    let step = prop_oneof![
        6 => group.prop_map(Step::Append),
        5 => Just(Step::Sync),
        1 => fault.prop_map(Step::Fail),
        1 => Just(Step::Crash),
        1 => any::<u16>().prop_map(Step::Trim),
        2 => any::<u16>().prop_map(Step::Read),
    ];
    vec(step, 1..60)
}

fn entry((kind, size): (u8, u16), number: usize) -> Entry {
    if kind % 5 == 0 {
        return Entry::Tick(UtcMs(1_000 + number as i64));
    }
    Entry::Delivery(Delivery {
        source: "shop".into(),
        workspace: "acme".into(),
        received_at: UtcMs(number as i64),
        headers: BTreeMap::from([("topic".into(), kind.to_string().into())]),
        body: vec![kind; size.into()].into(),
    })
}

struct World {
    open: Box<dyn Fn() -> Box<dyn Storage>>,
    memory: Option<Memory>,
    journal: Option<Journal>,
    limits: Limits,
    /// What must be read back, first all that is durable.
    records: Vec<Record>,
    trimmed: Vec<Record>,
    written: usize,
}

impl World {
    fn new(open: Box<dyn Fn() -> Box<dyn Storage>>, memory: Option<Memory>) -> Self {
        let limits = Limits { max_bytes: 1 << 20, segment_bytes: 400, keep_ms: Some(i64::MAX) };
        let journal = Some(Journal::open(open(), limits).unwrap().0);
        let (records, trimmed) = (Vec::new(), Vec::new());
        Self { open, memory, journal, limits, records, trimmed, written: 0 }
    }

    fn journal(&mut self) -> &mut Journal {
        self.journal.as_mut().unwrap()
    }

    fn durable(&mut self) -> Position {
        self.journal().durable_end()
    }

    /// Nothing past the durable end is kept after a failure, and nothing before it is lost.
    fn keep_durable(&mut self, before: Position) {
        let durable = self.durable();
        assert!(durable >= before);
        self.records.retain(|record| record.end <= durable);
        assert_eq!(self.journal().end(), durable);
    }

    fn append(&mut self, group: &[(u8, u16)]) {
        let before = self.durable();
        let from = self.written;
        self.written += group.len();
        let numbered = group.iter().enumerate();
        let entries: Vec<Entry> = numbered.map(|(i, kind)| entry(*kind, from + i)).collect();
        match self.journal().append(&entries) {
            Ok(appended) => {
                let ends = appended.positions.iter().skip(1).chain([&appended.end]);
                let places = appended.positions.iter().zip(ends).zip(entries);
                let record = |((&at, &end), entry)| Record { at, end, entry };
                self.records.extend(places.map(record));
            }
            Err(_) => self.keep_durable(before),
        }
    }

    fn sync(&mut self) {
        let before = self.durable();
        match self.journal().sync() {
            Ok(durable) => assert_eq!(durable, self.journal().end()),
            Err(_) => self.keep_durable(before),
        }
    }

    fn crash(&mut self) {
        let durable = self.durable();
        self.journal = None;
        if let Some(memory) = &self.memory {
            memory.crash();
        }
        let (journal, opened) = Journal::open((self.open)(), self.limits).unwrap();
        assert_eq!(opened.cut_bytes > 0, opened.cut_at.is_some());
        let end = journal.end();
        assert!(end >= durable);
        self.journal = Some(journal);
        self.records.retain(|record| record.end <= end);
        assert_eq!(self.records.last().map_or(durable, |record| record.end), end);
    }

    fn trim(&mut self, at: u16) {
        let durable = self.durable();
        let below = Position(durable.0 * u64::from(at) / u64::from(u16::MAX));
        let before = self.journal().first();
        // It may have begun a segment, and lost what was not durable with the sync before that.
        if self.journal().trim(below, UtcMs(0)).is_err() {
            let end = self.journal().end();
            self.records.retain(|record| record.end <= end);
        }
        assert!(self.durable() >= durable);
        let first = self.journal().first();
        assert!(first >= before && first <= below.max(before));
        let kept = self.records.partition_point(|record| record.at < first);
        self.trimmed.extend(self.records.drain(..kept));
    }

    fn read(&mut self, from: usize) {
        let durable = self.durable();
        let due: Vec<Record> = self
            .records
            .iter()
            .skip(from)
            .filter(|record| record.end <= durable)
            .cloned()
            .collect();
        let at = due.first().map_or(durable, |record| record.at);
        let mut reader = self.journal().read(at);
        let mut found = Vec::new();
        while let Some(record) = reader.next(durable).unwrap() {
            found.push(record);
        }
        assert!(found == due, "{} records found, {} expected", found.len(), due.len());
    }

    fn read_archive(&mut self) {
        let shelf = self.journal().shelf();
        let mut found = Vec::new();
        for (_, _, name) in archive::list(&*shelf).unwrap() {
            found.extend(archive::read(shelf.clone(), &name).unwrap().map(Result::unwrap));
        }
        assert!(found == self.trimmed, "the archive holds what was trimmed");
    }

    fn run(mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Append(group) => self.append(&group),
                Step::Sync => self.sync(),
                Step::Fail(fault) => {
                    if let Some(memory) = &self.memory {
                        memory.mend();
                        memory.fail_next(fault);
                    }
                }
                Step::Crash => self.crash(),
                Step::Trim(at) => self.trim(at),
                Step::Read(from) => {
                    let count = self.records.len() + 1;
                    self.read(usize::from(from) % count);
                }
            }
        }
        if let Some(memory) = &self.memory {
            memory.mend();
        }
        self.crash();
        self.read(0);
        self.read_archive();
    }
}

proptest! {
    #![proptest_config(Config { cases: 400, ..Config::default() })]

    #[test]
    fn memory_agrees_with_a_list(seed in any::<u64>(), steps in steps()) {
        let memory = Memory::new(seed);
        let again = memory.clone();
        World::new(Box::new(move || Box::new(again.clone())), Some(memory)).run(steps);
    }
}

proptest! {
    #![proptest_config(Config { cases: 12, ..Config::default() })]

    #[test]
    fn a_folder_agrees_with_a_list(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        World::new(Box::new(move || Box::new(Folder::open(&path).unwrap())), None).run(steps);
    }
}
