//! `ionflux config`: what it says of a file, and what it refuses before anything is sent.

use ionflux::config::Config;

use crate::bench::Bench;

#[test]
fn a_configuration_is_good_or_its_mistake_is_named() {
    let bench = Bench::new();
    bench.write("ionflux.toml", bench.good("config reference"));
    assert_eq!(Config::read(&bench.path().join("ionflux.toml")).unwrap(), Config::default());
    assert_eq!(bench.good("config check ionflux.toml"), "good\n");
    bench.write("bad.toml", "workers = 1\nworker = 2\n");
    bench.refused("config check bad.toml", 2, &["bad.toml", "line 2", "worker", "hint: "]);
    bench.refused("config check none.toml", 2, &["none.toml"]);
    bench.refused("config", 2, &["check", "reference", "import"]);
}

#[test]
fn a_file_of_settings_is_checked_before_anything_is_sent() {
    let bench = Bench::new();
    bench.write(
        "bad.yaml",
        "id: x\nname: X\nversion: 0.2\ntriggers:\n  - {type: cron, cron: '* *'}\n",
    );
    let named = ["bad.yaml", "line 5: triggers[0].cron_expression: has 2 fields"];
    bench.refused("config import bad.yaml", 2, &named);
    bench.write("broken.yaml", "a: [\n");
    bench.refused("config import broken.yaml", 2, &["broken.yaml", "line 1", "nothing was set"]);
    bench.refused("config import none.yaml", 2, &["none.yaml"]);
    bench.write("good.yaml", "id: x\nname: X\nversion: 0.2\n");
    let unset = "config import good.yaml --token-variable IONFLUX_TEST_UNSET";
    bench.refused(unset, 2, &["IONFLUX_TEST_UNSET", "token"]);
    bench.refused("config import good.yaml --url nowhere", 2, &["--url nowhere"]);
}

#[cfg(feature = "kafka")]
#[test]
fn a_sink_in_avro_without_a_registry_is_refused_before_anything_starts() {
    let bench = Bench::new();
    let sink = "[sinks.kafka]\nbrokers = \"127.0.0.1:1\"\nformat = \"avro\"\n";
    bench.write("avro.toml", sink);
    let named = ["avro.toml", "sinks.kafka.format", "avro needs a schema registry", "[registry]"];
    for command in ["config check avro.toml", "run --config avro.toml"] {
        bench.refused(command, 2, &named);
    }
    assert!(!bench.path().join("state").exists());
    bench.write("avro.toml", format!("{sink}[registry]\nurl = \"http://127.0.0.1:1\"\n"));
    assert_eq!(bench.good("config check avro.toml"), "good\n");
}

#[cfg(feature = "kafka")]
#[test]
fn topics_that_may_be_others_are_not_deleted() {
    let bench = Bench::new();
    // Nobody listens there: it is refused before anybody is asked.
    bench.write("all.toml", "[kafka]\nbrokers = \"127.0.0.1:1\"\n");
    bench.write("own.toml", "[kafka]\nbrokers = \"127.0.0.1:1\"\nworkspaces = [\"a\"]\n");
    let apply = |config: &str, topic: &str, named: &[&str]| {
        bench.refused(&format!("topics apply --config {config} --delete {topic}"), 2, named);
    };
    apply("all.toml", "ionflux.shopify.workspace_b.events_raw", &["--delete", "kafka.workspaces"]);
    apply("own.toml", "ionflux.shopify.workspace_a.events_raw", &["the catalogue names it"]);
    apply("own.toml", "orders_raw", &["orders_raw", "ionflux.*"]);
    bench.refused("topics apply --config own.toml --delete", 2, &["--delete <TOPIC>"]);
    let replay = "faults replay --state books --config own.toml";
    bench.refused(replay, 2, &["own.toml", "[registry]"]);
}
