//! A file of webhooks: JSON or NDJSON, of bare bodies or with their headers.
//!
//! Invariant: one document is in memory at a time; a broken one is a fault and the next is read.

use std::io::{self, BufRead};
use std::path::PathBuf;
use std::sync::Arc;

use ionflux_schemas::fault::FaultKind;

use super::document;
use super::framing::{Frames, Piece};
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

impl Documents {
    fn decode(&self, piece: Piece) -> Decoded {
        let broken = |line, reason: &str| {
            let refusal = Refusal::new(FaultKind::Syntax, "", reason);
            document::refused(refusal, None, &self.setting, &self.source, line)
        };
        match piece {
            Piece::Whole(line, bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => document::decode(text, &self.setting, &self.source, line),
                Err(_) => broken(line, "not valid UTF-8"),
            },
            Piece::Broken(line, why) => broken(line, &format!("not valid JSON: {why}")),
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
pub(super) fn stopped(path: PathBuf, at: (u64, u64), error: io::Error) -> SourceError {
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
