//! Subjects: people, whose data is kept out of everything but one keyed place.
//!
//! ```text
//! delivery ─▶ minimise ─▶ ids become names ─▶ journal ─▶ ledger ─▶ views
//!               │            └ vault: hidden id ─▶ name    (decision 7)
//!               └ no JSON: its bytes lie in `raw` as long as the ledger has their letter
//! request to forget ─▶ pending ─▶ journal ─▶ letters scrubbed, link destroyed ─▶ signed receipt
//! ```
//!
//! Invariant: what a person is called and reached by enters neither the journal nor its archive.
//! Without the vault's link a name leads to nobody.

pub mod door;
mod downloads;
pub mod error;
pub mod keys;
pub mod minimise;
pub mod raw;
pub mod receipts;
pub mod requests;
mod scan;
mod shelves;
pub mod table;
pub mod vault;
mod wrapped;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::entity::{Body, Entity};
use ionflux_schemas::event::{Envelope, Event};
use ionflux_schemas::key::{Id, addressed, named};
use ionflux_schemas::time::UtcMs;

use self::downloads::Download;
use self::error::SubjectError;
use self::keys::{Keys, Scope};
use self::minimise::minimise;
use self::raw::{Aside, Raw, RawLimits};
use self::requests::Request;
use self::table::{Kind, Rules};
use self::vault::Vault;
use crate::clock::Clock;
use crate::kafka::delivery as kafka;
use crate::list::read_delivery;
use crate::shop::folded;
use crate::tiktok::api::SHOP as TIKTOK_SHOP;

/// The header of a delivery that is a request about a person, or comes with one: its id.
pub const REQUEST: &str = "ionflux-request";
/// The header of a delivery whose body waits in `raw`: under which name.
pub const RAW: &str = "ionflux-raw";
/// The header of a delivery whose body was no JSON and was not kept: what it would be named.
pub const NOT_KEPT: &str = "ionflux-raw-not-kept";
/// The header of a delivery that says which shop it is about, where its platform has none.
pub const SHOP: &str = "ionflux-shop";
/// The source of deliveries that are nothing but a request about a person.
pub const SOURCE: &str = "subjects";

/// The sources whose bodies name their shop in a form that their readers know.
const NAMED_INSIDE: [&str; 3] =
    [crate::platform::read::SOURCE, kafka::SOURCE, crate::shopify::delivery::SOURCE];

/// The keyed place of a state.
pub struct Subjects {
    folder: PathBuf,
    keys: Keys,
    vault: Vault,
    clock: Arc<dyn Clock>,
    aside: Mutex<Aside>,
    downloads: Mutex<Vec<Download>>,
}

/// A delivery as it may be kept, and what must happen before it is.
pub struct Prepared {
    /// The delivery.
    pub delivery: Delivery,
    /// Up to where the vault must be durable.
    pub after: u64,
    /// The request that it is, which must be written down.
    pub request: Option<Request>,
    /// The bytes that must be laid aside.
    pub raw: Option<Raw>,
}

impl Prepared {
    /// Whether something must be written down before the delivery is kept.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.request.is_some() || self.raw.is_some()
    }
}

impl Subjects {
    /// The keyed place in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made or read, or is damaged.
    pub fn open(folder: &Path, clock: Arc<dyn Clock>) -> Result<Self, SubjectError> {
        for part in ["", "raw", "pending", "receipts", "exports"] {
            let part = folder.join(part);
            keys::folder(&part)?;
            keys::sweep(&part)?;
        }
        let keys = Keys::open(folder)?;
        let vault = Vault::open(&folder.join("vault"), clock.now())?;
        let aside = Mutex::new(Aside::read(&folder.join("raw"))?);
        let folder = folder.into();
        Ok(Self { folder, keys, vault, clock, aside, downloads: Mutex::default() })
    }

