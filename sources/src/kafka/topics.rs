//! What topics are called: canonical names, the other spellings that are in use, and the workspace
//! that a name says.
//!
//! Invariant: a topic is read only if one of the patterns is its whole name.

use std::str::FromStr;

/// What stands for the workspace in a pattern.
const WORKSPACE: &str = "{workspace}";
/// What stands for any one part of a name.
const ANY: &str = "*";
/// The longest name of a topic that a broker takes.
pub const TOPIC_BYTES_MAX: usize = 249;

/// The topics that are read unless a configuration names others.
pub const DEFAULT: &[&str] = &[
    "ionflux.shopify.workspace_{workspace}.events_raw",
    "ionflux.shopify.ws_{workspace}.orders",
    "ionflux.shopify.ws_{workspace}.*.*",
    "ionflux.tiktok.workspace_{workspace}.events_raw",
    "ionflux.performance.workspace_{workspace}.metrics_processed",
    "ionflux.platform.activity_events",
    "ionflux.platform.user_activity",
    "platform.shopify.events.*.*",
    "shopify_orders_prod",
    "shop-orders",
    "orders_raw",
    "tiktok_feed_staging",
];

/// A pattern of names: parts between dots, of which `*` stands for any one, and `{workspace}` at
/// the end of a part for the workspace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(Box<str>);

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let plain = |part: &str| part == ANY || part.chars().all(legal);
        let whole = |part: &str| !part.is_empty() && plain(part.trim_end_matches(WORKSPACE));
        let named = text.matches(WORKSPACE).count();
        if text.len() > TOPIC_BYTES_MAX || named > 1 || !text.split('.').all(whole) {
            return Err(format!(
                "{text:?} is no pattern of topics: parts of letters, digits, - and _ between \
                 dots; * for any one part, and {WORKSPACE} at most once, at the end of a part"
            ));
        }
        Ok(Self(text.into()))
    }
}

impl Pattern {
    /// Whether a topic is meant, and which workspace its name says: `None` is another topic, and
    /// `Some(None)` one that belongs to no single workspace.
    #[must_use]
    pub fn workspace<'a>(&self, topic: &'a str) -> Option<Option<&'a str>> {
        let (mut own, mut parts) = (self.0.split('.'), topic.split('.'));
        let mut workspace = None;
        loop {
            match (own.next(), parts.next()) {
                (None, None) => return Some(workspace),
                (Some(ANY), Some(part)) if !part.is_empty() => {}
                (Some(own), Some(part)) => match own.strip_suffix(WORKSPACE) {
                    Some(before) => {
                        let id = part.strip_prefix(before).filter(|id| !id.is_empty())?;
                        workspace = Some(id);
                    }
                    None if own == part => {}
                    None => return None,
                },
                _ => return None,
            }
        }
    }

    /// What the broker is asked for: regular expressions, one for each workspace if they are
    /// given, or one for all that there are and will be.
    #[must_use]
    pub fn subscriptions(&self, workspaces: &[String]) -> Vec<String> {
        let plain = self.0.replace('.', "\\.").replace(ANY, "[^.]+");
        let of = |id: &str| format!("^{}$", plain.replace(WORKSPACE, id));
        match workspaces {
            [] => vec![of("[^.]+")],
            _ if !self.0.contains(WORKSPACE) => vec![of("")],
            some => some.iter().map(|id| of(id)).collect(),
        }
    }
}

/// Which workspace the name of a topic says, by the first pattern that means it.
#[must_use]
pub fn workspace_of<'a>(patterns: &[Pattern], topic: &'a str) -> Option<&'a str> {
    patterns.iter().find_map(|pattern| pattern.workspace(topic)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns() -> Vec<Pattern> {
        DEFAULT.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn names_say_their_workspace() {
        let patterns = patterns();
        let found = |topic| patterns.iter().find_map(|pattern| pattern.workspace(topic));
        for (topic, workspace) in [
            ("ionflux.shopify.workspace_acme.events_raw", Some("acme")),
            ("ionflux.shopify.ws_4f-1.orders", Some("4f-1")),
            ("ionflux.shopify.ws_a_b.orders.created", Some("a_b")),
            ("ionflux.performance.workspace_w.metrics_processed", Some("w")),
            ("platform.shopify.events.orders.created", None),
            ("ionflux.platform.activity_events", None),
            ("orders_raw", None),
        ] {
            assert_eq!(found(topic), Some(workspace), "{topic}");
        }
        for other in [
            "ionflux.shopify.workspace_.events_raw",
            "ionflux.shopify.workspace_a.b.events_raw",
            "xionflux.shopify.workspace_a.events_raw",
            "ionflux.shopify.workspace_a.events_raw.x",
            "ionflux.shopify.ws_a.orders.",
            "orders_raw2",
            "",
        ] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn subscriptions_are_of_all_workspaces_or_of_some() {
        let pattern: Pattern = DEFAULT[0].parse().unwrap();
        assert_eq!(
            pattern.subscriptions(&[]),
            [r"^ionflux\.shopify\.workspace_[^.]+\.events_raw$"]
        );
        assert_eq!(
            pattern.subscriptions(&["a".into(), "b".into()]),
            [
                r"^ionflux\.shopify\.workspace_a\.events_raw$",
                r"^ionflux\.shopify\.workspace_b\.events_raw$"
            ]
        );
        let plain: Pattern = "orders_raw".parse().unwrap();
        assert_eq!(plain.subscriptions(&["a".into(), "b".into()]), ["^orders_raw$"]);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in ["", "a..b", "a b", "{workspace}{workspace}", "a.{workspace}x", "a*", "^a$"] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }
}
