//! CSV files through mappings: what is understood, what is a fault, what is refused outright.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;

use ionflux_schemas::event::Event;
use ionflux_schemas::time::Zone;
use ionflux_sources::error::SourceError;
use ionflux_sources::files::input::{Input, Origin};
use ionflux_sources::files::mapped_csv::{self, MappedCsv};
use ionflux_sources::files::mapping::Mapping;
use ionflux_sources::reading::{Decoded, Setting};
use proptest::prelude::*;

const HEADER: &str = "invoice,sku,qty,price,at,buyer,off,kind\n";
const MAPPING: &str = r#"
shop = "s"
currency = "USD"

[columns]
order = "invoice"
product = "sku"
quantity = "qty"
unit_price = "price"
time = "at"
customer = "buyer"
discount = "off"

[returns]
order_prefix = "C"

[[returns.when]]
column = "kind"
one_of = ["returned", "refunded"]

[[leave_out]]
column = "invoice"
starts_with = "A"
"#;

fn told(error: SourceError) -> (String, String) {
    (error.problem, error.hint)
}

fn mapping(text: &str) -> Result<Mapping, (String, String)> {
    Mapping::parse(text, Path::new("map.toml")).map_err(told)
}

fn rows<'a>(mapping: &Mapping, text: &'a [u8]) -> Result<MappedCsv<&'a [u8]>, (String, String)> {
    let zone = Zone::parse("Europe/Berlin").unwrap();
    let setting = Setting { workspace: "w".into(), shop: None, currency: None, zone, reading: 1 };
    mapped_csv::read(text, Origin::of(Path::new("data.csv")), mapping, &setting).map_err(told)
}

/// An answer in one line of text.
fn shown(decoded: &Decoded) -> String {
    let mut shown = Vec::new();
    for envelope in &decoded.envelopes {
        let Event::Row(row) = &envelope.event else { panic!("{:?}", envelope.event) };
        let (line, order) = (&row.line, &row.order);
        let what = if line.returned { "returned" } else { "sold" };
        let product = line.product.as_deref().unwrap_or("-");
        let customer = line.customer.as_deref().unwrap_or("-");
        let (units, amount, off, at) = (line.units, line.amount, line.discounts, line.at);
        shown.push(format!("{order} {what} {units} {product} {amount}-{off} {customer} {at}"));
    }
    for fault in &decoded.faults {
        let (place, kind) = (&fault.place, fault.kind.name());
        shown.push(format!("{place} {kind} [{}] {}", fault.subject, fault.reason));
    }
    shown.join("; ")
}

fn check(row: &str, expected: &str) {
    let text = format!("{HEADER}{row}\n");
    let read = rows(&mapping(MAPPING).unwrap(), text.as_bytes()).unwrap();
    let read: Vec<String> = read.map(|decoded| shown(&decoded.unwrap())).collect();
    assert_eq!(read, [expected], "{row}");
}

#[test]
fn rows_are_sales_and_returns() {
    let at = "2026-03-01T08:30:00Z";
    check("1,p,2,1.50,2026-03-01 09:30,b,,", &format!("1 sold 2 p 300-0 b {at}"));
    check("1,,2,1.5,2026-03-01T09:30,,0.5,", &format!("1 sold 2 - 300-50 - {at}"));
    check("C1,p,-2,1.50,2026-03-01 09:30,,,", &format!("C1 returned 2 p 300-0 - {at}"));
    check("C1,p,2,1.50,2026-03-01 09:30,,,", &format!("C1 returned 2 p 300-0 - {at}"));
    check("1,p,2.0,1.50,2026-03-01T08:30:00Z,,,refunded", &format!("1 returned 2 p 300-0 - {at}"));
    check("1,p,1,0.125,2026-03-01 09:30,,,", &format!("1 sold 1 p 12-0 - {at}"));
    check("A1,p,1,-5,never,,,", "");
}

