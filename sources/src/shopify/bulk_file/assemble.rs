//! Putting an order together from its node and its children's.
//!
//! Invariant: a group's answer does not depend on the order of its lines; a child whose parent is
//! not in the file is a fault, never a part of something else.

use std::collections::{BTreeMap, VecDeque};

use ionflux_schemas::fault::{Fault, FaultKind};
use ionflux_schemas::time::UtcMs;

use super::node::{Head, Kind};
use super::partition::{Entry, families};
use super::{Context, FORMAT};
use crate::draft::{Draft, sealed};
use crate::reading::{Decoded, Refusal};
use crate::shopify::body::{Line, Order, Refund, RefundLine, ShippingLine};
use crate::shopify::list::List;
use crate::shopify::record::{Outcome, Record, field};
use crate::shopify::webhook::parse;
use crate::shopify::{order, refund};

/// A line of the file with its head.
struct Node<'a> {
    entry: &'a Entry,
    head: Head<'a>,
    kind: Kind,
    id: Option<String>,
    parent: Option<String>,
}

/// The children of one root.
#[derive(Default)]
struct Children<'a> {
    lines: Vec<Line<'a>>,
    shipping: Vec<ShippingLine<'a>>,
    refunds: Vec<(Option<String>, Refund<'a>)>,
    refund_lines: Vec<(Option<String>, RefundLine<'a>)>,
}

/// What the lines of one part say, group by group, in the order their roots stand in the file.
pub fn groups(lines: Vec<Entry>, context: &Context) -> VecDeque<Decoded> {
    let answer = |family: Vec<Entry>| {
        let lines: Vec<&Entry> = family.iter().collect();
        sealed(group(&lines, context), || draft(&lines, context))
    };
    families(lines).into_iter().map(answer).collect()
}

/// The letter of a group is at its root's line, as its faults mostly are.
fn draft(group: &[&Entry], context: &Context) -> Draft<'static> {
    let root =
        |entry: &&&Entry| parse::<Head<'_>>(&entry.text).is_ok_and(|head| head.parent().is_none());
    let place = group.iter().find(root).or(group.first()).map_or(0, |entry| entry.line);
    let text: Vec<&str> = group.iter().map(|entry| &*entry.text).collect();
    let text = text.join("\n").into_bytes();
    Draft::new(FORMAT, context.place(place), &context.setting, text)
        .lines(group.iter().map(|entry| entry.line))
}

/// What the lines of one root say, in the order of the file.
pub fn group(group: &[&Entry], context: &Context) -> Decoded {
    let mut nodes: Vec<Node<'_>> = Vec::with_capacity(group.len());
    let mut decoded = Decoded::default();
    for &entry in group {
        match parse::<Head<'_>>(&entry.text) {
            Ok(head) => {
                let (kind, id, parent) = (head.kind(), head.id(), head.parent());
                nodes.push(Node { entry, head, kind, id, parent });
            }
            Err(refusal) => decoded.faults.push(context.fault(entry.line, refusal)),
        }
    }
    let (roots, children): (Vec<_>, Vec<_>) =
        nodes.into_iter().partition(|node| node.parent.is_none());
    if roots.is_empty() {
        decoded.faults.extend(children.iter().map(|node| orphan(node, context)));
        return decoded;
    }
    let children = last_of_each(children);
    for root in &roots {
        let outcomes = match root.kind {
            Kind::Order => order_of(root, &children, context),
            Kind::Refund => refund_of(root, &children, context),
            _ => Err(uncounted(&root.head)),
        };
        for outcome in outcomes.unwrap_or_else(|refusal| vec![Err(refusal)]) {
            match outcome {
                Ok(envelopes) => decoded.envelopes.extend(envelopes),
                Err(refusal) => decoded.faults.push(context.fault(root.entry.line, refusal)),
            }
        }
    }
    decoded
}

