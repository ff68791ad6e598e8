//! The file of a bulk operation, group by group: an order with its lines, a product with its
//! variants.
//!
//! Invariant: the groups of one file come in the same order every time, so that their number says
//! how far the file was delivered; a line that fits nowhere is a group too, and its reader says
//! what is wrong with it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde_json::value::RawValue;

use super::gather::Gathered;
use super::node::Node;
use crate::shopify::bulk_file::node::{Head, Kind};
use crate::shopify::bulk_file::partition::{Entry, Family, PARTS, Parts, families};
use crate::shopify::bulk_file::placed;
use crate::shopify::framing::DOCUMENT_BYTES_MAX;

/// A root with its children.
#[derive(Debug)]
pub enum Group {
    /// An order with its lines.
    Order(Box<Gathered>),
    /// The body of a product with its variants.
    Product(Vec<u8>),
    /// Lines that make neither.
    Stray(Vec<u8>),
}

/// The groups of a file.
pub struct Groups {
    parts: Parts,
    next: usize,
    ready: VecDeque<Group>,
}

impl Groups {
    /// Reads a file; its lines may stand in any order.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut reader = BufReader::new(File::open(path)?);
        let mut family = Family::default();
        let limit = DOCUMENT_BYTES_MAX as u64 + 1;
        for line in 1.. {
            let mut bytes = Vec::new();
            let read = (&mut reader).take(limit).read_until(b'\n', &mut bytes)?;
            if read == 0 {
                break;
            }
            if read as u64 == limit && bytes.last() != Some(&b'\n') {
                return Err(io::Error::other(format!("line {line} is longer than 32 MiB")));
            }
            match placed(&bytes, line) {
                Ok(None) => {}
                Ok(Some(node)) => family.put(node.own, node.parent, line, node.text)?,
                Err(_) => {
                    let (text, own) = (String::from_utf8_lossy(&bytes), format!("line {line}"));
                    family.put(Some(own), None, line, text.trim())?;
                }
            }
        }
        Ok(Self { parts: family.by_root()?, next: 0, ready: VecDeque::new() })
    }

    /// The next group.
    pub fn next(&mut self) -> io::Result<Option<Group>> {
        loop {
            if let Some(group) = self.ready.pop_front() {
                return Ok(Some(group));
            }
            if self.next == PARTS {
                return Ok(None);
            }
            let mut lines = Vec::new();
            self.parts.take(self.next, |_, entry| lines.push(entry))?;
            self.next += 1;
            self.ready = families(lines).iter().map(|family| group(family)).collect();
        }
    }
}

/// The group of the lines of one root.
fn group(family: &[Entry]) -> Group {
    joined(family).unwrap_or_else(|| {
        let lines: Vec<&str> = family.iter().map(|entry| &*entry.text).collect();
        Group::Stray(lines.join("\n").into_bytes())
    })
}

fn joined(family: &[Entry]) -> Option<Group> {
    let mut root: Option<&Entry> = None;
    let (mut lines, mut shipping, mut variants) = (Vec::new(), Vec::new(), Vec::new());
    for entry in family {
        let head = serde_json::from_str::<Head<'_>>(&entry.text).ok()?;
        if head.parent().is_none() {
            root = Some(entry);
            continue;
        }
        let raw = RawValue::from_string(entry.text.clone()).ok()?;
        match head.kind() {
            Kind::Line => lines.push(raw),
            Kind::Shipping => shipping.push(raw),
            _ if head.kind_name().as_deref() == Some("ProductVariant") => variants.push(raw),
            _ => return None,
        }
    }
    let text = &root?.text;
    let mut node = Node::parse(text).ok()?;
    match serde_json::from_str::<Head<'_>>(text).ok()?.kind_name().as_deref() {
        Some("Order") => Some(Group::Order(Box::new(Gathered::new(node, lines, shipping)))),
        Some("Product") => {
            node.put("variants", &variants).ok()?;
            Some(Group::Product(node.render().ok()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn groups(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.jsonl");
        std::fs::write(&path, text).unwrap();
        let mut groups = Groups::open(&path).unwrap();
        let mut read = Vec::new();
        while let Some(group) = groups.next().unwrap() {
            let bytes = match group {
                Group::Order(order) => order.body(&BTreeMap::new()).unwrap(),
                Group::Product(bytes) | Group::Stray(bytes) => bytes,
            };
            read.push(String::from_utf8(bytes).unwrap());
        }
        read.sort();
        read
    }

    #[test]
    fn children_join_their_roots_wherever_they_stand() {
        let (order, line) = (
            r#"{"id":"gid:\/\/shopify\/Order\/1"}"#,
            r#"{"id":"gid:\/\/shopify\/LineItem\/2","__parentId":"gid:\/\/shopify\/Order\/1"}"#,
        );
        let whole = format!(
            "{},\"lineItems\":[{line}],\"refunds\":[],\"shippingLines\":[]}}",
            order.trim_end_matches('}')
        );
        let grouped = groups(&format!("{order}\n{line}\n"));
        assert_eq!(grouped, [whole]);
        assert_eq!(groups(&format!("{line}\n\n{order}")), grouped);
        assert_eq!(groups(line), [line]);
        assert_eq!(groups("{broken\n{\"id\":\"gid://shopify/Shop/1\"}\n").len(), 2);
    }
}
