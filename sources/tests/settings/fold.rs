//! What holds at an instant follows from the set of changes: neither their order nor how often
//! one is told can be seen.

use ionflux_schemas::entity::Setting;
use ionflux_schemas::key::Version;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::settings::effective::Timeline;
use proptest::prelude::*;

type Told = (UtcMs, Version, Setting);

/// A change that holds from an instant until another, and came at a third.
fn change(from: i64, until: Option<i64>, came: i64, document: Option<u8>) -> Told {
    let document = document.map(|number| Box::from(format!("{{\"n\":{number}}}")));
    let (kind, name, by) = ("k".into(), "n".into(), "t".into());
    let setting = Setting { kind, name, until: until.map(UtcMs), document, by };
    let content = format!("{from} {setting:?}");
    (UtcMs(from), Version::new(UtcMs(came), UtcMs(came), content.as_bytes()), setting)
}

fn folded(changes: &[Told]) -> Timeline {
    let mut timeline = Timeline::default();
    for (from, version, setting) in changes {
        timeline.add(*from, *version, setting.clone());
    }
    timeline
}

/// The same by a plain reading of the rule: drop what a later version of the same instant
/// replaces, then what has not begun or has ended, and take what began last.
fn oracle(changes: &[Told], at: UtcMs) -> Option<Told> {
    let replaced = |one: &Told| changes.iter().any(|other| other.0 == one.0 && other.1 > one.1);
    let holds = |one: &&Told| one.0 <= at && one.2.until.is_none_or(|until| at < until);
    let holding = changes.iter().filter(|one| !replaced(one)).filter(holds);
    holding.max_by_key(|one| one.0).cloned()
}

fn changes() -> impl Strategy<Value = Vec<Told>> {
    let one = (0..6_i64, prop::option::of(0..8_i64), 0..6_i64, prop::option::of(0..3_u8));
    prop::collection::vec(
        one.prop_map(|(from, until, came, n)| change(from, until, came, n)),
        0..12,
    )
}

proptest! {
    #[test]
    fn the_fold_is_the_rule_in_any_order(
        (changes, shuffled) in changes().prop_flat_map(|changes| {
            let mut twice = changes.clone();
            twice.extend(changes.iter().take(3).cloned());
            (Just(changes), Just(twice).prop_shuffle())
        }),
    ) {
        let timeline = folded(&shuffled);
        prop_assert_eq!(&timeline, &folded(&changes));
        for at in -1..9 {
            let told = timeline.at(UtcMs(at));
            let told = told.map(|(from, version, setting)| (from, *version, setting.clone()));
            prop_assert_eq!(told, oracle(&changes, UtcMs(at)));
        }
    }
}

#[test]
fn later_instants_win_then_later_versions_and_what_ends_gives_way() {
    let timeline = folded(&[
        change(10, None, 1, Some(1)),
        change(20, Some(30), 2, Some(2)),
        change(20, Some(25), 3, Some(3)),
        change(40, None, 0, None),
    ]);
    let at = |at: i64| {
        let (_, _, setting) = timeline.at(UtcMs(at))?;
        Some(setting.document.as_deref().unwrap_or("taken back").to_owned())
    };
    assert_eq!(at(9), None);
    assert_eq!(at(10).as_deref(), Some("{\"n\":1}"));
    assert_eq!(at(24).as_deref(), Some("{\"n\":3}"));
    // Corrected to end earlier: the longer one, which it replaced, does not come back.
    assert_eq!(at(25).as_deref(), Some("{\"n\":1}"));
    assert_eq!(at(40).as_deref(), Some("taken back"));
}
