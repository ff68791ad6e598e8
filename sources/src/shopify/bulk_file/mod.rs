//! A bulk-operation export: JSONL of GraphQL nodes, children joined by `__parentId`.
//!
//! Invariant: an order is decoded only with all its children, wherever in the file they stand.
//!
//! Children follow their parent in grouped exports and stand anywhere in ungrouped ones, the
//! default since 2026-01, so nothing is known of an order before the file's end. The lines are
//! parted by a hash of their root into 128 temporary files (in memory while they are small),
//! which are then put together one by one: memory holds one part of the file, the disk one copy.
//!
//! ```text
//! lines ──▶ by parent ──▶ by root ──▶ groups ──▶ envelopes
//!           (finds the    (order with all its lines, refunds and what they gave back,
//!            grandparent)  transactions; product with all its variants)
//! ```
//!
//! A node of a kind that no view counts is a fault as a root, and skipped like any unknown field
//! below an order.

pub(super) mod node;

pub(super) mod partition;

mod assemble;

use std::collections::VecDeque;
use std::io::{BufRead, Read};
use std::path::PathBuf;
use std::sync::Arc;

use ionflux_schemas::fault::{Fault, FaultKind, Place};
use ionflux_schemas::letter::Letter;

use self::node::Head;
use self::partition::{Entry, Family, PARTS, Parts};
use super::broken;
use super::framing::DOCUMENT_BYTES_MAX;
use super::webhook_file::{Reader, stopped};
use crate::draft::{CUT_BYTES, Draft, Lines, sealed};
use crate::error::SourceError;
use crate::reading::{Decoded, Refusal, Setting};

/// The name of the format.
pub const FORMAT: &str = "shopify-bulk";

/// Reads a bulk export; `source` names it in faults, `path` in errors.
#[must_use]
pub fn read(reader: Reader, source: Arc<str>, path: PathBuf, setting: Setting) -> Nodes {
    let context = Context { source, path, setting };
    Nodes {
        context,
        stage: Stage::Reading(Box::new(Reading {
            reader,
            family: Family::default(),
            line: 0,
            bytes: 0,
        })),
    }
}

/// Reads the letter of a line, or of the lines of a group, again.
#[must_use]
pub fn again(letter: &Letter, setting: &Setting) -> Decoded {
    let source = Arc::clone(&letter.place.source);
    let context = Context { source, path: PathBuf::new(), setting: setting.clone() };
    let mut faults = Vec::new();
    let mut group = Vec::new();
    for (line, bytes) in Lines::of_letter(letter).zip(letter.bytes.split(|&byte| byte == b'\n')) {
        match placed(bytes, line) {
            Ok(None) => {}
            Ok(Some(Node { text, .. })) => {
                group.push(Entry { root: String::new(), line, text: text.to_owned() });
            }
            Err(refusal) => faults.push(context.fault(line, refusal)),
        }
    }
    let mut decoded = assemble::group(&group.iter().collect::<Vec<_>>(), &context);
    decoded.faults.extend(faults);
    sealed(decoded, || {
        let lines = letter.bytes.split(|&byte| byte == b'\n').count();
        let draft = Draft::new(FORMAT, letter.place.clone(), setting, &*letter.bytes);
        draft.lines(Lines::of_letter(letter).take(lines))
    })
}

/// A line that is a node.
pub(super) struct Node<'a> {
    /// Its id.
    pub own: Option<String>,
    /// Its parent's.
    pub parent: Option<String>,
    /// The line.
    pub text: &'a str,
}

/// The node of a line, unless the line is blank.
pub(super) fn placed(bytes: &[u8], line: u64) -> Result<Option<Node<'_>>, Refusal> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Refusal::new(FaultKind::Syntax, "", "not valid UTF-8"))?;
    let text = if line == 1 { text.trim_start_matches('\u{feff}') } else { text };
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let head = serde_json::from_str::<Head<'_>>(text).map_err(|error| broken::refusal(&error));
    let (own, parent) = head.and_then(|head| head.place())?;
    Ok(Some(Node { own, parent, text }))
}

/// What is known beside the lines.
struct Context {
    source: Arc<str>,
    path: PathBuf,
    setting: Setting,
}

impl Context {
    fn fault(&self, line: u64, refusal: Refusal) -> Fault {
        refusal.at(self.setting.shop_key(None), self.place(line))
    }

