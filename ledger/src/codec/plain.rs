//! The dossier of an order and nothing else, read in place: most dossiers are so, and to count
//! them needs no copy of their names.
//!
//! Invariant: says what [`super::dossier::decode`] says of the same bytes.

use ionflux_schemas::currency::Currency;
use ionflux_schemas::key::Version;
use ionflux_schemas::time::UtcMs;

use super::dossier::{CUSTOMER, LINE_BYTES_MIN, ORDER, TEST, amounts, read_goods};
use super::wire::{Reader, Text};
use super::{CodecError, body};

/// An order without refunds, edits and rows, in the bytes of its dossier.
#[derive(Clone, Copy, Debug)]
pub struct PlainOrder<'a> {
    /// Which snapshot it is.
    pub version: Version,
    /// When the order was placed.
    pub placed_at: UtcMs,
    /// The currency of every amount.
    pub currency: Currency,
    /// Where the order came from.
    pub channel: Text<'a>,
    /// The buyer, where known.
    pub customer: Option<Text<'a>>,
    /// A test order counts nowhere.
    pub test: bool,
    /// Shipping, taxes, tips, duties and fees, in minor units.
    pub amounts: [i64; 4],
    lines: usize,
    reader: Reader<'a>,
}

/// One line of a [`PlainOrder`].
#[derive(Clone, Copy, Debug)]
pub struct PlainLine<'a> {
    /// The product, where there is one.
    pub product: Option<Text<'a>>,
    /// Units ordered.
    pub units: i32,
    /// Before tax and discounts, in minor units.
    pub gross: i64,
    /// Discounts, in minor units.
    pub discounts: i64,
}

impl<'a> PlainOrder<'a> {
    /// The order of a dossier's bytes; `None` if the dossier has more to say.
    ///
    /// # Errors
    /// [`CodecError`] for bytes that are no dossier's.
    pub fn read(bytes: &'a [u8]) -> Result<Option<Self>, CodecError> {
        let mut reader = Reader::new(body(bytes)?);
        if reader.byte()? != ORDER {
            return Ok(None);
        }
        let version = reader.version()?;
        let flags = reader.byte()?;
        if flags & !(TEST | CUSTOMER) != 0 {
            return Err(CodecError::Malformed("flags"));
        }
        reader.text()?;
        Ok(Some(Self {
            version,
            placed_at: reader.at()?,
            currency: reader.currency()?,
            channel: reader.text()?,
            customer: (flags & CUSTOMER != 0).then(|| reader.text()).transpose()?,
            test: flags & TEST != 0,
            amounts: amounts(&mut reader)?,
            lines: reader.count(LINE_BYTES_MIN)?,
            reader,
        }))
    }

    /// The next line; `None` after the last.
    ///
    /// # Errors
    /// [`CodecError`] for bytes that are no dossier's.
    pub fn line(&mut self) -> Result<Option<PlainLine<'a>>, CodecError> {
        if self.lines == 0 {
            self.reader.end()?;
            return Ok(None);
        }
        self.lines -= 1;
        self.reader.text()?;
        let (product, units) = read_goods(&mut self.reader)?;
        let (gross, discounts) = (self.reader.signed()?, self.reader.signed()?);
        Ok(Some(PlainLine { product, units, gross, discounts }))
    }
}
