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
//!           (finds the    (order with all its lines, refunds and refunded lines)
//!            grandparent)
//! ```
//!
//! A node of a kind that no view counts is a fault as a root, and skipped like any unknown field
//! below an order.

mod node;

mod partition;

mod assemble;

use std::collections::VecDeque;
use std::io::{BufRead, Read};
use std::path::PathBuf;
use std::sync::Arc;

use ionflux_schemas::fault::FaultKind;

use self::node::Head;
use self::partition::{Entry, PARTS, Parts};
use super::broken;
use super::document::refused;
use super::framing::DOCUMENT_BYTES_MAX;
use super::webhook_file::{Reader, stopped};
use crate::error::SourceError;
use crate::reading::{Decoded, Refusal, Setting};

/// Reads a bulk export; `source` names it in faults, `path` in errors.
#[must_use]
pub fn read(reader: Reader, source: Arc<str>, path: PathBuf, setting: Setting) -> Nodes {
    let context = Context { source, path, setting };
    Nodes {
        context,
        stage: Stage::Reading(Box::new(Reading {
            reader,
            lines: Parts::default(),
            links: Parts::default(),
            line: 0,
            bytes: 0,
        })),
    }
}

/// What is known beside the lines.
struct Context {
    source: Arc<str>,
    path: PathBuf,
    setting: Setting,
}

impl Context {
    fn fault(&self, line: u64, refusal: Refusal) -> Decoded {
        refused(refusal, None, &self.setting, &self.source, line)
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
    /// Every line, by its parent, or by itself for a root.
    lines: Parts,
    /// Which node is whose child, by the child: to find a grandchild's root.
    links: Parts,
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
        let broken = |reason: &str| {
            let refusal = Refusal::new(FaultKind::Syntax, "", reason);
            Ok(Some(Some(context.fault(self.line, refusal))))
        };
        if read as u64 == limit && bytes.last() != Some(&b'\n') {
            let rest = self.reader.skip_until(b'\n');
            let rest = rest.map_err(|error| stopped(context.path.clone(), at(self), error))?;
            self.bytes += rest as u64;
            return broken("a line is longer than 32 MiB");
        }
        let Ok(text) = std::str::from_utf8(&bytes) else { return broken("not valid UTF-8") };
        let text = if self.line == 1 { text.trim_start_matches('\u{feff}') } else { text };
        let text = text.trim();
        if text.is_empty() {
            return Ok(Some(None));
        }
        let head = serde_json::from_str::<Head<'_>>(text).map_err(|error| broken::refusal(&error));
        let placed = head.and_then(|head| head.place());
        let (own, parent) = match placed {
            Ok(placed) => placed,
            Err(refusal) => return Ok(Some(Some(context.fault(self.line, refusal)))),
        };
        self.put(own, parent, text).map_err(|error| context.disk(error))?;
        Ok(Some(None))
    }

    fn put(
        &mut self,
        own: Option<String>,
        parent: Option<String>,
        text: &str,
    ) -> std::io::Result<()> {
        if let (Some(own), Some(parent)) = (&own, &parent) {
            self.links.put(own, parent, self.line, "")?;
        }
        // `place` gives a node at least one of the two.
        let root = parent.or(own).unwrap_or_default();
        self.lines.put(&root, &root, self.line, text)
    }

    /// Moves every line from its parent to its root: one more step up, as exports nest two deep.
    fn by_root(mut self) -> std::io::Result<Parts> {
        let mut roots = Parts::default();
        for part in 0..PARTS {
            let mut above = std::collections::HashMap::new();
            self.links.take(part, |key, entry: Entry| {
                above.insert(key, entry.root);
            })?;
            let mut lines = Vec::new();
            self.lines.take(part, |_, entry| lines.push(entry))?;
            for entry in lines {
                let root = above.get(&entry.root).unwrap_or(&entry.root);
                roots.put(root, root, entry.line, &entry.text)?;
            }
        }
        Ok(roots)
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
                        let parts = reading.by_root().map_err(|error| self.context.disk(error))?;
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
