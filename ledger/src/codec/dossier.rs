//! Dossiers as bytes.
//!
//! ```text
//! format: 1   parts: 1   order   buyer   refunds   edits   rows   each only if its part is named
//! ```
//!
//! Invariant: decoding what was encoded gives an equal dossier; decoding other bytes gives an
//! error or a dossier, never a panic.

use ionflux_schemas::event::{Order, OrderEdit, OrderLine, Refund, RefundLine, RowLine};
use ionflux_schemas::key::{Id, Version};

use super::wire::{self, Reader};
use super::{CodecError, FORMAT, body};
use crate::dossier::{Dossier, HeldRow};

pub(super) const ORDER: u8 = 1;
const DELETED: u8 = 2;
const REDACTED: u8 = 4;
const REFUNDS: u8 = 8;
const EDITS: u8 = 16;
const ROWS: u8 = 32;
const BUYER: u8 = 64;
const PARTS: u8 = ORDER | DELETED | REDACTED | REFUNDS | EDITS | ROWS | BUYER;

/// Bits of an order's and a row's first byte.
pub(super) const TEST: u8 = 1;
pub(super) const CUSTOMER: u8 = 2;
const RETURNED: u8 = 1;
/// Bits of a refund's first byte.
const AGGREGATE: u8 = 1;
const NAMED: u8 = 2;
const PRODUCT: u8 = 4;

/// The fewest bytes one thing of a list takes, so that a count can be checked before it is
/// believed.
pub(super) const LINE_BYTES_MIN: usize = 4;
const REFUND_BYTES_MIN: usize = 32;
const EDIT_BYTES_MIN: usize = 22;
const ROW_BYTES_MIN: usize = 28;
const ADDITION_BYTES_MIN: usize = 2;

/// Writes a dossier after what `out` holds.
pub fn encode(dossier: &Dossier, out: &mut Vec<u8>) {
    let part = |there: bool, part| if there { part } else { 0 };
    let parts = part(dossier.order.is_some(), ORDER)
        | part(dossier.deleted, DELETED)
        | part(dossier.redacted, REDACTED)
        | part(!dossier.refunds.is_empty(), REFUNDS)
        | part(!dossier.edits.is_empty(), EDITS)
        | part(!dossier.rows.is_empty(), ROWS)
        | part(dossier.buyer.is_some(), BUYER);
    out.extend_from_slice(&[FORMAT, parts]);
    if let Some((version, held)) = &dossier.order {
        wire::version(out, *version);
        order(out, held);
    }
    if let Some((version, buyer)) = &dossier.buyer {
        wire::version(out, *version);
        wire::text(out, buyer);
    }
    if !dossier.refunds.is_empty() {
        wire::number(out, dossier.refunds.len() as u64);
        for (version, held) in dossier.refunds.values() {
            wire::version(out, *version);
            refund(out, held);
        }
    }
    if !dossier.edits.is_empty() {
        wire::number(out, dossier.edits.len() as u64);
        for (version, held) in dossier.edits.values() {
            wire::version(out, *version);
            edit(out, held);
        }
    }
    if !dossier.rows.is_empty() {
        wire::number(out, dossier.rows.len() as u64);
        for (content, held) in &dossier.rows {
            wire::wide(out, *content);
            row(out, held);
        }
    }
}

fn order(out: &mut Vec<u8>, order: &Order) {
    let customer = if order.customer.is_some() { CUSTOMER } else { 0 };
    out.push(u8::from(order.test) | customer);
    wire::text(out, &order.id);
    wire::signed(out, order.placed_at.0);
    wire::currency(out, order.currency);
    wire::text(out, &order.channel);
    if let Some(customer) = &order.customer {
        wire::text(out, customer);
    }
    for amount in [order.shipping, order.taxes, order.tips, order.duties_and_fees] {
        wire::signed(out, amount);
    }
    wire::number(out, order.lines.len() as u64);
    for line in &order.lines {
        wire::text(out, &line.id);
        goods(out, line.product.as_ref(), line.units);
        wire::signed(out, line.gross);
        wire::signed(out, line.discounts);
    }
}

/// Units, with whether there is a product in their lowest bit, and the product.
fn goods(out: &mut Vec<u8>, product: Option<&Id>, units: i32) {
    wire::signed(out, i64::from(units) << 1 | i64::from(product.is_some()));
    if let Some(product) = product {
        wire::text(out, product);
    }
}

