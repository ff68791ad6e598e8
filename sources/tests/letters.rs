//! Dead letters: every record with faults keeps its bytes, and reading them again says the same.
//!
//! Invariant: an answer has a letter exactly when it has faults, and the letter read again is that
//! answer, with the same letter.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::letter::Letter;
use ionflux_schemas::time::Zone;
use ionflux_sources::files::input::Origin;
use ionflux_sources::files::mapped_csv;
use ionflux_sources::files::mapping::Mapping;
use ionflux_sources::letters::{CUT_BYTES, Changes, LetterError, read_again};
use ionflux_sources::reading::{Decoded, Setting};
use ionflux_sources::shopify::{bulk_file, orders_csv, webhook_file};
use proptest::prelude::*;

const MAPPING: &str = r#"
shop = "s"
currency = "USD"

[columns]
order = "invoice"
product = "sku"
quantity = "qty"
unit_price = "price"
time = "at"
discount = "off"

[[leave_out]]
column = "invoice"
starts_with = "A"
"#;

const HEADER: &str = "invoice,sku,qty,price,at,off";
const ORDER: &str = include_str!("../fixtures/shopify/order_tax_inclusive.json");
const PRETTY: &str = include_str!("../fixtures/shopify/broken_pretty.json");
const BULK: &str = include_str!("../fixtures/shopify/bulk_ungrouped.jsonl");
const EXPORT: &str = include_str!("../fixtures/shopify/orders_export.csv");
const ROWS: &str = "invoice,sku,qty,price,at,off\r\n\
                    1,\"p\nq\",2,1.50,2026-03-01 09:30,\r\n\
                    2,p,-1,1.50,2026-03-01 09:30,\r\n\
                    A3,p,1,x,2026-03-01 09:30,\r\n\
                    4,p,1,99999999999999,2026-03-01 09:30,\r\n";

fn setting() -> Setting {
    let shop = Some("shop".into());
    Setting { workspace: "w".into(), shop, currency: None, zone: Zone::UTC, reading: 7 }
}

fn mapping(text: &str) -> Mapping {
    Mapping::parse(text, Path::new("map.toml")).unwrap()
}

/// Every answer to a file before it ends or breaks off, read as what its extension says.
fn read(name: &str, bytes: &[u8], setting: &Setting) -> Vec<Decoded> {
    let (path, source, setting) = (PathBuf::from(name), Arc::<str>::from(name), setting.clone());
    let reader = Box::new(Cursor::new(bytes.to_vec()));
    match path.extension().unwrap().to_str().unwrap() {
        "jsonl" => bulk_file::read(reader, source, path, setting).map_while(Result::ok).collect(),
        "csv" => orders_csv::read(reader, source, path, setting).map_while(Result::ok).collect(),
        "rows" => {
            let origin = Origin { path, source };
            match mapped_csv::read(reader, origin, &mapping(MAPPING), &setting) {
                Ok(rows) => rows.map_while(Result::ok).collect(),
                Err(_) => Vec::new(),
            }
        }
        _ => webhook_file::read(reader, source, path, setting).map_while(Result::ok).collect(),
    }
}

/// Checks every answer's letter, and gives the letters.
fn check(name: &str, bytes: &[u8], setting: &Setting) -> Vec<Letter> {
    let mut letters = Vec::new();
    for decoded in read(name, bytes, setting) {
        assert_eq!(decoded.faults.is_empty(), decoded.letter.is_none(), "{name}: {decoded:?}");
        let Some(letter) = decoded.letter.clone() else { continue };
        match read_again(&letter, &Changes::default()) {
            Ok(again) => assert_eq!(again, decoded, "{name}"),
            Err(error) => assert!(matches!(error, LetterError::Cut(_)), "{name}: {error}"),
        }
        letters.push(letter);
    }
    letters
}

fn text(letter: &Letter) -> String {
    String::from_utf8_lossy(&letter.bytes).into_owned()
}

