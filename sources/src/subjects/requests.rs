//! Requests about a person: what was asked, kept from the door until it is done.
//!
//! Invariant: a request that was acknowledged is carried out, over any crash; what it says of the
//! person is in one file, and in none once it is done.

use std::fs;
use std::path::Path;

use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::time::UtcMs;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

use super::error::SubjectError;
use super::keys::Sought;
use super::table::{Kind, REQUESTS};
use super::{SOURCE, Subjects, keys, shop_of};

/// How many orders a request may name, and how long an id may be.
const ORDERS_MAX: usize = 100_000;
/// The longest id, address or number that is looked for.
pub const WORD_BYTES_MAX: usize = 512;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// A person is to be forgotten.
    Forget,
    /// Everybody of a shop is to be forgotten.
    ForgetShop,
    /// A person wants to see what is known of them.
    Tell,
}

/// A request about a person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Its name: random, and that of its receipt.
    pub id: Box<str>,
    /// What is asked.
    pub deed: Deed,
    /// In which workspace.
    pub workspace: Box<str>,
    /// Of which shop.
    pub shop: Box<str>,
    /// When it came.
    pub received_at: UtcMs,
    /// Ids under which the person may be known: as a buyer or as a user.
    pub ids: Vec<Box<str>>,
    /// What else finds the person in raw bytes: addresses, numbers.
    pub words: Vec<Box<str>>,
    /// The orders the request names.
    pub orders: Vec<Box<str>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    shop_domain: serde_json::Value,
    customer: Option<Person>,
    orders_to_redact: Option<Vec<serde_json::Value>>,
    orders_requested: Option<Vec<serde_json::Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Person {
    id: serde_json::Value,
    email: serde_json::Value,
    phone: serde_json::Value,
}

fn text(value: &serde_json::Value) -> Option<Box<str>> {
    let text = match value {
        serde_json::Value::String(text) => text.trim().to_owned(),
        serde_json::Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (1..=WORD_BYTES_MAX).contains(&text.len()).then(|| text.into())
}

impl Request {
    /// The request to forget somebody by an id.
    ///
    /// # Errors
    /// When the id is none, or the system gives no random numbers.
    pub fn forget(
        (workspace, shop): (&str, &str),
        id: &str,
        received_at: UtcMs,
    ) -> Result<Self, SubjectError> {
        let id = id.trim();
        if !(1..=WORD_BYTES_MAX).contains(&id.len()) {
            return Err(SubjectError::Request("the id is empty or too long"));
        }
        let (words, orders) = (Vec::new(), Vec::new());
        Ok(Self {
            id: random()?,
            deed: Deed::Forget,
            workspace: workspace.into(),
            shop: shop.trim().into(),
            received_at,
            ids: vec![id.into()],
            words,
            orders,
        })
    }

    /// The request that a delivery is, if it is one. One that cannot be read is none: it is a fault
    /// like any other, and the shop sends it again.
    pub(super) fn of_delivery(delivery: &Delivery, received_at: UtcMs) -> Option<Self> {
        let topic = delivery.headers.get("x-shopify-topic")?.trim().to_ascii_lowercase();
        if !delivery.source.starts_with("shopify") || !REQUESTS.contains(&&*topic) {
            return None;
        }
        let body: Body = serde_json::from_slice(&delivery.body).ok()?;
        let deed = match &*topic {
            "shop/redact" => Deed::ForgetShop,
            "customers/redact" => Deed::Forget,
            _ => Deed::Tell,
        };
        let named = shop_of(delivery);
        let shop = if named.is_empty() { text(&body.shop_domain)? } else { named.into() };
        let person = body.customer.unwrap_or_default();
        let ids = [text(&person.id), text(&person.email)].into_iter().flatten().collect();
        let words = [text(&person.email), text(&person.phone)].into_iter().flatten().collect();
        let orders = body.orders_to_redact.or(body.orders_requested).unwrap_or_default();
        let orders = orders.iter().take(ORDERS_MAX).filter_map(text).collect();
        let workspace = (*delivery.workspace).into();
        let id = random().ok()?;
        Some(Self { id, deed, workspace, shop, received_at, ids, words, orders })
    }

    /// What is looked for in raw bytes.
    pub fn sought_words(&self) -> impl Iterator<Item = &str> {
        let parts = [&self.ids, &self.words, &self.orders];
        parts.into_iter().flatten().map(|word| &**word)
    }

    /// The delivery that brings a request to whoever carries it out.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        let headers = [(super::REQUEST.into(), (&*self.id).into())].into_iter().collect();
        Delivery {
            source: SOURCE.into(),
            workspace: (&*self.workspace).into(),
            received_at: self.received_at,
            headers,
            body: Box::default(),
        }
    }
}

fn random() -> Result<Box<str>, SubjectError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SubjectError::Random)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)).into())
}

/// Whether a text is an id of a request.
#[must_use]
pub fn ours(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The names of the whole files of a folder, without what comes behind their first point.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, SubjectError> {
    let failed = || SubjectError::of(folder, "listing");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed())? {
        let name = entry.map_err(failed())?.file_name();
        let name = name.to_string_lossy();
        let stem = name.split('.').next().unwrap_or_default();
        if ours(stem) && !name.ends_with(".part") {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

impl Subjects {
    /// Writes a request down; it is carried out from now on.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn begin(&self, request: &Request) -> Result<(), SubjectError> {
        let path = self.part("pending", &format!("{}.json", request.id));
        let bytes = serde_json::to_vec(request).map_err(|_| SubjectError::Request("unwritable"))?;
        keys::write_whole(&path, &bytes).map_err(SubjectError::of(&path, "writing"))
    }

    /// A request that is not done yet.
    ///
    /// # Errors
    /// When the disk refuses, or the file is none of ours.
    pub fn pending(&self, id: &str) -> Result<Option<Request>, SubjectError> {
        if !ours(id) {
            return Ok(None);
        }
        let path = self.part("pending", &format!("{id}.json"));
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|_| SubjectError::Damaged { path, at: 0 }),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(SubjectError::of(&path, "reading")(cause)),
        }
    }

    /// All requests that are not done yet.
    ///
    /// # Errors
    /// As [`Subjects::pending`].
    pub fn all_pending(&self) -> Result<Vec<Request>, SubjectError> {
        let ids = names(&self.folder.join("pending"))?;
        ids.iter().filter_map(|id| self.pending(id).transpose()).collect()
    }

    /// The names under which the state knows the person of a request.
    #[must_use]
    pub fn names_of(&self, request: &Request) -> Vec<u64> {
        let people = self.people(request).into_iter();
        people.filter_map(|(sought, _)| self.vault().known(&sought)).collect()
    }

    /// Everybody that a request may mean, and the mark of their being forgotten.
    pub(super) fn people(&self, request: &Request) -> Vec<(Sought, u128)> {
        // A buyer of deliveries that name no shop is the workspace's, as every user is.
        let scopes = [(Kind::Customer, &*request.shop), (Kind::Customer, ""), (Kind::User, "")];
        let mut people = Vec::new();
        for (kind, shop) in scopes {
            let scope = self.scope(&request.workspace, shop, kind);
            for id in &request.ids {
                let person = (scope.person(kind, id), scope.forgotten(kind, id));
                if !people.contains(&person) {
                    people.push(person);
                }
            }
        }
        people
    }

    /// Strikes a request off.
    pub(super) fn strike(&self, id: &str) -> Result<(), SubjectError> {
        let path = self.part("pending", &format!("{id}.json"));
        keys::remove(&path).map_err(SubjectError::of(&path, "removing"))
    }
}
