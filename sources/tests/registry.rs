//! The client of a schema registry, against a server of the same API.
//!
//! Invariant: what may go well the next time is told from what never will.

#![allow(clippy::unwrap_used)]

mod confluent;

use confluent::Server;
use ionflux_sources::poller::Stop;
use ionflux_sources::registry::{Credentials, Language, Registry, RegistryError};
use serde_json::json;

const ONE: &str = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"string"}]}"#;
const OTHER: &str = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"long"}]}"#;

#[test]
fn schemas_are_put_in_checked_and_asked_once() {
    let server = Server::start();
    let mut registry = Registry::new(&server.url(), None).unwrap();
    let stop = Stop::default();
    assert_eq!(registry.compatible("s", ONE, &stop), Ok(Ok(())), "a subject without a version");
    assert_eq!(registry.known("s", ONE, &stop), Ok(None));
    let id = registry.register("s", ONE, &stop).unwrap();
    assert_eq!(registry.known("s", ONE, &stop), Ok(Some(id)));
    assert_eq!(registry.known("s", OTHER, &stop), Ok(None));
    assert_eq!(registry.register("s", ONE, &stop), Ok(id), "put in again it is the same");
    assert_eq!(server.held.lock().unwrap().subjects["s"], [id]);
    assert_eq!(registry.compatible("s", ONE, &stop), Ok(Ok(())));
    assert!(registry.compatible("s", OTHER, &stop).unwrap().is_err());
    let refused = registry.register("s", OTHER, &stop).unwrap_err();
    assert!(matches!(&refused, RegistryError::Refused(why) if why.contains("409")), "{refused}");
    server.held.lock().unwrap().read_only = true;
    let refused = registry.register("s", ONE, &stop).unwrap_err();
    assert!(matches!(&refused, RegistryError::Refused(why) if why.contains("read-only")));
    assert_eq!(registry.known("s", ONE, &stop), Ok(Some(id)), "it still tells what it has");

    let before = server.held.lock().unwrap().asked;
    for _ in 0..3 {
        let found = registry.schema(id).unwrap();
        assert_eq!((found.language, &*found.text), (Language::Avro, ONE));
    }
    assert_eq!(server.held.lock().unwrap().asked, before + 1);
}

#[test]
fn unknown_refused_and_away_are_told_apart() {
    let server = Server::start();
    let mut registry = Registry::new(&server.url(), None).unwrap();
    assert_eq!(registry.schema(7), Err(RegistryError::Unknown("schema 7".into())));
    {
        let mut held = server.held.lock().unwrap();
        held.schemas.insert(1, json!({ "schema": "syntax", "schemaType": "PROTOBUF" }));
        held.schemas.insert(2, json!({ "schema": "{}", "schemaType": "JSON" }));
        held.schemas.insert(3, json!({ "schema": "\"string\"", "references": [{ "name": "x" }] }));
        held.schemas.insert(4, json!({ "schema": format!("\"{}\"", "s".repeat(70_000)) }));
    }
    assert_eq!(registry.schema(2).unwrap().language, Language::Json);
    for (id, why) in [(1, "neither"), (3, "refers"), (4, "longer")] {
        let refused = registry.schema(id).unwrap_err();
        assert!(
            matches!(&refused, RegistryError::Refused(said) if said.contains(why)),
            "{refused}"
        );
    }
    server.held.lock().unwrap().away = 1;
    assert!(matches!(registry.schema(5), Err(RegistryError::Transient(_))));
    assert!(matches!(registry.schema(5), Err(RegistryError::Unknown(_))), "it is back");
    // Nobody listens there any more.
    let url = server.url();
    drop(server);
    let mut gone = Registry::new(&url, None).unwrap();
    assert!(matches!(gone.schema(1), Err(RegistryError::Transient(_))));
}

#[test]
fn what_is_away_for_a_moment_is_tried_again() {
    let server = Server::start();
    let registry = Registry::new(&server.url(), None).unwrap();
    server.held.lock().unwrap().away = 2;
    assert_eq!(registry.register("s", ONE, &Stop::default()), Ok(1));
    server.held.lock().unwrap().away = u32::MAX;
    let stop = Stop::default();
    stop.ask();
    assert!(registry.register("s", ONE, &stop).is_err(), "told to stop, it does not wait");
}

#[test]
fn credentials_are_shown_to_the_registry_and_to_nobody_else() {
    let server = Server::start();
    // user:p4ss
    server.held.lock().unwrap().authorization = Some("Basic dXNlcjpwNHNz".into());
    let credentials =
        |password: &str| Some(Credentials { user: "user".into(), password: password.into() });
    assert!(!format!("{:?}", credentials("p4ss")).contains("p4ss"));
    let mut right = Registry::new(&server.url(), credentials("p4ss")).unwrap();
    assert!(matches!(right.schema(1), Err(RegistryError::Unknown(_))));
    let mut wrong = Registry::new(&server.url(), credentials("wr0ng")).unwrap();
    let refused = wrong.schema(1).unwrap_err().to_string();
    assert!(refused.contains("401") && !refused.contains("wr0ng"), "{refused}");
    assert!(Registry::new("http://user:p4ss@127.0.0.1:1", None).is_err());
    assert!(Registry::new("ftp://127.0.0.1", None).is_err());
}