fn told<'l>(letter: &'l Letter, name: &str) -> Option<&'l str> {
    letter.context.get(name).map(|text| &**text)
}

#[test]
fn the_letters_of_every_fixture_say_the_same_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/shopify");
    let mut letters = 0;
    for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".expect") {
            letters += check(name, &fs::read(&file).unwrap(), &setting()).len();
        }
    }
    assert!(letters > 20, "{letters}");
    assert_eq!(check("a.rows", ROWS.as_bytes(), &setting()).len(), 2);
}

#[test]
fn letters_keep_the_record_and_what_its_reader_was_told() {
    let all = Setting {
        currency: Some(Currency::parse("EUR").unwrap()),
        zone: Zone::parse("Europe/Berlin").unwrap(),
        ..setting()
    };
    let letters = check("a.rows", ROWS.as_bytes(), &all);
    let context: Vec<(&str, &str)> =
        letters[0].context.iter().map(|(name, text)| (&**name, &**text)).collect();
    let columns = format!("{HEADER}\r");
    let expected = [
        ("columns", &*columns),
        ("currency", "EUR"),
        ("mapping", MAPPING),
        ("reading", "7"),
        ("shop", "shop"),
        ("workspace", "w"),
        ("zone", "Europe/Berlin"),
    ];
    assert_eq!(context, expected);
    assert_eq!(text(&letters[0]), "2,p,-1,1.50,2026-03-01 09:30,\r");
    assert_eq!(letters[0].place.to_string(), "a.rows:4");
    assert_eq!(&*letters[0].format, "csv");

    let pretty = "[\n{\n \"a\": \"x\n y\",\n \"b\": 1\n},\nnoise, more\n  of it\n{\"id\":1}";
    let letters = check("a.json", pretty.as_bytes(), &setting());
    let texts: Vec<String> = letters.iter().map(text).collect();
    let broken = "{\n \"a\": \"x\n y\",\n \"b\": 1\n},\n";
    assert_eq!(texts, [broken, "noise, more\n", "of it\n", "{\"id\":1}", "["]);
    assert_eq!(told(&letters[0], "currency"), None);
}

#[test]
fn a_file_that_is_read_twice_has_the_same_letters() {
    let ids = |reading| -> Vec<u128> {
        let letters = check("a.rows", ROWS.as_bytes(), &Setting { reading, ..setting() });
        assert_eq!(told(&letters[0], "reading"), Some(&*reading.to_string()));
        letters.iter().map(Letter::id).collect()
    };
    assert_eq!(ids(7), ids(8));
}

#[test]
fn the_rows_of_an_order_stay_together() {
    let header = "Name,Created at,Currency,Lineitem quantity,Lineitem price";
    let first = "#1,2026-03-01 09:30:00 +0000,EUR,1,5.00";
    let export = format!("{header}\n{first}\n#2,short\n#1,,,2\n#1,,,1,\"3.00\"\n#3,,,1,1\n");
    let said = read("a.csv", export.as_bytes(), &setting());
    let letters = check("a.csv", export.as_bytes(), &setting());
    let kept: Vec<(String, Option<&str>)> =
        letters.iter().map(|letter| (text(letter), told(letter, "lines"))).collect();
    let order = format!("{first}\n#1,,,2\n#1,,,1,3.00");
    let expected = [("#2,short".into(), None), ("#3,,,1,1".into(), None), (order, Some("2 4-5"))];
    assert_eq!(kept, expected);
    let order = said.iter().find(|decoded| decoded.faults.len() == 2).unwrap();
    let places: Vec<String> = order.faults.iter().map(|fault| fault.place.to_string()).collect();
    assert_eq!(places, ["a.csv:4", "a.csv:2"]);

    let mut fixed = order.letter.clone().unwrap();
    fixed.bytes = text(&fixed).replace("#1,,,2\n", "#1,,,2,4.00\n").into_bytes().into();
    let again = read_again(&fixed, &Changes::default()).unwrap();
    assert_eq!((again.envelopes.len(), again.faults.len(), again.letter), (1, 0, None));
}

