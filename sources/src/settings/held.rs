//! Settings as they are counted: what holds at an instant, and every change there was.
//!
//! Invariant: an answer is bounded in settings and in bytes, and says where the next one begins.

use std::ops::ControlFlow;

use ionflux_schemas::entity::{Body, Entity, Setting};
use ionflux_schemas::key::{Id, ShopKey, Version};
use ionflux_schemas::time::UtcMs;
use serde_json::{Value, json};

use super::change::escaped;
use super::effective::Timeline;

/// The most settings or changes of one answer.
pub const PAGE_MAX: usize = 1_000;
/// How many there are if nobody says.
pub const PAGE: usize = 100;
/// How many bytes of documents end an answer.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// What a reader of settings is given: each of them, until it has enough.
pub type Each<'a> = &'a mut dyn FnMut(Version, Entity) -> ControlFlow<()>;

/// The settings that are counted, as the ledger has them.
pub trait Held: Send + Sync {
    /// Gives the settings of a shop whose ids begin with a text, in order of their ids.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn each(&self, shop: &ShopKey, prefix: &str, each: Each<'_>) -> Result<(), String>;

    /// Whether a change is counted.
    ///
    /// # Errors
    /// Why it cannot be known.
    fn has(&self, shop: &ShopKey, id: &str) -> Result<bool, String>;
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Question {
    /// Whose settings; the workspace's own where the shop is empty.
    pub shop: ShopKey,
    /// Of which kind.
    pub kind: &'static str,
    /// Only those of a name.
    pub name: Option<String>,
    /// Only those behind what an earlier answer ended with.
    pub after: Option<String>,
    /// How many at most.
    pub limit: usize,
}

impl Question {
    fn prefix(&self) -> String {
        match &self.name {
            Some(name) => format!("{}/{}/", self.kind, escaped(name)),
            None => format!("{}/", self.kind),
        }
    }
}

/// An answer that fills up.
struct Page {
    settings: Vec<Value>,
    bytes: usize,
    limit: usize,
    next: Option<String>,
}

impl Page {
    fn new(limit: usize) -> Self {
        Self { settings: Vec::new(), bytes: 0, limit, next: None }
    }

    /// Adds a setting; `cursor` is where an answer that ends with it goes on.
    fn add(&mut self, shown: Value, bytes: usize, cursor: &str) {
        self.settings.push(shown);
        self.bytes += bytes;
        self.next = Some(cursor.to_owned());
    }

    fn full(&self) -> bool {
        self.settings.len() >= self.limit || self.bytes >= PAGE_BYTES_MAX
    }
}

/// The settings that hold at an instant.
///
/// # Errors
/// Why they cannot be read.
pub fn effective(held: &dyn Held, question: &Question, at: UtcMs) -> Result<Value, String> {
    let mut page = Page::new(question.limit);
    let mut timeline = (Id::default(), Timeline::default());
    let mut more = false;
    // As it stands in keys: a name ends with the sign between their parts.
    let key = |name: &str| escaped(name) + "/";
    let behind = question.after.as_deref().map(key);
    let close = |page: &mut Page, (name, changes): &(Id, Timeline)| {
        if let Some((from, version, setting)) = changes.at(at)
            && setting.document.is_some()
        {
            let bytes = setting.document.as_ref().map_or(0, |document| document.len());
            page.add(shown(from, version, setting), bytes, name);
        }
    };
    held.each(&question.shop, &question.prefix(), &mut |version, entity| {
        let Body::Setting(setting) = entity.body else { return ControlFlow::Continue(()) };
        if behind.as_ref().is_some_and(|behind| key(&setting.name) <= *behind) {
            return ControlFlow::Continue(());
        }
        if timeline.0 != setting.name {
            close(&mut page, &timeline);
            timeline = (setting.name.clone(), Timeline::default());
            if page.full() {
                more = true;
                return ControlFlow::Break(());
            }
        }
        timeline.1.add(entity.at, version, setting);
        ControlFlow::Continue(())
    })?;
    if !more {
        close(&mut page, &timeline);
    }
    let next = page.next.filter(|_| more);
    let (shop, kind) = (&question.shop.shop, question.kind);
    Ok(json!({
        "kind": kind, "shop": shop, "at": at.to_string(), "settings": page.settings, "next": next,
    }))
}

/// Every change there was, also of settings that were taken back: those of one setting in order of
/// the instants from which they hold, and then of those at which they came.
///
/// # Errors
/// Why they cannot be read.
pub fn history(held: &dyn Held, question: &Question) -> Result<Value, String> {
    let mut page = Page::new(question.limit);
    let mut more = false;
    held.each(&question.shop, &question.prefix(), &mut |version, entity| {
        let Body::Setting(setting) = &entity.body else { return ControlFlow::Continue(()) };
        if question.after.as_deref().is_some_and(|after| *entity.id <= *after) {
            return ControlFlow::Continue(());
        }
        if page.full() {
            more = true;
            return ControlFlow::Break(());
        }
        let bytes = setting.document.as_ref().map_or(0, |document| document.len());
        page.add(shown(entity.at, &version, setting), bytes, &entity.id);
        ControlFlow::Continue(())
    })?;
    let next = page.next.filter(|_| more);
    let (shop, kind) = (&question.shop.shop, question.kind);
    Ok(json!({ "kind": kind, "shop": shop, "changes": page.settings, "next": next }))
}

/// The document of one setting as it holds at an instant.
///
/// # Errors
/// Why it cannot be read.
pub fn document(
    held: &dyn Held,
    shop: &ShopKey,
    (kind, name): (&'static str, &str),
    at: UtcMs,
) -> Result<Option<Value>, String> {
    let mut timeline = Timeline::default();
    let prefix = format!("{kind}/{}/", escaped(name));
    held.each(shop, &prefix, &mut |version, entity| {
        if let Body::Setting(setting) = entity.body {
            timeline.add(entity.at, version, setting);
        }
        ControlFlow::Continue(())
    })?;
    let holds = timeline.at(at).and_then(|(_, _, setting)| setting.document.as_deref());
    Ok(holds.and_then(|document| serde_json::from_str(document).ok()))
}

fn shown(from: UtcMs, version: &Version, setting: &Setting) -> Value {
    let document = setting.document.as_deref();
    json!({
        "name": setting.name,
        "valid_from": from.to_string(),
        "valid_until": setting.until.map(|until| until.to_string()),
        "set_at": version.changed_at.to_string(),
        "by": setting.by,
        "removed": document.is_none(),
        "document": document.and_then(|text| serde_json::from_str::<Value>(text).ok()),
    })
}
