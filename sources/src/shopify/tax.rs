//! Taking tax out of the prices of a shop that lists them with tax.
//!
//! Invariant: a line's net sales plus its tax are exactly what was charged for it; the tax leaves
//! the price first and the discount after, as in Shopify's own reports.
//!
//! ```text
//! net = listed − discount − tax      gross = listed / (1 + rates)      discounts = gross − net
//! 100.00 with 10 % tax, 25 % off:    68.18 = 100.00 − 25.00 − 6.82     90.91     22.73
//! ```

use ionflux_schemas::money::div_half_even;
use rust_decimal::Decimal;

use super::amounts::{Coin, bounded};
use super::body::TaxLine;
use super::spread::spread;
use crate::reading::Refusal;

/// A line as it was listed and charged, before any tax is taken out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listed {
    /// Unit price times units.
    pub price: i64,
    /// All discounts on it.
    pub discount: i64,
    /// The tax on it.
    pub tax: i64,
    /// The sum of its tax rates, where every tax names one.
    pub rate: Option<Decimal>,
}

impl Listed {
    /// Gross and discounts without tax, of a price that contains it.
    pub fn without_tax(&self) -> (i64, i64) {
        let charged = self.price - self.discount;
        let net = charged - self.tax;
        if self.discount == 0 {
            // Dividing again could differ by a minor unit from what Shopify rounded, and would
            // show a discount where none was given.
            return (net, 0);
        }
        let gross = match self.rate {
            Some(rate) if self.taxed(rate, charged) => divide(self.price, rate),
            Some(_) => self.price,
            None if charged > 0 => share(self.price, net, charged),
            None => self.price,
        };
        let gross = gross.max(net);
        (gross, gross - net)
    }

    /// Whether the rates were charged at all: an exempt buyer's lines may still name them.
    fn taxed(&self, rate: Decimal, charged: i64) -> bool {
        self.tax != 0 || charged - divide(charged, rate) <= 1
    }
}

/// `price / (1 + rate)`, half-even.
fn divide(price: i64, rate: Decimal) -> i64 {
    let rate = rate.normalize();
    let one = 10_i128.checked_pow(rate.scale());
    let exact = one.and_then(|one| {
        div_half_even(i128::from(price).checked_mul(one)?, one.checked_add(rate.mantissa())?)
    });
    // No tax has so many decimals that this does not fit; such a rate is no rate.
    exact.and_then(|exact| i64::try_from(exact).ok()).unwrap_or(price)
}

fn share(amount: i64, part: i64, whole: i64) -> i64 {
    let exact = div_half_even(i128::from(amount) * i128::from(part), i128::from(whole));
    exact.and_then(|exact| i64::try_from(exact).ok()).unwrap_or(amount)
}

/// The tax on a line and the sum of its rates.
pub fn on_line(taxes: &[TaxLine<'_>], coin: Coin) -> Result<(i64, Option<Decimal>), Refusal> {
    let (mut tax, mut rates) = (0_i128, Some(Decimal::ZERO));
    for line in taxes {
        let amount = coin.either(&line.price_set, line.price, "a tax")?.unwrap_or_default();
        tax += i128::from(amount);
        rates = rates.zip(line.rate.rate()).and_then(|(sum, rate)| sum.checked_add(rate));
    }
    let rates = rates.filter(|_| !taxes.is_empty());
    Ok((bounded(tax, "the tax of a line")?, rates))
}

/// Spreads an order's tax over lines that name none of their own; the last part is shipping's.
pub fn spread_over(total: i64, lines: &mut [Listed], shipping: &mut i64) {
    let charged = lines.iter().map(|line| line.price - line.discount);
    let weights: Vec<i64> = charged.chain([*shipping]).collect();
    let parts = spread(total, &weights);
    for (line, part) in lines.iter_mut().zip(&parts) {
        line.tax = *part;
        line.rate = None;
    }
    *shipping -= parts.last().copied().unwrap_or_default();
}

/// Whether a line's own tax was inside its price: told by which of the two its rates explain.
///
/// For refunds that come without their order, so that a refund means the same by either road.
pub fn inside_price(charged: i64, tax: i64, rate: Option<Decimal>) -> bool {
    let Some(rate) = rate.filter(|_| tax > 0 && charged > 0) else { return false };
    let inside = charged - divide(charged, rate);
    let on_top = Decimal::from(charged).checked_mul(rate).map(|tax| tax.round());
    let on_top = on_top.and_then(|tax| i64::try_from(tax).ok()).unwrap_or(i64::MAX);
    (inside - tax).abs() < on_top.saturating_sub(tax).abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ionflux_schemas::money::decimal;

    fn listed(price: i64, discount: i64, tax: i64, rate: &str) -> Listed {
        Listed { price, discount, tax, rate: decimal(rate).ok() }
    }

    #[test]
    fn tax_leaves_before_the_discount() {
        assert_eq!(listed(10_000, 2_500, 682, "0.1").without_tax(), (9091, 2273));
        assert_eq!(listed(10_000, 2_500, 682, "").without_tax(), (9091, 2273));
        assert_eq!(listed(10_000, 10_000, 0, "0.1").without_tax(), (9091, 9091));
        assert_eq!(listed(10_000, 2_500, 0, "0.1").without_tax(), (10_000, 2_500));
        assert_eq!(listed(2_997, 0, 500, "0.2").without_tax(), (2_497, 0));
    }

    #[test]
    fn a_line_tells_whether_its_price_holds_the_tax() {
        assert!(inside_price(11_000, 1_000, decimal("0.1").ok()));
        assert!(!inside_price(10_000, 1_000, decimal("0.1").ok()));
        assert!(!inside_price(10_000, 0, decimal("0.1").ok()));
        assert!(!inside_price(10_000, 1_000, None));
    }
}
