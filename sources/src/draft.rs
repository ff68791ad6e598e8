//! Drafts of dead letters, and the one place where every reader's answer passes before it leaves.
//!
//! Invariant: an answer has a letter when, and only when, it has faults; a record that is wholly
//! understood costs a look at its amounts and no copy.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::entity::ENTITY_ID_BYTES_MAX;
use ionflux_schemas::event::{Envelope, Event, UNITS_MAX};
use ionflux_schemas::fault::{Fault, FaultKind, Place};
use ionflux_schemas::key::{Id, ShopKey};
use ionflux_schemas::letter::Letter;
use ionflux_schemas::money::AMOUNT_MINOR_MAX;
use ionflux_schemas::time::Zone;

use crate::reading::{Decoded, Refusal, Setting};

/// The longest record a letter keeps whole: 32 MiB, the longest document or row that is read.
pub const LETTER_BYTES_MAX: usize = 32 << 20;

/// What a letter keeps of a longer record: enough to recognise it by, for no reader can read a
/// part of it.
pub const CUT_BYTES: usize = 64 << 10;

/// The longest header of a CSV file that a letter keeps; one of 80 columns takes 1.5 KiB, and
/// every refused row carries it again.
pub const COLUMNS_BYTES_MAX: usize = 64 << 10;

/// A letter before it is known whether it is needed.
pub struct Draft<'a> {
    format: Id,
    place: Place,
    context: BTreeMap<Id, Box<str>>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Draft<'a> {
    /// A record of a format at a place, and what its reader was told.
    pub fn new(
        format: &str,
        place: Place,
        setting: &Setting,
        bytes: impl Into<Cow<'a, [u8]>>,
    ) -> Self {
        Self { format: format.into(), place, context: context(setting), bytes: bytes.into() }
    }

    /// Something else the reader was told.
    pub fn with(mut self, name: &str, text: impl Into<Box<str>>) -> Self {
        self.context.insert(name.into(), text.into());
        self
    }

    /// The header of the record's file.
    pub fn columns(self, header: &[u8]) -> Self {
        let header = String::from_utf8_lossy(header);
        if header.len() <= COLUMNS_BYTES_MAX {
            return self.with("columns", header.into_owned());
        }
        let kept = header.floor_char_boundary(COLUMNS_BYTES_MAX);
        let draft = self.with("columns", &header[..kept]);
        draft.cut(Some(format!("the first {kept} bytes of the columns")))
    }

    /// The lines of the file that the record's lines were, where they are not one after another
    /// from the record's place on.
    pub fn lines(self, lines: impl Iterator<Item = u64>) -> Self {
        let lines = Lines::of(lines);
        if let [(first, _)] = lines.0[..]
            && first == self.place.line
        {
            return self;
        }
        self.with("lines", lines.to_string())
    }

    /// Says that the bytes are only the first part of the record, if they are.
    pub fn cut(self, kept: Option<String>) -> Self {
        match kept {
            Some(kept) => self.with("cut", kept),
            None => self,
        }
    }

    /// The letter, which keeps the beginning of a record that is too long.
    pub fn letter(self) -> Letter {
        let Self { format, place, mut context, bytes } = self;
        let whole = bytes.len();
        let bytes = if whole <= LETTER_BYTES_MAX {
            bytes.into_owned()
        } else {
            context.insert("cut".into(), format!("the first {CUT_BYTES} of {whole} bytes").into());
            bytes[..CUT_BYTES].to_vec()
        };
        let bytes = bytes.into_boxed_slice();
        Letter { format, place, position: None, received_at: None, context, bytes }
    }
}

/// What a reader was told, by name; what is absent is left out.
fn context(setting: &Setting) -> BTreeMap<Id, Box<str>> {
    let Setting { workspace, shop, currency, zone, reading } = setting;
    let told = [
        ("workspace", Some(workspace.clone())),
        ("shop", shop.clone()),
        ("currency", currency.map(|currency| currency.code().into())),
        ("zone", Some(zone.name().into())),
        ("reading", Some(reading.to_string().into())),
    ];
    told.into_iter().filter_map(|(name, text)| Some((name.into(), text?))).collect()
}

