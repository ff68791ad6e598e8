//! What lies in a lake: which files a batch puts, names that are hostile to paths, what is
//! collected and what is not, and files that somebody took away.
//!
//! Invariant: a manifest that is there leads to whole files, whatever was collected.

#![allow(clippy::unwrap_used)]

mod lake_rig;
mod program;

use ionflux_schemas::snapshot::Change;
use ionflux_schemas::time::{Day, Epoch, UtcMs};
use ionflux_schemas::view::{Row, Value, View};
use ionflux_sinks::history::{COUNTS, SALES, VIEWS};
use ionflux_sinks::sink::Outgoing;
use lake_rig::Lake;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use program::{COUNTS_2, batch, change, row};

const STATE: u128 = 5;
const HOUR_MS: u64 = 3_600_000;

/// A view by instant.
static HOURS: View = View {
    name: "hours",
    schema: r#"{"type": "record", "name": "hours", "doc": "Sums.",
    "ionflux.key": ["workspace_id", "hour"],
    "fields": [
        {"name": "workspace_id", "type": "string", "doc": "The tenant."},
        {"name": "hour", "type": {"type": "long", "logicalType": "timestamp-millis"}, "doc": "d"}
    ]}"#,
    ..COUNTS
};

/// A batch of changes to the view of counts.
fn counts(from: Option<u64>, to: u64, changes: Vec<Change>) -> Outgoing {
    batch(STATE, from, to, vec![(&SALES, vec![]), (&COUNTS, changes)])
}

/// The counts in the newest manifest, by workspace.
async fn shown(lake: &Lake) -> Vec<(String, i64)> {
    let contents = lake.contents_of(&VIEWS).await;
    let rows = contents.get("conformance_counts").into_iter().flat_map(|rows| rows.values());
    let pair = |row: &Row| match row.0.as_slice() {
        [Value::Text(key), Value::Int(units)] => (key.to_string(), *units),
        other => panic!("{other:?}"),
    };
    rows.map(pair).collect()
}

fn pairs(all: &[(&str, i64)]) -> Vec<(String, i64)> {
    all.iter().map(|(key, units)| ((*key).to_owned(), *units)).collect()
}

fn files_among(puts: Vec<String>) -> Vec<String> {
    puts.into_iter().filter(|path| path.ends_with(".parquet")).collect()
}

#[tokio::test]
async fn only_touched_partitions_are_put_and_a_snapshot_puts_what_differs() {
    let lake = Lake::in_memory();
    let mut sink = lake.sink_of(&VIEWS);
    let first = ["a", "b", "c"].map(|key| change(None, row(key, 1))).to_vec();
    sink.write(&counts(None, 1, first)).await.unwrap();
    assert_eq!(files_among(lake.store.puts()).len(), 3);
    // One of a key comes before the one that goes, and one file goes.
    let next = vec![
        change(None, row("d", 4)),
        change(None, row("b", 2)),
        change(row("b", 1), None),
        change(row("c", 1), None),
    ];
    sink.write(&counts(Some(1), 2, next)).await.unwrap();
    assert_eq!(shown(&lake).await, pairs(&[("a", 1), ("b", 2), ("d", 4)]));
    let puts = lake.store.puts();
    let parts = puts.iter().filter(|path| path.starts_with("parts/")).count();
    assert_eq!((files_among(puts).len(), parts), (2, 1), "the other view shares its part");
    // The snapshot of another state has the same rows but for one.
    let all = [("a", 1), ("b", 3), ("d", 4)].map(|(key, units)| change(None, row(key, units)));
    let mut snapshot = counts(None, 1, all.to_vec());
    snapshot.to.state = STATE + 1;
    lake.sink_of(&VIEWS).write(&snapshot).await.unwrap();
    assert_eq!(files_among(lake.store.puts()).len(), 1);
    assert_eq!(lake.sink_of(&VIEWS).resume().await.unwrap(), Some(snapshot.to));
    // The old program is told, and brings its own.
    let late = sink.write(&counts(Some(2), 3, vec![])).await.unwrap_err();
    assert!(late.passing(), "{late}");
}

