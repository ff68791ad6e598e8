//! Scenarios: events per epoch, and the changes they must cause in every view. Each file of
//! `tests/scenarios/<agent>/` is one; `UPDATE_EXPECT=1` writes the part below `----` anew.
//!
//! ```text
//! epoch 1
//!   order  id=31 at=2026-03-01T10:00Z line=mug:2:20.00:1.00 shipping=4.90 taxes=3.00 customer=7
//! epoch 2
//!   refund order=31 id=r1 at=2026-03-02T10:00Z line=mug:1:9.50
//! ----
//! 1 + revenue_by_day acme a 2026-03-01 EUR web | orders=1 units=2 ...
//! ```

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ionflux_ledger::memory::Memory;
use ionflux_ledger::{BaseZone, Ledger, Said};
use ionflux_operators::{harness, list};
use ionflux_schemas::batch::Batch;
use ionflux_schemas::currency::Currency;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::event::{Envelope, Event, Order, OrderEdit, OrderLine, Refund, RefundLine};
use ionflux_schemas::key::{Id, ShopKey, Version};
use ionflux_schemas::money::Money;
use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::time::{Epoch, UtcMs, Zone};
use ionflux_schemas::view::{Row, Value, View};

/// One line of a scenario: what it says, and its `key=value` pairs.
struct Line<'a> {
    what: &'a str,
    pairs: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Line<'a> {
    fn parse(text: &'a str) -> Self {
        let mut words = text.split_whitespace();
        let what = words.next().unwrap();
        let mut pairs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (key, value) in words.map(|word| word.split_once('=').unwrap_or((word, ""))) {
            pairs.entry(key).or_default().push(value);
        }
        Self { what, pairs }
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.pairs.get(key).map(|values| values[0])
    }

    fn text(&self, key: &str, default: &'a str) -> &'a str {
        self.get(key).unwrap_or(default)
    }

    fn id(&self, key: &str) -> Id {
        self.get(key).unwrap_or_else(|| panic!("{} needs {key}=", self.what)).into()
    }

    fn at(&self, key: &str) -> UtcMs {
        UtcMs::parse(&self.id(key), &Zone::UTC).unwrap()
    }

    fn currency(&self) -> Currency {
        Currency::parse(self.text("currency", "EUR")).unwrap()
    }

    fn amount(&self, text: &str) -> i64 {
        Money::parse(text, self.currency()).unwrap().minor as i64
    }

    fn money(&self, key: &str) -> i64 {
        self.amount(self.text(key, "0"))
    }

    /// The parts of every `line=a:b:c`.
    fn lines(&self) -> impl Iterator<Item = Vec<&'a str>> {
        self.pairs.get("line").into_iter().flatten().map(|line| line.split(':').collect())
    }

    fn event(&self) -> Event {
        match self.what {
            "order" => Event::Order(self.order()),
            "refund" => Event::Refund(self.refund()),
            "edit" => Event::OrderEdit(OrderEdit {
                id: self.id("id"),
                order: self.id("order"),
                edited_at: self.at("at"),
                additions: self.lines().map(|l| (l[0].into(), l[1].parse().unwrap())).collect(),
            }),
            "delete" => Event::OrderDeleted { order: self.id("id") },
            "zone" => Event::Zone { from: self.at("from"), zone: self.id("zone") },
            other => panic!("a scenario cannot say {other:?}"),
        }
    }

    fn order(&self) -> Order {
        let line = |parts: Vec<&str>| OrderLine {
            id: parts[0].into(),
            product: Some(parts[0].into()),
            units: parts[1].parse().unwrap(),
            gross: self.amount(parts[2]),
            discounts: self.amount(parts.get(3).copied().unwrap_or("0")),
        };
        Order {
            id: self.id("id"),
            placed_at: self.at("at"),
            currency: self.currency(),
            channel: self.text("channel", "web").into(),
            customer: self.get("customer").map(Into::into),
            test: self.get("test").is_some(),
            lines: self.lines().map(line).collect(),
            shipping: self.money("shipping"),
            taxes: self.money("taxes"),
            tips: self.money("tips"),
            duties_and_fees: self.money("duties"),
        }
    }

    fn refund(&self) -> Refund {
        let line = |parts: Vec<&str>| RefundLine {
            line: parts.get(3).map(|&line| line.into()),
            product: Some(parts[0].into()),
            units: parts[1].parse().unwrap(),
            amount: self.amount(parts[2]),
        };
        Refund {
            id: self.id("id"),
            order: self.id("order"),
            aggregate: self.get("aggregate").is_some(),
            processed_at: self.at("at"),
            currency: self.currency(),
            lines: self.lines().map(line).collect(),
            adjustment: self.money("adjust"),
            shipping: self.money("shipping"),
            taxes: self.money("taxes"),
            duties_and_fees: self.money("duties"),
        }
    }

    fn envelope(&self) -> Envelope {
        let version: i64 = self.text("v", "1").parse().unwrap();
        let event = self.event();
        let content = format!("{event:?}");
        Envelope {
            shop: Arc::new(ShopKey::new(self.text("workspace", "acme"), self.text("shop", "a"))),
            version: Version::new(UtcMs(version), UtcMs(0), content.as_bytes()),
            event,
        }
    }
}