#[test]
fn broken_rows_are_faults_with_a_place_and_a_reason() {
    let check = |row: &str, expected: &str| check(row, &format!("data.csv:2 {expected}"));
    let at = "2026-03-01 09:30,,,";
    check("1,p,1", "syntax [] 3 fields where the header has 8");
    check(&format!(",p,1,1,{at}"), "field [] the order is empty");
    check(
        "1,p,1,1,soon,,,",
        "time [order 1] \"soon\" is not a time such as 2026-03-01T09:30:00+01:00",
    );
    check(&format!("1,p,0,1,{at}"), "quantity [order 1] the quantity is zero");
    check(&format!("1,p,1.5,1,{at}"), "quantity [order 1] \"1.5\" is not a whole number");
    let most = "is more than the 1000000000 units of a line";
    check(
        &format!("1,p,1099511627776,1,{at}"),
        &format!("quantity [order 1] \"1099511627776\" {most}"),
    );
    check(
        &format!("1,p,two,1,{at}"),
        "quantity [order 1] \"two\" is not a quantity that a line can have",
    );
    check(
        &format!("1,p,-1,1,{at}"),
        "quantity [order 1] -1 is below zero on a line that is not a return",
    );
    check(&format!("1,p,1,0,{at}"), "price [order 1] the unit price \"0\" is not above zero");
    check(
        &format!("1,p,1,NaN,{at}"),
        "price [order 1] the unit price: \"NaN\" is not a decimal number",
    );
    let large = "is larger than the largest amount of a record (10000000000000 minor units)";
    check(&format!("1,p,1,1e400,{at}"), &format!("price [order 1] the unit price: 1e400 {large}"));
    check(
        &format!("1,p,2,99999999999,{at}"),
        &format!("amount [order 1] quantity times unit price: 199999999998 {large}"),
    );
    check(
        "1,p,1,1,2026-03-01,,0.125,",
        "amount [order 1] the discount: 0.125 has more than the 2 decimals of USD",
    );
    check(
        "1,p,1,1,2026-03-01,,1.01,",
        "amount [order 1] the discount 1.01 is below zero or above the line's amount",
    );
    check("1,\"p,1,1,2026-03-01,,,", "syntax [] a quote is opened and not closed in its field");
}

#[test]
fn rows_that_are_not_utf8_are_faults_and_equal_rows_have_equal_hashes() {
    let mut text = format!("\u{feff}{HEADER}").into_bytes();
    text.extend(b"1,\xff,1,1,2026-03-01,,,\n1,p,1,1,2026-03-01,,,\n1,p,1,1,2026-03-01,,,\n");
    let mapping = mapping(MAPPING).unwrap();
    let read: Vec<Decoded> = rows(&mapping, &text).unwrap().map(Result::unwrap).collect();
    assert_eq!(shown(&read[0]), "data.csv:2 syntax [] a field is not UTF-8");
    assert_eq!(read[1], read[2]);
    assert_eq!(read.len(), 3);
}

fn refused(change: (&str, &str), problem: &str, hint: &str) {
    let text = MAPPING.replacen(change.0, change.1, 1);
    let error = mapping(&text).and_then(|m| rows(&m, HEADER.as_bytes()).map(|_| ())).unwrap_err();
    assert!(error.0.contains(problem), "{}", error.0);
    assert!(error.1.contains(hint), "{}", error.1);
}

#[test]
fn wrong_mappings_are_refused_with_their_place() {
    refused(("USD", "XYZ"), "line 3, column 12: ", "ISO 4217");
    refused(("shop = ", "zone = \"Mars\"\nshop = "), "line 2, column 8: \"Mars\" is not", "Europe");
    refused(("product", "produkt"), "unknown field `produkt`", "examples/online_retail.toml");
    refused(("starts_with = \"A\"", ""), "line 21, column 1: a rule of leave_out", "add equals");
    refused(("order = \"invoice\"", ""), "missing field `order`", "compare");
    refused(("[columns]", "[file]\nquote = \",\"\n[columns]"), "the same as", "quotes nothing");
    refused(("[columns]", "[time]\nformat = \"%!\"\n[columns]"), "strftime", "%d/%m/%Y");
    refused(
        ("\"price\"", "\"prise\""),
        "there is no column \"prise\", which columns.unit_price at map.toml:9 names; \
         the file's columns are invoice, sku, qty, price, at, buyer, off, kind",
        "did you mean \"price\"? correct columns.unit_price at map.toml:9",
    );
    refused(("shop = \"s\"", ""), "nothing names the shop", "--shop");
    refused(("currency = \"USD\"", ""), "nothing names the currency", "--currency");
    let mapping = mapping(MAPPING).unwrap();
    assert_eq!(rows(&mapping, b"").err().unwrap().0, "the file is empty");
    let utf16 = rows(&mapping, b"\xff\xfei\0n\0").err().unwrap();
    assert_eq!(utf16.0, "the file is UTF-16, not UTF-8");
}