/// A reader's answer as it leaves: what is beyond the limits of one record is a fault instead, and
/// with faults goes the letter.
pub fn sealed<'a>(decoded: Decoded, draft: impl FnOnce() -> Draft<'a>) -> Decoded {
    if decoded.faults.is_empty() && within_limits(&decoded) {
        return decoded;
    }
    let draft = draft();
    let place = draft.place.clone();
    let mut decoded = limited(decoded, &place);
    decoded.letter = Some(draft.letter());
    decoded
}

/// The answer to a delivery as it leaves.
pub fn delivered(
    decoded: Decoded,
    delivery: &Delivery,
    position: Position,
    setting: &Setting,
) -> Decoded {
    let Delivery { source, received_at, headers, body, .. } = delivery;
    let mut decoded = sealed(decoded, || {
        // The position is no part of the place: what is shown may not depend on when it came.
        let place = Place { source: Arc::from(&**source), line: 0 };
        let mut draft = Draft::new(source, place, setting, &**body);
        draft.context.retain(|name, text| match &**name {
            "reading" => &**text != "0",
            "zone" => &**text != Zone::UTC.name(),
            _ => true,
        });
        let headers = headers.iter();
        headers.fold(draft, |draft, (name, text)| draft.with(&format!("{HEADER}{name}"), &**text))
    });
    if let Some(letter) = &mut decoded.letter {
        (letter.position, letter.received_at) = (Some(position), Some(*received_at));
    }
    decoded
}

/// What leads the name of a header in a letter's context.
pub const HEADER: &str = "header.";

/// Whether every amount and number of units is one that a record may have.
fn within_limits(decoded: &Decoded) -> bool {
    decoded.envelopes.iter().all(|envelope| envelope.event.within_limits())
}

/// An answer whose events are all within limits; the others are faults at a place.
fn limited(mut decoded: Decoded, place: &Place) -> Decoded {
    let envelopes = std::mem::take(&mut decoded.envelopes);
    let (within, beyond): (Vec<_>, Vec<_>) =
        envelopes.into_iter().partition(|envelope| envelope.event.within_limits());
    decoded.envelopes = within;
    decoded.faults.extend(beyond.iter().map(|envelope| too_large(envelope, place)));
    decoded
}

fn too_large(envelope: &Envelope, place: &Place) -> Fault {
    if let Event::Entity(entity) = &envelope.event {
        let id: String = entity.id.chars().take(100).collect();
        let reason = format!(
            "an amount beyond {AMOUNT_MINOR_MAX} minor units, or an id that is empty or longer \
             than {ENTITY_ID_BYTES_MAX} bytes"
        );
        let subject = format!("{:?} {id}", entity.kind()).to_lowercase();
        let refusal = Refusal::new(FaultKind::Amount, subject, reason);
        return refusal.at(ShopKey::clone(&envelope.shop), place.clone());
    }
    let order = match &envelope.event {
        Event::Order(order) => &order.id,
        Event::OrderDeleted { order } | Event::Redacted { order } => order,
        Event::OrderEdit(edit) => &edit.order,
        Event::Refund(refund) => &refund.order,
        Event::Row(row) => &row.order,
        Event::Zone { zone, .. } => zone,
        Event::Entity(entity) => &entity.id,
    };
    let order: String = order.chars().take(100).collect();
    let reason = format!(
        "an amount beyond {AMOUNT_MINOR_MAX} minor units or a number of units not within 0 and \
         {UNITS_MAX}"
    );
    let refusal = Refusal::new(FaultKind::Amount, format!("order {order}"), reason);
    refusal.at(ShopKey::clone(&envelope.shop), place.clone())
}

/// Lines of a file as ranges, first and last included: `12-14 20`.
#[derive(Default)]
pub struct Lines(Vec<(u64, u64)>);

