//! One order of the simulated shop and what is left of it, in cents.
//!
//! Invariant: the parts of every amount add up to it exactly, and no more units are given back
//! than were sold.

use super::catalog::{PRODUCTS, Product, WEIGHTS, weight};
use super::random::Random;

pub(super) const SHIPPING: i64 = 490;
const FREE_SHIPPING_FROM: i64 = 6000;

/// A discount code and what it takes off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Code {
    pub(super) name: &'static str,
    /// A percentage, or cents off the whole order.
    pub(super) percent: Option<i64>,
    pub(super) value: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) id: u64,
    pub(super) product: Product,
    pub(super) units: i64,
    pub(super) returned: i64,
    /// What the code takes off all units.
    pub(super) discount: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) placed_at: i64,
    pub(super) updated_at: i64,
    pub(super) cancelled_at: Option<i64>,
    pub(super) fulfilled: bool,
    pub(super) paid: bool,
    pub(super) customer: Option<u64>,
    pub(super) lines: Vec<Line>,
    pub(super) code: Option<Code>,
    pub(super) shipping: i64,
    pub(super) shipping_returned: bool,
    pub(super) refunds: Vec<Refund>,
}

#[derive(Clone, Debug)]
pub(super) struct Refund {
    pub(super) id: u64,
    pub(super) at: i64,
    pub(super) cancel: bool,
    pub(super) goods: Vec<Returned>,
    /// Shipping given back; its tax comes with it.
    pub(super) shipping: i64,
}

/// Units of one line given back.
#[derive(Clone, Debug)]
pub(super) struct Returned {
    pub(super) line: usize,
    pub(super) units: i64,
    pub(super) subtotal: i64,
    pub(super) tax: i64,
}

/// 19 % of an amount, rounded half-even to the cent.
pub(super) fn tax(amount: i64) -> i64 {
    let hundredths = amount * 19;
    let (whole, rest) = (hundredths.div_euclid(100), hundredths.rem_euclid(100));
    whole + i64::from(rest > 50 || (rest == 50 && whole % 2 != 0))
}

impl Line {
    pub(super) fn gross(&self) -> i64 {
        self.product.price_minor * self.units
    }

    pub(super) fn net(&self) -> i64 {
        self.gross() - self.discount
    }

    pub(super) fn tax(&self) -> i64 {
        tax(self.net())
    }

    pub(super) fn left(&self) -> i64 {
        self.units - self.returned
    }

    /// The share of an amount that falls on the next `units` to come back. Shares are differences
    /// of running totals, so that those of all units add up to the amount.
    fn share(&self, amount: i64, units: i64) -> i64 {
        let up_to = |units: i64| amount * units / self.units.max(1);
        up_to(self.returned + units) - up_to(self.returned)
    }
}

impl Order {
    pub(super) fn subtotal(&self) -> i64 {
        self.lines.iter().map(Line::net).sum()
    }

    pub(super) fn gross(&self) -> i64 {
        self.lines.iter().map(Line::gross).sum()
    }

    pub(super) fn discounts(&self) -> i64 {
        self.lines.iter().map(|line| line.discount).sum()
    }

    pub(super) fn taxes(&self) -> i64 {
        self.lines.iter().map(Line::tax).sum::<i64>() + tax(self.shipping)
    }

    pub(super) fn total(&self) -> i64 {
        self.subtotal() + self.shipping + self.taxes()
    }

    /// Gives back `units(line)` of every line, and the shipping if asked; `None` if that is
    /// nothing.
    pub(super) fn refund(
        &mut self,
        (id, at): (u64, i64),
        with_shipping: bool,
        mut units: impl FnMut(&Line) -> i64,
    ) -> Option<&Refund> {
        let mut goods = Vec::new();
        for (at, line) in self.lines.iter_mut().enumerate() {
            let units = units(line).clamp(0, line.left());
            if units > 0 {
                let subtotal = line.share(line.net(), units);
                let tax = line.share(line.tax(), units);
                goods.push(Returned { line: at, units, subtotal, tax });
                line.returned += units;
            }
        }
        let shipping = if with_shipping && !self.shipping_returned { self.shipping } else { 0 };
        self.shipping_returned |= with_shipping;
        if goods.is_empty() {
            return None;
        }
        let cancel = self.cancelled_at.is_some();
        self.refunds.push(Refund { id, at, cancel, goods, shipping });
        self.refunds.last()
    }
}

