//! Values of format 1, as the release that wrote them declared them.
//!
//! Invariant: frozen. Fields, their order and the order of variants are those of format 1,
//! whatever becomes of the types they are turned into.

use std::collections::BTreeMap;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::event;
use ionflux_schemas::fault::{self, FaultKind, Place};
use ionflux_schemas::key::{self, Id, ShopKey};
use ionflux_schemas::time::UtcMs;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::codec::CodecError;
use crate::dossier;
use crate::shop;

const FORMAT: u8 = 1;

#[derive(Deserialize)]
struct Dossier {
    order: Option<(Version, Order)>,
    deleted: bool,
    refunds: BTreeMap<Id, (Version, Refund)>,
    edits: BTreeMap<Id, (Version, Edit)>,
    rows: BTreeMap<u128, Row>,
    _held: u64,
}

#[derive(Deserialize)]
struct Version(i64, i64, u128);

#[derive(Deserialize)]
struct Order {
    id: Id,
    placed_at: i64,
    currency: Box<str>,
    channel: Id,
    customer: Option<Id>,
    test: bool,
    lines: Vec<(Id, Option<Id>, i32, i64, i64)>,
    shipping: i64,
    taxes: i64,
    tips: i64,
    duties_and_fees: i64,
}

#[derive(Deserialize)]
struct Refund {
    id: Id,
    order: Id,
    aggregate: bool,
    processed_at: i64,
    currency: Box<str>,
    lines: Vec<(Option<Id>, i32, i64)>,
    adjustment: i64,
    shipping: i64,
    taxes: i64,
    duties_and_fees: i64,
}

#[derive(Deserialize)]
struct Edit {
    id: Id,
    order: Id,
    edited_at: i64,
    additions: Vec<(Id, i32)>,
}

#[derive(Deserialize)]
struct Row {
    line: Line,
    times: u32,
    reading: u64,
    seen: u32,
}

#[derive(Deserialize)]
struct Line {
    at: i64,
    returned: bool,
    product: Option<Id>,
    units: i32,
    amount: i64,
    discounts: i64,
    currency: Box<str>,
    customer: Option<Id>,
    channel: Id,
}

#[derive(Deserialize)]
struct Fault {
    shop: (Id, Id),
    kind: u32,
    place: (Box<str>, u64),
    subject: Box<str>,
    reason: Box<str>,
}

/// The kinds of fault in the order of format 1.
const KINDS: [FaultKind; 9] = [
    FaultKind::Syntax,
    FaultKind::Field,
    FaultKind::Price,
    FaultKind::Quantity,
    FaultKind::Amount,
    FaultKind::Currency,
    FaultKind::Time,
    FaultKind::Unsupported,
    FaultKind::WaitingForOrder,
];

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((&FORMAT, body)) => Ok(postcard::from_bytes(body)?),
        Some((&found, _)) => Err(CodecError::Format { found }),
    }
}

/// A single number, such as the epoch.
pub(super) fn number(bytes: &[u8]) -> Result<u64, CodecError> {
    read(bytes)
}

/// A single name, such as the base zone.
pub(super) fn text(bytes: &[u8]) -> Result<String, CodecError> {
    read(bytes)
}

/// The zones of a shop.
pub(super) fn zones(bytes: &[u8]) -> Result<shop::Zones, CodecError> {
    let (from,): (BTreeMap<i64, (Version, Id)>,) = read(bytes)?;
    let mut zones = shop::Zones::default();
    for (from, (version, zone)) in from {
        zones.merge(version.into(), UtcMs(from), zone);
    }
    Ok(zones)
}

/// A fault of decoding.
pub(super) fn fault(bytes: &[u8]) -> Result<fault::Fault, CodecError> {
    let Fault { shop, kind, place, subject, reason } = read(bytes)?;
    let kind = KINDS.get(kind as usize).ok_or(CodecError::Malformed("kind of fault"))?;
    Ok(fault::Fault {
        shop: ShopKey::new(shop.0, shop.1),
        kind: *kind,
        place: Place { source: place.0.into(), line: place.1 },
        subject,
        reason,
    })
}

/// Everything known of an order.
pub(super) fn dossier(bytes: &[u8]) -> Result<dossier::Dossier, CodecError> {
    let Dossier { order: held, deleted, refunds, edits, rows, _held } = read(bytes)?;
    let mut dossier = dossier::Dossier::default();
    dossier.deleted = deleted;
    if let Some((version, held)) = held {
        dossier.order = Some((version.into(), order(held)?));
    }
    for (id, (version, held)) in refunds {
        dossier.refunds.insert(id, (version.into(), refund(held)?));
    }
    for (id, (version, held)) in edits {
        let Edit { id: name, order, edited_at, additions } = held;
        let edited_at = UtcMs(edited_at);
        let edit = event::OrderEdit { id: name, order, edited_at, additions };
        dossier.edits.insert(id, (version.into(), edit));
    }
    for (content, Row { line: held, times, reading, seen }) in rows {
        let line = line(held)?;
        dossier.rows.insert(content, dossier::HeldRow { line, times, reading, seen });
    }
    dossier.count_rows();
    Ok(dossier)
}

impl From<Version> for key::Version {
    fn from(Version(changed_at, raised_at, content): Version) -> Self {
        Self { changed_at: UtcMs(changed_at), raised_at: UtcMs(raised_at), content }
    }
}

fn currency(code: &str) -> Result<Currency, CodecError> {
    Currency::parse(code).map_err(|_| CodecError::Malformed("currency"))
}

fn order(order: Order) -> Result<event::Order, CodecError> {
    let line = |(id, product, units, gross, discounts)| event::OrderLine {
        id,
        product,
        units,
        gross,
        discounts,
    };
    Ok(event::Order {
        id: order.id,
        placed_at: UtcMs(order.placed_at),
        currency: currency(&order.currency)?,
        channel: order.channel,
        customer: order.customer,
        test: order.test,
        lines: order.lines.into_iter().map(line).collect(),
        shipping: order.shipping,
        taxes: order.taxes,
        tips: order.tips,
        duties_and_fees: order.duties_and_fees,
    })
}

fn refund(refund: Refund) -> Result<event::Refund, CodecError> {
    let line = |(product, units, amount)| event::RefundLine { line: None, product, units, amount };
    Ok(event::Refund {
        id: refund.id,
        order: refund.order,
        aggregate: refund.aggregate,
        processed_at: UtcMs(refund.processed_at),
        currency: currency(&refund.currency)?,
        lines: refund.lines.into_iter().map(line).collect(),
        adjustment: refund.adjustment,
        shipping: refund.shipping,
        taxes: refund.taxes,
        duties_and_fees: refund.duties_and_fees,
    })
}

fn line(line: Line) -> Result<event::RowLine, CodecError> {
    Ok(event::RowLine {
        at: UtcMs(line.at),
        returned: line.returned,
        product: line.product,
        units: line.units,
        amount: line.amount,
        discounts: line.discounts,
        currency: currency(&line.currency)?,
        customer: line.customer,
        channel: line.channel,
    })
}
