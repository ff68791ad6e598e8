//! Collects what no reader can still want: old manifests, and files that no kept one names.
//!
//! Invariant: a manifest is kept while it is one of the newest or was the newest within the grace;
//! what a kept manifest names stays, and so does whatever was put within the grace, for a write may
//! be about to name it. All times are the store's own.

use std::collections::{BTreeMap, BTreeSet};

use tokio::task::JoinSet;

use super::manifest::{self, FOLDER, Head};
use super::store::{Listed, Store};
use crate::error::SinkError;

/// How long a reader of an epoch has after the next one is there.
pub(super) const GRACE_MS: i64 = 3_600_000;
/// Objects removed by one request.
const REMOVED_AT_ONCE: usize = 1_000;
/// Manifests read at the same time.
const READ_AT_ONCE: usize = 16;

/// What each manifest no longer named of what the one before did, as far as it is known.
pub(super) type Dropped = BTreeMap<u64, Vec<String>>;

/// Removes what is old.
pub(super) async fn sweep(
    store: &Store,
    head: &Head,
    keep: usize,
    dropped: &mut Dropped,
) -> Result<(), SinkError> {
    let manifests = manifest::list(store, 0).await?;
    let (Some((_, newest)), Some(whole)) = (manifests.last(), &head.whole) else { return Ok(()) };
    let before = newest.at - GRACE_MS;
    let first_kept = first_kept(&manifests, keep, before);
    let (old, kept) = manifests.split_at(first_kept);
    // What an old manifest named and a kept one does not, some manifest up to the oldest kept one
    // dropped; what a kept one named is in the newest or was dropped by a later one.
    let mut live: BTreeSet<&str> = whole.objects();
    let later: Vec<u64> = kept.iter().skip(1).map(|(sequence, _)| *sequence).collect();
    let known = learn(store, &later, dropped).await?;
    dropped.retain(|sequence, _| later.contains(sequence));
    live.extend(dropped.values().flatten().map(String::as_str));
    // Manifests go first, so that none is ever there whose files are not.
    let mut removed: Vec<String> = old.iter().map(|(_, listed)| listed.path.clone()).collect();
    for paths in removed.chunks(REMOVED_AT_ONCE) {
        store.remove(paths.to_vec()).await?;
    }
    removed.clear();
    // One that cannot be read may have dropped what another still names.
    if !known {
        return Ok(());
    }
    let keep = |listed: Listed| {
        if listed.at < before && ours(&listed.path) && !live.contains(listed.path.as_str()) {
            removed.push(listed.path);
        }
    };
    store.list("", None, keep).await?;
    for paths in removed.chunks(REMOVED_AT_ONCE) {
        store.remove(paths.to_vec()).await?;
    }
    Ok(())
}

/// Reads what is not known yet, as a program does that has just started; says whether all of it
/// could be read.
async fn learn(store: &Store, later: &[u64], dropped: &mut Dropped) -> Result<bool, SinkError> {
    let unknown: Vec<u64> =
        later.iter().copied().filter(|number| !dropped.contains_key(number)).collect();
    let mut known = true;
    for numbers in unknown.chunks(READ_AT_ONCE) {
        let mut reads = JoinSet::new();
        for number in numbers.iter().copied() {
            let store = store.clone();
            reads.spawn(async move { (number, manifest::read(&store, number).await) });
        }
        while let Some(read) = reads.join_next().await {
            let lost = |_| SinkError::transient("lake: a manifest was not read");
            let (number, manifest) = read.map_err(lost)?;
            match manifest? {
                Some(manifest) => drop(dropped.insert(number, manifest.dropped)),
                None => known = false,
            }
        }
    }
    Ok(known)
}

/// The place of the oldest manifest that is kept.
fn first_kept(manifests: &[(u64, Listed)], keep: usize, before: i64) -> usize {
    let by_number = manifests.len().saturating_sub(keep);
    let followed_within = |at: &usize| manifests[at + 1].1.at >= before;
    (0..by_number).find(followed_within).unwrap_or(by_number)
}

/// Whether an object is one that a sink put, by its place and name: a file of a partition, a part,
/// or a manifest that was not finished. Whole manifests go by their own rule, and a lake in a
/// folder below this one is another's.
fn ours(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').collect();
    match segments.as_slice() {
        [FOLDER, name] => name.ends_with(".part"),
        ["parts", _, name] => numbered(name, ".json"),
        [_, folders @ .., name] => {
            let rest = match folders {
                [first, rest @ ..] if first.starts_with("workspace_id=") => rest,
                rest => rest,
            };
            let rest = match rest {
                [first, rest @ ..] if first.starts_with("day=") => rest,
                rest => rest,
            };
            rest.is_empty() && numbered(name, ".parquet")
        }
        _ => false,
    }
}

/// Epoch, head of the digest, number of the attempt.
fn numbered(name: &str, extension: &str) -> bool {
    let Some(name) = name.strip_suffix(extension) else { return false };
    let words: Vec<&str> = name.split('-').collect();
    let hex = |word: &str| word.bytes().all(|byte| byte.is_ascii_hexdigit());
    words.iter().map(|word| word.len()).eq([20, 16, 16]) && words.iter().all(|word| hex(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_sink_put_is_ours() {
        let file = "00000000000000000007-0123456789abcdef-0123456789abcdef";
        for path in [
            format!("sales/workspace_id=w/day=2026-03-01/{file}.parquet"),
            format!("sales/workspace_id=w/{file}.parquet"),
            format!("sales/day=2026-03-01/{file}.parquet"),
            format!("sales/{file}.parquet"),
            format!("parts/sales/{file}.json"),
            "manifests/00000000000000000007.json.00ff.part".to_owned(),
        ] {
            assert!(ours(&path), "{path}");
        }
        for path in [
            "manifests/00000000000000000007.json".to_owned(),
            format!("other/sales/workspace_id=w/{file}.parquet"),
            format!("other/parts/sales/{file}.json"),
            format!("sales/{file}.csv"),
            "sales/workspace_id=w/mine.parquet".to_owned(),
            format!("{file}.parquet"),
            "_current".to_owned(),
        ] {
            assert!(!ours(&path), "{path}");
        }
    }

    #[test]
    fn manifests_are_kept_by_number_and_by_time() {
        let listed = |at: i64| Listed { path: String::new(), at, size: 0 };
        let at = |times: &[i64]| (1..).zip(times.iter().map(|at| listed(*at))).collect::<Vec<_>>();
        assert_eq!(first_kept(&at(&[1, 2, 3, 4]), 2, 100), 2);
        assert_eq!(first_kept(&at(&[1, 2, 3, 4]), 9, 100), 0);
        // The first was still the newest when the grace began.
        assert_eq!(first_kept(&at(&[1, 100, 101, 102]), 2, 100), 0);
        assert_eq!(first_kept(&at(&[1, 2, 100, 101, 102]), 2, 100), 1);
    }
}
