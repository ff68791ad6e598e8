//! Deliveries of settings out of the journal: what they say, and what is a fault with its letter.

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::entity::{Body, Entity, Setting};
use ionflux_schemas::event::Event;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::letters::{Changes, read_again};
use ionflux_sources::list::read_delivery;
use ionflux_sources::reading::Decoded;

const CAME: UtcMs = UtcMs(1_772_323_200_000);

fn delivery(headers: &[(&str, &str)], body: &str) -> Delivery {
    Delivery {
        source: "settings".into(),
        workspace: "acme".into(),
        received_at: CAME,
        headers: headers.iter().map(|&(name, text)| (name.into(), text.into())).collect(),
        body: body.as_bytes().into(),
    }
}

fn read(body: &str) -> Decoded {
    let decoded =
        read_delivery(&delivery(&[("kind", "fee-rules"), ("by", "ci")], body), Position(7));
    if let Some(letter) = &decoded.letter {
        assert_eq!(read_again(letter, &Changes::default()).unwrap(), decoded);
    }
    decoded
}

fn entity(event: &Event) -> &Entity {
    match event {
        Event::Entity(entity) => entity,
        other => panic!("{other:?}"),
    }
}

fn entities(decoded: &Decoded) -> Vec<(&str, &Entity)> {
    decoded.envelopes.iter().map(|e| (&*e.shop.shop, entity(&e.event))).collect()
}

#[test]
fn a_line_is_a_setting_from_its_instant_on() {
    let body = "{\"document\":{\"percent\":\"2.9\",\"id\":\"a\"},\"name\":\"a\",\"shop\":\"\"}\n\
                {\"name\":\"b\",\"shop\":\"s\",\"valid_from\":1000,\"valid_until\":2000}\n";
    let decoded = read(body);
    assert_eq!((decoded.faults.len(), &decoded.letter), (0, &None));
    let setting = |entity: &Entity| match &entity.body {
        Body::Setting(setting) => setting.clone(),
        other => panic!("{other:?}"),
    };
    let found = entities(&decoded);
    assert_eq!(
        (found[0].0, found[0].1.at, found[1].0, found[1].1.at),
        ("", CAME, "s", UtcMs(1000))
    );
    let document = Some(r#"{"id":"a","percent":"2.9"}"#.into());
    let (kind, by): (Box<str>, Box<str>) = ("fee-rules".into(), "ci".into());
    let first =
        Setting { kind: kind.clone(), name: "a".into(), until: None, document, by: by.clone() };
    assert_eq!(setting(found[0].1), first);
    let until = Some(UtcMs(2000));
    assert_eq!(setting(found[1].1), Setting { kind, name: "b".into(), until, document: None, by });
    let stem = "fee-rules/b/@1970-01-01T00:00:01.000Z/2026-03-01T00:00:00.000Z-";
    assert!(found[1].1.id.starts_with(stem), "{}", found[1].1.id);
    // Read again it is the same change; come again it is another, with a higher version.
    assert_eq!(read(body), decoded);
    let mut again = delivery(&[("kind", "fee-rules"), ("by", "ci")], body);
    again.received_at = UtcMs(CAME.0 + 1);
    let again = read_delivery(&again, Position(8));
    assert!(again.envelopes[0].version > decoded.envelopes[0].version);
    assert_ne!(entities(&again)[0].1.id, entities(&decoded)[0].1.id);
}

#[test]
fn what_is_broken_is_a_fault_beside_what_is_not() {
    let decoded = read("{\"name\":\"a\",\"shop\":\"\"}\nnothing\n{\"name\":\"b\"}\n");
    assert_eq!((decoded.envelopes.len(), decoded.faults.len()), (1, 2));
    let subjects: Vec<&str> = decoded.faults.iter().map(|fault| &*fault.subject).collect();
    assert_eq!(subjects, ["fee-rules, change 2", "fee-rules, change 3"]);
    assert!(decoded.faults[1].reason.contains("shop"), "{}", decoded.faults[1].reason);
    let bare = read_delivery(&delivery(&[], "{\"name\":\"a\",\"shop\":\"\"}"), Position(7));
    assert_eq!((bare.envelopes.len(), bare.faults.len()), (0, 1));
    assert!(bare.faults[0].reason.contains("of which kind"));
}
