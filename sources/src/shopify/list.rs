//! A list in any of its dresses: an array, `{edges: [{node}]}`, `{nodes: []}` or null.
//!
//! Invariant: the elements come out in the order they stand in.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The elements of a list or of a GraphQL connection.
#[derive(Clone, Debug)]
pub struct List<T>(pub Vec<T>);

/// One element of a connection's `edges`.
#[derive(serde::Deserialize)]
struct Edge<T> {
    node: T,
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or a connection")
    }

    fn visit_unit<E>(self) -> Result<List<T>, E> {
        Ok(List(Vec::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            elements.push(element);
        }
        Ok(List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<List<T>, A::Error> {
        let mut elements = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "edges" => {
                    let edges: Option<Vec<Edge<T>>> = map.next_value()?;
                    elements.extend(edges.into_iter().flatten().map(|edge| edge.node));
                }
                // A connection may select both; its edges and nodes are the same elements.
                "nodes" if elements.is_empty() => {
                    elements.extend(map.next_value::<Option<Vec<T>>>()?.into_iter().flatten());
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(List(elements))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

/// The elements of a list that may be absent.
pub fn each<T>(list: &Option<List<T>>) -> &[T] {
    list.as_ref().map_or(&[], |list| &list.0)
}
