//! Orders gathered whole: a page of them, the lines that did not fit in it, and their refunds.
//!
//! Invariant: an order is given only with all its lines and refunds; a page that costs too much is
//! asked for in smaller ones, never skipped.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::client::Client;
use super::error::AdminError;
use super::node::{Connection, Node, PageInfo};
use super::queries::{
    ORDER_LINES, ORDER_SHIPPING, ORDERS_PAGE, Query, REFUND_ADJUSTMENTS, REFUND_LINES,
    REFUND_SHIPPING, REFUNDS,
};
use crate::poller::Stop;

/// Pages of one list of one order or refund: no order has so many lines.
const LIST_PAGES_MAX: usize = 1_000;

/// How much is asked for at once.
#[derive(Clone, Debug)]
pub struct Sizes {
    orders: u32,
    lines: u32,
    list: u32,
    refunds: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { orders: 20, lines: 10, list: 50, refunds: 5 }
    }
}

impl Sizes {
    /// Half of everything; false if there is nothing left to halve.
    fn halve(&mut self) -> bool {
        let all = [&mut self.orders, &mut self.lines, &mut self.list, &mut self.refunds];
        let mut halved = false;
        for size in all {
            halved |= *size > 1;
            *size = (*size / 2).max(1);
        }
        halved
    }
}

/// An order with all its lines; its refunds are named.
#[derive(Debug)]
pub struct Gathered {
    node: Node,
    lines: Vec<Box<RawValue>>,
    shipping: Vec<Box<RawValue>>,
    /// The ids of its refunds.
    pub refunds: Vec<String>,
    /// When it last changed, as the shop wrote it.
    pub updated_at: Option<String>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

impl Gathered {
    /// An order of its node and its lines.
    pub fn new(mut node: Node, lines: Vec<Box<RawValue>>, shipping: Vec<Box<RawValue>>) -> Self {
        let refunds = node.take::<Vec<Id>>("refunds").unwrap_or_default();
        let refunds = refunds.into_iter().map(|refund| refund.id).collect();
        let updated_at = node.text("updatedAt");
        Self { node, lines, shipping, refunds, updated_at }
    }

    /// About how long its body will be, without refunds.
    pub fn bytes(&self) -> usize {
        let lists = self.lines.iter().chain(&self.shipping);
        self.node.bytes() + lists.map(|line| line.get().len()).sum::<usize>()
    }

    /// The body of its delivery, with its refunds out of those that were found.
    pub fn body(mut self, refunds: &BTreeMap<String, Node>) -> Result<Vec<u8>, AdminError> {
        let refunds: Vec<&Node> = self.refunds.iter().filter_map(|id| refunds.get(id)).collect();
        let put = self.node.put("lineItems", &self.lines);
        let put = put.and_then(|()| self.node.put("shippingLines", &self.shipping));
        let put = put.and_then(|()| self.node.put("refunds", &refunds));
        put.and_then(|()| self.node.render()).map_err(|error| unreadable("an order", &error))
    }
}

/// What does not have the form it must have; says where and not what.
pub fn unreadable(what: &str, error: &serde_json::Error) -> AdminError {
    let place = format!("line {}, column {}", error.line(), error.column());
    AdminError::Permanent(format!("{what} has an unexpected form ({place})"))
}

#[derive(Deserialize)]
struct Orders {
    orders: OrdersPage,
}

#[derive(Deserialize)]
struct OrdersPage {
    nodes: Vec<Node>,
    #[serde(rename = "pageInfo")]
    page: PageInfo,
}

#[derive(Deserialize)]
struct Listed {
    node: Option<List>,
}

#[derive(Deserialize)]
struct List {
    list: Option<Connection>,
}

#[derive(Deserialize)]
struct Found {
    nodes: Vec<Option<Node>>,
}

/// Asks a shop for orders and what belongs to them.
pub struct Gatherer<'c> {
    /// Who is asked.
    pub client: &'c mut Client,
    /// How much at once.
    pub sizes: &'c mut Sizes,
    /// The wish to stop.
    pub stop: &'c Stop,
}