#[tokio::test]
async fn workspaces_of_any_name_come_change_and_go() {
    let long = "x".repeat(700);
    let longer = format!("{long}/..");
    let keys = [
        "",
        ".",
        "..",
        "../../etc",
        "a/b",
        "a%2Fb",
        "a b",
        "w=1",
        "W",
        "w",
        "é",
        "\0",
        "~",
        "#1",
        "C:\\",
        "manifests",
        "\u{2400}",
        &long,
        &longer,
    ];
    for lake in [Lake::in_memory(), Lake::on_disk(true)] {
        let mut sink = lake.sink_of(&VIEWS);
        let first = keys.iter().map(|key| change(None, row(key, 1))).collect();
        sink.write(&counts(None, 1, first)).await.unwrap();
        assert_eq!(shown(&lake).await.len(), keys.len());
        let next = keys.iter().map(|key| change(row(key, 1), row(key, 2))).collect();
        sink.write(&counts(Some(1), 2, next)).await.unwrap();
        let mut expected = pairs(&keys.map(|key| (key, 2)));
        expected.sort();
        assert_eq!(shown(&lake).await, expected);
        let whole = keys.iter().map(|key| change(None, row(key, 2))).collect();
        lake.sink_of(&VIEWS).write(&counts(None, 3, whole)).await.unwrap();
        assert_eq!(shown(&lake).await, expected);
        let last = keys[1..].iter().map(|key| change(row(key, 2), None)).collect();
        sink.resume().await.unwrap();
        sink.write(&counts(Some(3), 4, last)).await.unwrap();
        assert_eq!(shown(&lake).await, pairs(&[("", 2)]));
        if let Some(folder) = &lake.folder {
            let around = std::fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(around, 1, "nothing is put outside the lake");
        }
    }
}

#[tokio::test]
async fn what_a_kept_manifest_names_is_never_collected() {
    let lake = Lake::in_memory();
    let stray = "conformance_counts/workspace_id=w/\
                 00000000000000000000-0123456789abcdef-0123456789abcdef.parquet";
    let (mine, part) = ("conformance_counts/workspace_id=w/mine.parquet", "notes.txt");
    for path in [stray, mine, part] {
        let path = Path::parse(path).unwrap();
        lake.store.inner.put(&path, "stray".into()).await.unwrap();
    }
    let mut sink = lake.sink_of(&VIEWS);
    sink.write(&counts(None, 1, vec![change(None, row("still", 1))])).await.unwrap();
    let mut most = 0;
    for epoch in 2..80_u64 {
        // At first six to an hour, then long apart; every tenth program is new.
        let now_ms = if epoch < 40 { epoch * HOUR_MS / 6 } else { epoch * 2 * HOUR_MS };
        lake.store.at(now_ms);
        if epoch.is_multiple_of(10) {
            sink = lake.sink_of(&VIEWS);
            assert!(sink.resume().await.unwrap().is_some());
        }
        let key = |of: u64| format!("w{}", of % 4);
        let old = (epoch > 2).then(|| row(&key(epoch - 1), epoch as i64 - 1)).flatten();
        let changes = vec![change(old, None), change(None, row(&key(epoch), epoch as i64))];
        sink.write(&counts(Some(epoch - 1), epoch, changes)).await.unwrap();
        let manifests = lake.manifests().await;
        for path in &manifests {
            assert!(lake.contents_at(path, &VIEWS).await.is_some(), "{path} at {epoch}");
        }
        assert!(manifests.len() >= 3 || epoch < 3);
        if (10..40).contains(&epoch) {
            let hour_ago = format!("manifests/{:020}.json", epoch - 6);
            assert!(manifests.contains(&hour_ago), "{epoch}: {manifests:?}");
        }
        most = most.max(lake.objects().await.len());
    }
    assert!(most < 60, "{most} objects are left");
    let left = lake.objects().await;
    assert!(!left.contains(&stray.to_owned()), "{left:?}");
    assert!(left.contains(&mine.to_owned()) && left.contains(&part.to_owned()), "{left:?}");
    assert!(lake.manifests().await.len() <= 6, "{left:?}");
}