#[test]
fn an_order_of_too_many_rows_keeps_the_first_of_them() {
    let header = "Name,Created at,Currency,Lineitem quantity,Lineitem price\n";
    let first = "#1,2026-03-01 09:30:00 +0000,EUR,1,5.00\n";
    let file = [header, first, &"#1,,,1,1.00\n".repeat(10_000)].concat();
    let letters = check("a.csv", file.as_bytes(), &setting());
    let [letter] = &letters[..] else { panic!("{}", letters.len()) };
    assert_eq!(told(letter, "cut"), Some("the first 10000 rows"));
    assert_eq!(text(letter).lines().count(), 10_000);
    assert!(matches!(read_again(letter, &Changes::default()), Err(LetterError::Cut(_))));
}

#[test]
fn a_change_says_what_a_replay_with_it_would_say() {
    let file = include_bytes!("../fixtures/shopify/order_without_a_currency.json");
    let letters = check("a.json", file, &setting());
    assert!(!letters.is_empty());
    let currency = Some(Currency::parse("EUR").unwrap());
    let shop = Some("other".into());
    let change = Changes { currency, shop: shop.clone(), ..Changes::default() };
    let fixed = Setting { currency, shop, ..setting() };
    let replayed = read("a.json", file, &fixed);
    let again: Vec<Decoded> =
        letters.iter().map(|letter| read_again(letter, &change).unwrap()).collect();
    assert_eq!(again, replayed);

    let file = format!("{HEADER}\n1,p,1,1.00,01.03.2026 10:00,\n");
    let [letter] = &check("a.rows", file.as_bytes(), &setting())[..] else { panic!() };
    let text = format!("zone = \"Europe/Berlin\"\n{MAPPING}\n[time]\nformat = \"%d.%m.%Y %H:%M\"");
    let change = Changes { mapping: Some(mapping(&text)), ..Changes::default() };
    let again = read_again(letter, &change).unwrap();
    assert_eq!(again.faults, []);
    assert_eq!(again.envelopes[0].version.changed_at.to_string(), "2026-03-01T10:00:00Z");
    let zone = Some(Zone::parse("Europe/Berlin").unwrap());
    let again = read_again(letter, &Changes { zone, ..change }).unwrap();
    assert_eq!(again.envelopes[0].version.changed_at.to_string(), "2026-03-01T09:00:00Z");

    let other = MAPPING.replace("\"qty\"", "\"number\"");
    let change = Changes { mapping: Some(mapping(&other)), ..Changes::default() };
    assert!(matches!(read_again(letter, &change), Err(LetterError::Unfit(_))));
}

#[test]
fn the_zone_of_a_mapping_gives_way_to_that_of_the_next() {
    let (utc, berlin) = ("zone = \"UTC\"\n", "zone = \"Europe/Berlin\"\n");
    let file = format!("{HEADER}\n1,p,0,1.00,2026-03-01 10:00,\n");
    let [mut letter] =
        <[Letter; 1]>::try_from(check("a.rows", file.as_bytes(), &setting())).unwrap();
    letter.bytes = text(&letter).replace("p,0", "p,1").into_bytes().into();
    letter.context.insert("mapping".into(), format!("{utc}{MAPPING}").into());
    let change =
        Changes { mapping: Some(mapping(&format!("{berlin}{MAPPING}"))), ..Changes::default() };
    let at = |letter: &Letter| {
        read_again(letter, &change).unwrap().envelopes[0].version.changed_at.to_string()
    };
    assert_eq!(at(&letter), "2026-03-01T09:00:00Z");
    letter.context.insert("zone".into(), "Asia/Tokyo".into());
    assert_eq!(at(&letter), "2026-03-01T01:00:00Z");
}

