//! Requests about a person: what was asked, kept from the door until it is done.
//!
//! Invariant: a request that was acknowledged is carried out, over any crash; what it says of the
//! person is in one file, and in none once it is done.

use std::fs;
use std::path::Path;

use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::key::Id;
use ionflux_schemas::time::UtcMs;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::SubjectError;
use super::keys::Sought;
use super::minimise::global;
use super::table::Kind;
use super::vault::FORGOTTEN_MAX;
use super::{SOURCE, Subjects, keys, wrapped};
use crate::shop::folded;
use crate::shopify::compliance::Asked;
use crate::shopify::delivery::webhook;
use crate::shopify::orders_csv::buyer_of;

/// How many requests may wait to be carried out; that takes seconds.
const PENDING_MAX: usize = 10_000;
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
    /// The shops that are meant where the request names none: told by whoever carries it out.
    #[serde(default)]
    pub shops: Vec<Id>,
    /// Whether a token asks, and no platform that must be answered.
    #[serde(default)]
    pub by_token: bool,
}

/// What a request says of a person.
#[derive(Default)]
struct Person {
    ids: Vec<Box<str>>,
    words: Vec<Box<str>>,
}

impl Person {
    /// Reads whatever form a person comes in: an object, a bare id, or a list of either.
    fn read(&mut self, value: &Value) {
        match value {
            Value::Object(members) => {
                let member = |name| members.get(name).and_then(text);
                for id in ["id", "admin_graphql_api_id"] {
                    self.ids.extend(member(id));
                }
                self.ids.extend(member("email"));
                self.words.extend(["email", "phone"].into_iter().filter_map(member));
            }
            Value::Array(people) => people.iter().for_each(|person| self.read(person)),
            bare => self.ids.extend(text(bare)),
        }
    }

    /// Everything the person may be known by: of a global id the number, of an address what files
    /// call its owner.
    fn ids(mut self) -> (Vec<Box<str>>, Vec<Box<str>>) {
        let own = self.ids.iter();
        let numbers = own.filter_map(|id| global(id)).map(|(_, number, _)| number.into());
        let owners = self.ids.iter().filter(|id| id.contains('@')).map(|id| buyer_of(id));
        let more: Vec<Box<str>> = numbers.chain(owners).collect();
        for id in more {
            if !self.ids.contains(&id) {
                self.ids.push(id);
            }
        }
        (self.ids, self.words)
    }
}

fn text(value: &Value) -> Option<Box<str>> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
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
        let mut person = Person::default();
        person.ids.push(id.into());
        let (ids, words) = person.ids();
        Ok(Self {
            id: random()?,
            deed: Deed::Forget,
            workspace: workspace.into(),
            shop: folded(shop.trim()).into(),
            received_at,
            ids,
            words,
            orders: Vec::new(),
            shops: Vec::new(),
            by_token: true,
        })
    }

    /// The request that a delivery of Shopify is, if it is one. A test is none, nor is one that
    /// cannot be read or whose body is not what its headers say: that is a fault like any other.
    pub(super) fn of_delivery(delivery: &Delivery, received_at: UtcMs) -> Option<Self> {
        let asked = Asked::of(&wrapped::topic(delivery)?)?;
        let webhook = webhook(delivery).ok().filter(|webhook| !webhook.test)?;
        let request = asked.open(&webhook).ok()?;
        let deed = match asked {
            Asked::ShopRedact => Deed::ForgetShop,
            Asked::Redact => Deed::Forget,
            Asked::DataRequest => Deed::Tell,
        };
        let member = |name| serde_json::from_str::<Value>(request.members.get(name)?.get()).ok();
        let mut person = Person::default();
        person.read(&member("customer").unwrap_or_default());
        let (ids, words) = person.ids();
        let orders = member("orders_to_redact").or_else(|| member("orders_requested"));
        let orders = match orders {
            Some(Value::Array(orders)) => orders,
            one => one.into_iter().collect(),
        };
        let orders = orders.iter().take(ORDERS_MAX).filter_map(text).collect();
        let (workspace, shop) = ((*delivery.workspace).into(), folded(&request.shop).into());
        let (id, shops) = (random().ok()?, Vec::new());
        let by_token = false;
        Some(Self { id, deed, workspace, shop, received_at, ids, words, orders, shops, by_token })
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
    /// When too many wait or were carried out lately, or the disk refuses.
    pub fn begin(&self, request: &Request) -> Result<(), SubjectError> {
        let forgets = request.deed == Deed::Forget;
        // Half is left to platforms, whatever tokens ask for.
        let half = |most: usize| if request.by_token { most / 2 } else { most };
        if names(&self.folder.join("pending"))?.len() >= half(PENDING_MAX)
            || forgets && self.vault().crowded(half(FORGOTTEN_MAX), self.clock.now())
        {
            return Err(SubjectError::Crowded);
        }
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
        let all = request.shops.iter().map(|shop| (Kind::Customer, &**shop));
        let scopes = [(Kind::Customer, &*request.shop), (Kind::Customer, ""), (Kind::User, "")];
        let mut people = Vec::new();
        for (kind, shop) in scopes.into_iter().chain(all) {
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

    /// Those of them who are to be unknown from now on: in the other shops of a workspace only who
    /// was known there, or one request would take the room of thousands.
    pub(super) fn to_forget(&self, request: &Request) -> Vec<(Sought, u128)> {
        let own = [&*request.shop, ""]
            .map(|shop| self.scope(&request.workspace, shop, Kind::Customer).id);
        let mut people = self.people(request);
        people.retain(|(sought, _)| {
            own.contains(&sought.scope) || self.vault().known(sought).is_some()
        });
        people
    }

    /// Strikes a request off.
    pub(super) fn strike(&self, id: &str) -> Result<(), SubjectError> {
        let path = self.part("pending", &format!("{id}.json"));
        keys::remove(&path).map_err(SubjectError::of(&path, "removing"))
    }
}