/// The same child twice is the later one: two exports in one file overlap.
fn last_of_each(children: Vec<Node<'_>>) -> Vec<Node<'_>> {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for node in &children {
        if let Some(id) = &node.id {
            last.insert(id.clone(), node.entry.line);
        }
    }
    let latest =
        |node: &Node<'_>| node.id.as_ref().is_none_or(|id| last.get(id) == Some(&node.entry.line));
    children.into_iter().filter(latest).collect()
}

fn orphan(node: &Node<'_>, context: &Context) -> Fault {
    let parent = node.parent.as_deref().unwrap_or_default();
    let subject: String = node.id.as_deref().unwrap_or_default().chars().take(100).collect();
    let parent: String = parent.chars().take(100).collect();
    let reason = format!("its parent {parent} is not in the file");
    context.fault(node.entry.line, Refusal::new(FaultKind::Field, subject, reason))
}

fn uncounted(head: &Head<'_>) -> Refusal {
    let name: String = head.kind_name().unwrap_or_default().chars().take(60).collect();
    let what = if name.is_empty() { "a node of no known kind".to_owned() } else { name };
    Refusal::new(FaultKind::Unsupported, "", format!("{what}: no view counts it"))
}

/// Reads the children that matter; of the others nothing is counted, as of unknown fields.
fn children<'a>(nodes: &'a [Node<'a>]) -> Result<Children<'a>, Refusal> {
    let mut found = Children::default();
    for node in nodes {
        let text = &node.entry.text;
        match node.kind {
            Kind::Line => found.lines.push(parse(text)?),
            Kind::Shipping => found.shipping.push(parse(text)?),
            Kind::Refund => found.refunds.push((node.id.clone(), parse(text)?)),
            Kind::RefundLine => found.refund_lines.push((node.parent.clone(), parse(text)?)),
            Kind::Order | Kind::Other => {}
        }
    }
    Ok(found)
}

/// Adds elements to a list that is absent, or given inline as well.
fn extend<T>(list: &mut Option<List<T>>, more: Vec<T>) {
    if !more.is_empty() {
        list.get_or_insert_with(|| List(Vec::new())).0.extend(more);
    }
}

fn order_of(
    root: &Node<'_>,
    nodes: &[Node<'_>],
    context: &Context,
) -> Result<Vec<Outcome>, Refusal> {
    let record = Record::new(None, UtcMs(0), &context.setting)?;
    let mut order: Order<'_> = parse(&root.entry.text)?;
    let mut found = children(nodes)?;
    extend(&mut order.line_items, found.lines);
    extend(&mut order.shipping_lines, found.shipping);
    for (id, refund) in &mut found.refunds {
        let own = |(parent, _): &(Option<String>, RefundLine<'_>)| parent == id;
        let (mine, rest) = std::mem::take(&mut found.refund_lines).into_iter().partition(own);
        found.refund_lines = rest;
        let mine: Vec<(Option<String>, RefundLine<'_>)> = mine;
        extend(&mut refund.refund_line_items, mine.into_iter().map(|(_, line)| line).collect());
    }
    extend(&mut order.refunds, found.refunds.into_iter().map(|(_, refund)| refund).collect());
    let mut outcomes = order::decode(&order, &record);
    for (parent, _) in found.refund_lines {
        let parent: String = parent.unwrap_or_default().chars().take(100).collect();
        outcomes.push(Err(field(format!("a refunded line's parent {parent} is no refund here"))));
    }
    Ok(outcomes)
}

fn refund_of(
    root: &Node<'_>,
    nodes: &[Node<'_>],
    context: &Context,
) -> Result<Vec<Outcome>, Refusal> {
    let record = Record::new(None, UtcMs(0), &context.setting)?;
    let mut refund: Refund<'_> = parse(&root.entry.text)?;
    let lines = children(nodes)?.refund_lines.into_iter().map(|(_, line)| line).collect();
    extend(&mut refund.refund_line_items, lines);
    Ok(vec![refund::decode(&refund, None, &record)])
}
