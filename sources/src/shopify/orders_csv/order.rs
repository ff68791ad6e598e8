//! One order of the export, from its rows.
//!
//! Invariant: the lines' gross less their discounts is the export's Subtotal, as far as the
//! export agrees with itself.
//!
//! ```text
//! on lines      = Σ price × quantity − Σ Lineitem discount − Subtotal, within 0 .. Discount Amount
//! on shipping   = Discount Amount − on lines; Shipping is taken before it where Total says so
//! tax included  = where Subtotal + Shipping is Total although there are Taxes
//! ```

use csv::StringRecord;
use ionflux_schemas::currency::Currency;
use ionflux_schemas::event::{Event, Order, OrderLine, Refund};
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::{ADDRESSED, Id, content_hash};
use ionflux_schemas::time::UtcMs;

use super::columns::{Column, Columns};
use crate::reading::{Refusal, Setting};
use crate::shopify::amounts::{Coin, bounded, not_negative};
use crate::shopify::record::{Outcome, Record, field};
use crate::shopify::scalar::units;
use crate::shopify::spread::spread;
use crate::shopify::tax::{Listed, spread_over};

/// The rows of an order and how to read them.
struct Rows<'a> {
    rows: &'a [StringRecord],
    first: &'a StringRecord,
    columns: &'a Columns,
    setting: &'a Setting,
    coin: Coin,
}

/// The order-level amounts.
struct Totals {
    subtotal: Option<i64>,
    shipping: i64,
    taxes: i64,
    total: Option<i64>,
    discount: i64,
    duties: i64,
}

/// The lines while their amounts are worked out.
#[derive(Default)]
struct Lines {
    lines: Vec<OrderLine>,
    listed: Vec<Listed>,
    tips: i64,
    /// Price less discount of every row, gift cards and tips included.
    charged: i128,
}

/// The order, and its refund where it has one.
pub fn decode(rows: &[StringRecord], columns: &Columns, setting: &Setting) -> Outcome {
    let first = rows.first().ok_or_else(|| field("the order has no rows"))?;
    let code = columns.cell(first, Column::Currency);
    let wrong = |reason: String| Refusal::new(FaultKind::Currency, "", reason);
    let currency = match code {
        "" | "XXX" => setting
            .currency
            .ok_or_else(|| wrong("no currency is named: give --currency".to_owned()))?,
        code => Currency::parse(code).map_err(|error| wrong(error.to_string()))?,
    };
    Rows { rows, first, columns, setting, coin: Coin(currency) }.read()
}

/// The id of a buyer of whom the export has only an address: a hash of it.
pub fn buyer_of(address: &str) -> Id {
    let address = address.trim().to_lowercase();
    format!("{ADDRESSED}{:032x}", content_hash(address.as_bytes())).into()
}

