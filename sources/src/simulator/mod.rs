//! A simulated Shopify shop: what its webhooks would say, without a clock, a socket or a float.
//!
//! Delivery: like Shopify's, at least once and out of order; 3 % come twice, 2 % come late.
//! Invariant: the stream depends on the seed and the start alone, and no delivery comes before
//! one that was given out.
//!
//! ```text
//! minute by minute: orders are placed ─▶ their later life is planned ─▶ queue by delivery time
//!                                        (edit, refunds, cancel, late, twice)       │
//!                    everything before the minute simulated next is given out ◀─────┘
//! ```

use std::collections::BTreeMap;

use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::time::UtcMs;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::shopify::delivery::SOURCE;

pub mod catalog;

mod body;
mod json;
mod order;
mod random;
mod rhythm;

use body::Bodies;
use catalog::{PRODUCTS, Product};
use order::{Code, Line, Order};
use random::Random;

/// The shop's name on the platform.
pub const SHOP: &str = "aurora-supply.myshopify.com";
/// The most deliveries that wait for their time; beyond, the shop forgets to send.
pub const PENDING_MAX: usize = 20_000;
/// Beyond this many, new orders have no later life, so that what is sent stays complete.
const PLANNED_MAX: usize = PENDING_MAX / 2;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A webhook delivery.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// When it is delivered; never before the delivery before it.
    pub at: UtcMs,
    /// Its topic, such as `orders/create`.
    pub topic: &'static str,
    /// The shop's domain.
    pub shop: &'static str,
    /// When the platform raised it.
    pub triggered_at: UtcMs,
    /// The JSON body.
    pub body: String,
}

impl Sent {
    /// The delivery as the door of a workspace would keep it.
    #[must_use]
    pub fn delivery(self, workspace: &str) -> Delivery {
        let headers = [
            ("x-shopify-topic", self.topic.to_owned()),
            ("x-shopify-shop-domain", self.shop.to_owned()),
            ("x-shopify-triggered-at", self.triggered_at.to_string()),
        ];
        Delivery {
            source: SOURCE.into(),
            workspace: workspace.into(),
            received_at: self.at,
            headers: headers.into_iter().map(|(name, text)| (name.into(), text.into())).collect(),
            body: self.body.into_bytes().into(),
        }
    }
}

/// An endless stream of deliveries.
#[derive(Clone, Debug)]
pub struct Simulator {
    random: Random,
    bodies: Bodies,
    start: i64,
    /// The minute that is simulated next.
    clock: i64,
    orders: u64,
    customers: u64,
    /// By delivery time, then by the order of planning.
    pending: BTreeMap<(i64, u64), Sent>,
    planned: u64,
}

/// The products, the most popular first; for showing titles beside ids.
#[must_use]
pub fn products() -> &'static [Product] {
    &PRODUCTS
}

impl Simulator {
    /// The shop of a seed, from an instant on. Its first delivery is the shop itself.
    #[must_use]
    pub fn new(seed: u64, start: UtcMs) -> Self {
        let zone = TimeZoneDatabase::bundled().get(body::ZONE).unwrap_or(TimeZone::UTC);
        let bodies = Bodies { zone };
        let shop = Sent {
            at: start,
            topic: "shop/update",
            shop: SHOP,
            triggered_at: start,
            body: bodies.shop(SHOP, start.0),
        };
        Self {
            random: Random::new(seed),
            bodies,
            start: start.0,
            clock: start.0,
            orders: 0,
            customers: 0,
            pending: BTreeMap::from([((start.0, 0), shop)]),
            planned: 1,
        }
    }

    /// Simulates one minute.
    fn minute(&mut self) {
        let instant = Timestamp::from_millisecond(self.clock).unwrap_or(Timestamp::MAX);
        let local = self.bodies.zone.to_datetime(instant);
        let age = (self.clock - self.start) / DAY;
        let expected = rhythm::orders_per_minute_millionths(local, age.unsigned_abs());
        // Six chances spread the orders of a minute; each order falls anywhere in it.
        for _ in 0..6 {
            let more = u64::from(self.random.below(6_000_000) < expected % 6_000_000);
            for _ in 0..expected / 6_000_000 + more {
                let at = self.clock + self.random.between(0, MINUTE);
                self.live(at, local);
            }
        }
        self.clock += MINUTE;
    }

    /// Places an order and plans everything that will become of it.
    fn live(&mut self, at: i64, local: DateTime) {
        let mut order = self.place(at, local);
        self.tell("orders/create", at, self.bodies.order(&order));
        if self.pending.len() > PLANNED_MAX {
            return;
        }
        let mut now = at;
        if !order.paid {
            now += self.random.between(SECOND, 3 * SECOND);
            order.paid = true;
            self.update(&mut order, now);
        }
        if self.random.chance(20) {
            now += self.random.between(5 * MINUTE, 90 * MINUTE);
            self.edit(&mut order, now);
        }
        if self.random.chance(10) {
            now += self.random.between(10 * MINUTE, 12 * HOUR);
            return self.cancel(&mut order, now);
        }
        now += self.random.between(3 * HOUR, 40 * HOUR);
        order.fulfilled = true;
        self.update(&mut order, now);
        if self.random.chance(60) {
            let soon = self.random.chance(300);
            let days = if soon { (0, DAY) } else { (DAY, 18 * DAY) };
            now += self.random.between(days.0 + 2 * HOUR, days.1 + 2 * HOUR);
            self.send_back(&mut order, now);
        }
    }

