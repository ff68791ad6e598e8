//! A JSON object that is put together without being understood.
//!
//! Invariant: what is not touched leaves as the text it came as: no number becomes a float, no
//! amount is written anew.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The members of an object, each still text.
#[derive(Default, Deserialize, Serialize, Debug)]
#[serde(transparent)]
pub struct Node(BTreeMap<String, Box<RawValue>>);

/// A connection's page.
#[derive(Default, Deserialize)]
pub struct Connection {
    /// Its elements.
    #[serde(default = "Vec::new")]
    pub nodes: Vec<Box<RawValue>>,
    /// Whether and where it goes on.
    #[serde(rename = "pageInfo", default)]
    pub page: PageInfo,
}

/// Whether and where a connection goes on.
#[derive(Default, Deserialize)]
pub struct PageInfo {
    #[serde(rename = "hasNextPage", default)]
    more: bool,
    #[serde(rename = "endCursor")]
    end: Option<String>,
}

impl PageInfo {
    /// The cursor of the next page, if there is one.
    pub fn next(self) -> Option<String> {
        self.end.filter(|_| self.more)
    }
}

impl Node {
    /// Reads an object.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// A member that is text.
    pub fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.0.get(name)?.get()).ok()
    }

    /// Takes a member out, as a type; `None` where it is absent, null or of another type.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let raw = self.0.remove(name)?;
        serde_json::from_str::<Option<T>>(raw.get()).ok().flatten()
    }

    /// Sets a member.
    pub fn put(&mut self, name: &str, value: &impl Serialize) -> Result<(), serde_json::Error> {
        self.0.insert(name.to_owned(), serde_json::value::to_raw_value(value)?);
        Ok(())
    }

    /// About how long the object is as text.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.get().len()).sum()
    }

    /// The object as text.
    pub fn render(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_leaves_as_it_came() {
        let mut node = Node::parse(r#"{"rate":0.10,"big":12345678901234567890,"x":1}"#).unwrap();
        assert_eq!(node.take::<u8>("x"), Some(1));
        node.put("y", &["é"]).unwrap();
        let text = String::from_utf8(node.render().unwrap()).unwrap();
        assert_eq!(text, r#"{"big":12345678901234567890,"rate":0.10,"y":["é"]}"#);
    }
}
