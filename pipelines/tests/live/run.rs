//! `ionflux run` as those who send to it, watch it and restart it see it.

use std::process::Command;

use crate::instance::{Instance, Load, OTHER_SECRET, OTHER_VARIABLE, SECRET, SECRET_VARIABLE};

#[test]
fn a_delivery_is_taken_only_with_a_signature_of_its_workspace() {
    let folder = tempfile::tempdir().unwrap();
    let instance = Instance::start(folder.path(), 1).listening();
    let body = r#"{"id":1}"#;
    let good = instance.sign(body);
    let other = instance.sign("another body");
    for (workspace, signature, status) in [
        ("acme", Some(good.as_str()), 200),
        ("acme", Some(other.as_str()), 401),
        ("acme", Some("not base64"), 401),
        ("acme", None, 401),
        ("nobody", Some(good.as_str()), 401),
    ] {
        assert_eq!(instance.post(workspace, signature, body), status, "{workspace} {signature:?}");
    }
    instance.terminate();
}

#[test]
fn what_was_taken_is_there_after_a_restart_and_one_process_has_the_state() {
    let folder = tempfile::tempdir().unwrap();
    let load = Load::new(3, 300);
    let instance = Instance::start(folder.path(), 2).listening();
    instance.send_until(&load, 4, 300);
    instance.ready();

    let second = Command::new(env!("CARGO_BIN_EXE_ionflux"))
        .args(["run", "--config"])
        .arg(folder.path().join("ionflux.toml"))
        .env(SECRET_VARIABLE, SECRET)
        .env(OTHER_VARIABLE, OTHER_SECRET)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("in use by process {}", instance.id())), "{said}");
    let health = instance.get("/readyz");
    assert_eq!(health.0, 200, "{}", health.1);
    assert!(health.1.contains("\"journal\"") && health.1.contains("\"ledger\""), "{}", health.1);
    let metrics = instance.get("/metrics").1;
    for name in [
        "ionflux_journal_bytes",
        "ionflux_journal_fsync_seconds_bucket",
        "ionflux_open_epochs",
        "ionflux_epoch_seconds_count",
        "ionflux_freshness_seconds_count",
        "ionflux_ledger_entities",
        "ionflux_ledger_bytes",
        "ionflux_hydration_entities",
        "ionflux_faults",
        "ionflux_http_requests_total",
    ] {
        assert!(metrics.contains(&format!("\n{name}")), "no {name} in {metrics}");
    }
    instance.terminate();

    let rows = |workers| {
        let instance = Instance::start(folder.path(), workers).listening();
        instance.ready();
        let text = instance.get("/v1/views/revenue_by_day").1;
        instance.terminate();
        text.split_once("\"rows\":").map(|(_, rows)| rows.to_owned()).unwrap()
    };
    let counted = rows(1);
    assert!(counted.len() > 100, "{counted}");
    assert_eq!(rows(3), counted);
}

#[test]
fn a_journal_that_ends_before_the_ledger_is_refused_and_one_that_is_gone_begins_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("state/journal");
    let load = Load::new(5, 60);
    let instance = Instance::start(folder.path(), 1).listening();
    instance.send_until(&load, 2, 40);
    instance.terminate();

    let segment = std::fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.filter(|path| path.extension().is_some()).max().unwrap();
    let whole = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &whole[..whole.len() / 2]).unwrap();
    let refused = Instance::start(folder.path(), 1).said();
    assert!(refused.contains("the journal ends at") && refused.contains("hint: "), "{refused}");

    std::fs::remove_dir_all(&journal).unwrap();
    let instance = Instance::start(folder.path(), 1).listening();
    instance.send_until(&load, 2, 60);
    instance.terminate();
    let calm = folder.path().join("calm");
    let instance = Instance::start(&calm, 1).listening();
    instance.send_until(&Load::new(5, 60), 2, 60);
    instance.terminate();
    let orders = |folder: &std::path::Path| {
        let sql = "SELECT sum(orders) AS n FROM revenue_by_day";
        let output = Command::new(env!("CARGO_BIN_EXE_ionflux"))
            .args(["query", "--output", "csv", "--state"])
            .arg(folder.join("state"))
            .arg(sql)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(orders(folder.path()), orders(&calm), "what was acknowledged later is counted");
}

#[test]
fn a_secret_that_is_not_there_is_a_mistake_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    Instance::start(folder.path(), 1).kill_after_lines(0);
    let output = Command::new(env!("CARGO_BIN_EXE_ionflux"))
        .args(["run", "--config"])
        .arg(folder.path().join("ionflux.toml"))
        .env_remove(SECRET_VARIABLE)
        .env(OTHER_VARIABLE, OTHER_SECRET)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(SECRET_VARIABLE) && !said.contains(SECRET), "{said}");
}
