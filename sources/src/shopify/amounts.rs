//! Amounts of one record, all in its one currency.
//!
//! Invariant: the shop's money is used wherever it is given, the buyer's only where nothing else
//! is; an amount of another currency is refused, never added.

use ionflux_schemas::currency::Currency;
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::money::{AMOUNT_MINOR_MAX, Money};

use super::body::{Amount, Bag};
use super::scalar::Scalar;
use crate::reading::{Refusal, Setting};

/// The code Shopify writes where a currency is not settled.
const UNSET: &str = "XXX";

/// The code of an amount's currency, if one is set.
pub fn code(scalar: Scalar<'_>) -> Option<std::borrow::Cow<'_, str>> {
    scalar.text().filter(|code| !code.eq_ignore_ascii_case(UNSET))
}

fn parse(code: &str) -> Result<Currency, Refusal> {
    let wrong = |error: ionflux_schemas::currency::UnknownCurrency| {
        Refusal::new(FaultKind::Currency, "", error.to_string())
    };
    Currency::parse(code).map_err(wrong)
}

/// The currency of a record: of the first shop money that names one, else of the plain code, else
/// of the first buyer's money (refused where the setting knows better), else the setting's.
pub fn currency_of(
    bags: &[&Option<Bag<'_>>],
    plain: Scalar<'_>,
    setting: &Setting,
) -> Result<Currency, Refusal> {
    let find = |side: for<'b, 'a> fn(&'b Bag<'a>) -> Option<&'b Amount<'a>>| {
        bags.iter()
            .filter_map(|bag| bag.as_ref())
            .filter_map(side)
            .find_map(|m| code(m.currency_code))
    };
    if let Some(code) = find(|bag| bag.shop_money.as_ref()).or_else(|| code(plain)) {
        return parse(&code);
    }
    let buyers = find(|bag| bag.presentment_money.as_ref()).map(|code| parse(&code)).transpose()?;
    match (buyers, setting.currency) {
        (Some(buyers), Some(shop)) if buyers != shop => Err(Refusal::new(
            FaultKind::Currency,
            "",
            format!("only the buyer's money is given, in {buyers}; the shop counts in {shop}"),
        )),
        (Some(buyers), _) => Ok(buyers),
        (None, Some(shop)) => Ok(shop),
        (None, None) => {
            Err(Refusal::new(FaultKind::Currency, "", "no currency is named: give --currency"))
        }
    }
}

/// Reads the amounts of one record.
#[derive(Clone, Copy)]
pub struct Coin(pub Currency);

impl Coin {
    /// A plain amount; `None` where it is absent or null.
    pub fn plain(self, scalar: Scalar<'_>, what: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = scalar.text() else { return Ok(None) };
        self.text(&text, what).map(Some)
    }

    /// An amount of a text.
    pub fn text(self, text: &str, what: &str) -> Result<i64, Refusal> {
        let wrong = |why: &dyn std::fmt::Display| {
            Refusal::new(FaultKind::Amount, "", format!("{what}: {why}"))
        };
        let money = Money::parse(text, self.0).map_err(|error| wrong(&error))?;
        i64::try_from(money.minor).map_err(|error| wrong(&error))
    }

    /// An amount given in both currencies; `None` where it is absent, null or of no set currency.
    pub fn set(self, bag: &Option<Bag<'_>>, what: &str) -> Result<Option<i64>, Refusal> {
        let Some(bag) = bag else { return Ok(None) };
        let given = |money: &Option<Amount<'_>>| money.as_ref().is_some_and(|m| m.amount.present());
        let sides = [&bag.shop_money, &bag.presentment_money];
        let Some(money) = sides.into_iter().find(|side| given(side)).and_then(Option::as_ref)
        else {
            return Ok(None);
        };
        match money.currency_code.text() {
            Some(unset) if unset.eq_ignore_ascii_case(UNSET) => return Ok(None),
            Some(code) if parse(&code)? != self.0 => {
                let reason = format!("{what} is in {}, the record in {}", parse(&code)?, self.0);
                return Err(Refusal::new(FaultKind::Currency, "", reason));
            }
            _ => {}
        }
        self.plain(money.amount, what)
    }

    /// An amount from its set, else plain.
    pub fn either(
        self,
        bag: &Option<Bag<'_>>,
        plain: Scalar<'_>,
        what: &str,
    ) -> Result<Option<i64>, Refusal> {
        match self.set(bag, what)? {
            Some(minor) => Ok(Some(minor)),
            None => self.plain(plain, what),
        }
    }
}

/// A sum or product that still is an amount.
pub fn bounded(minor: i128, what: &str) -> Result<i64, Refusal> {
    i64::try_from(minor)
        .ok()
        .filter(|minor| minor.unsigned_abs() <= AMOUNT_MINOR_MAX.unsigned_abs())
        .ok_or_else(|| {
            let reason = format!("{what} is more than {AMOUNT_MINOR_MAX} minor units");
            Refusal::new(FaultKind::Amount, "", reason)
        })
}

/// An amount that cannot be below zero.
pub fn not_negative(minor: i64, what: &str) -> Result<i64, Refusal> {
    match minor {
        0.. => Ok(minor),
        _ => Err(Refusal::new(FaultKind::Amount, "", format!("{what} is negative"))),
    }
}