#[tokio::test]
async fn a_file_that_is_gone_or_damaged_is_put_anew() {
    let damages: [(&str, Option<&str>); 3] =
        [("gone", None), ("empty", Some("")), ("other", Some("PAR1 of somebody else PAR1"))];
    for (name, damage) in damages {
        let lake = Lake::in_memory();
        let mut sink = lake.sink_of(&VIEWS);
        let first = ["a", "b"].map(|key| change(None, row(key, 1))).to_vec();
        sink.write(&counts(None, 1, first.clone())).await.unwrap();
        let file = Path::parse(&lake.files("conformance_counts").await[0]).unwrap();
        match damage {
            None => lake.store.inner.delete(&file).await.unwrap(),
            Some(text) => drop(lake.store.inner.put(&file, text.to_owned().into()).await.unwrap()),
        }
        let next = vec![change(row("a", 1), row("a", 2))];
        let error = sink.write(&counts(Some(1), 2, next)).await.unwrap_err();
        assert!(error.passing() && error.to_string().contains("gone or damaged"), "{name}");
        assert_eq!(sink.resume().await.unwrap(), None, "{name}");
        let all = [("a", 2), ("b", 1)].map(|(key, units)| change(None, row(key, units)));
        sink.write(&counts(None, 2, all.to_vec())).await.unwrap();
        assert_eq!(shown(&lake).await, pairs(&[("a", 2), ("b", 1)]), "{name}");
        assert_eq!(sink.resume().await.unwrap().unwrap().epoch, Epoch(2));
    }
    // A snapshot of somebody who has not noticed.
    let lake = Lake::in_memory();
    let first = vec![change(None, row("a", 1))];
    lake.sink_of(&VIEWS).write(&counts(None, 1, first.clone())).await.unwrap();
    let file = Path::parse(&lake.files("conformance_counts").await[0]).unwrap();
    lake.store.inner.delete(&file).await.unwrap();
    lake.sink_of(&VIEWS).write(&counts(None, 2, first)).await.unwrap();
    assert_eq!(shown(&lake).await, pairs(&[("a", 1)]));
}

#[tokio::test]
async fn views_of_other_versions_and_rows_that_do_not_fit() {
    let lake = Lake::in_memory();
    let mut sink = lake.sink_of(&VIEWS);
    let first = vec![change(None, row("a", 1))];
    sink.write(&counts(None, 1, first.clone())).await.unwrap();
    let mut newer = lake.sink_of(&[&SALES, &COUNTS_2]);
    assert_eq!(newer.resume().await.unwrap(), None, "a snapshot has to follow");
    let wide = Row(vec![Value::text("a"), Value::Int(1), Value::Int(2)]);
    let views = vec![(&COUNTS_2, vec![change(None, Some(wide))])];
    newer.write(&Outgoing { views, ..counts(None, 1, vec![]) }).await.unwrap();
    assert!(newer.resume().await.unwrap().is_some());
    let error = sink.resume().await.unwrap_err();
    assert!(!error.passing() && error.to_string().contains("a newer program"), "{error}");

    let lake = Lake::in_memory();
    let mut sink = lake.sink_of(&VIEWS);
    let twice = vec![change(None, row("a", 1)), change(None, row("a", 2))];
    let error = sink.write(&counts(None, 1, twice)).await.unwrap_err();
    assert!(!error.passing() && error.to_string().contains("two rows of one key"), "{error}");
    let error = sink.write(&counts(Some(1), 1, vec![])).await.unwrap_err();
    assert!(!error.passing(), "{error}");
    let error = sink.write(&counts(Some(1), 2, first)).await.unwrap_err();
    assert!(error.passing(), "a gap passes: {error}");
}

#[tokio::test]
async fn instants_lie_in_the_folder_of_their_utc_day() {
    let lake = Lake::in_memory();
    let at = |ms| Row(vec![Value::text("w"), Value::Instant(UtcMs(ms))]);
    let rows = [0, 86_399_999, 86_400_000, -1].map(|ms| change(None, Some(at(ms))));
    let views = vec![(&HOURS, rows.to_vec())];
    let batch = Outgoing { views, ..counts(None, 1, vec![]) };
    lake.sink_of(&[&HOURS]).write(&batch).await.unwrap();
    let days: Vec<String> =
        lake.files("hours").await.iter().map(|path| path[..35].into()).collect();
    let folder = |day: Day| format!("hours/workspace_id=w/day={day}");
    assert_eq!(days, [folder(Day(-1)), folder(Day(0)), folder(Day(1))]);
}
