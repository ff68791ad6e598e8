//! The dictionary's numbers as one thread has met them.
//!
//! Invariant: gives the numbers the dictionary gives, and lists that are empty. A name is looked up
//! there once, so that threads do not meet at its locks for each line.

use hashbrown::HashMap;
use ionflux_schemas::dictionary::{Dictionary, Names};
use ionflux_schemas::fact::Fact;
use ionflux_schemas::key::{Id, ShopKey};

use crate::codec::Text;

/// Lists of facts that are kept to be filled again: what an order was, and what it is.
const SPARE_MAX: usize = 2;
/// A longer list is of an order like few others.
const SPARE_FACTS_MAX: usize = 256;

/// Numbers of products and channels, and lists of facts to fill.
#[derive(Debug)]
pub struct Numbers<'a> {
    dictionary: &'a Dictionary,
    products: Met<'a>,
    channels: Met<'a>,
    spare: Vec<Vec<Fact>>,
}

#[derive(Debug)]
struct Met<'a> {
    names: &'a Names<Id>,
    decimals: HashMap<u64, u32>,
    texts: HashMap<Id, u32>,
}

impl Met<'_> {
    fn number(&mut self, name: Text<'_>) -> u32 {
        let Self { names, decimals, texts } = self;
        match name {
            Text::Decimal(decimal) => {
                *decimals.entry(decimal).or_insert_with(|| names.number(&name.id()))
            }
            Text::Plain(text) => match texts.get(text) {
                Some(number) => *number,
                None => *texts.entry(text.into()).or_insert_with(|| names.number(&text.into())),
            },
        }
    }
}

impl<'a> Numbers<'a> {
    /// The numbers of a dictionary.
    #[must_use]
    pub fn of(dictionary: &'a Dictionary) -> Self {
        let met = |names| Met { names, decimals: HashMap::new(), texts: HashMap::new() };
        let (products, channels) = (met(&dictionary.products), met(&dictionary.channels));
        Self { dictionary, products, channels, spare: Vec::new() }
    }

    /// An empty list, with the room of one that was given back.
    pub(crate) fn list(&mut self) -> Vec<Fact> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes back a list whose facts are not needed any more.
    pub(crate) fn give_back(&mut self, mut list: Vec<Fact>) {
        list.clear();
        if self.spare.len() < SPARE_MAX && list.capacity() <= SPARE_FACTS_MAX {
            self.spare.push(list);
        }
    }

    /// The number of a product; 0 for none.
    pub fn product(&mut self, name: Option<Text<'_>>) -> u32 {
        name.map_or(0, |name| self.products.number(name))
    }

    /// The number of a channel.
    pub fn channel(&mut self, name: Text<'_>) -> u32 {
        self.channels.number(name)
    }

    /// The number of a shop.
    #[must_use]
    pub fn shop(&self, key: &ShopKey) -> u32 {
        self.dictionary.shops.number(key)
    }
}
