//! A file of platform events: NDJSON, or any JSON of them, one document in memory at a time.
//!
//! Invariant: an event of a file means what it means at the door; a broken one is a fault with its
//! line, and the next is read.

use std::path::PathBuf;
use std::sync::Arc;

use ionflux_schemas::fault::{FaultKind, Place};
use ionflux_schemas::letter::Letter;

use super::read::{SOURCE, decode};
use crate::draft::{Draft, sealed};
use crate::error::SourceError;
use crate::reading::{Decoded, Refusal, Setting};
use crate::shopify::framing::{Broken, Frames, Piece, whole};
use crate::shopify::webhook_file::{Reader, stopped};

/// The name of the format, and of the source whose bodies these are.
pub const FORMAT: &str = SOURCE;

/// Reads a file of events; `source` names it in faults, `path` in errors.
#[must_use]
pub fn read(reader: Reader, source: Arc<str>, path: PathBuf, setting: Setting) -> Events {
    Events { frames: Frames::new(reader), source, path, setting, failed: false }
}

/// The events of a file, one by one.
pub struct Events {
    frames: Frames<Reader>,
    source: Arc<str>,
    path: PathBuf,
    setting: Setting,
    failed: bool,
}

/// Reads the letter of an event again.
#[must_use]
pub fn again(letter: &Letter, setting: &Setting) -> Decoded {
    let (line, text) = (letter.place.line, letter.bytes.to_vec());
    let piece = match whole(&text) {
        Ok(()) => Piece::Whole(line, text),
        Err(why) => Piece::Broken(Broken { line, why, text, cut: false }),
    };
    one(piece, &letter.place.source, setting)
}

fn one(piece: Piece, source: &Arc<str>, setting: &Setting) -> Decoded {
    let place = |line| Place { source: Arc::clone(source), line };
    match piece {
        Piece::Whole(line, bytes) => {
            let decoded = decode(&bytes, setting, &place(line)).decoded;
            sealed(decoded, || Draft::new(FORMAT, place(line), setting, bytes))
        }
        Piece::Broken(Broken { line, why, text, cut }) => {
            let kept = cut.then(|| format!("the first {} bytes", text.len()));
            let reason = format!("not valid JSON: {why}");
            let refusal = Refusal::new(FaultKind::Syntax, "", reason);
            let faults = vec![refusal.at(setting.shop_key(None), place(line))];
            let decoded = Decoded { faults, ..Decoded::default() };
            sealed(decoded, || Draft::new(FORMAT, place(line), setting, text).cut(kept))
        }
    }
}

impl Iterator for Events {
    type Item = Result<Decoded, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.frames.next_piece() {
            Ok(piece) => piece.map(|piece| Ok(one(piece, &self.source, &self.setting))),
            Err(error) => {
                self.failed = true;
                Some(Err(stopped(self.path.clone(), self.frames.position(), error)))
            }
        }
    }
}
