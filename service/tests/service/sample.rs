//! Two shops of two workspaces, three currencies and some days, as a snapshot made by hand.
//!
//! Invariant: keys pack `shop, day or hour, currency, product` in 32 bits each, and totals are the
//! columns after the key, so that a test can say in one line what a batch adds.

// Each test file uses a part of this one, and a test may unwrap wherever it stands.
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes, to_bytes};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio_stream::StreamExt;
use tower::ServiceExt;

use ionflux_schemas::batch::Batch;
use ionflux_schemas::currency::Currency;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::fault::{Fault, FaultKind, Place};
use ionflux_schemas::key::ShopKey;
use ionflux_schemas::money::Money;
use ionflux_schemas::run::Run;
use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::time::{Calendar, Day, Epoch, UtcMs, Zone};
use ionflux_schemas::view::{Row, Value, View};
use ionflux_service::routes::{Calendars, Context, router};
use ionflux_service::store::{Store, Stored};

macro_rules! view {
    ($name:literal, $width:literal, $row:expr) => {
        View {
            name: $name,
            version: 1,
            schema: include_str!(concat!("../../../schemas/avro/views/", $name, ".avsc")),
            width: $width,
            row: $row,
        }
    };
}

static DAYS: View = view!("revenue_by_day", 5, |names, key, totals| {
    let (mut row, [_, day, currency, channel]) = shop(names, key);
    let [orders, units, gross, discounts, returns] = fixed(totals);
    let money = |minor| amount(minor, currency);
    row.extend([Value::Day(Day(day as i32)), code(currency)]);
    row.push(Value::text(names.channels.name(channel)));
    row.extend([count(orders), count(units), count(0), money(gross), money(discounts)]);
    row.extend([money(returns), money(gross - discounts - returns)]);
    row.extend([0, 0, 0, 0].map(money));
    row.push(money(gross - discounts - returns));
    Row(row)
});
static PRODUCTS: View = view!("revenue_by_product_day", 2, |names, key, totals| {
    let (mut row, [_, day, currency, product]) = shop(names, key);
    let [units, gross] = fixed(totals);
    let money = |minor| amount(minor, currency);
    row.extend([Value::Day(Day(day as i32)), code(currency)]);
    row.extend([Value::text(names.products.name(product)), count(units), count(0)]);
    row.extend([gross, 0, 0, gross].map(money));
    Row(row)
});
static CUSTOMERS: View = view!("customers_by_day", 2, |names, key, totals| {
    let (mut row, [_, day, ..]) = shop(names, key);
    let [new, returning] = fixed(totals);
    row.extend([Value::Day(Day(day as i32)), count(new), count(returning)]);
    Row(row)
});
static HOURS: View = view!("metrics_hourly", 2, |names, key, totals| {
    let (mut row, [_, hour, currency, _]) = shop(names, key);
    let [orders, revenue] = fixed(totals);
    let revenue = amount(revenue, currency);
    let aov = match &revenue {
        Value::Money(money) => money.share(1, orders).map_or(Value::Null, Value::Money),
        _ => Value::Null,
    };
    row.extend([Value::Instant(UtcMs(i64::from(hour) * 3_600_000)), code(currency)]);
    row.extend([count(orders), revenue, aov, count(0), amount(0, currency)]);
    Row(row)
});
static FAULTS: View = view!("faults", 1, |names, key, _| {
    let fault = names.faults.name(key as u32);
    let text = |text: &str| Value::text(text);
    Row(vec![
        text(&fault.shop.workspace),
        text(&fault.id()),
        text(&fault.shop.shop),
        text(fault.kind.name()),
        text(&fault.place.source),
        Value::Int(fault.place.line as i64),
        text(&fault.subject),
        text(&fault.reason),
        text(fault.kind.remedy()),
    ])
});
pub static VIEWS: [&View; 5] = [&DAYS, &PRODUCTS, &CUSTOMERS, &HOURS, &FAULTS];

fn shop(names: &Dictionary, key: u128) -> (Vec<Value>, [u32; 4]) {
    let parts = [96, 64, 32, 0].map(|shift| (key >> shift) as u32);
    let shop = names.shops.name(parts[0]);
    (vec![Value::text(shop.workspace), Value::text(shop.shop)], parts)
}

fn fixed<const N: usize>(totals: &[i128]) -> [i128; N] {
    totals.try_into().unwrap()
}

fn amount(minor: i128, currency: u32) -> Value {
    Value::Money(Money::new(minor, Currency::from_number(currency as u16)))
}

fn code(currency: u32) -> Value {
    Value::text(Currency::from_number(currency as u16).code())
}

fn count(number: i128) -> Value {
    Value::Int(number as i64)
}

fn pack(shop: u32, when: i64, currency: &str, last: u32) -> u128 {
    let currency = Currency::parse(currency).map_or(0, |c| u32::from(c.number()));
    [shop, when as u32, currency, last].iter().fold(0, |key, part| key << 32 | u128::from(*part))
}

/// What one batch adds.
#[derive(Default)]
pub struct Adds {
    days: Vec<(u128, [i64; 5])>,
    products: Vec<(u128, [i64; 2])>,
    customers: Vec<(u128, [i64; 2])>,
    hours: Vec<(u128, [i64; 2])>,
    faults: Vec<(u128, [i64; 1])>,
}

pub fn day(text: &str) -> i64 {
    text.parse::<Day>().unwrap().0.into()
}