impl Rows<'_> {
    fn cell(&self, column: Column) -> &str {
        self.columns.cell(self.first, column)
    }

    /// An amount, or nothing where the cell is blank.
    fn amount(
        &self,
        row: &StringRecord,
        column: Column,
        what: &str,
    ) -> Result<Option<i64>, Refusal> {
        match self.columns.cell(row, column) {
            "" => Ok(None),
            text => self.coin.text(text, what).map(Some),
        }
    }

    fn time(&self, column: Column, what: &str) -> Result<Option<UtcMs>, Refusal> {
        let text = self.cell(column);
        if text.is_empty() {
            return Ok(None);
        }
        let wrong = |error| Refusal::new(FaultKind::Time, "", format!("{what}: {error}"));
        UtcMs::parse(text, &self.setting.zone).map(Some).map_err(wrong)
    }

    fn read(&self) -> Outcome {
        let created = self.time(Column::CreatedAt, "Created at")?;
        let placed_at = created.ok_or_else(|| field("Created at is blank"))?;
        let cancelled = self.time(Column::CancelledAt, "Cancelled at")?;
        let later = [
            self.time(Column::PaidAt, "Paid at")?,
            self.time(Column::FulfilledAt, "Fulfilled at")?,
            cancelled,
        ];
        let changed_at = later.into_iter().flatten().fold(placed_at, Ord::max);
        let refunded = self.amount(self.first, Column::RefundedAmount, "Refunded Amount")?;
        let refunded = not_negative(refunded.unwrap_or_default(), "Refunded Amount")?;
        // Refunds leave no stamp in the export, but their total only grows.
        let record = Record::new(None, UtcMs(refunded), self.setting)?;
        let order = self.order(placed_at)?;
        let id = order.id.clone();
        let version = record.version(changed_at, &order);
        let mut envelopes = vec![record.envelope(version, Event::Order(order))];
        if refunded > 0 {
            let refund = Refund {
                id: format!("{id}-export").into(),
                order: id,
                aggregate: true,
                processed_at: cancelled.unwrap_or(placed_at),
                currency: self.coin.0,
                lines: Vec::new(),
                adjustment: refunded,
                shipping: 0,
                taxes: 0,
                duties_and_fees: 0,
            };
            let version = record.version(changed_at, &refund);
            envelopes.push(record.envelope(version, Event::Refund(refund)));
        }
        Ok(envelopes)
    }

    fn totals(&self) -> Result<Totals, Refusal> {
        let read = |column, what| self.amount(self.first, column, what);
        let or_zero = |column, what| read(column, what).map(Option::unwrap_or_default);
        Ok(Totals {
            subtotal: read(Column::Subtotal, "Subtotal")?,
            shipping: or_zero(Column::Shipping, "Shipping")?,
            taxes: or_zero(Column::Taxes, "Taxes")?,
            total: read(Column::Total, "Total")?,
            // Some exports write the discount with a minus.
            discount: or_zero(Column::DiscountAmount, "Discount Amount")?.abs(),
            duties: or_zero(Column::Duties, "Duties")?,
        })
    }

    fn order(&self, placed_at: UtcMs) -> Result<Order, Refusal> {
        let totals = self.totals()?;
        let mut found = self.lines()?;
        let most = i128::from(totals.discount);
        let on_lines = match totals.subtotal {
            Some(subtotal) => (found.charged - i128::from(subtotal)).clamp(0, most),
            None => most,
        };
        let weights: Vec<i64> = found.listed.iter().map(|line| line.price).collect();
        let on_lines = bounded(on_lines, "Discount Amount")?;
        for (line, part) in found.listed.iter_mut().zip(spread(on_lines, &weights)) {
            line.discount += part;
        }
        let (mut shipping, included) = totals.settle(totals.discount - on_lines);
        if included {
            spread_over(totals.taxes, &mut found.listed, &mut shipping);
        }
        let price = |listed: &Listed| {
            if included { listed.without_tax() } else { (listed.price, listed.discount) }
        };
        let lines = found.lines.into_iter().zip(&found.listed);
        let lines = lines.map(|(line, listed)| {
            let (gross, discounts) = price(listed);
            OrderLine { gross, discounts, ..line }
        });
        let id = [self.cell(Column::Id), self.cell(Column::Name)];
        let id = id.into_iter().find(|id| !id.is_empty());
        Ok(Order {
            id: id.ok_or_else(|| field("neither Id nor Name is filled"))?.into(),
            placed_at,
            currency: self.coin.0,
            channel: self.cell(Column::Source).to_lowercase().into(),
            customer: self.customer(),
            test: false,
            lines: lines.collect(),
            shipping,
            taxes: totals.taxes,
            tips: found.tips,
            duties_and_fees: totals.duties,
        })
    }

    /// The buyer, by a hash of the address: enough to know them again, without keeping it.
    fn customer(&self) -> Option<Id> {
        let email = self.cell(Column::Email);
        (!email.trim().is_empty()).then(|| buyer_of(email))
    }

    fn lines(&self) -> Result<Lines, Refusal> {
        let mut found = Lines::default();
        for (at, row) in self.rows.iter().enumerate() {
            let name = format!("row {} of the order", at + 1);
            let units = units(self.columns.cell(row, Column::Quantity), &name)?;
            let what = format!("the price of {name}");
            let price = self.amount(row, Column::Price, &what)?;
            let price = price.ok_or_else(|| field(format!("{name} has no price")))?;
            let price = i128::from(not_negative(price, &what)?) * i128::from(units);
            let price = bounded(price, "price times quantity")?;
            let discount = self.amount(row, Column::LineDiscount, "Lineitem discount")?;
            let discount = discount.unwrap_or_default().abs();
            found.charged += i128::from(price) - i128::from(discount);
            match self.sold(row) {
                Sold::GiftCard => continue,
                Sold::Tip => {
                    found.tips = bounded(i128::from(found.tips) + i128::from(price), "tips")?;
                    continue;
                }
                Sold::Goods => {}
            }
            let product = [Column::Sku, Column::LineName];
            let product = product.into_iter().map(|column| self.columns.cell(row, column));
            let product = product.into_iter().find(|name| !name.is_empty()).map(Id::from);
            let id = (at + 1).to_string().into();
            found.lines.push(OrderLine { id, product, units, gross: 0, discounts: 0 });
            found.listed.push(Listed { price, discount, tax: 0, rate: None });
        }
        Ok(found)
    }

    /// What a row sold. The export marks neither gift cards nor tips, so they are told by name,
    /// and only where the row is neither taxed nor shipped.
    fn sold(&self, row: &StringRecord) -> Sold {
        let says = |column| self.columns.cell(row, column).eq_ignore_ascii_case("true");
        if says(Column::RequiresShipping) || says(Column::Taxable) {
            return Sold::Goods;
        }
        let name = self.columns.cell(row, Column::LineName).to_lowercase();
        match name.as_str() {
            "tip" => Sold::Tip,
            _ if name.starts_with("gift card") => Sold::GiftCard,
            _ => Sold::Goods,
        }
    }
}

enum Sold {
    Goods,
    GiftCard,
    Tip,
}

impl Totals {
    /// Shipping as charged, and whether tax is inside the prices: what makes the Total add up.
    fn settle(&self, discount: i64) -> (i64, bool) {
        let (Some(subtotal), Some(total)) = (self.subtotal, self.total) else {
            return (self.shipping, false);
        };
        let adds_up = |shipping: i64, tax: i64| {
            [0, self.duties].contains(&(total - subtotal - shipping - tax))
        };
        let discounted = (self.shipping - discount).max(0);
        for shipping in [self.shipping, discounted] {
            if adds_up(shipping, self.taxes) {
                return (shipping, false);
            }
        }
        for shipping in [self.shipping, discounted] {
            if adds_up(shipping, 0) {
                return (shipping, true);
            }
        }
        (self.shipping, false)
    }
}
