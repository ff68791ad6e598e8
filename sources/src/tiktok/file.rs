//! Files of TikTok: webhooks, or answers of its APIs, as JSON or NDJSON; bare, or as
//! `{"headers": ..., "body": ...}`.
//!
//! Invariant: one document is in memory at a time; a broken one is a fault and the next is read.

use std::borrow::Cow;
use std::io::BufRead;
use std::path::PathBuf;
use std::sync::Arc;

use ionflux_schemas::fault::{FaultKind, Place};
use ionflux_schemas::letter::Letter;
use serde_json::value::RawValue;

use super::delivery::{Said, gathered, of_answer, of_developer, of_shop};
use crate::draft::{Draft, sealed};
use crate::error::SourceError;
use crate::reading::{Decoded, Refusal, Setting};
use crate::shopify::framing::{Broken, Frames, Piece, whole};
use crate::shopify::scalar::Scalar;
use crate::shopify::shape::Members;
use crate::shopify::webhook_file::stopped;

/// Webhooks of TikTok Shop and of TikTok for Developers.
pub const WEBHOOKS: &str = "tiktok-webhooks";
/// Answers of the APIs of TikTok.
pub const API: &str = "tiktok-api";

/// What is read from: a file, already opened and unpacked.
pub type Reader = Box<dyn BufRead + Send>;

/// What a file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holds {
    /// Webhooks.
    Webhooks,
    /// Answers.
    Answers,
}

impl Holds {
    fn format(self) -> &'static str {
        match self {
            Self::Webhooks => WEBHOOKS,
            Self::Answers => API,
        }
    }
}

/// Where a file lies, and what faults call it.
pub struct Whence {
    /// The name faults have for it.
    pub source: Arc<str>,
    /// The path errors have for it.
    pub path: PathBuf,
}

/// Reads a file.
#[must_use]
pub fn read(reader: Reader, holds: Holds, whence: Whence, setting: Setting) -> Documents {
    Documents { frames: Frames::new(reader), holds, whence, setting, failed: false }
}

/// The documents of a file, one by one.
pub struct Documents {
    frames: Frames<Reader>,
    holds: Holds,
    whence: Whence,
    setting: Setting,
    failed: bool,
}

impl Iterator for Documents {
    type Item = Result<Decoded, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.frames.next_piece() {
            Ok(piece) => {
                piece.map(|piece| Ok(decode(piece, self.holds, &self.whence.source, &self.setting)))
            }
            Err(error) => {
                self.failed = true;
                Some(Err(stopped(self.whence.path.clone(), self.frames.position(), error)))
            }
        }
    }
}

/// Reads the letter of a document again.
#[must_use]
pub fn again(letter: &Letter, holds: Holds, setting: &Setting) -> Decoded {
    let line = letter.place.line;
    let text = letter.bytes.to_vec();
    let piece = match whole(&text) {
        Ok(()) => Piece::Whole(line, text),
        Err(why) => Piece::Broken(Broken { line, why, text, cut: false }),
    };
    decode(piece, holds, &letter.place.source, setting)
}

fn decode(piece: Piece, holds: Holds, source: &Arc<str>, setting: &Setting) -> Decoded {
    let place = |line| Place { source: Arc::clone(source), line };
    let draft = |line, bytes| Draft::new(holds.format(), place(line), setting, bytes);
    let refused = |reason: &str| {
        let refusal = Refusal::new(FaultKind::Syntax, "", reason);
        Said { shop: None, outcomes: vec![Err(refusal)] }
    };
    match piece {
        Piece::Whole(line, bytes) => {
            let said = match std::str::from_utf8(&bytes) {
                Ok(text) => document(text, holds, setting),
                Err(_) => refused("not valid UTF-8"),
            };
            let decoded = gathered(said, setting, &place(line), |refusal| refusal);
            sealed(decoded, || draft(line, bytes))
        }
        Piece::Broken(Broken { line, why, text, cut }) => {
            let kept = cut.then(|| format!("the first {} bytes", text.len()));
            let said = refused(&format!("not valid JSON: {why}"));
            let decoded = gathered(said, setting, &place(line), |refusal| refusal);
            sealed(decoded, || draft(line, text).cut(kept))
        }
    }
}

/// What a document says: its headers, where it has any, and its body.
fn document(text: &str, holds: Holds, setting: &Setting) -> Said {
    let members: Option<Members<'_>> = serde_json::from_str(text).ok();
    let member = |name: &str| members.as_ref().and_then(|members| members.get(name));
    let (headers, body) = match (member("headers"), member("body")) {
        (Some(headers), Some(value)) => (serde_json::from_str(headers.get()).ok(), body(value)),
        _ => (None, Cow::Borrowed(text)),
    };
    match holds {
        Holds::Answers => of_answer(&body, |name| header(headers.as_ref(), name), setting),
        Holds::Webhooks => {
            let members: Option<Members<'_>> = serde_json::from_str(&body).ok();
            let has = |name: &str| members.as_ref().is_some_and(|m| m.get(name).is_some());
            match has("event") && !has("type") {
                true => of_developer(&body, setting),
                false => of_shop(&body, setting),
            }
        }
    }
}

/// A body that is an object, or the text of one inside a string.
fn body(value: &RawValue) -> Cow<'_, str> {
    if value.get().starts_with('"') {
        return Scalar::of(value).text().unwrap_or_default();
    }
    Cow::Borrowed(value.get())
}

/// A header of any case: a string, or the first of a list of strings.
fn header<'a>(headers: Option<&Members<'a>>, name: &str) -> Option<Cow<'a, str>> {
    let named = headers?.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    let (_, value) = named?;
    if value.get().starts_with('[') {
        let values: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
        return values.into_iter().next().and_then(|value| Scalar::of(value).text());
    }
    Scalar::of(value).text()
}
