//! Requests about people: which topics they are, and whether a body is what its headers say.
//!
//! Invariant: headers are not signed, the body is. What a header says of a request holds only
//! where the body names the same shop and has the form of the same topic.

use std::borrow::Cow;

use super::record::{Outcome, Record, field};
use super::scalar::Scalar;
use super::shape::Members;
use super::webhook::{Webhook, elsewhere, parse};
use super::{body, redaction};
use crate::reading::{Refusal, Setting};
use crate::shop;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// `customers/redact`: a customer is to be forgotten.
    Redact,
    /// `shop/redact`: everybody of a shop is to be forgotten.
    ShopRedact,
    /// `customers/data_request`: a customer wants to see what is known of them.
    DataRequest,
}

/// Members that say what a body is, also where their values are taken out of it.
const TELLING: [&str; 6] =
    ["shop_domain", "shop_id", "customer", "orders_to_redact", "orders_requested", "data_request"];

/// The body of a request.
pub struct Request<'a> {
    /// Whose people it is about.
    pub shop: Cow<'a, str>,
    /// What else it says.
    pub members: Members<'a>,
}

impl Asked {
    /// What a topic asks, written as `customers/redact`.
    pub fn of(topic: &str) -> Option<Self> {
        match topic {
            "customers/redact" => Some(Self::Redact),
            "shop/redact" => Some(Self::ShopRedact),
            "customers/data_request" => Some(Self::DataRequest),
            _ => None,
        }
    }

    /// Members that only the bodies of other topics have.
    fn foreign(self) -> &'static [&'static str] {
        match self {
            Self::Redact => &["orders_requested", "data_request"],
            Self::ShopRedact => {
                &["id", "customer", "orders_to_redact", "orders_requested", "data_request"]
            }
            Self::DataRequest => &["orders_to_redact"],
        }
    }

    /// The request that a webhook is.
    ///
    /// # Errors
    /// A [`Refusal`] of a body that is not of the topic, or of another shop than the headers say.
    pub fn open<'a>(self, webhook: &Webhook<'a>) -> Result<Request<'a>, Refusal> {
        let members: Members<'a> = parse(webhook.body)?;
        for name in TELLING {
            if members.0.iter().filter(|(key, _)| key == name).count() > 1 {
                return Err(field(format!("the request has {name} twice")));
            }
        }
        if let Some(name) = self.foreign().iter().find(|name| members.get(name).is_some()) {
            return Err(field(format!("the body has {name}, which no request of its topic has")));
        }
        let own = |name| members.get(name).map(Scalar::of).and_then(Scalar::text);
        let domain = own("shop_domain").ok_or_else(|| field("the request has no shop_domain"))?;
        let Some(told) = webhook.shop.map(str::trim).filter(|told| !told.is_empty()) else {
            return Ok(Request { shop: domain, members });
        };
        // Events may name their shop by its number.
        let number = || own("shop_id").is_some_and(|id| *id == *told);
        if shop::folded(&domain) != shop::folded(told) && !number() {
            return Err(elsewhere(&domain));
        }
        Ok(Request { shop: domain, members })
    }

    /// What a request says that counts: the orders that have no customer from now on. The rest is
    /// carried out by whoever feeds the ledger.
    pub fn records(self, webhook: &Webhook<'_>, setting: &Setting) -> Vec<Outcome> {
        let told = self.open(webhook).and_then(|request| match self {
            Self::Redact => {
                let raised = webhook.raised_at(setting);
                let record = Record::new(Some(&request.shop), raised, setting)?;
                redaction::decode(&parse::<body::Redaction<'_>>(webhook.body)?, &record)
            }
            Self::ShopRedact | Self::DataRequest => Ok(Vec::new()),
        });
        told.unwrap_or_else(|refusal| vec![Err(refusal)])
    }
}
