//! `ionflux schemas`: what it puts into a registry, over HTTP.
//!
//! Invariant: what the command registers is what the sink of the same configuration asks for.

use ionflux::config::Config;
use ionflux_operators::list;

use crate::bench::Bench;
use crate::confluent::Server;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/avro");

/// A configuration with a registry and lines of the section of a Kafka sink; gives the command.
fn register(bench: &Bench, server: &Server, sink: &str) -> String {
    let url = server.url();
    // The command asks no broker: nobody listens there.
    let sink = format!("[sinks.kafka]\nbrokers = \"127.0.0.1:1\"\n{sink}");
    bench.write("ionflux.toml", format!("[registry]\nurl = \"{url}\"\n{sink}"));
    format!("schemas register --config ionflux.toml --folder {FOLDER}")
}

#[test]
fn schemas_are_registered_under_their_full_names() {
    let (bench, server) = (Bench::new(), Server::start());
    bench.write("ionflux.toml", format!("[registry]\nurl = \"{}\"\n", server.url()));
    let said = bench.good(&format!("schemas register --config ionflux.toml --folder {FOLDER}"));
    let held = server.held.lock().unwrap();
    assert!(held.subjects.contains_key("ionflux.views.v1.faults"), "{said}");
    assert!(held.subjects.contains_key("ionflux.events.v1.platform_event"), "{said}");
    assert_eq!(said.lines().count(), held.subjects.len());
    assert!(!held.subjects.keys().any(|name| name.ends_with("-value")));
}

#[test]
fn what_a_sink_in_avro_will_ask_for_is_there_after_it() {
    for envelope in ["upsert", "debezium"] {
        let (bench, server) = (Bench::new(), Server::start());
        let options = format!("format = \"avro\"\nenvelope = \"{envelope}\"\noutputs = true\n");
        let command = register(&bench, &server, &options);
        let said = bench.good(&command);
        let config = Config::read(&bench.path().join("ionflux.toml")).unwrap();
        let needed = config.sinks.subjects(&list::views()).unwrap();
        assert_eq!(needed.len(), 2 * list::views().len() + 1);
        for subject in needed {
            let held = server.held.lock().unwrap();
            let [id] = held.subjects[&subject.name][..] else { panic!("{}", subject.name) };
            assert_eq!(held.schemas[&id]["schema"], subject.definition);
            assert!(said.contains(&format!("\n{}: schema {id}\n", subject.name)), "{said}");
        }
        server.held.lock().unwrap().read_only = true;
        assert_eq!(bench.good(&command), said, "done again it does nothing");
    }
}

#[test]
fn what_breaks_a_subject_is_named_and_json_needs_none() {
    let (bench, server) = (Bench::new(), Server::start());
    bench.good(&register(&bench, &server, ""));
    let subject = "ionflux.views.revenue_by_day-value";
    assert!(!server.held.lock().unwrap().subjects.contains_key(subject));
    {
        let mut held = server.held.lock().unwrap();
        let other = serde_json::json!({ "schema": "\"string\"" });
        held.schemas.insert(99, other);
        held.subjects.insert(subject.into(), vec![99]);
    }
    let command = register(&bench, &server, "format = \"avro\"\n");
    bench.refused(&command, 1, &[subject, "the registry says it breaks", "hint: "]);
}