    fn place(&mut self, at: i64, local: DateTime) -> Order {
        let number = self.orders + 1;
        self.orders = number;
        let code = self.code(rhythm::campaign(local));
        let customer = self.customer();
        let lines = order::basket(&mut self.random, body::line_id(number), code);
        let shipping = order::shipping(&lines);
        Order {
            number,
            placed_at: at,
            updated_at: at,
            cancelled_at: None,
            fulfilled: false,
            paid: !self.random.chance(80),
            customer,
            lines,
            code,
            shipping,
            shipping_returned: false,
            refunds: Vec::new(),
        }
    }

    fn code(&mut self, campaign: bool) -> Option<Code> {
        let percent = |name, percent| Some(Code { name, percent: Some(percent), value: 0 });
        match self.random.below(1000) {
            0..600 if campaign => percent("AURORA20", 20),
            0..70 => percent("WELCOME10", 10),
            70..110 => Some(Code { name: "DANKE5", percent: None, value: 500 }),
            _ => None,
        }
    }

    /// A guest, somebody new, or somebody who came before: the more orders there were, the more
    /// often, and rather one of the later customers than of the first.
    fn customer(&mut self) -> Option<u64> {
        if self.random.chance(60) {
            return None;
        }
        let returning = 150 + (self.orders / 25).min(250);
        if self.customers > 0 && self.random.chance(returning) {
            let (a, b) = (self.random.below(self.customers), self.random.below(self.customers));
            return Some(1 + a.max(b));
        }
        self.customers += 1;
        Some(self.customers)
    }

    fn update(&mut self, order: &mut Order, at: i64) {
        order.updated_at = at;
        self.tell("orders/updated", at, self.bodies.order(order));
    }

    fn edit(&mut self, order: &mut Order, at: i64) {
        let (product, units) = (order::product(&mut self.random), order::units(&mut self.random));
        let id = body::line_id(order.number) + 8;
        let line = Line { id, product, units, returned: 0, discount: 0 };
        self.tell("orders/edited", at, self.bodies.edit(order, &line, at));
        order.lines.push(line);
        self.update(order, at);
    }

    fn cancel(&mut self, order: &mut Order, at: i64) {
        order.cancelled_at = Some(at);
        order.updated_at = at;
        self.refund(order, at, (true, i64::MAX, None));
        self.tell("orders/cancelled", at, self.bodies.order(order));
    }

    /// Everything with its shipping, or one line now and perhaps another later.
    fn send_back(&mut self, order: &mut Order, at: i64) {
        if self.random.chance(450) {
            self.refund(order, at, (true, i64::MAX, None));
            return self.update(order, at);
        }
        let line = self.random.below(order.lines.len() as u64) as usize;
        self.refund(order, at, (false, 1, order.lines.get(line).map(|line| line.id)));
        self.update(order, at);
        if self.random.chance(200) {
            let later = at + self.random.between(DAY, 5 * DAY);
            self.refund(order, later, (false, 1, None));
            self.update(order, later);
        }
    }

    /// Gives back up to some units of one line, or of every line.
    fn refund(
        &mut self,
        order: &mut Order,
        at: i64,
        (with_shipping, units, only): (bool, i64, Option<u64>),
    ) {
        let id = body::refund_id(order.number, order.refunds.len());
        let chosen = |line: &Line| only.is_none_or(|id| id == line.id);
        let units = |line: &Line| if chosen(line) { units } else { 0 };
        if let Some(refund) = order.refund((id, at), with_shipping, units).cloned() {
            self.tell("refunds/create", at, self.bodies.refund(order, &refund));
        }
    }

    /// Queues a delivery, sometimes late and sometimes twice.
    fn tell(&mut self, topic: &'static str, triggered_at: i64, body: String) {
        let lag = match self.random.chance(20) {
            true => self.random.between(HOUR, 18 * HOUR),
            false => self.random.between(150, 2500),
        };
        let at = triggered_at + lag;
        let again = self.random.chance(30);
        let again = again.then(|| at + self.random.between(2 * SECOND, 10 * MINUTE));
        for at in again.into_iter().chain([at]) {
            if self.pending.len() < PENDING_MAX {
                let triggered_at = UtcMs(triggered_at);
                let body = body.clone();
                let sent = Sent { at: UtcMs(at), topic, shop: SHOP, triggered_at, body };
                self.pending.insert((at, self.planned), sent);
                self.planned += 1;
            }
        }
    }
}

impl Iterator for Simulator {
    type Item = Sent;

    fn next(&mut self) -> Option<Sent> {
        loop {
            // Whatever is planned from now on is delivered after the minute it is planned in.
            match self.pending.first_entry() {
                Some(first) if first.key().0 <= self.clock => return Some(first.remove()),
                _ => self.minute(),
            }
        }
    }
}