/// A row as the scenario shows it: its key, then the columns that are not zero.
fn shown(view: &View, row: &Row) -> String {
    let schema = view.parsed();
    let key: Vec<String> = schema.key.iter().map(|place| row.0[*place].to_string()).collect();
    let mut text = format!("{} {} |", view.name, key.join(" "));
    for (place, (column, value)) in schema.columns.iter().zip(&row.0).enumerate() {
        let zero = match value {
            Value::Null => true,
            Value::Int(number) => *number == 0,
            Value::Money(money) => money.minor == 0,
            _ => false,
        };
        if !zero && !schema.key.contains(&place) && !["remedy", "line"].contains(&&*column.name) {
            write!(text, " {}={value}", column.name).unwrap();
        }
    }
    text
}

/// What the events above the line cause, epoch by epoch.
fn changes(events: &str) -> String {
    let dictionary = Arc::new(Dictionary::new());
    let entities = Box::new(Memory::default());
    let mut ledger = Ledger::open(entities, Arc::clone(&dictionary), BaseZone::Unknown, 1).unwrap();
    let mut epochs: Vec<Vec<Envelope>> = Vec::new();
    for line in events.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        if line.starts_with("epoch") {
            epochs.push(Vec::new());
        } else {
            epochs.last_mut().unwrap().push(Line::parse(line).envelope());
        }
    }
    let differences = (1..)
        .zip(epochs)
        .map(|(epoch, envelopes)| (epoch, Said { envelopes, ..Said::default() }))
        .map(|(epoch, said)| ledger.commit(Epoch(epoch), said).unwrap());
    let deltas = harness::run(&differences.collect::<Vec<_>>(), 1);
    let mut snapshot = Snapshot::empty(&list::views(), dictionary);
    let mut text = String::new();
    for (epoch, deltas) in (0..).zip(deltas) {
        let (lower, upper) = (Epoch(epoch), Epoch(epoch + 1));
        let batch = Batch { lower, upper, as_of: UtcMs(0), deltas };
        for view in list::views() {
            let mut lines = Vec::new();
            for change in snapshot.changes(&batch, view.name) {
                let sides = [("-", change.old), ("+", change.new)];
                for (sign, row) in sides.into_iter().filter_map(|(s, row)| Some((s, row?))) {
                    lines.push((shown(view, &row), sign));
                }
            }
            lines.sort_by(|a, b| (&a.0, b.1).cmp(&(&b.0, a.1)));
            for (line, sign) in lines {
                writeln!(text, "{upper} {sign} {line}").unwrap();
            }
        }
        snapshot = snapshot.after(&batch);
    }
    text
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

#[test]
fn every_scenario_causes_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let files = files(&folder);
    assert!(!files.is_empty(), "there are no scenarios");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let (events, expected) = text.split_once("----\n").unwrap_or((&text, ""));
        let got = changes(events);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&file, format!("{events}----\n{got}")).unwrap();
        } else {
            assert_eq!(got, expected, "{}", file.display());
        }
    }
}
