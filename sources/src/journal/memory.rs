//! A journal's files in memory, with the faults of a real disk from a seed.
//!
//! Invariant: it keeps what it would keep on disk and nothing more: a crash takes all that was not
//! synced but for a prefix, and a sync that failed is not made good by one that succeeds.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::storage::{Catalogue, FileInfo, Shelf, Storage};

/// What may go wrong, once, at the next chance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// An append adds a part of the bytes and fails.
    TornWrite,
    /// An append adds nothing and fails.
    WriteError,
    /// A sync fails. As on Linux, the bytes may be read until a crash but are never written.
    SyncError,
    /// A file cannot be made shorter.
    TruncateError,
}

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    synced: usize,
    /// A sync failed since the file was last cut back to what is durable.
    lost: bool,
}

#[derive(Default)]
struct State {
    files: BTreeMap<Box<str>, Content>,
    faults: VecDeque<Fault>,
    budget_bytes: Option<u64>,
    syncs: u64,
    random: u64,
}

impl State {
    /// splitmix64: a seed means the same on every machine.
    fn below(&mut self, limit: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * limit as u128) >> 64) as usize
    }

    fn strikes(&mut self, fault: Fault) -> bool {
        let next = self.faults.front() == Some(&fault);
        if next {
            self.faults.pop_front();
        }
        next
    }

    fn used_bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes.len() as u64).sum()
    }

    fn file(&mut self, name: &str) -> io::Result<&mut Content> {
        self.files.get_mut(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Files in memory. Clones are the same files, so that what a crash left can be opened again.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<State>>);

impl Memory {
    /// No files; faults and crashes follow the seed.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State { random: seed, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets something go wrong at the next chance, after the faults named before.
    pub fn fail_next(&self, fault: Fault) {
        self.state().faults.push_back(fault);
    }

    /// Forgets the faults that did not strike yet.
    pub fn mend(&self) {
        self.state().faults.clear();
    }

    /// How many bytes fit on the disk; none means as many as memory holds.
    pub fn limit(&self, budget_bytes: Option<u64>) {
        self.state().budget_bytes = budget_bytes;
    }

    /// How often a file was synced.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// The power goes: synced bytes stay, of the others a part from the start of them. Now and
    /// then a piece of that part never reached the disk and reads as zeros, or as something else.
    pub fn crash(&self) {
        let mut state = self.state();
        let names: Vec<Box<str>> = state.files.keys().cloned().collect();
        for name in names {
            let Some(mut file) = state.files.remove(&name) else { continue };
            let unsynced = file.bytes.len() - file.synced;
            let kept = if file.lost { 0 } else { state.below(unsynced + 1) };
            file.bytes.truncate(file.synced + kept);
            if kept > 0 && state.below(3) == 0 {
                let from = file.synced + state.below(kept);
                let to = from + 1 + state.below(file.bytes.len() - from);
                let mask = if state.below(2) == 0 { 0 } else { 0x55 };
                file.bytes[from..to].iter_mut().for_each(|byte| *byte &= mask);
            }
            file.synced = file.bytes.len();
            file.lost = false;
            state.files.insert(name, file);
        }
        state.faults.clear();
    }

    /// Turns one bit of a file over, as a failing disk would.
    pub fn flip(&self, name: &str, bit: usize) {
        if let Some(byte) =
            self.state().files.get_mut(name).and_then(|file| file.bytes.get_mut(bit / 8))
        {
            *byte ^= 1 << (bit % 8);
        }
    }

    /// Puts a file in place, whole and synced.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let synced = bytes.len();
        self.state().files.insert(name.into(), Content { bytes, synced, lost: false });
    }

    /// All files as they are now, synced or not.
    pub fn files(&self) -> BTreeMap<Box<str>, Vec<u8>> {
        let state = self.state();
        state.files.iter().map(|(name, file)| (name.clone(), file.bytes.clone())).collect()
    }
}

fn broken() -> io::Error {
    io::Error::other("input/output error")
}

impl Shelf for Memory {
    fn list(&self) -> io::Result<Vec<FileInfo>> {
        let state = self.state();
        let mut files = Vec::with_capacity(state.files.len());
        for (name, file) in &state.files {
            files.push(FileInfo { name: name.clone(), bytes: file.bytes.len() as u64 });
        }
        Ok(files)
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        let bytes = &state.file(name)?.bytes;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }
}

impl Catalogue for Memory {
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let file = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.into(), file);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.state().files.remove(name).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rewrite(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let failed = state.strikes(Fault::SyncError);
        state.syncs += 1;
        let file = state.file(name)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let to = from.saturating_add(bytes.len());
        if to > file.bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.bytes[from..to].copy_from_slice(bytes);
        if failed {
            file.lost = true;
            return Err(broken());
        }
        if from <= file.synced {
            file.synced = file.synced.max(to);
        }
        file.lost &= file.synced < file.bytes.len();
        Ok(())
    }
}

impl Storage for Memory {
    fn shelf(&self) -> Arc<dyn Shelf> {
        Arc::new(self.clone())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let room =
            state.budget_bytes.map_or(u64::MAX, |max| max.saturating_sub(state.used_bytes()));
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let torn = state.strikes(Fault::TornWrite);
        let failed = torn || state.strikes(Fault::WriteError);
        let mut count = bytes.len().min(room);
        if failed {
            count = if torn { state.below(count + 1) } else { 0 };
        }
        state.files.entry(name.into()).or_default().bytes.extend_from_slice(&bytes[..count]);
        match (failed, count < bytes.len()) {
            (true, _) => Err(broken()),
            (false, true) => Err(io::ErrorKind::StorageFull.into()),
            (false, false) => Ok(()),
        }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        let failed = state.strikes(Fault::SyncError);
        state.syncs += 1;
        let file = state.file(name)?;
        file.lost |= failed;
        if failed {
            return Err(broken());
        }
        if !file.lost {
            file.synced = file.bytes.len();
        }
        Ok(())
    }

    fn truncate(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        if state.strikes(Fault::TruncateError) {
            return Err(broken());
        }
        let file = state.file(name)?;
        file.bytes.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
        // Bytes of a lost sync that are still there stay lost.
        file.lost &= file.bytes.len() > file.synced;
        file.synced = file.synced.min(file.bytes.len());
        if !file.lost {
            file.synced = file.bytes.len();
        }
        Ok(())
    }
}