fn refund(out: &mut Vec<u8>, refund: &Refund) {
    let named = refund.lines.iter().any(|line| line.line.is_some());
    let flag = |there: bool, flag| if there { flag } else { 0 };
    out.push(flag(refund.aggregate, AGGREGATE) | flag(named, NAMED));
    wire::text(out, &refund.id);
    wire::text(out, &refund.order);
    wire::signed(out, refund.processed_at.0);
    wire::currency(out, refund.currency);
    for amount in [refund.adjustment, refund.shipping, refund.taxes, refund.duties_and_fees] {
        wire::signed(out, amount);
    }
    wire::number(out, refund.lines.len() as u64);
    for line in &refund.lines {
        if named {
            // A platform's id is never empty.
            wire::text(out, line.line.as_deref().unwrap_or_default());
        }
        goods(out, line.product.as_ref(), line.units);
        wire::signed(out, line.amount);
    }
}

fn edit(out: &mut Vec<u8>, edit: &OrderEdit) {
    wire::text(out, &edit.id);
    wire::text(out, &edit.order);
    wire::signed(out, edit.edited_at.0);
    wire::number(out, edit.additions.len() as u64);
    for (line, units) in &edit.additions {
        wire::text(out, line);
        wire::signed(out, i64::from(*units));
    }
}

fn row(out: &mut Vec<u8>, row: &HeldRow) {
    let line = &row.line;
    let product = if line.product.is_some() { PRODUCT } else { 0 };
    let customer = if line.customer.is_some() { CUSTOMER } else { 0 };
    out.push(u8::from(line.returned) | product | customer);
    wire::signed(out, line.at.0);
    for name in [&line.product, &line.customer].into_iter().flatten() {
        wire::text(out, name);
    }
    wire::signed(out, i64::from(line.units));
    wire::signed(out, line.amount);
    wire::signed(out, line.discounts);
    wire::currency(out, line.currency);
    wire::text(out, &line.channel);
    wire::number(out, u64::from(row.times));
    wire::number(out, row.reading);
    wire::number(out, u64::from(row.seen));
}

/// The dossier of bytes made by [`encode`].
///
/// # Errors
/// [`CodecError`] for any other bytes.
pub fn decode(bytes: &[u8]) -> Result<Dossier, CodecError> {
    let mut reader = Reader::new(body(bytes)?);
    let parts = reader.byte()?;
    if parts & !PARTS != 0 {
        return Err(CodecError::Malformed("parts"));
    }
    let mut dossier = Dossier::default();
    (dossier.deleted, dossier.redacted) = (parts & DELETED != 0, parts & REDACTED != 0);
    if parts & ORDER != 0 {
        dossier.order = Some((reader.version()?, read_order(&mut reader)?));
    }
    if parts & BUYER != 0 {
        dossier.buyer = Some((reader.version()?, reader.text()?.id()));
    }
    if parts & REFUNDS != 0 {
        for _ in 0..reader.count(REFUND_BYTES_MIN)? {
            let (version, refund) = (reader.version()?, read_refund(&mut reader)?);
            dossier.refunds.insert(refund.id.clone(), (version, refund));
        }
    }
    if parts & EDITS != 0 {
        for _ in 0..reader.count(EDIT_BYTES_MIN)? {
            let (version, edit) = (reader.version()?, read_edit(&mut reader)?);
            dossier.edits.insert(edit.id.clone(), (version, edit));
        }
    }
    if parts & ROWS != 0 {
        for _ in 0..reader.count(ROW_BYTES_MIN)? {
            let content = reader.wide()?;
            dossier.rows.insert(content, read_row(&mut reader)?);
        }
    }
    reader.end()?;
    dossier.count_rows();
    Ok(dossier)
}

/// The version of the order of a dossier that is nothing but an order.
///
/// # Errors
/// [`CodecError`] for bytes that are no dossier's.
pub fn plain_version(bytes: &[u8]) -> Result<Option<Version>, CodecError> {
    let mut reader = Reader::new(body(bytes)?);
    if reader.byte()? != ORDER {
        return Ok(None);
    }
    Ok(Some(reader.version()?))
}

fn flags(reader: &mut Reader<'_>, known: u8) -> Result<u8, CodecError> {
    let flags = reader.byte()?;
    (flags & !known == 0).then_some(flags).ok_or(CodecError::Malformed("flags"))
}

