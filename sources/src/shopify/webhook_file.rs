//! A file of webhooks: JSON or NDJSON, of bare bodies or with their headers.
//!
//! Invariant: one document is in memory at a time; a broken one is a fault and the next is read.

use std::io::{self, BufRead};
use std::path::PathBuf;
use std::sync::Arc;

use ionflux_schemas::fault::{FaultKind, Place};
use ionflux_schemas::letter::Letter;

use super::document;
use super::framing::{Broken, Frames, Piece, whole};
use crate::draft::{Draft, sealed};
use crate::error::SourceError;
use crate::reading::{Decoded, Refusal, Setting};

/// What is read from: a file, already opened and unpacked.
pub type Reader = Box<dyn BufRead + Send>;

/// Reads a file of webhooks; `source` names it in faults, `path` in errors.
#[must_use]
pub fn read(reader: Reader, source: Arc<str>, path: PathBuf, setting: Setting) -> Documents {
    Documents { frames: Frames::new(reader), source, path, setting, failed: false }
}

/// The documents of a file, one by one.
pub struct Documents {
    frames: Frames<Reader>,
    source: Arc<str>,
    path: PathBuf,
    setting: Setting,
    failed: bool,
}

/// The name of the format, and of the source whose bodies these are.
pub const FORMAT: &str = "shopify-webhooks";

impl Documents {
    fn decode(&self, piece: Piece) -> Decoded {
        decode(piece, &self.source, &self.setting)
    }
}

/// Reads the letter of a document again.
#[must_use]
pub fn again(letter: &Letter, setting: &Setting) -> Decoded {
    let line = letter.place.line;
    let text = letter.bytes.to_vec();
    let piece = match whole(&text) {
        Ok(()) => Piece::Whole(line, text),
        Err(why) => Piece::Broken(Broken { line, why, text, cut: false }),
    };
    decode(piece, &letter.place.source, setting)
}

fn decode(piece: Piece, source: &Arc<str>, setting: &Setting) -> Decoded {
    let broken = |line, reason: &str| {
        let refusal = Refusal::new(FaultKind::Syntax, "", reason);
        document::refused(refusal, None, setting, source, line)
    };
    let draft =
        |line, bytes| Draft::new(FORMAT, Place { source: source.clone(), line }, setting, bytes);
    match piece {
        Piece::Whole(line, bytes) => {
            let decoded = match std::str::from_utf8(&bytes) {
                Ok(text) => document::decode(text, setting, source, line),
                Err(_) => broken(line, "not valid UTF-8"),
            };
            sealed(decoded, || draft(line, bytes))
        }
        Piece::Broken(Broken { line, why, text, cut }) => {
            let kept = cut.then(|| format!("the first {} bytes", text.len()));
            let decoded = broken(line, &format!("not valid JSON: {why}"));
            sealed(decoded, || draft(line, text).cut(kept))
        }
    }
}

impl Iterator for Documents {
    type Item = Result<Decoded, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.frames.next_piece() {
            Ok(piece) => piece.map(|piece| Ok(self.decode(piece))),
            Err(error) => {
                self.failed = true;
                Some(Err(stopped(self.path.clone(), self.frames.position(), error)))
            }
        }
    }
}

/// The error of a reading that stopped after a line and a number of bytes.
pub(crate) fn stopped(path: PathBuf, at: (u64, u64), error: io::Error) -> SourceError {
    let (line, byte) = at;
    let hint = match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            "the file looks cut off or damaged: fetch it again and replay it; what was read before \
             this place is not counted twice"
        }
        _ => "check the disk and the file's permissions, then replay it",
    };
    SourceError {
        path,
        problem: format!("reading stopped at line {line} (after {byte} bytes)"),
        hint: hint.to_owned(),
        cause: Some(error),
    }
}