impl Adds {
    /// Orders of one unit each, at ten in the morning, UTC.
    pub fn sale(
        mut self,
        shop: u32,
        on: &str,
        (currency, gross, orders): (&str, i64, i64),
        product: u32,
    ) -> Self {
        let hour = day(on) * 24 + 10;
        self.days.push((pack(shop, day(on), currency, 1), [orders, orders, gross, 0, 0]));
        self.products.push((pack(shop, day(on), currency, product), [orders, gross]));
        self.customers.push((pack(shop, day(on), "", 0), [orders, 0]));
        self.hours.push((pack(shop, hour, currency, 0), [orders, gross]));
        self
    }

    pub fn fault(mut self, number: u32) -> Self {
        self.faults.push((u128::from(number), [1]));
        self
    }

    pub fn batch(self, lower: u64, as_of: &str) -> Batch {
        Batch {
            lower: Epoch(lower),
            upper: Epoch(lower + 1),
            as_of: UtcMs::parse(as_of, &Zone::UTC).unwrap(),
            deltas: vec![
                run(self.days),
                run(self.products),
                run(self.customers),
                run(self.hours),
                run(self.faults),
            ],
        }
    }
}

fn run<const N: usize>(rows: Vec<(u128, [i64; N])>) -> Run {
    let mut sums = std::collections::BTreeMap::new();
    for (key, totals) in rows {
        let sum = sums.entry(key).or_insert([0; N]);
        sum.iter_mut().zip(totals).for_each(|(sum, total)| *sum += total);
    }
    match sums.len() {
        0 => Run::empty(N),
        _ => Run::from_sorted(sums.into_iter()),
    }
}

/// Shop 0 is `acme/tea` (GBP, a little EUR), shop 1 is `zen/tea` (JPY); products 1 to 3.
pub fn empty() -> Snapshot {
    let names = Arc::new(Dictionary::new());
    let shops = [ShopKey::new("acme", "tea"), ShopKey::new("zen", "tea")];
    shops.iter().for_each(|shop| assert!(names.shops.number(shop) < 2));
    ["cup", "pot", "<b>kettle</b>"].iter().for_each(|name| {
        names.products.number(&(*name).into());
    });
    names.channels.number(&"web".into());
    let fault = Fault {
        shop: shops[0].clone(),
        kind: FaultKind::Price,
        place: Place { source: "orders.csv".into(), line: 12 },
        subject: "order 7".into(),
        reason: "the unit price is 0".into(),
    };
    assert_eq!(names.faults.number(&fault), 0);
    Snapshot::empty(&VIEWS, names)
}

/// The rows of both shops.
pub fn first() -> Batch {
    let adds = Adds::default()
        .sale(0, "2011-12-02", ("GBP", 20_000, 4), 1)
        .sale(0, "2011-12-08", ("GBP", 10_050, 3), 1)
        .sale(0, "2011-12-08", ("EUR", 999, 1), 2)
        .sale(0, "2011-12-09", ("GBP", 15_000, 2), 2)
        .sale(0, "2011-12-09", ("GBP", 2_575, 1), 3)
        .sale(1, "2011-12-09", ("JPY", 1200, 1), 1)
        .fault(0);
    adds.batch(0, "2011-12-09T12:50:00Z")
}

/// A live store with the rows of both shops.
pub fn store() -> Arc<Store> {
    let store = Arc::new(Store::new(empty()));
    store.apply(&first());
    store
}

/// The same rows as a process before this one kept them: through Parquet and back.
pub fn stored() -> Stored {
    let tables = store().published().tables;
    let rows = tables.iter().map(|table| (table.name.to_string(), parquet(table.rows().unwrap())));
    Stored { epoch: tables.epoch, as_of: tables.as_of, tables: rows.collect() }
}

fn parquet(rows: &RecordBatch) -> RecordBatch {
    let mut file = ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
    file.write(rows).unwrap();
    let file = Bytes::from(file.into_inner().unwrap());
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Result<Vec<_>, _> = reader.build().unwrap().collect();
    concat_batches(&schema, &batches.unwrap()).unwrap()
}

/// One more order of today.
pub fn sell(store: &Store, gross: i64) {
    let upper = store.newest().upper.0;
    let adds = Adds::default().sale(0, "2011-12-09", ("GBP", gross, 1), 1);
    store.apply(&adds.batch(upper, "2011-12-09T13:00:00Z"));
}

pub fn utc() -> Calendars {
    Arc::new(|_| Calendar::always(Zone::UTC))
}

/// A long answer in lines that fit a page, broken after commas and spaces.
pub fn folded(text: &str) -> String {
    let (mut out, mut width) = (String::new(), 0);
    for piece in text.split_inclusive([',', ' ', '\n']) {
        if width + piece.len() > 80 {
            out.push('\n');
            width = 0;
        }
        out.push_str(piece);
        width = if piece.ends_with('\n') { 0 } else { width + piece.len() };
    }
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    lines.join("\n")
}

pub async fn send(store: &Arc<Store>, request: Request<Body>) -> Response {
    router(Arc::clone(store), Context::new(utc())).oneshot(request).await.unwrap()
}

/// Opens a stream on a service that goes on for other requests.
pub async fn open(router: &Router, uri: &str) -> (StatusCode, BodyDataStream) {
    let request = Request::get(uri).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    (response.status(), response.into_body().into_data_stream())
}

/// The next event of a stream.
pub async fn event(stream: &mut BodyDataStream) -> String {
    let bytes = stream.next().await.unwrap().unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), 1 << 24).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub async fn get(store: &Arc<Store>, uri: &str) -> (StatusCode, String) {
    let response = send(store, Request::get(uri).body(Body::empty()).unwrap()).await;
    (response.status(), text(response).await)
}
