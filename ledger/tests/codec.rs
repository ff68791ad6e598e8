//! Dossiers survive as bytes, and bytes that are no dossier are an error.

#![allow(clippy::unwrap_used)]

use ionflux_ledger::codec::plain::PlainOrder;
use ionflux_ledger::codec::{CodecError, dossier};
use ionflux_ledger::contribution::{contribution, plain};
use ionflux_ledger::dossier::Dossier;
use ionflux_ledger::numbers::Numbers;
use ionflux_ledger::shop::Shop;
use ionflux_schemas::currency::Currency;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::event::{
    Event, Order, OrderEdit, OrderLine, OrderRow, Refund, RefundLine, RowLine,
};
use ionflux_schemas::key::{Id, ShopKey, Version};
use ionflux_schemas::time::{Calendar, UtcMs, Zone};
use proptest::option;
use proptest::prelude::*;

fn name() -> impl Strategy<Value = Id> {
    prop_oneof!["[0-9]{0,20}", "[a-zäß#0-9]{0,6}"].prop_map(Into::into)
}

fn currency() -> impl Strategy<Value = Currency> {
    prop::sample::select(vec!["EUR", "JPY", "KWD"]).prop_map(|code| Currency::parse(code).unwrap())
}

fn amount() -> impl Strategy<Value = i64> {
    -1_000_000_000_000..1_000_000_000_000_i64
}

fn version() -> impl Strategy<Value = Version> {
    (any::<i64>(), any::<i64>(), any::<u128>()).prop_map(|(changed_at, raised_at, content)| {
        Version { changed_at: UtcMs(changed_at), raised_at: UtcMs(raised_at), content }
    })
}

fn at() -> impl Strategy<Value = UtcMs> {
    (-1_000_000_000_000..4_000_000_000_000_i64).prop_map(UtcMs)
}

fn order() -> impl Strategy<Value = Event> {
    let line = (name(), option::of(name()), 0..100_i32, amount(), amount()).prop_map(
        |(id, product, units, gross, discounts)| OrderLine { id, product, units, gross, discounts },
    );
    let names = (name(), name(), option::of(name()));
    let rest = (at(), currency(), any::<bool>(), prop::array::uniform4(amount()));
    (names, rest, prop::collection::vec(line, 0..4)).prop_map(
        |((id, channel, customer), (placed_at, currency, test, amounts), lines)| {
            let [shipping, taxes, tips, duties_and_fees] = amounts;
            Event::Order(Order {
                id,
                placed_at,
                currency,
                channel,
                customer,
                test,
                lines,
                shipping,
                taxes,
                tips,
                duties_and_fees,
            })
        },
    )
}

fn refund() -> impl Strategy<Value = Event> {
    let line_id = option::of("[a-z0-9]{1,20}".prop_map(Into::into));
    let line = (line_id, option::of(name()), 0..100_i32, amount())
        .prop_map(|(line, product, units, amount)| RefundLine { line, product, units, amount });
    let rest = (at(), currency(), any::<bool>(), prop::array::uniform4(amount()));
    ((name(), name()), rest, prop::collection::vec(line, 0..4)).prop_map(
        |((id, order), (processed_at, currency, aggregate, amounts), lines)| {
            let [adjustment, shipping, taxes, duties_and_fees] = amounts;
            Event::Refund(Refund {
                id,
                order,
                aggregate,
                processed_at,
                currency,
                lines,
                adjustment,
                shipping,
                taxes,
                duties_and_fees,
            })
        },
    )
}

fn row() -> impl Strategy<Value = Event> {
    let names = (option::of(name()), option::of(name()), name());
    let rest = (at(), any::<bool>(), 0..100_i32, amount(), currency());
    (names, rest, any::<u128>(), any::<u64>()).prop_map(|(names, rest, content, reading)| {
        let (product, customer, channel) = names;
        let (at, returned, units, amount, currency) = rest;
        let discounts = amount / 10;
        let line = RowLine {
            at,
            returned,
            product,
            units,
            amount,
            discounts,
            currency,
            customer,
            channel,
        };
        Event::Row(OrderRow { order: "1".into(), content, reading, line })
    })
}

fn event() -> impl Strategy<Value = Event> {
    let additions = prop::collection::vec((name(), any::<i32>()), 0..3);
    let edit = (name(), name(), at(), additions).prop_map(|(id, order, edited_at, additions)| {
        Event::OrderEdit(OrderEdit { id, order, edited_at, additions })
    });
    let order_id: Id = "1".into();
    let flags = prop_oneof![
        Just(Event::OrderDeleted { order: order_id.clone() }),
        Just(Event::Redacted { order: order_id }),
    ];
    prop_oneof![4 => order(), 2 => refund(), 1 => edit, 2 => row(), 1 => flags]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn dossiers_survive(said in prop::collection::vec((version(), event()), 0..8)) {
        let mut held = Dossier::default();
        for (version, event) in said {
            held.merge(version, event);
        }
        let mut bytes = Vec::new();
        dossier::encode(&held, &mut bytes);
        prop_assert_eq!(&dossier::decode(&bytes).unwrap(), &held);
        for end in 0..bytes.len() {
            prop_assert!(dossier::decode(&bytes[..end]).is_err(), "cut at {}", end);
        }
        bytes.push(0);
        prop_assert!(dossier::decode(&bytes).is_err(), "one byte too many");
    }

    #[test]
    fn an_order_read_in_place_counts_the_same(version in version(), order in order()) {
        let mut held = Dossier::default();
        held.merge(version, order);
        let mut bytes = Vec::new();
        dossier::encode(&held, &mut bytes);
        let dictionary = Dictionary::new();
        let zone = Zone::parse("Europe/Berlin").unwrap();
        let key = ShopKey::new("acme", "a.example");
        let shop = Shop { key, number: 3, calendar: Calendar::always(zone) };
        let read = PlainOrder::read(&bytes).unwrap().unwrap();
        prop_assert_eq!(read.version, version);
        let facts = plain(read, &shop, &mut Numbers::of(&dictionary)).unwrap();
        let full = contribution(&held, &shop, &mut Numbers::of(&dictionary));
        prop_assert_eq!((facts, vec![]), (full.facts, full.faults));
    }

    #[test]
    fn any_bytes_are_an_error_or_a_dossier(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        parts in 0..64_u8,
        format in 0..4_u8,
    ) {
        let bytes = [&[format, parts], &bytes[..]].concat();
        match dossier::decode(&bytes) {
            Err(CodecError::Format { found }) => prop_assert_ne!(found, 2),
            Err(_) => prop_assert_eq!(format, 2),
            Ok(held) => prop_assert!(held.rows.len() <= bytes.len() && format == 2),
        }
        if let Ok(Some(mut read)) = PlainOrder::read(&bytes) {
            while let Ok(Some(_)) = read.line() {}
        }
    }
}
