//! What a reader said, as text for golden files.
//!
//! Invariant: everything that was said is shown; two answers that differ are two texts.

use std::fmt::Write as _;

use ionflux_schemas::event::{Envelope, Event, Order, Refund};
use ionflux_schemas::money::Money;
use ionflux_sources::error::SourceError;
use ionflux_sources::reading::Decoded;

/// Everything that a reader said of a file.
pub fn all(items: Vec<Result<Decoded, SourceError>>) -> String {
    let mut text = String::new();
    for item in items {
        match item {
            Ok(decoded) => text.push_str(&one(&decoded)),
            Err(error) => {
                let problem = &error.problem;
                let _ = writeln!(text, "error: {problem}\n  hint: {}", error.hint);
            }
        }
    }
    text
}

/// Everything that was said of a record.
pub fn one(decoded: &Decoded) -> String {
    let mut text: String = decoded.envelopes.iter().map(shown).collect();
    for fault in &decoded.faults {
        let (place, kind) = (&fault.place, fault.kind.name());
        let _ = writeln!(text, "fault {place} {kind} [{}]: {}", fault.subject, fault.reason);
    }
    text
}

fn shown(envelope: &Envelope) -> String {
    let Envelope { shop, version, event } = envelope;
    let stamp = format!("changed={} raised={}", version.changed_at, version.raised_at.0);
    let said = match event {
        Event::Order(order) => order_shown(order),
        Event::Refund(refund) => refund_shown(refund),
        Event::OrderDeleted { order } => format!("deleted order={order}"),
        Event::OrderEdit(edit) => {
            let additions: Vec<String> =
                edit.additions.iter().map(|(id, units)| format!("{id}+{units}")).collect();
            let at = edit.edited_at;
            format!("edit {} order={} at={at} {}", edit.id, edit.order, additions.join(" "))
        }
        Event::Zone { from, zone } => format!("zone {zone} from={from}"),
        Event::Redacted { order } => format!("redacted order={order}"),
        Event::Entity(entity) => {
            format!("{:?} {} at={} {:?}", entity.kind(), entity.id, entity.at, entity.body)
        }
        Event::Row(_) => "row".to_owned(),
    };
    format!("{shop} {stamp}\n  {said}\n")
}

fn order_shown(order: &Order) -> String {
    let money = |minor: i64| Money::new(minor, order.currency);
    let Order { id, placed_at, currency, channel, test, .. } = order;
    let customer = order.customer.as_deref().unwrap_or("-");
    let mut text = format!(
        "order {id} placed={placed_at} {currency} channel={channel} customer={customer} \
         test={test} shipping={} taxes={} tips={} duties_and_fees={}",
        money(order.shipping),
        money(order.taxes),
        money(order.tips),
        money(order.duties_and_fees),
    );
    for line in &order.lines {
        let (gross, discounts) = (money(line.gross), money(line.discounts));
        let product = line.product.as_deref().unwrap_or("-");
        let units = line.units;
        let id = &line.id;
        let _ = write!(
            text,
            "\n    line {id} product={product} units={units} gross={gross} discounts={discounts}"
        );
    }
    text
}

fn refund_shown(refund: &Refund) -> String {
    let money = |minor: i64| Money::new(minor, refund.currency);
    let Refund { id, order, processed_at, currency, .. } = refund;
    let mut text = format!(
        "refund {id} order={order} at={processed_at} {currency} adjustment={} shipping={} taxes={} \
         duties_and_fees={}",
        money(refund.adjustment),
        money(refund.shipping),
        money(refund.taxes),
        money(refund.duties_and_fees),
    );
    for line in &refund.lines {
        let product = line.product.as_deref().unwrap_or("-");
        let (units, amount) = (line.units, money(line.amount));
        let _ = write!(text, "\n    line product={product} units={units} amount={amount}");
    }
    text
}
