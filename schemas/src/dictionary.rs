//! Names to small numbers and back, so that no text travels through the dataflow.
//!
//! Invariant: a number, once given, means the same name for the life of the process. Numbers are
//! never stored and never decide an order that a reader can see.

use std::hash::Hash;
use std::sync::{PoisonError, RwLock};

use hashbrown::HashMap;

use crate::fault::Fault;
use crate::key::{Id, ShopKey};

/// All the names a dataflow's numbers stand for.
#[derive(Debug, Default)]
pub struct Dictionary {
    /// Shops with their tenants.
    pub shops: Names<ShopKey>,
    /// Products of all shops; number 0 is no product.
    pub products: Names<Id>,
    /// Channels; number 0 is unknown.
    pub channels: Names<Id>,
    /// Faults, which are rows by themselves.
    pub faults: Names<Fault>,
}

/// An append-only table of names of one kind.
#[derive(Debug)]
pub struct Names<T> {
    table: RwLock<Table<T>>,
}

#[derive(Debug)]
struct Table<T> {
    names: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T: Clone + Eq + Hash> Names<T> {
    /// The number of a name; a new one for a name not seen before.
    ///
    /// # Panics
    /// When more than four billion names of one kind are in use.
    pub fn number(&self, name: &T) -> u32 {
        // A panic while the lock is held leaves the table whole: both inserts happen or neither.
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = table.numbers.get(name) {
            return *number;
        }
        drop(table);
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = table.numbers.get(name) {
            return *number;
        }
        assert!(table.names.len() < u32::MAX as usize, "a dictionary holds at most 2^32 names");
        let number = table.names.len() as u32;
        table.names.push(name.clone());
        table.numbers.insert(name.clone(), number);
        number
    }

    /// The name of a number.
    ///
    /// # Panics
    /// On a number that was never given.
    pub fn name(&self, number: u32) -> T {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.names[number as usize].clone()
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.table.read().unwrap_or_else(PoisonError::into_inner).names.len()
    }

    /// Whether no name was given a number yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        let table = Table { names: Vec::new(), numbers: HashMap::new() };
        Self { table: RwLock::new(table) }
    }
}

impl Dictionary {
    /// A dictionary in which number 0 is "no product" and "unknown channel".
    #[must_use]
    pub fn new() -> Self {
        let dictionary = Self::default();
        let none: Id = "".into();
        assert_eq!(dictionary.products.number(&none), 0, "no product is number 0");
        assert_eq!(dictionary.channels.number(&none), 0, "unknown channel is number 0");
        dictionary
    }
}