    fn place(&self, line: u64) -> Place {
        Place { source: Arc::clone(&self.source), line }
    }

    /// The answer to a line that is no node.
    fn refused(&self, line: u64, refusal: Refusal, bytes: &[u8], kept: Option<String>) -> Decoded {
        let faults = vec![self.fault(line, refusal)];
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        sealed(Decoded { faults, ..Decoded::default() }, || {
            Draft::new(FORMAT, self.place(line), &self.setting, bytes).cut(kept)
        })
    }

    /// The error of temporary files that could not be written or read.
    fn disk(&self, error: std::io::Error) -> SourceError {
        SourceError {
            path: self.path.clone(),
            problem: "the temporary copy that joins children to parents failed".to_owned(),
            hint: "free as much space in the temporary folder (TMPDIR) as the export takes"
                .to_owned(),
            cause: Some(error),
        }
    }
}

/// The groups of a bulk export, decoded one part of the file after another.
pub struct Nodes {
    context: Context,
    stage: Stage,
}

enum Stage {
    Reading(Box<Reading>),
    Assembling { parts: Parts, next: usize, ready: VecDeque<Decoded> },
    Done,
}

struct Reading {
    reader: Reader,
    family: Family,
    line: u64,
    bytes: u64,
}

impl Reading {
    /// Reads the next line and puts it away; says what is wrong with it, if anything is.
    fn step(&mut self, context: &Context) -> Result<Option<Option<Decoded>>, SourceError> {
        let mut bytes = Vec::new();
        let limit = DOCUMENT_BYTES_MAX as u64 + 1;
        let at = |reading: &Self| (reading.line + 1, reading.bytes);
        let read = (&mut self.reader).take(limit).read_until(b'\n', &mut bytes);
        let read = read.map_err(|error| stopped(context.path.clone(), at(self), error))?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        self.bytes += read as u64;
        if read as u64 == limit && bytes.last() != Some(&b'\n') {
            let rest = self.reader.skip_until(b'\n');
            let rest = rest.map_err(|error| stopped(context.path.clone(), at(self), error))?;
            self.bytes += rest as u64;
            let why = Refusal::new(FaultKind::Syntax, "", "a line is longer than 32 MiB");
            let kept = Some(format!("the first {CUT_BYTES} bytes"));
            let beginning = bytes.get(..CUT_BYTES).unwrap_or(&bytes);
            return Ok(Some(Some(context.refused(self.line, why, beginning, kept))));
        }
        match placed(&bytes, self.line) {
            Ok(None) => {}
            Ok(Some(Node { own, parent, text })) => {
                let put = self.family.put(own, parent, self.line, text);
                put.map_err(|error| context.disk(error))?;
            }
            Err(why) => return Ok(Some(Some(context.refused(self.line, why, &bytes, None)))),
        }
        Ok(Some(None))
    }
}

impl Iterator for Nodes {
    type Item = Result<Decoded, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.advance() {
                Ok(Some(decoded)) => return Some(Ok(decoded)),
                Ok(None) if matches!(self.stage, Stage::Done) => return None,
                Ok(None) => {}
                Err(error) => {
                    self.stage = Stage::Done;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl Nodes {
    /// One step of the stage at hand.
    fn advance(&mut self) -> Result<Option<Decoded>, SourceError> {
        match &mut self.stage {
            Stage::Done => Ok(None),
            Stage::Reading(reading) => match reading.step(&self.context)? {
                Some(fault) => Ok(fault),
                None => {
                    let stage = std::mem::replace(&mut self.stage, Stage::Done);
                    if let Stage::Reading(reading) = stage {
                        let parts =
                            reading.family.by_root().map_err(|error| self.context.disk(error))?;
                        let ready = VecDeque::new();
                        self.stage = Stage::Assembling { parts, next: 0, ready };
                    }
                    Ok(None)
                }
            },
            Stage::Assembling { parts, next, ready } => {
                if let Some(decoded) = ready.pop_front() {
                    return Ok(Some(decoded));
                }
                if *next == PARTS {
                    self.stage = Stage::Done;
                    return Ok(None);
                }
                let mut lines = Vec::new();
                let taken = parts.take(*next, |_, entry| lines.push(entry));
                taken.map_err(|error| self.context.disk(error))?;
                *next += 1;
                *ready = assemble::groups(lines, &self.context);
                Ok(None)
            }
        }
    }
}