#[test]
fn amounts_beyond_the_limits_are_faults_with_letters() {
    let order = r#"{"id":1,"created_at":"2026-03-01T09:30:00Z","currency":"EUR",
        "total_price":"1.00",
        "line_items":[{"id":2,"quantity":1000000000,"price":"99999999999.99"}]}"#;
    let letters = check("a.json", order.as_bytes(), &setting());
    let [decoded] = &read("a.json", order.as_bytes(), &setting())[..] else { panic!() };
    assert_eq!(decoded.envelopes, []);
    assert_eq!(decoded.faults[0].kind, FaultKind::Amount);
    assert_eq!(&*decoded.faults[0].subject, "order 1");
    assert_eq!(text(&letters[0]), order);
}

#[test]
fn a_document_that_is_too_long_keeps_its_beginning() {
    let mut long = b"{\"id\":1,\"note\":\"".to_vec();
    long.resize(33 << 20, b'x');
    long.extend(b"\"}\n{\"id\":2}\n");
    let letters = check("a.json", &long, &setting());
    assert_eq!(letters[0].bytes.len(), CUT_BYTES);
    assert_eq!(told(&letters[0], "cut"), Some("the first 65536 bytes"));
    assert_eq!(text(&letters[1]), "{\"id\":2}");
    let nodes = check("a.jsonl", &long, &setting());
    assert_eq!(
        (nodes[0].bytes.len(), told(&nodes[0], "cut")),
        (CUT_BYTES, told(&letters[0], "cut"))
    );
    let rows = [format!("{HEADER}\n").as_bytes(), &long].concat();
    let rows = check("a.rows", &rows, &setting());
    assert_eq!((rows[0].bytes.len(), told(&rows[0], "cut")), (CUT_BYTES, told(&letters[0], "cut")));
}

/// A sample with some bytes changed, cut out, doubled or put in.
fn damaged(sample: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"\n\r\",{}[]:\\ 9".to_vec())];
    let damage = (any::<prop::sample::Index>(), byte, 0_usize..60, 0_u8..4);
    prop::collection::vec(damage, 1..6).prop_map(move |damages| {
        let mut bytes = sample.as_bytes().to_vec();
        for (at, byte, length, what) in damages {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            let end = (at + length).min(bytes.len());
            match what {
                0 => drop(bytes.splice(at..end, [byte])),
                1 => bytes.insert(at, byte),
                2 => bytes.extend_from_within(at..end),
                _ => {
                    let part = bytes[at..end].to_vec();
                    drop(bytes.splice(at..at, part));
                }
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn letters_of_damaged_documents_say_the_same_again(
        order in damaged(ORDER),
        pretty in damaged(PRETTY),
        list in any::<bool>(),
    ) {
        let pretty = if list { [b"[", &*pretty, b"]"].concat() } else { pretty };
        check("a.json", &order, &setting());
        check("a.json", &pretty, &setting());
    }

    #[test]
    fn letters_of_damaged_nodes_say_the_same_again(nodes in damaged(BULK)) {
        check("a.jsonl", &nodes, &setting());
    }

    #[test]
    fn letters_of_damaged_rows_say_the_same_again(
        export in damaged(EXPORT),
        rows in damaged(ROWS),
    ) {
        check("a.csv", &export, &setting());
        check("a.rows", &rows, &setting());
    }

    #[test]
    fn letters_of_any_text_say_the_same_again(text in "[\\[\\]{}\",:\\\\ \n\r1a\u{feff}]{0,60}") {
        check("a.json", text.as_bytes(), &setting());
        check("a.jsonl", text.as_bytes(), &setting());
        let below = format!("{HEADER}\n{text}");
        check("a.rows", below.as_bytes(), &setting());
        let below = format!("Name,Created at,Lineitem quantity,Lineitem price\n{text}");
        check("a.csv", below.as_bytes(), &setting());
    }
}