fn read_order(reader: &mut Reader<'_>) -> Result<Order, CodecError> {
    let flags = flags(reader, TEST | CUSTOMER)?;
    let id = reader.text()?.id();
    let placed_at = reader.at()?;
    let currency = reader.currency()?;
    let channel = reader.text()?.id();
    let customer = optional(reader, flags & CUSTOMER != 0)?;
    let [shipping, taxes, tips, duties_and_fees] = amounts(reader)?;
    let count = reader.count(LINE_BYTES_MIN)?;
    let mut lines = Vec::with_capacity(count);
    for _ in 0..count {
        let id = reader.text()?.id();
        let (product, units) = read_goods(reader)?;
        let product = product.map(wire::Text::id);
        lines.push(OrderLine {
            id,
            product,
            units,
            gross: reader.signed()?,
            discounts: reader.signed()?,
        });
    }
    let test = flags & TEST != 0;
    Ok(Order {
        id,
        placed_at,
        currency,
        channel,
        customer,
        test,
        lines,
        shipping,
        taxes,
        tips,
        duties_and_fees,
    })
}

fn optional(reader: &mut Reader<'_>, there: bool) -> Result<Option<Id>, CodecError> {
    there.then(|| Ok(reader.text()?.id())).transpose()
}

pub(super) fn amounts(reader: &mut Reader<'_>) -> Result<[i64; 4], CodecError> {
    Ok([reader.signed()?, reader.signed()?, reader.signed()?, reader.signed()?])
}

pub(super) fn read_goods<'a>(
    reader: &mut Reader<'a>,
) -> Result<(Option<wire::Text<'a>>, i32), CodecError> {
    let head = reader.signed()?;
    let units = i32::try_from(head >> 1).map_err(|_| CodecError::Malformed("number"))?;
    let product = (head & 1 == 1).then(|| reader.text()).transpose()?;
    Ok((product, units))
}

fn read_refund(reader: &mut Reader<'_>) -> Result<Refund, CodecError> {
    let flags = flags(reader, AGGREGATE | NAMED)?;
    let (id, order) = (reader.text()?.id(), reader.text()?.id());
    let processed_at = reader.at()?;
    let currency = reader.currency()?;
    let [adjustment, shipping, taxes, duties_and_fees] = amounts(reader)?;
    let count = reader.count(2)?;
    // Two bytes may say a line of forty in memory: the list grows as lines are truly read.
    let mut lines = Vec::new();
    for _ in 0..count {
        let line = optional(reader, flags & NAMED != 0)?.filter(|line| !line.is_empty());
        let (product, units) = read_goods(reader)?;
        let product = product.map(wire::Text::id);
        lines.push(RefundLine { line, product, units, amount: reader.signed()? });
    }
    Ok(Refund {
        id,
        order,
        aggregate: flags & AGGREGATE != 0,
        processed_at,
        currency,
        lines,
        adjustment,
        shipping,
        taxes,
        duties_and_fees,
    })
}

fn read_edit(reader: &mut Reader<'_>) -> Result<OrderEdit, CodecError> {
    let (id, order) = (reader.text()?.id(), reader.text()?.id());
    let edited_at = reader.at()?;
    let count = reader.count(ADDITION_BYTES_MIN)?;
    let mut additions = Vec::new();
    for _ in 0..count {
        additions.push((reader.text()?.id(), reader.small()?));
    }
    Ok(OrderEdit { id, order, edited_at, additions })
}

fn read_row(reader: &mut Reader<'_>) -> Result<HeldRow, CodecError> {
    let flags = flags(reader, RETURNED | PRODUCT | CUSTOMER)?;
    let at = reader.at()?;
    let product = optional(reader, flags & PRODUCT != 0)?;
    let customer = optional(reader, flags & CUSTOMER != 0)?;
    let line = RowLine {
        at,
        returned: flags & RETURNED != 0,
        product,
        units: reader.small()?,
        amount: reader.signed()?,
        discounts: reader.signed()?,
        currency: reader.currency()?,
        customer,
        channel: reader.text()?.id(),
    };
    let times = u32::try_from(reader.number()?).map_err(|_| CodecError::Malformed("number"))?;
    let reading = reader.number()?;
    let seen = u32::try_from(reader.number()?).map_err(|_| CodecError::Malformed("number"))?;
    Ok(HeldRow { line, times, reading, seen })
}
