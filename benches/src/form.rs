//! The binary form of a bench's input: facts as they leave the ledger, 52 bytes each, in frames of
//! one epoch. Little-endian, without padding.

use std::io::{self, Read, Write};

use ionflux_schemas::fact::{Fact, FactKind, Hour};
use ionflux_schemas::key::CustomerKey;
use ionflux_schemas::time::Day;

/// Bytes of one fact with its difference.
pub const FACT_BYTES: usize = 52;

/// A fact and its difference, 1 or -1.
pub type Update = (Fact, i64);

const KINDS: [FactKind; 5] =
    [FactKind::Order, FactKind::Extras, FactKind::Sale, FactKind::Return, FactKind::Refund];

/// Writes one epoch: the number of its facts, then the facts.
///
/// # Errors
/// Those of the writer.
pub fn write_epoch(out: &mut impl Write, updates: &[Update]) -> io::Result<()> {
    out.write_all(&(updates.len() as u32).to_le_bytes())?;
    for (fact, difference) in updates {
        let kind = KINDS.iter().position(|kind| *kind == fact.kind).unwrap_or(0) as u8;
        out.write_all(&fact.shop.to_le_bytes())?;
        out.write_all(&fact.product.to_le_bytes())?;
        out.write_all(&fact.customer.0.to_le_bytes())?;
        out.write_all(&fact.day.0.to_le_bytes())?;
        out.write_all(&fact.hour.0.to_le_bytes())?;
        out.write_all(&fact.units.to_le_bytes())?;
        out.write_all(&fact.currency.to_le_bytes())?;
        out.write_all(&fact.channel.to_le_bytes())?;
        out.write_all(&[kind, *difference as i8 as u8])?;
        out.write_all(&fact.amounts[0].to_le_bytes())?;
        out.write_all(&fact.amounts[1].to_le_bytes())?;
    }
    Ok(())
}

/// Reads the next epoch; `None` at the end.
///
/// # Errors
/// Those of the reader, and `UnexpectedEof` inside an epoch.
pub fn read_epoch(from: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<Option<Vec<Update>>> {
    let mut count = [0; 4];
    match from.read_exact(&mut count) {
        Err(end) if end.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    buffer.resize(u32::from_le_bytes(count) as usize * FACT_BYTES, 0);
    from.read_exact(buffer)?;
    Ok(Some(buffer.chunks_exact(FACT_BYTES).map(read).collect()))
}

#[inline]
fn read(bytes: &[u8]) -> Update {
    let u32_at =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    let fact = Fact {
        shop: u32_at(0),
        product: u32_at(4),
        customer: CustomerKey(u64_at(8)),
        day: Day(u32_at(16) as i32),
        hour: Hour(u32_at(20)),
        units: u32_at(24) as i32,
        currency: u16::from_le_bytes([bytes[28], bytes[29]]),
        channel: u32_at(30),
        kind: KINDS[usize::from(bytes[34]) % KINDS.len()],
        amounts: [u64_at(36) as i64, u64_at(44) as i64],
    };
    (fact, i64::from(bytes[35] as i8))
}
