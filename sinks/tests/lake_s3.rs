//! The lake through the client of S3, against a server that speaks it: the suite, with credentials
//! from the environment, lists of several pages, and lost answers to manifests.
//!
//! Invariant: the address names a bucket and a prefix, and nothing else of the store is configured.

#![allow(clippy::unwrap_used)]

mod lake_rig;
mod s3;

use std::process::Command;

use ionflux_schemas::snapshot::Change;
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_schemas::view::{Row, Value};
use ionflux_sinks::conformance::{SCENARIOS, check};
use ionflux_sinks::history::COUNTS;
use ionflux_sinks::sink::{Mark, Outgoing};
use lake_rig::Lake;
use tokio::task::spawn_blocking;

const THIS: &str = "the_suite_passes_over_s3";
/// Says that this process is the one that the environment was made for.
const INNER: &str = "IONFLUX_TEST_LAKE_S3";

/// The environment of a process is set before it starts, so that the test runs as its own child.
#[tokio::test]
async fn the_suite_passes_over_s3() {
    if std::env::var(INNER).is_ok() {
        return over_s3().await;
    }
    let address = s3::start().await;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", THIS, "--nocapture"]).env(INNER, "1");
    child.env("AWS_ENDPOINT", format!("http://{address}")).env("AWS_ALLOW_HTTP", "true");
    child.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "hunter2");
    child.env("AWS_REGION", "eu-central-1");
    let ended = spawn_blocking(move || child.output().unwrap()).await.unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

async fn over_s3() {
    let mut lake = Lake::on_s3("bucket", "deep/lake");
    for scenario in SCENARIOS {
        let checked = check(scenario, &mut lake).await;
        checked.unwrap_or_else(|broken| panic!("{broken}: {:?}", broken.cause));
    }
    let lake = Lake::on_s3("bucket", "names");
    let keys = ["", "..", "a/b c", "a%2Fb", "é+&", "<Key>"];
    let new = |key: &&str| {
        let row = Row(vec![Value::text(*key), Value::Int(1)]);
        Change { old: None, new: Some(row) }
    };
    let to = Mark { state: 1, epoch: Epoch(1), as_of: UtcMs(0) };
    let views = vec![(&COUNTS, keys.iter().map(new).collect())];
    let batch = Outgoing { from: None, to, views };
    lake.sink_of(&[&COUNTS]).write(&batch).await.unwrap();
    let contents = lake.contents_of(&[&COUNTS]).await;
    let held = contents["conformance_counts"].keys().map(|key| key[0].to_string());
    let mut expected = keys.map(str::to_owned);
    expected.sort();
    assert_eq!(held.collect::<Vec<_>>(), expected);
}
