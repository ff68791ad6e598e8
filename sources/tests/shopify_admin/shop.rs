//! A shop that speaks the Admin API: points, pages, bulk operations and their files.
//!
//! Invariant: what it answers follows from what it holds and what was asked, in that order; what
//! is to go wrong was said before.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use ionflux_sources::clock::{Clock, Stepped};
use serde_json::{Value, json};

use crate::bench::TOKEN;
use crate::http::{Request, Response, Server};

/// What goes wrong with one request instead of its answer.
pub enum Mishap {
    /// This status and body, and `Retry-After` if there is one.
    Status(u16, &'static str, Option<&'static str>),
    /// The connection breaks.
    Dead,
}

/// What the shop holds, and what it has seen.
pub struct State {
    pub orders: Vec<Value>,
    pub products: Vec<Value>,
    /// What is answered to questions about totals.
    pub analytics: Value,
    /// The next requests that go wrong.
    pub mishaps: VecDeque<Mishap>,
    /// Requests that may still come; none is answered after them.
    pub budget: Option<usize>,
    /// The names of the operations that were asked for.
    pub asked: Vec<String>,
    /// Queries that came when there were no points for them.
    pub short: usize,
    /// The most points one query may cost.
    pub costly_above: u64,
    /// Whether the token may see no customers.
    pub hides_customers: bool,
    /// The zone of its days.
    pub zone: &'static str,
    /// Points in a full bucket, and every second.
    pub bucket: (u64, u64),
    /// What operations will say of themselves, one look after another; then they are done.
    pub stages: VecDeque<(&'static str, Option<&'static str>)>,
    /// Whether one operation runs at a time.
    pub one_at_a_time: bool,
    /// Operations by their number.
    pub operations: Vec<Operation>,
    /// After how many bytes downloads break.
    pub breaks: VecDeque<usize>,
    /// Whether files can be asked for in ranges.
    pub ranges: bool,
    /// How many addresses of files expire before they are used.
    pub expires: usize,
    /// The ranges of files that were asked for.
    pub ranges_asked: Vec<String>,
    points: (u64, i64),
    clock: Arc<Stepped>,
    url: String,
    addresses: usize,
}

/// A bulk operation.
pub struct Operation {
    pub query: String,
    pub file: String,
}

/// The shop at work.
pub struct Shop {
    state: Arc<Mutex<State>>,
    server: Server,
}

impl Shop {
    pub fn open(clock: Arc<Stepped>) -> Self {
        let now = clock.now().0;
        let state = Arc::new(Mutex::new(State {
            orders: Vec::new(),
            products: Vec::new(),
            analytics: Value::Null,
            mishaps: VecDeque::new(),
            budget: None,
            asked: Vec::new(),
            short: 0,
            costly_above: 1_000,
            hides_customers: false,
            zone: "Europe/Berlin",
            bucket: (1_000, 100),
            stages: VecDeque::new(),
            one_at_a_time: false,
            operations: Vec::new(),
            breaks: VecDeque::new(),
            ranges: true,
            expires: 0,
            ranges_asked: Vec::new(),
            points: (1_000, now),
            clock,
            url: String::new(),
            addresses: 0,
        }));
        let answers = Arc::clone(&state);
        let server = Server::start(move |request| answers.lock().unwrap().answer(&request));
        state.lock().unwrap().url.clone_from(&server.url);
        Self { state, server }
    }

