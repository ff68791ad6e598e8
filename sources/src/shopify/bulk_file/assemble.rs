//! Putting a record together from its node and its children's: an order, a refund, a product.
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
use crate::shopify::body::{
    Adjustment, Line, Order, Refund, RefundLine, RefundShipping, ShippingLine,
};
use crate::shopify::entities::body::{Product, Transaction, Variant};
use crate::shopify::entities::{self, Beside, product, unit_cost};
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

/// Children, each with its parent's id.
type Parented<T> = Vec<(Option<String>, T)>;

/// The children of one root.
#[derive(Default)]
struct Children<'a> {
    lines: Vec<Line<'a>>,
    shipping: Vec<ShippingLine<'a>>,
    refunds: Parented<Refund<'a>>,
    refund_lines: Parented<RefundLine<'a>>,
    refund_shipping: Parented<RefundShipping<'a>>,
    adjustments: Parented<Adjustment<'a>>,
    transactions: Vec<Transaction<'a>>,
    variants: Vec<Variant<'a>>,
}

impl Children<'_> {
    /// The parents of what belongs to a refund that is not here.
    fn strays(&self) -> Vec<(&'static str, Option<&str>)> {
        fn parents<T>(all: &Parented<T>) -> impl Iterator<Item = Option<&str>> {
            all.iter().map(|(parent, _)| parent.as_deref())
        }
        let lines = parents(&self.refund_lines).map(|parent| ("a refunded line's", parent));
        let shipping = parents(&self.refund_shipping).map(|parent| ("refunded shipping's", parent));
        let adjusted = parents(&self.adjustments).map(|parent| ("an adjustment's", parent));
        lines.chain(shipping).chain(adjusted).collect()
    }
}

/// Takes out the children of one parent.
fn taken<T>(all: &mut Parented<T>, id: Option<&str>) -> Vec<T> {
    let (own, rest): (Parented<T>, Parented<T>) =
        std::mem::take(all).into_iter().partition(|(parent, _)| parent.as_deref() == id);
    *all = rest;
    own.into_iter().map(|(_, child)| child).collect()
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
            Kind::Product => product_of(root, &children, context),
            _ => alone(root, context),
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
            Kind::RefundShipping => found.refund_shipping.push((node.parent.clone(), parse(text)?)),
            Kind::Adjustment => found.adjustments.push((node.parent.clone(), parse(text)?)),
            Kind::Transaction => found.transactions.push(parse(text)?),
            Kind::Variant => found.variants.push(parse(text)?),
            Kind::Order | Kind::Product | Kind::Item | Kind::Dispute | Kind::Other => {}
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
    extend(&mut order.line_items, std::mem::take(&mut found.lines));
    extend(&mut order.shipping_lines, std::mem::take(&mut found.shipping));
    extend(&mut order.transactions, std::mem::take(&mut found.transactions));
    let mut refunds = Vec::new();
    for (id, mut refund) in std::mem::take(&mut found.refunds) {
        complete(&mut refund, id.as_deref(), &mut found);
        refunds.push(refund);
    }
    extend(&mut order.refunds, refunds);
    let mut outcomes = order::decode(&order, &record);
    for (what, parent) in found.strays() {
        let parent: String = parent.unwrap_or_default().chars().take(100).collect();
        outcomes.push(Err(field(format!("{what} parent {parent} is no refund here"))));
    }
    Ok(outcomes)
}

/// Gives a refund its children.
fn complete<'a>(refund: &mut Refund<'a>, id: Option<&str>, found: &mut Children<'a>) {
    extend(&mut refund.refund_line_items, taken(&mut found.refund_lines, id));
    extend(&mut refund.refund_shipping_lines, taken(&mut found.refund_shipping, id));
    extend(&mut refund.order_adjustments, taken(&mut found.adjustments, id));
}

fn refund_of(
    root: &Node<'_>,
    nodes: &[Node<'_>],
    context: &Context,
) -> Result<Vec<Outcome>, Refusal> {
    let record = Record::new(None, UtcMs(0), &context.setting)?;
    let mut refund: Refund<'_> = parse(&root.entry.text)?;
    let mut found = children(nodes)?;
    complete(&mut refund, root.id.as_deref(), &mut found);
    extend(&mut refund.transactions, found.transactions);
    Ok(refund::alone(&refund, &record))
}

fn product_of(
    root: &Node<'_>,
    nodes: &[Node<'_>],
    context: &Context,
) -> Result<Vec<Outcome>, Refusal> {
    let record = Record::new(None, UtcMs(0), &context.setting)?;
    let mut product: Product<'_> = parse(&root.entry.text)?;
    extend(&mut product.variants, children(nodes)?.variants);
    Ok(product::decode(&product, &record))
}

/// What a root says that has no children.
fn alone(root: &Node<'_>, context: &Context) -> Result<Vec<Outcome>, Refusal> {
    let what = match root.kind {
        Kind::Transaction => Beside::Transaction,
        Kind::Dispute => Beside::Dispute,
        Kind::Item => Beside::Item,
        Kind::Variant => {
            let variant: Variant<'_> = parse(&root.entry.text)?;
            let record = Record::new(None, UtcMs(0), &context.setting)?;
            let cost = unit_cost::of_variant(&variant, None, &record);
            return cost.map(|cost| vec![cost]).ok_or_else(|| uncounted(&root.head));
        }
        _ => return Err(uncounted(&root.head)),
    };
    let record = Record::new(None, UtcMs(0), &context.setting)?;
    entities::decode(what, &root.entry.text, &record)
}
