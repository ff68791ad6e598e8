//! The suite every source of deliveries passes: whatever a delivery holds, it is read the same way
//! twice, for its own tenant, and into envelopes or faults with a letter.
//!
//! Invariant: a source is held to what its reader says of bytes, through the list alone; nothing
//! here knows what they mean.

use std::collections::BTreeSet;

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::event::Envelope;
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::time::UtcMs;
use thiserror::Error;

use crate::letters::{Changes, read_again};
use crate::list::read_delivery;
use crate::reading::Decoded;

/// The longest that a fault may say.
const WORDS_BYTES_MAX: usize = 2_000;
/// How many places of a body are damaged, spread over all of it.
const DAMAGES_MAX: usize = 160;
/// What is put in the place of a byte.
const ODD_BYTES: &[u8] = b"\0\"'{}[]:,\\-0e.\n\x7f\xff";
/// A body of the size that doors take, for the first sample, and a large one for the others.
const LARGEST_BYTES: usize = 8 << 20;
const LARGE_BYTES: usize = 64 << 10;
/// A header of the length that doors keep.
const HEADER_BYTES: usize = 512;

/// A source, and deliveries of it.
#[derive(Clone, Debug)]
pub struct Described {
    /// Its name in the list.
    pub source: &'static str,
    /// Whether its deliveries are dated by when they came, as changes made through us are: then
    /// only the same delivery, read again from elsewhere in the journal, must say the same.
    pub dated: bool,
    /// Whether its deliveries say nothing that counts, whatever they hold.
    pub silent: bool,
    /// Deliveries of every kind it knows, and of some that it does not.
    pub samples: Vec<Sample>,
}

/// A delivery, and what is to be made of it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What it is.
    pub name: &'static str,
    /// What it is read as.
    pub meant: Meant,
    /// Its headers as the door keeps them.
    pub headers: Vec<(&'static str, &'static str)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// What a sample is read as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meant {
    /// So many envelopes and no fault; none at all where nothing counts.
    Good(usize),
    /// At least one fault, none of them because it is unknown.
    Broken,
    /// A kind that nothing counts: one fault for all its deliveries, which all have this number.
    Unknown(u32),
}

/// What a source is put through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scenario {
    /// Every sample is read as what it is meant to be.
    Meant,
    /// Each is delivered again, later and elsewhere in the journal.
    Again,
    /// Each is delivered to another tenant.
    Tenants,
    /// Deliveries of a kind nobody knows keep coming.
    Unknown,
    /// Headers are missing, empty, garbled, long or exchanged.
    Headers,
    /// Bodies are cut off, cut out of and doubled.
    Cuts,
    /// Bytes of bodies are others.
    Bytes,
    /// Bodies are empty, or as large as may be.
    Sizes,
}

/// Every scenario.
pub const SCENARIOS: [Scenario; 8] = [
    Scenario::Meant,
    Scenario::Again,
    Scenario::Tenants,
    Scenario::Unknown,
    Scenario::Headers,
    Scenario::Cuts,
    Scenario::Bytes,
    Scenario::Sizes,
];

/// How a source broke its promise.
#[derive(Debug, Error)]
#[error("{source_name}, {scenario:?}, {sample}: {what}")]
pub struct Broken {
    /// The source.
    pub source_name: &'static str,
    /// The scenario.
    pub scenario: Scenario,
    /// The sample.
    pub sample: &'static str,
    /// What did not hold.
    pub what: String,
}

/// Puts a source through one scenario.
///
/// # Errors
/// [`Broken`], with the first promise that did not hold.
pub fn check(scenario: Scenario, source: &Described) -> Result<(), Broken> {
    for (nth, sample) in source.samples.iter().enumerate() {
        let broken = |what| {
            let (source_name, sample) = (source.source, sample.name);
            Broken { source_name, scenario, sample, what }
        };
        let delivery = sample.delivery(source.source);
        match scenario {
            Scenario::Meant => meant(sample.meant, &delivery),
            Scenario::Again => again(&delivery, source.dated),
            Scenario::Tenants => tenants(&delivery),
            Scenario::Unknown => unknown(sample, source),
            Scenario::Headers => headers(&delivery, source),
            Scenario::Cuts => cuts(&delivery),
            Scenario::Bytes => bytes(&delivery),
            Scenario::Sizes if nth == 0 => sizes(&delivery, LARGEST_BYTES),
            Scenario::Sizes => sizes(&delivery, LARGE_BYTES),
        }
        .map_err(broken)?;
    }
    Ok(())
}