    /// The same place, where more or less of a workspace may lie aside.
    #[must_use]
    pub fn limited(self, limits: RawLimits) -> Self {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner).limits = limits;
        self
    }

    /// What time it is by our clock.
    #[must_use]
    pub fn now(&self) -> UtcMs {
        self.clock.now()
    }

    /// What links ids to names.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    fn part(&self, part: &str, name: &str) -> PathBuf {
        self.folder.join(part).join(name)
    }

    /// A delivery without what no view needs, its people by their names.
    ///
    /// # Errors
    /// When the vault takes no more.
    pub fn prepare(&self, mut delivery: Delivery) -> Result<Prepared, SubjectError> {
        // These are ours to set.
        delivery.headers.retain(|name, _| ![REQUEST, RAW, NOT_KEPT].contains(&&**name));
        // A message's key may be anybody's id; nothing is read of it but the name of a shop.
        if *delivery.source == *kafka::SOURCE {
            delivery.headers.retain(|name, key| **name != *kafka::KEY || kafka::is_shop(key));
        }
        let webhook = wrapped::shopify(&delivery);
        let request =
            webhook.as_deref().and_then(|said| Request::of_delivery(said, self.clock.now()));
        let topic = webhook.as_deref().and_then(wrapped::topic);
        if let Some(request) = &request {
            delivery.headers.insert(REQUEST.into(), (&*request.id).into());
        }
        let (mut after, mut raw) = (0, None);
        let Some(rules) = Rules::with(&delivery.source, topic.as_deref()) else {
            return Ok(Prepared { delivery, after, request, raw });
        };
        let shop = shop_of(&delivery);
        let mut names = self.names(&delivery.workspace, &shop);
        let minimised = minimise(&delivery.body, &rules, &mut |kind, id| names.name(kind, id));
        after = after.max(names.after);
        names.failed.map_or(Ok(()), Err)?;
        match minimised {
            Ok(Cow::Borrowed(_)) => {}
            Ok(Cow::Owned(body)) => delivery.body = body.into(),
            Err(_) => {
                let laid = Raw::of(&mut delivery);
                delivery.headers.insert(RAW.into(), (&*laid.name).into());
                raw = Some(laid);
            }
        }
        Ok(Prepared { delivery, after, request, raw })
    }

    /// Writes down what must be on disk before a delivery is kept, and gives the delivery.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, prepared: Prepared) -> Result<Delivery, SubjectError> {
        let Prepared { mut delivery, request, raw, .. } = prepared;
        if let Some(raw) = raw
            && !self.lay_aside(&raw)?
        {
            delivery.headers.remove(RAW);
            delivery.headers.insert(NOT_KEPT.into(), raw.name.into());
        }
        if let Some(request) = request {
            self.begin(&request)?;
        }
        Ok(delivery)
    }

    /// Takes back what was written down for a delivery that was not kept; what stays is carried
    /// out at the next start.
    pub fn take_back(&self, headers: &BTreeMap<Id, Id>) {
        if let Some(name) = headers.get(RAW) {
            self.take_back_raw(name);
        }
        if let Some(id) = headers.get(REQUEST)
            && let Err(problem) = self.strike(id)
        {
            tracing::error!("a request that was not kept stays until the next start: {problem}");
        }
    }

    /// The people of what files say, by their names; gives up to where the vault must be durable
    /// before that is kept.
    ///
    /// # Errors
    /// When the vault takes no more.
    pub fn rename(&self, envelopes: &mut [Envelope]) -> Result<u64, SubjectError> {
        let mut after = 0;
        for Envelope { shop, event, .. } in envelopes {
            let mut names = self.names(&shop.workspace, &shop.shop);
            let (kind, person) = match event {
                Event::Order(order) => (Kind::Customer, &mut order.customer),
                Event::Row(row) => (Kind::Customer, &mut row.line.customer),
                Event::Entity(entity) => match &mut **entity {
                    Entity { body: Body::Activity(activity), .. } => {
                        (Kind::User, &mut activity.user)
                    }
                    Entity { body: Body::IncidentAction(action), .. } => {
                        (Kind::User, &mut action.user)
                    }
                    _ => continue,
                },
                _ => continue,
            };
            if let Some(id) = person {
                let name = names.name(kind, id.trim());
                *person = name.map(|name| named(name, addressed(id)));
            }
            after = after.max(names.after);
            names.failed.map_or(Ok(()), Err)?;
        }
        Ok(after)
    }

    fn names<'s>(&'s self, workspace: &'s str, shop: &'s str) -> Names<'s> {
        Names {
            subjects: self,
            of: (workspace, shop),
            scopes: [None, None],
            after: 0,
            failed: None,
        }
    }

    /// The scope of a kind of people: users are the workspace's, buyers the shop's.
    fn scope(&self, workspace: &str, shop: &str, kind: Kind) -> Scope {
        match kind {
            Kind::Customer => self.keys.scope(workspace, shop),
            Kind::User => self.keys.scope(workspace, ""),
        }
    }
}

/// The names of the people of one delivery.
struct Names<'s> {
    subjects: &'s Subjects,
    of: (&'s str, &'s str),
    scopes: [Option<Scope>; 2],
    after: u64,
    failed: Option<SubjectError>,
}

impl Names<'_> {
    fn name(&mut self, kind: Kind, id: &str) -> Option<u64> {
        let Self { subjects, of: (workspace, shop), scopes, .. } = self;
        let place = &mut scopes[kind as usize - 1];
        let scope = place.get_or_insert_with(|| subjects.scope(workspace, shop, kind));
        match subjects.vault.name(scope, (kind, id), subjects.clock.now()) {
            Ok(name) => {
                self.after = self.after.max(name.map_or(0, |name| name.after));
                name.map(|name| name.number)
            }
            Err(problem) => {
                self.failed = Some(problem);
                None
            }
        }
    }
}

/// The shop that a delivery is about: as its headers say, or as its reader finds it in the body.
/// One person of one shop has one name, whichever way the news came.
fn shop_of(delivery: &Delivery) -> Cow<'_, str> {
    let named = ["x-shopify-shop-domain", "shopify-shop-domain", TIKTOK_SHOP, SHOP];
    let mut named = named.iter().filter_map(|name| delivery.headers.get(*name));
    if let Some(shop) = named.find(|shop| !shop.trim().is_empty()) {
        return folded(shop);
    }
    if !NAMED_INSIDE.contains(&&*delivery.source) {
        return "".into();
    }
    let said = read_delivery(delivery, Position(0));
    let shop = said.envelopes.first().map(|envelope| &envelope.shop.shop);
    let shop = shop.or_else(|| said.faults.first().map(|fault| &fault.shop.shop));
    shop.map_or_else(String::new, ToString::to_string).into()
}