impl Gatherer<'_> {
    /// A page of the orders that match a filter, those that changed longest ago first, and where
    /// the next page begins.
    pub fn page(
        &mut self,
        filter: &str,
        after: Option<&str>,
    ) -> Result<(Vec<Gathered>, Option<String>), AdminError> {
        let variables = |sizes: &Sizes| {
            let (first, lines) = (sizes.orders, sizes.lines);
            json!({ "first": first, "lines": lines, "after": after, "query": filter })
        };
        let Orders { orders } = self.sized(&ORDERS_PAGE, variables)?;
        let mut gathered = Vec::with_capacity(orders.nodes.len());
        for mut node in orders.nodes {
            let id = node.text("id").unwrap_or_default();
            let lines = self.whole(&mut node, "lineItems", &id, &ORDER_LINES)?;
            let shipping = self.whole(&mut node, "shippingLines", &id, &ORDER_SHIPPING)?;
            gathered.push(Gathered::new(node, lines, shipping));
        }
        Ok((gathered, orders.page.next()))
    }

    /// The refunds of some orders by their ids; one that is gone is left out.
    pub fn refunds(&mut self, orders: &[Gathered]) -> Result<BTreeMap<String, Node>, AdminError> {
        let ids: Vec<&str> =
            orders.iter().flat_map(|order| &order.refunds).map(String::as_str).collect();
        let mut found = BTreeMap::new();
        let mut rest: &[&str] = &ids;
        while !rest.is_empty() {
            let some = |sizes: &Sizes| rest.get(..sizes.refunds as usize).unwrap_or(rest);
            let variables = |sizes: &Sizes| json!({ "ids": some(sizes), "lines": sizes.lines });
            let Found { nodes } = self.sized(&REFUNDS, variables)?;
            if nodes.is_empty() {
                let reason = self.client.about(&REFUNDS, "none of those asked for were answered");
                return Err(AdminError::Transient(reason));
            }
            rest = rest.get(nodes.len()..).unwrap_or_default();
            for mut node in nodes.into_iter().flatten() {
                let id = node.text("id").unwrap_or_default();
                for (list, query) in [
                    ("refundLineItems", &REFUND_LINES),
                    ("refundShippingLines", &REFUND_SHIPPING),
                    ("orderAdjustments", &REFUND_ADJUSTMENTS),
                ] {
                    let whole = self.whole(&mut node, list, &id, query)?;
                    let put = node.put(list, &whole);
                    put.map_err(|error| unreadable("a refund", &error))?;
                }
                found.insert(id, node);
            }
        }
        Ok(found)
    }

    /// Takes a list out of a node, and asks for as much of it as did not come with the node.
    fn whole(
        &mut self,
        node: &mut Node,
        name: &str,
        id: &str,
        query: &Query,
    ) -> Result<Vec<Box<RawValue>>, AdminError> {
        let Some(Connection { mut nodes, page }) = node.take(name) else {
            let reason = self.client.about(query, &format!("{id} came without its {name}"));
            return Err(AdminError::Permanent(reason));
        };
        let mut next = page.next();
        for _ in 0..LIST_PAGES_MAX {
            let Some(after) = next else { return Ok(nodes) };
            let variables =
                |sizes: &Sizes| json!({ "id": id, "first": sizes.list, "after": after });
            let Listed { node } = self.sized(query, variables)?;
            // What was deleted meanwhile is told by its own delivery, or by the next sweep.
            let Some(more) = node.and_then(|node| node.list) else { return Ok(nodes) };
            nodes.extend(more.nodes);
            next = more.page.next();
        }
        let reason = format!("{id} has more than {LIST_PAGES_MAX} pages of {name}");
        Err(AdminError::Permanent(self.client.about(query, &reason)))
    }

    /// Asks for so much, and for less while it costs too much.
    fn sized<T: DeserializeOwned>(
        &mut self,
        query: &Query,
        variables: impl Fn(&Sizes) -> Value,
    ) -> Result<T, AdminError> {
        loop {
            match self.client.ask(query, &variables(self.sizes), self.stop) {
                Err(AdminError::Costly(_)) if self.sizes.halve() => {}
                Err(AdminError::Costly(reason)) => return Err(AdminError::Permanent(reason)),
                answered => return answered,
            }
        }
    }
}