impl Refund {
    pub(super) fn subtotal(&self) -> i64 {
        self.goods.iter().map(|goods| goods.subtotal).sum()
    }

    pub(super) fn taxes(&self) -> i64 {
        self.goods.iter().map(|goods| goods.tax).sum::<i64>() + tax(self.shipping)
    }

    pub(super) fn total(&self) -> i64 {
        self.subtotal() + self.shipping + self.taxes()
    }
}

/// A product by its popularity.
pub(super) fn product(random: &mut Random) -> Product {
    let mut left = random.below(WEIGHTS);
    for (rank, product) in PRODUCTS.iter().enumerate() {
        match left.checked_sub(weight(rank)) {
            Some(rest) => left = rest,
            None => return *product,
        }
    }
    PRODUCTS[0]
}

/// Units of a line: mostly one.
pub(super) fn units(random: &mut Random) -> i64 {
    match random.below(100) {
        0..80 => 1,
        80..94 => 2,
        94..98 => 3,
        _ => 4,
    }
}

/// One to four lines of different products, with the code's discount spread over them.
pub(super) fn basket(random: &mut Random, first_id: u64, code: Option<Code>) -> Vec<Line> {
    let count = match random.below(100) {
        0..52 => 1,
        52..80 => 2,
        80..93 => 3,
        _ => 4,
    };
    let mut lines: Vec<Line> = Vec::new();
    for number in 0..count {
        let product = product(random);
        let units = units(random);
        if lines.iter().all(|line| line.product.id != product.id) {
            lines.push(Line { id: first_id + number, product, units, returned: 0, discount: 0 });
        }
    }
    if let Some(code) = code {
        spread(&mut lines, code);
    }
    lines
}

fn spread(lines: &mut [Line], code: Code) {
    let gross: i64 = lines.iter().map(Line::gross).sum();
    let whole = code.percent.map_or(code.value.min(gross), |percent| gross * percent / 100);
    let (mut before, mut given) = (0, 0);
    for line in lines {
        before += line.gross();
        let up_to = whole * before / gross.max(1);
        line.discount = up_to - given;
        given = up_to;
    }
}

/// Shipping of a basket.
pub(super) fn shipping(lines: &[Line]) -> i64 {
    let subtotal: i64 = lines.iter().map(Line::net).sum();
    if subtotal >= FREE_SHIPPING_FROM { 0 } else { SHIPPING }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_however_units_come_back() {
        let code = Code { name: "TEN", percent: Some(10), value: 0 };
        for seed in 0..500 {
            let mut random = Random::new(seed);
            let lines = basket(&mut random, 1, Some(code));
            let mut order = Order {
                number: 1,
                placed_at: 0,
                updated_at: 0,
                cancelled_at: None,
                fulfilled: false,
                paid: true,
                customer: None,
                shipping: shipping(&lines),
                lines,
                code: Some(code),
                shipping_returned: false,
                refunds: Vec::new(),
            };
            assert_eq!(order.discounts(), order.gross() / 10);
            while order.lines.iter().any(|line| line.left() > 0) {
                order.refund((1, 1), true, |_| 1);
            }
            assert!(order.refund((1, 1), true, |_| 9).is_none());
            let back: i64 = order.refunds.iter().map(Refund::total).sum();
            assert_eq!(back, order.total());
        }
    }

    #[test]
    fn tax_is_half_even() {
        assert_eq!((tax(50), tax(150), tax(100), tax(490)), (10, 28, 19, 93));
    }
}
