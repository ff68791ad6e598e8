//! What is worth points, a badge, or a quest.

use serde_json::Value;

use super::{Kind, Named, anything, as_written};
use crate::settings::problem::{Path, Problems};
use crate::settings::shape::{Shape, may, needs};

/// The longest name for people, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// The longest description, in bytes.
const TEXT_BYTES_MAX: usize = 4_000;
/// The most points of one award.
const XP_MAX: u64 = 1_000_000;
/// The most steps of a quest.
const STEPS_MAX: usize = 50;

const NAME: Shape = Shape::Label(NAME_BYTES_MAX);
const TEXT: Shape = Shape::Text(TEXT_BYTES_MAX);
const XP: Shape = Shape::Whole(0, XP_MAX);

/// Badges.
pub const BADGES: Kind = Kind {
    name: "badges",
    about: "badges and what a user or an agent must have done to get them",
    named: Named::By("id"),
    of_shops: false,
    shape: Shape::Object(&[
        needs("id", Shape::Id),
        needs("name", NAME),
        may("description", TEXT),
        may("image_url_template", Shape::Url),
        needs("criteria", Shape::Criterion),
        may("is_secret", Shape::Bool),
        may("reward_xp", XP),
        may("active", Shape::Bool),
    ]),
    rule: anything,
    normalise: as_written,
};

/// Quests.
pub const QUESTS: Kind = Kind {
    name: "quests",
    about: "quests: steps with conditions, one after another, and their reward",
    named: Named::By("id"),
    of_shops: false,
    shape: Shape::Object(&[
        needs("id", Shape::Id),
        needs("name", NAME),
        may("description", TEXT),
        needs("steps", Shape::List(&STEP, STEPS_MAX)),
        may("reward_xp", XP),
        may("reward_badge_id", Shape::Id),
        may("active", Shape::Bool),
    ]),
    rule: steps_apart,
    normalise: as_written,
};

const STEP: Shape = Shape::Object(&[
    needs("id", Shape::Id),
    may("name", NAME),
    may("description", TEXT),
    needs("criteria", Shape::Criterion),
]);

fn steps_apart(document: &Value, at: &Path<'_>, problems: &mut Problems) {
    let steps = document.get("steps").and_then(Value::as_array);
    let ids: Vec<Option<&Value>> = steps.into_iter().flatten().map(|step| step.get("id")).collect();
    for (index, id) in ids.iter().enumerate() {
        if ids[..index].contains(id) {
            let at = at.member("steps");
            problems.add(&at.element(index).member("id"), "is the id of an earlier step");
        }
    }
}

/// What events are worth.
pub const XP_RULES: Kind = Kind {
    name: "xp-rules",
    about: "what an event is worth in points, how often in a day, and once for each of what",
    named: Named::By("id"),
    of_shops: false,
    shape: Shape::Object(&[
        needs("id", Shape::Id),
        needs("event", Shape::Dotted),
        may("filter", Shape::Filter),
        needs("points", XP),
        may("cap_per_day", Shape::Whole(1, XP_MAX)),
        may("once_per", Shape::Dotted),
        may("active", Shape::Bool),
    ]),
    rule: anything,
    normalise: as_written,
};