#[test]
fn a_format_and_another_dialect_are_followed() {
    let text = MAPPING.replacen("[columns]", "[file]\ndelimiter = \";\"\n[columns]", 1);
    let text = text + "\n[time]\nformat = \"%d/%m/%Y %H:%M\"\n";
    let data = HEADER.replace(',', ";") + "1;p;1;1;01/03/2026 09:30;;;\n";
    let mapping = mapping(&text).unwrap();
    let read: Vec<_> = rows(&mapping, data.as_bytes()).unwrap().map(Result::unwrap).collect();
    assert_eq!(shown(&read[0]), "1 sold 1 p 100-0 - 2026-03-01T08:30:00Z");
}

#[test]
fn a_truncated_file_gives_its_whole_lines_and_then_one_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.csv.gz");
    let mut text = HEADER.to_owned();
    for number in 0..20_000_u64 {
        let sku = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        text += &format!("{number},{sku:x},1,1,2026-03-01,,,\n");
    }
    let level = flate2::Compression::fast();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), level);
    packed.write_all(text.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    std::fs::write(&path, &packed[..packed.len() / 2]).unwrap();

    let mapping = mapping(MAPPING).unwrap();
    let setting =
        Setting { workspace: "w".into(), shop: None, currency: None, zone: Zone::UTC, reading: 1 };
    let reader = Input::open(&path).unwrap().reader;
    let rows = mapped_csv::read(reader, Origin::of(&path), &mapping, &setting).unwrap();
    let mut rows: Vec<_> = rows.collect();
    let error = told(rows.pop().unwrap().unwrap_err());
    let place = format!("after line {}", rows.len() + 1);
    let problem = "the file ends in the middle of its compressed data";
    assert_eq!(error.0, format!("{problem}, {place}"));
    assert!(rows.len() > 5_000);
    assert!(rows.iter().all(|row| row.as_ref().is_ok_and(|decoded| decoded.faults.is_empty())));
}

proptest! {
    #[test]
    fn any_bytes_give_one_answer_for_each_record(
        body in prop::collection::vec(
            prop_oneof![
                4 => prop::sample::select(b"C1,\"\n\r-.e9 A\xc3".to_vec()),
                1 => any::<u8>(),
            ],
            0..300,
        ),
    ) {
        let text = [HEADER.as_bytes(), &body].concat();
        let all = MAPPING.split("[[leave_out]]").next().unwrap();
        let mapping = mapping(all).unwrap();
        let mut lines = Vec::new();
        let mut read = rows(&mapping, &text).unwrap();
        while let Some(decoded) = read.next() {
            let decoded = decoded.unwrap();
            prop_assert_eq!(decoded.envelopes.len() + decoded.faults.len(), 1);
            lines.push(read.lines_read());
        }
        prop_assert!(lines.is_sorted_by(|a, b| a < b));
        prop_assert_eq!(read.lines_read(), text.split_inclusive(|&b| b == b'\n').count() as u64);
    }

    #[test]
    fn any_mapping_text_is_read_or_refused(text in "(.|\n){0,200}") {
        let _ = mapping(&text);
    }
}

#[test]
fn the_shop_of_a_mapping_has_one_name() {
    let text = format!("{HEADER}1,mug,1,2.00,2026-03-01T10:00:00Z,,,\n");
    let with = |shop: &str| MAPPING.replace("shop = \"s\"", &format!("shop = {shop:?}"));
    let named = mapping(&with("https://Acme.myshopify.com/")).unwrap();
    let decoded = rows(&named, text.as_bytes()).unwrap().next().unwrap().unwrap();
    assert_eq!(&*decoded.envelopes[0].shop.shop, "acme.myshopify.com");
    let numbered = mapping(&with("954889")).unwrap();
    let (problem, hint) = rows(&numbered, text.as_bytes()).err().unwrap();
    assert!(problem.contains("is a number of a shop") && hint.contains("--shop"), "{problem}");
}