    pub fn url(&self) -> &str {
        &self.server.url
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// How often an operation was asked for.
    pub fn times(&self, name: &str) -> usize {
        self.state().asked.iter().filter(|asked| *asked == name).count()
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn page(all: &[Value], first: usize, after: Option<&str>) -> Value {
    let past =
        after.map_or(0, |after| 1 + all.iter().position(|node| text(node, "id") == after).unwrap());
    let nodes: Vec<Value> = all.iter().skip(past).take(first).cloned().collect();
    let end = nodes.last().map(|node| node["id"].clone());
    let more = past + nodes.len() < all.len();
    json!({ "nodes": nodes, "pageInfo": { "hasNextPage": more, "endCursor": end } })
}

/// A list inside a node, from which only a first page comes with it.
fn paged(node: &mut Value, list: &str, first: usize) {
    let all = node[list].as_array().cloned().unwrap_or_default();
    node[list] = page(&all, first, None);
}

fn number(value: &Value, otherwise: usize) -> usize {
    value.as_u64().map_or(otherwise, |number| number as usize)
}

/// What a query costs before it is answered.
fn cost(name: &str, variables: &Value) -> u64 {
    let first = number(&variables["first"], 1) as u64;
    let ids = variables["ids"].as_array().map_or(0, Vec::len) as u64;
    match name {
        "OrdersPage" => 2 + first * (10 + number(&variables["lines"], 0) as u64),
        "BulkLook" | "Shop" => 1,
        _ => 10 + first * 2 + ids * 20,
    }
}

/// Takes the customers of a page away, and says so of each.
fn hide_customers(answer: &mut Value) {
    let mut errors = Vec::new();
    let nodes = answer["data"]["orders"]["nodes"].as_array_mut().unwrap();
    for (at, order) in nodes.iter_mut().enumerate() {
        order["customer"] = Value::Null;
        errors.push(json!({ "message": "Access denied for customer field.",
            "path": ["orders", "nodes", at, "customer"],
            "extensions": { "code": "ACCESS_DENIED" } }));
    }
    answer["errors"] = errors.into();
}

impl State {
    fn answer(&mut self, request: &Request) -> Response {
        if let Some(budget) = &mut self.budget {
            if *budget == 0 {
                return Response::dead();
            }
            *budget -= 1;
        }
        if let Some(path) = request.path.strip_prefix("/files/") {
            assert_eq!(request.header("x-shopify-access-token"), None);
            return self.file(path, request.header("range"));
        }
        assert_eq!(request.path, "/admin/api/2026-10/graphql.json");
        match self.mishaps.pop_front() {
            Some(Mishap::Dead) => return Response::dead(),
            Some(Mishap::Status(status, body, after)) => {
                let mut response = Response::new(status, body);
                response.headers.extend(after.map(|after| ("retry-after", after.to_owned())));
                return response;
            }
            None => {}
        }
        if request.header("x-shopify-access-token") != Some(TOKEN) {
            return Response::new(401, format!("{{\"errors\":\"bad token {TOKEN}\"}}"));
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let query = text(&body, "query");
        for personal in ["email", "phone", "firstName", "lastName", "Address", "note"] {
            assert!(!query.contains(personal), "{personal} is asked for");
        }
        let name = query.split([' ', '(']).nth(1).unwrap().to_owned();
        self.asked.push(name.clone());
        self.paid(&name, &body["variables"])
    }

    /// An answer if there are points for it, as far as points go.
    fn paid(&mut self, name: &str, variables: &Value) -> Response {
        let (cost, now) = (cost(name, variables), self.clock.now().0);
        let (maximum, rate) = self.bucket;
        let restored = (now - self.points.1) as u64 * rate / 1_000;
        let available = (self.points.0 + restored).min(maximum);
        let answered = cost <= self.costly_above && cost <= available;
        // Half of what was asked for turns out not to be needed.
        let left = available - if answered { cost / 2 } else { 0 };
        self.points = (left, now);
        let status = json!({ "maximumAvailable": maximum as f64, "currentlyAvailable": left,
            "restoreRate": rate as f64 });
        let extensions =
            json!({ "cost": { "requestedQueryCost": cost, "throttleStatus": status } });
        let refused = |code: &str| {
            let error = json!({ "message": code, "extensions": { "code": code } });
            json!({ "data": null, "errors": [error], "extensions": extensions })
        };
        if cost > self.costly_above {
            return Response::new(200, refused("MAX_COST_EXCEEDED").to_string());
        }
        if !answered {
            self.short += 1;
            // Both forms are seen.
            let status = if self.short.is_multiple_of(2) { 429 } else { 200 };
            return Response::new(status, refused("THROTTLED").to_string());
        }
        let data = self.data(name, variables);
        let mut answer = json!({ "data": data, "extensions": extensions });
        if self.hides_customers && name == "OrdersPage" {
            hide_customers(&mut answer);
        }
        Response::new(200, answer.to_string())
    }

    fn data(&mut self, name: &str, variables: &Value) -> Value {
        let (id, first) = (text(variables, "id"), number(&variables["first"], 0));
        let after = variables["after"].as_str();
        match name {
            "Shop" => json!({ "shop": { "myshopifyDomain": "acme.myshopify.com",
                "ianaTimezone": self.zone, "currencyCode": "EUR" } }),
            "Analytics" => json!({ "shopifyqlQuery": self.analytics }),
            "OrdersPage" => self.orders_page(variables),
            "OrderLines" | "OrderShipping" => {
                let order = self.orders.iter().find(|order| text(order, "id") == id).unwrap();
                let list = if name == "OrderLines" { "lineItems" } else { "shippingLines" };
                json!({ "node": { "list": page(order[list].as_array().unwrap(), first, after) } })
            }
            "Refunds" => {
                let find = |id: &Value| self.refunds().find(|refund| refund["id"] == *id);
                let lines = number(&variables["lines"], 0);
                let shown = |id: &Value| {
                    find(id).map_or(Value::Null, |mut refund| {
                        paged(&mut refund, "refundLineItems", lines);
                        paged(&mut refund, "refundShippingLines", 5);
                        paged(&mut refund, "orderAdjustments", 5);
                        refund
                    })
                };
                let ids = variables["ids"].as_array().unwrap();
                json!({ "nodes": ids.iter().map(shown).collect::<Vec<_>>() })
            }
            "RefundLines" => {
                let refund = self.refunds().find(|refund| text(refund, "id") == id).unwrap();
                let lines = refund["refundLineItems"].as_array().unwrap();
                json!({ "node": { "list": page(lines, first, after) } })
            }
            "BulkStart" => self.bulk_start(text(variables, "query")),
            "BulkLook" => self.bulk_look(id),
            other => panic!("nobody answers {other}"),
        }
    }

    fn refunds(&self) -> impl Iterator<Item = Value> {
        self.orders.iter().flat_map(|order| order["refunds"].as_array().unwrap().clone())
    }

    fn orders_page(&self, variables: &Value) -> Value {
        let filter = text(variables, "query");
        let from = filter.strip_prefix("updated_at:>='").unwrap().strip_suffix('\'').unwrap();
        let mut found: Vec<Value> =
            self.orders.iter().filter(|order| text(order, "updatedAt") >= from).cloned().collect();
        found.sort_by_key(|order| text(order, "updatedAt").to_owned());
        for order in &mut found {
            paged(order, "lineItems", number(&variables["lines"], 0));
            paged(order, "shippingLines", 5);
            let ids = order["refunds"].as_array().unwrap().iter();
            order["refunds"] = ids.map(|refund| json!({ "id": refund["id"] })).collect();
        }
        let first = number(&variables["first"], 0);
        json!({ "orders": page(&found, first, variables["after"].as_str()) })
    }

    fn bulk_start(&mut self, query: &str) -> Value {
        if self.one_at_a_time && !self.stages.is_empty() && !self.operations.is_empty() {
            let id = format!("gid://shopify/BulkOperation/{}", self.operations.len());
            let message = "A bulk query operation for this app and shop is already in progress";
            let error = json!({ "field": null, "message": format!("{message}: {id}."),
                "code": "OPERATION_IN_PROGRESS" });
            return json!({ "bulkOperationRunQuery":
                { "bulkOperation": null, "userErrors": [error] } });
        }
        if self.hides_customers && query.contains("customer") {
            self.stages.push_front(("FAILED", Some("ACCESS_DENIED")));
        }
        let file = self.export(query);
        self.operations.push(Operation { query: query.to_owned(), file });
        let id = format!("gid://shopify/BulkOperation/{}", self.operations.len());
        let operation = json!({ "id": id, "status": "CREATED", "createdAt": self.now() });
        json!({ "bulkOperationRunQuery": { "bulkOperation": operation, "userErrors": [] } })
    }

    fn now(&self) -> String {
        self.clock.now().to_string()
    }

    /// The lines of an export: children before their parents, and slashes escaped, as may be.
    fn export(&self, query: &str) -> String {
        let (roots, lists): (_, &[&str]) = match query.contains("products {") {
            true => (&self.products, &["variants"]),
            false => (&self.orders, &["lineItems", "shippingLines"]),
        };
        let (mut parents, mut children) = (Vec::new(), Vec::new());
        for root in roots {
            let mut root = root.clone();
            for list in lists {
                for mut child in root[*list].as_array().cloned().unwrap() {
                    child["__parentId"] = root["id"].clone();
                    children.push(child.to_string());
                }
                root.as_object_mut().unwrap().remove(*list);
            }
            if !query.contains("customer") {
                root.as_object_mut().unwrap().remove("customer");
            }
            if let Some(refunds) = root["refunds"].as_array() {
                let ids = refunds.iter().map(|refund| json!({ "id": refund["id"] }));
                root["refunds"] = ids.collect();
            }
            parents.push(root.to_string());
        }
        children.extend(parents);
        children.iter().map(|line| line.replace('/', "\\/") + "\n").collect()
    }

    fn bulk_look(&mut self, id: &str) -> Value {
        let at: usize = id.rsplit('/').next().unwrap().parse().unwrap();
        let Some(operation) = self.operations.get(at - 1) else { return json!({ "node": null }) };
        let (status, error) = self.stages.pop_front().unwrap_or(("COMPLETED", None));
        self.addresses += 1;
        let url = format!("{}/files/{at}?key={}", self.url, self.addresses);
        let url = (status == "COMPLETED" && !operation.file.is_empty()).then_some(url);
        let partial = (status == "FAILED").then(|| format!("{}/files/{at}?key=partial", self.url));
        json!({ "node": { "id": id, "status": status, "errorCode": error, "objectCount": "7",
            "fileSize": operation.file.len().to_string(), "url": url, "partialDataUrl": partial,
            "createdAt": "2026-03-10T11:59:00Z", "query": operation.query } })
    }

    fn file(&mut self, path: &str, range: Option<&str>) -> Response {
        if self.expires > 0 {
            self.expires -= 1;
            return Response::new(403, "expired");
        }
        let (at, key) = path.split_once("?key=").unwrap();
        assert_ne!(key, "partial", "a part of an export is asked for");
        let bytes = self.operations[at.parse::<usize>().unwrap() - 1].file.as_bytes();
        let range = range.unwrap();
        self.ranges_asked.push(range.to_owned());
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let total = bytes.len();
        let mut response = match () {
            () if !self.ranges => Response::new(200, bytes),
            () if first >= total => {
                let mut response = Response::new(416, "");
                response.headers.push(("content-range", format!("bytes */{total}")));
                response
            }
            () => {
                let end = total.min(last + 1);
                let mut response = Response::new(206, &bytes[first..end]);
                let sent = format!("bytes {first}-{}/{total}", end - 1);
                response.headers.push(("content-range", sent));
                response
            }
        };
        response.breaks_after = self.breaks.pop_front();
        response
    }
}