impl Lines {
    /// The ranges of some lines, which need not be sorted.
    pub fn of(lines: impl Iterator<Item = u64>) -> Self {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for line in lines {
            match ranges.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(line) => *last = line,
                _ => ranges.push((line, line)),
            }
        }
        Self(ranges)
    }

    /// The lines a letter was made of, one after another; from its place on where it does not say.
    /// They are not counted out, for a letter may claim any number of them.
    pub fn of_letter(letter: &Letter) -> impl Iterator<Item = u64> {
        let number = |text: &str| text.parse::<u64>().unwrap_or_default();
        let range = move |text: &str| match text.split_once('-') {
            Some((first, last)) => (number(first), number(last)),
            None => (number(text), number(text)),
        };
        let told = letter.context.get("lines");
        let ranges: Vec<(u64, u64)> = match told {
            Some(text) => text.split_whitespace().map(range).collect(),
            None => vec![(letter.place.line, u64::MAX)],
        };
        let rest = ranges.last().map_or(0, |(_, last)| *last);
        ranges.into_iter().flat_map(|(first, last)| first..=last).chain(std::iter::repeat(rest))
    }
}

impl std::fmt::Display for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_char(' ')?;
            }
            match first == last {
                true => write!(f, "{first}")?,
                false => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ionflux_schemas::event::OrderEdit;
    use ionflux_schemas::key::Version;
    use ionflux_schemas::time::UtcMs;

    fn setting() -> Setting {
        let (workspace, zone) = ("w".into(), Zone::UTC);
        Setting { workspace, shop: None, currency: None, zone, reading: 7 }
    }

    fn letter(lines: &[u64]) -> Letter {
        let line = lines.first().copied().unwrap_or_default();
        let place = Place { source: "f".into(), line };
        Draft::new("csv", place, &setting(), vec![b'x']).lines(lines.iter().copied()).letter()
    }

    #[test]
    fn lines_are_read_back() {
        for (lines, told) in [
            (vec![12, 13, 14, 20], Some("12-14 20")),
            (vec![3], None),
            (vec![9, 4, 5, 5, 6], Some("9 4-5 5-6")),
            (vec![u64::MAX, 1], Some("18446744073709551615 1")),
        ] {
            let letter = letter(&lines);
            assert_eq!(letter.context.get("lines").map(|text| &**text), told);
            let read: Vec<u64> = Lines::of_letter(&letter).take(lines.len()).collect();
            assert_eq!(read, lines);
        }
    }

    #[test]
    fn what_is_too_long_says_that_it_is_cut() {
        let place = Place { source: "f".into(), line: 1 };
        let draft = |bytes| Draft::new("csv", place.clone(), &setting(), vec![b'x'; bytes]);
        let whole = draft(LETTER_BYTES_MAX).letter();
        assert_eq!((whole.bytes.len(), whole.context.get("cut")), (LETTER_BYTES_MAX, None));
        let cut = draft(LETTER_BYTES_MAX + 1).letter();
        let told = cut.context.get("cut").map(|text| &**text);
        assert_eq!((cut.bytes.len(), told), (CUT_BYTES, Some("the first 65536 of 33554433 bytes")));
        let long = "h".repeat(COLUMNS_BYTES_MAX + 1);
        let wide = draft(1).columns(long.as_bytes()).letter();
        assert!(wide.context.contains_key("cut"));
    }

    #[test]
    fn what_is_beyond_the_limits_is_a_fault_with_its_letter() {
        let edit = |units| {
            let additions = vec![("1".into(), units)];
            let edited_at = UtcMs(0);
            let edit = OrderEdit { id: "e".into(), order: "o".into(), edited_at, additions };
            let version = Version::new(edited_at, edited_at, b"");
            let shop = Arc::new(ShopKey::new("w", "s"));
            Envelope { shop, version, event: Event::OrderEdit(edit) }
        };
        let place = Place { source: "f".into(), line: 3 };
        let sealed = |envelopes| {
            let draft = || Draft::new("csv", place.clone(), &setting(), vec![b'x']);
            super::sealed(Decoded { envelopes, ..Decoded::default() }, draft)
        };
        let good = sealed(vec![edit(1)]);
        assert_eq!((good.envelopes.len(), good.faults.len(), good.letter), (1, 0, None));
        let mixed = sealed(vec![edit(UNITS_MAX), edit(-1)]);
        assert_eq!((mixed.envelopes.len(), mixed.faults.len()), (1, 1));
        let fault = &mixed.faults[0];
        assert_eq!((fault.kind, &fault.place), (FaultKind::Amount, &place));
        assert_eq!(&*fault.subject, "order o");
        assert_eq!(&*mixed.letter.unwrap().bytes, b"x");
    }
}