impl Sample {
    /// The delivery as the journal has it.
    #[must_use]
    pub fn delivery(&self, source: &str) -> Delivery {
        let headers = self.headers.iter().map(|&(name, text)| (name.into(), text.into()));
        Delivery {
            source: source.into(),
            workspace: "a workspace".into(),
            received_at: UtcMs(1_772_323_200_000),
            headers: headers.collect(),
            body: self.body.clone().into(),
        }
    }
}

/// What is true of every delivery, however damaged; gives what it was read as.
///
/// # Errors
/// What is not true.
pub fn holds(delivery: &Delivery) -> Result<Decoded, String> {
    let decoded = read_delivery(delivery, Position(7));
    let Decoded { envelopes, faults, letter } = &decoded;
    if read_delivery(delivery, Position(7)) != decoded {
        return Err("read twice, it says two things".into());
    }
    let (said, bytes) = (envelopes.len() + faults.len(), delivery.body.len());
    if said > bytes + 1 {
        return Err(format!("{said} things are said of {bytes} bytes"));
    }
    let mut shops = envelopes.iter().map(|envelope| &*envelope.shop);
    let mut named = faults.iter().map(|fault| &fault.shop);
    if !shops.all(|shop| shop.workspace == delivery.workspace)
        || !named.all(|shop| shop.workspace == delivery.workspace)
    {
        return Err("something is said about another tenant".into());
    }
    if !envelopes.iter().all(|envelope| envelope.event.within_limits()) {
        return Err("an event is beyond the limits".into());
    }
    if let Some(long) = faults.iter().find(|f| f.reason.len() + f.subject.len() > WORDS_BYTES_MAX) {
        return Err(format!("a fault says more than {WORDS_BYTES_MAX} bytes: {}", long.reason));
    }
    let Some(letter) = letter else {
        return if faults.is_empty() { Ok(decoded) } else { Err("faults without a letter".into()) };
    };
    if faults.is_empty() {
        return Err("a letter without a fault".into());
    }
    if letter.bytes != delivery.body {
        return Err("the letter does not hold what was delivered".into());
    }
    match read_again(letter, &Changes::default()) {
        Ok(again) if again == decoded => Ok(decoded),
        Ok(again) => Err(format!("its letter reads back to {again:?}, it was {decoded:?}")),
        Err(problem) => Err(format!("its letter cannot be read: {problem}")),
    }
}

fn meant(meant: Meant, delivery: &Delivery) -> Result<(), String> {
    let Decoded { envelopes, faults, .. } = holds(delivery)?;
    let unknown = faults.iter().filter(|f| f.kind == FaultKind::Unsupported).count();
    let as_meant = match meant {
        Meant::Good(count) => envelopes.len() == count && faults.is_empty(),
        Meant::Broken => !faults.is_empty() && unknown == 0,
        Meant::Unknown(_) => envelopes.is_empty() && faults.len() == 1 && unknown == 1,
    };
    let said = || format!("meant as {meant:?}, it says {envelopes:?} {faults:?}");
    as_meant.then_some(()).ok_or_else(said)
}

fn again(delivery: &Delivery, dated: bool) -> Result<(), String> {
    let first = holds(delivery)?;
    let wait_ms = if dated { 0 } else { 86_400_000 };
    let received_at = UtcMs(delivery.received_at.0 + wait_ms);
    let late = Delivery { received_at, ..delivery.clone() };
    let second = read_delivery(&late, Position(1_000_007));
    // An equal version of an equal event is a duplicate, which counts nothing.
    if (&first.envelopes, &first.faults) != (&second.envelopes, &second.faults) {
        return Err(format!("delivered again, it says {second:?}, it was {first:?}"));
    }
    let ids = |decoded: &Decoded| decoded.letter.as_ref().map(|letter| letter.id());
    if ids(&first) != ids(&second) {
        return Err("delivered again, it leaves a second letter".into());
    }
    Ok(())
}

