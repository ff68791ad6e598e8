//! The kinds of settings: what each is for, what names one of them, and what it may hold.
//!
//! Invariant: a kind is a line of this list; nothing else knows which kinds there are.

pub mod agents;

mod alerts;
mod badges;
mod costs;
mod spellings;

use serde_json::Value;

use super::leaf::Scope;
use super::problem::{Path, Problems};
use super::shape::{self, Field, Shape, may};

/// A kind of settings.
#[derive(Debug)]
pub struct Kind {
    /// Its name in addresses, deliveries and entities.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// What names a setting among those of its kind.
    pub named: Named,
    /// Whether one shop may have settings of its own.
    pub of_shops: bool,
    /// What a document may hold, beside [`FRAME`].
    pub shape: Shape,
    /// What must hold between its fields.
    pub rule: fn(&Value, &Path<'_>, &mut Problems),
    /// Brings other spellings of a document into the one that is checked.
    pub normalise: fn(&mut Value, &mut Problems),
}

/// What names a setting among those of its kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Named {
    /// A field.
    By(&'static str),
    /// The first of some fields that is there, led by its own name: `sku:X-1`.
    ByOneOf(&'static [&'static str]),
    /// Nothing: a shop has one, or the workspace.
    Single,
}

/// The name of a setting of which there is only one.
pub const SINGLE: &str = "default";
/// The longest name of a shop, in bytes: a domain name has no more.
const SHOP_BYTES_MAX: usize = 255;

/// What every document may say beside its kind's own fields: whose it is, from when until when it
/// holds, in which zone its civil days are, and that the setting is taken back.
pub const FRAME: &[Field] = &[
    may("shop", Shape::Label(SHOP_BYTES_MAX)),
    may("zone", Shape::Zone),
    may("valid_from", Shape::Moment),
    may("valid_until", Shape::Moment),
    may("removed", Shape::Bool),
];

/// Every kind.
pub const KINDS: &[Kind] = &[
    costs::PRODUCT_COSTS,
    costs::COST_SETTINGS,
    costs::FEE_RULES,
    alerts::CALENDARS,
    alerts::ALERT_RULES,
    alerts::BUDGETS,
    badges::BADGES,
    badges::QUESTS,
    badges::XP_RULES,
    alerts::NOTIFICATION_CHANNELS,
    agents::DEFINITIONS,
    agents::CONFIGURATIONS,
];

/// The kind of a name.
#[must_use]
pub fn of(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// What a kind without a rule has.
fn anything(_: &Value, _: &Path<'_>, _: &mut Problems) {}

/// What a kind with one spelling has.
fn as_written(_: &mut Value, _: &mut Problems) {}

impl Kind {
    /// Checks a document; everything that is wrong with it is told.
    pub fn check(&self, document: &Value, scope: &Scope, problems: &mut Problems) {
        let (at, before) = (Path::Root, problems.count());
        if document.get("removed").and_then(Value::as_bool) == Some(true) {
            // What is taken back is named, and nothing is said of it.
            let names: Vec<Field> =
                self.names().iter().map(|name| may(name, Shape::Label(SHOP_BYTES_MAX))).collect();
            shape::object(document, &[FRAME, &names], (&at, scope), problems);
            return;
        }
        match &self.shape {
            Shape::Tagged(tag, base, variants) => {
                let fields = shape::variant(document, (tag, variants), &at, problems);
                shape::object(document, &[FRAME, base, fields], (&at, scope), problems);
            }
            Shape::Object(fields) => {
                shape::object(document, &[FRAME, fields], (&at, scope), problems);
            }
            other => shape::check(document, other, (&at, scope), problems),
        }
        if problems.count() == before {
            (self.rule)(document, &at, problems);
        }
    }

    /// The fields that name a setting.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        match self.named {
            Named::By(field) => vec![field],
            Named::ByOneOf(fields) => fields.to_vec(),
            Named::Single => Vec::new(),
        }
    }

    /// The name of a setting.
    #[must_use]
    pub fn name_of(&self, document: &Value) -> Option<String> {
        let text = |field: &str| document.get(field).and_then(Value::as_str);
        match self.named {
            Named::By(field) => text(field).map(str::to_owned),
            Named::ByOneOf(fields) => {
                let led = |field: &&str| Some(format!("{field}:{}", text(field)?));
                fields.iter().find_map(led)
            }
            Named::Single => Some(SINGLE.to_owned()),
        }
    }

    /// Its fields by their names, for whoever asks what may be set; those of its variants, too.
    #[must_use]
    pub fn fields(&self) -> Vec<&'static Field> {
        match &self.shape {
            Shape::Object(fields) => fields.iter().collect(),
            Shape::Tagged(_, base, variants) => {
                let mut fields: Vec<&Field> = base.iter().collect();
                for field in variants.iter().flat_map(|(_, fields)| fields.iter()) {
                    if fields.iter().all(|known| known.name != field.name) {
                        fields.push(field);
                    }
                }
                fields
            }
            _ => Vec::new(),
        }
    }
}