fn tenants(delivery: &Delivery) -> Result<(), String> {
    let ours = holds(delivery)?;
    let theirs = holds(&Delivery { workspace: "another one".into(), ..delivery.clone() })?;
    let shapes = |decoded: &Decoded| (decoded.envelopes.len(), decoded.faults.len());
    if shapes(&ours) != shapes(&theirs) {
        return Err("another tenant is told something else".into());
    }
    let mut events = ours.envelopes.iter().zip(&theirs.envelopes);
    let same = |(our, their): (&Envelope, &Envelope)| {
        our.event == their.event && our.version == their.version && our.shop != their.shop
    };
    if !events.all(same) {
        return Err("an event depends on whose it is".into());
    }
    let ids: BTreeSet<_> =
        [&ours, &theirs].into_iter().flat_map(|d| &d.faults).map(|f| f.id()).collect();
    if ids.len() < 2 && !ours.faults.is_empty() {
        return Err("two tenants share a fault".into());
    }
    Ok(())
}

/// All samples of an unknown kind are one fault, for a sender may send millions of them.
fn unknown(sample: &Sample, source: &Described) -> Result<(), String> {
    let Meant::Unknown(kind) = sample.meant else { return Ok(()) };
    let alike = source.samples.iter().filter(|other| other.meant == Meant::Unknown(kind));
    let mut bodies = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for other in alike {
        bodies.insert(&other.body);
        ids.extend(holds(&other.delivery(source.source))?.faults.iter().map(|fault| fault.id()));
    }
    if bodies.len() < 2 {
        return Err("an unknown kind needs two samples that differ".into());
    }
    if ids.len() != 1 {
        return Err(format!("one unknown kind is {} faults", ids.len()));
    }
    Ok(())
}

fn headers(delivery: &Delivery, source: &Described) -> Result<(), String> {
    let long = "x".repeat(HEADER_BYTES);
    let odd = ["", " ", "\0", "\u{feff}", "[]", "-1", "99999999999999999999", "true", &long];
    let others = source.samples.iter().flat_map(|sample| &sample.headers).map(|(_, text)| *text);
    let texts: BTreeSet<&str> = odd.into_iter().chain(others).collect();
    for name in delivery.headers.keys() {
        let mut without = delivery.clone();
        without.headers.remove(name);
        holds(&without).map_err(|what| format!("without {name}: {what}"))?;
        for text in &texts {
            let mut garbled = delivery.clone();
            garbled.headers.insert(name.clone(), (*text).into());
            holds(&garbled).map_err(|what| format!("{name} as {text:?}: {what}"))?;
        }
    }
    let bare = Delivery { headers: [].into(), ..delivery.clone() };
    holds(&bare).map_err(|what| format!("without headers: {what}")).map(drop)
}

/// Places spread over a body.
fn places(delivery: &Delivery) -> impl Iterator<Item = usize> {
    let length = delivery.body.len();
    (0..length).step_by(length.div_ceil(DAMAGES_MAX).max(1))
}

fn with(delivery: &Delivery, body: impl Into<Box<[u8]>>) -> Delivery {
    Delivery { body: body.into(), ..delivery.clone() }
}

fn cuts(delivery: &Delivery) -> Result<(), String> {
    let body = &delivery.body;
    for at in places(delivery) {
        let end = (at + 17).min(body.len());
        let (head, tail) = body.split_at(at);
        let out = [head, &body[end..]].concat();
        let doubled = [head, &body[at..end], tail].concat();
        for damaged in [head.to_vec(), tail.to_vec(), out, doubled] {
            holds(&with(delivery, damaged)).map_err(|what| format!("cut at {at}: {what}"))?;
        }
    }
    Ok(())
}

fn bytes(delivery: &Delivery) -> Result<(), String> {
    for (at, odd) in places(delivery).zip(ODD_BYTES.iter().cycle()) {
        for byte in [*odd, delivery.body[at] ^ 1, delivery.body[at] ^ 0x80] {
            let mut damaged = delivery.body.clone();
            damaged[at] = byte;
            let what = |what| format!("{byte:#x} at {at}: {what}");
            holds(&with(delivery, damaged)).map_err(what)?;
        }
    }
    Ok(())
}

fn sizes(delivery: &Delivery, large: usize) -> Result<(), String> {
    holds(&with(delivery, [])).map_err(|what| format!("empty: {what}"))?;
    for byte in [b' ', b'[', b'9', 0] {
        let what = |what| format!("many {byte:#x}: {what}");
        holds(&with(delivery, vec![byte; large])).map_err(what)?;
    }
    let mut padded = delivery.body.to_vec();
    padded.resize(padded.len().max(large), b' ');
    holds(&with(delivery, padded)).map_err(|what| format!("padded: {what}")).map(drop)
}
