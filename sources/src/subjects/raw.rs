//! Bodies that are no JSON, and so cannot be minimised: laid aside, one file each.
//!
//! ```text
//! door ─▶ raw/NAME, fsync ─▶ journal: a delivery with the name and no body ─▶ letter with the name
//!    └ its workspace has no room ─▶ journal: a delivery that says so ─▶ letter without bytes
//! ```
//!
//! Invariant: the bytes are in no other file, so that removing one forgets them. A letter whose
//! file is gone or damaged has no bytes, and stops nobody.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::fault::{FaultKind, Place};
use ionflux_schemas::key::content_hash;
use ionflux_schemas::letter::{Letter, holds};

use super::error::SubjectError;
use super::requests::{Deed, Request, names, ours};
use super::{NOT_KEPT, RAW, Subjects, keys, shop_of};
use crate::draft::delivered;
use crate::reading::{Decoded, Refusal, Setting};

/// How much of one workspace may lie aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawLimits {
    /// Bodies.
    pub bodies: usize,
    /// Bytes of their files.
    pub bytes: u64,
}

impl Default for RawLimits {
    fn default() -> Self {
        Self { bodies: 10_000, bytes: 512 << 20 }
    }
}

/// The longest line of a file that says whose body it is.
const WHOSE_BYTES_MAX: u64 = 64 << 10;
/// The name of a letter's context that says where its bytes lie.
pub const LAID_ASIDE: &str = "laid-aside";

/// A body that is laid aside.
pub struct Raw {
    /// Its name: a hash of the bytes and of whose they are, so that one body is one file.
    pub name: String,
    whose: [Box<str>; 2],
    bytes: Box<[u8]>,
}

impl Raw {
    /// Takes the body of a delivery.
    pub(super) fn of(delivery: &mut Delivery) -> Self {
        let whose = [(*delivery.workspace).into(), shop_of(delivery).into()];
        let bytes = std::mem::take(&mut delivery.body);
        Self { name: name(&whose, &bytes), whose, bytes }
    }
}

/// The name of a body of a workspace and a shop.
fn name(whose: &[Box<str>; 2], bytes: &[u8]) -> String {
    let of = content_hash(format!("{whose:?}").as_bytes());
    format!("{:032x}", content_hash(bytes) ^ of)
}

/// What a file of a body holds.
enum LaidAside {
    /// Whose it is, a workspace and a shop, and its bytes.
    Body([Box<str>; 2], Box<[u8]>),
    /// Something that was never written there.
    Damaged,
    /// Nothing: it is forgotten.
    Gone,
}

/// What lies aside, as memory knows it: so that a limit costs no look at the disk.
#[derive(Default)]
pub(super) struct Aside {
    pub(super) limits: RawLimits,
    bodies: HashMap<Box<str>, Lying>,
    used: HashMap<Box<str>, RawLimits>,
}

/// A body that lies aside.
struct Lying {
    workspace: Box<str>,
    bytes: u64,
    /// Deliveries that name it.
    names: u64,
}

impl Aside {
    /// What lies in a folder.
    pub(super) fn read(folder: &Path) -> Result<Self, SubjectError> {
        let mut aside = Self::default();
        for name in names(folder)? {
            let path = folder.join(&name);
            let failed = SubjectError::of(&path, "reading");
            let file = File::open(&path).map_err(&failed)?;
            let bytes = file.metadata().map_err(&failed)?.len();
            let mut line = Vec::new();
            let mut head = BufReader::new(file).take(WHOSE_BYTES_MAX);
            head.read_until(b'\n', &mut line).map_err(&failed)?;
            // A damaged one is nobody's.
            let whose: [Box<str>; 2] = serde_json::from_slice(&line).unwrap_or_default();
            let [workspace, _] = whose;
            aside.put(&name, Lying { workspace, bytes, names: 1 });
        }
        Ok(aside)
    }

    fn put(&mut self, name: &str, body: Lying) {
        let used = self.used.entry(body.workspace.clone());
        let used = used.or_insert(RawLimits { bodies: 0, bytes: 0 });
        (used.bodies, used.bytes) = (used.bodies + 1, used.bytes + body.bytes);
        self.bodies.insert(name.into(), body);
    }

    /// Makes room for a body, if its workspace may lay it aside.
    fn take(&mut self, name: &str, workspace: &str, bytes: u64) -> bool {
        if let Some(known) = self.bodies.get_mut(name) {
            known.names += 1;
            return true;
        }
        let used = self.used.get(workspace).copied();
        let used = used.unwrap_or(RawLimits { bodies: 0, bytes: 0 });
        let fits = used.bodies < self.limits.bodies
            && used.bytes.saturating_add(bytes) <= self.limits.bytes;
        if fits {
            self.put(name, Lying { workspace: workspace.into(), bytes, names: 1 });
        }
        fits
    }

    fn remove(&mut self, name: &str) {
        let Some(body) = self.bodies.remove(name) else { return };
        let Some(used) = self.used.get_mut(&body.workspace) else { return };
        (used.bodies, used.bytes) = (used.bodies - 1, used.bytes - body.bytes);
        if used.bodies == 0 {
            self.used.remove(&body.workspace);
        }
    }
}

impl Subjects {
    fn aside(&self) -> MutexGuard<'_, Aside> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lays a body aside, durable when this returns; whether its workspace has room for it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn lay_aside(&self, raw: &Raw) -> Result<bool, SubjectError> {
        let unwritable = |_| SubjectError::Request("whose body it is");
        let mut bytes = serde_json::to_vec(&raw.whose).map_err(unwritable)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&raw.bytes);
        if !self.aside().take(&raw.name, &raw.whose[0], bytes.len() as u64) {
            return Ok(false);
        }
        let path = self.part("raw", &raw.name);
        // The same body twice, maybe at once: the name says what is in the file.
        let there = fs::metadata(&path).is_ok_and(|found| found.len() == bytes.len() as u64);
        let laid = if there { keys::settle(&path) } else { keys::write_whole(&path, &bytes) };
        if let Err(cause) = laid {
            self.take_back_raw(&raw.name);
            return Err(SubjectError::of(&path, "writing")(cause));
        }
        Ok(true)
    }

    /// Removes a body whose delivery was not kept, if no other delivery names it.
    pub(super) fn take_back_raw(&self, name: &str) {
        let mut aside = self.aside();
        let Some(body) = aside.bodies.get_mut(name) else { return };
        body.names -= 1;
        if body.names == 0
            && let Err(problem) = self.cleared(&mut aside, name)
        {
            tracing::error!("a body that no letter needs stays: {problem}");
        }
    }

    fn laid_aside(&self, name: &str) -> Result<LaidAside, SubjectError> {
        let Some(path) = self.raw_path(name) else { return Ok(LaidAside::Gone) };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(LaidAside::Gone),
            Err(cause) => return Err(SubjectError::of(&path, "reading")(cause)),
        };
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let body = &bytes[(end + 1).min(bytes.len())..];
        match serde_json::from_slice::<[Box<str>; 2]>(&bytes[..end]) {
            Ok(whose) if self::name(&whose, body) == name => {
                Ok(LaidAside::Body(whose, body.into()))
            }
            _ => {
                tracing::error!("{} is damaged: its letter has no bytes", path.display());
                Ok(LaidAside::Damaged)
            }
        }
    }

    /// A delivery as its reader needs it, with its bytes if they can be read, and their name.
    pub fn restore(&self, delivery: &mut Delivery) -> Option<Box<str>> {
        let name = delivery.headers.remove(RAW)?;
        match self.laid_aside(&name) {
            Ok(LaidAside::Body(_, bytes)) => delivery.body = bytes,
            Ok(_) => {}
            // Its letter keeps the name, and is read again when the disk can.
            Err(problem) => tracing::error!("a body laid aside cannot be read: {problem}"),
        }
        Some(name)
    }

    /// A letter with its bytes, if they are there; whether they lay aside.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn restore_letter(&self, letter: &mut Letter) -> Result<bool, SubjectError> {
        let Some(name) = letter.context.get(LAID_ASIDE) else { return Ok(false) };
        if let LaidAside::Body(_, bytes) = self.laid_aside(name)? {
            letter.bytes = bytes;
        }
        Ok(true)
    }

    /// Removes a body that no letter needs.
    ///
    /// # Errors
    /// When that is not certain.
    pub fn clear(&self, name: &str) -> Result<(), SubjectError> {
        self.cleared(&mut self.aside(), name)
    }

    /// The same while nobody else can lay it aside.
    fn cleared(&self, aside: &mut Aside, name: &str) -> Result<(), SubjectError> {
        let Some(path) = self.raw_path(name) else { return Ok(()) };
        keys::remove(&path).map_err(SubjectError::of(&path, "removing"))?;
        aside.remove(name);
        Ok(())
    }

    /// Removes the bodies that a request is about; gives how many.
    pub(super) fn erase(&self, request: &Request) -> Result<u64, SubjectError> {
        if request.deed == Deed::Tell {
            return Ok(0);
        }
        let mut erased = 0;
        for name in self.may_be_of(request) {
            let theirs = match self.laid_aside(&name)? {
                LaidAside::Body(whose, bytes) => about(request, &whose, &bytes),
                // Nobody can say whose it is, and no letter has anything of it.
                LaidAside::Damaged => true,
                LaidAside::Gone => false,
            };
            if theirs {
                self.clear(&name)?;
                erased += 1;
            }
        }
        Ok(erased)
    }

    /// The bodies of a request's workspace, and the damaged ones: those of others are not read.
    fn may_be_of(&self, request: &Request) -> Vec<Box<str>> {
        let aside = self.aside();
        let theirs =
            |body: &Lying| body.workspace.is_empty() || body.workspace == request.workspace;
        let bodies = aside.bodies.iter().filter(|(_, body)| theirs(body));
        bodies.map(|(name, _)| name.clone()).collect()
    }

    fn raw_path(&self, name: &str) -> Option<PathBuf> {
        ours(name).then(|| self.part("raw", name))
    }
}

/// Whether a request is about a body.
fn about(request: &Request, [workspace, shop]: &[Box<str>; 2], bytes: &[u8]) -> bool {
    let of_shop = *shop == request.shop || shop.is_empty() || request.shop.is_empty();
    let all = request.deed == Deed::ForgetShop && *shop == request.shop;
    *workspace == request.workspace
        && of_shop
        && (all || request.sought_words().any(|word| holds(bytes, word)))
}

/// What a delivery says whose body is no JSON and was not kept either: one fault.
#[must_use]
pub fn not_kept(delivery: &Delivery, position: Position) -> Option<Decoded> {
    let name = delivery.headers.get(NOT_KEPT)?;
    let reason =
        "the body is no JSON, and was not kept: as many of this workspace lie aside as may";
    let subject = format!("delivery {}", name.chars().take(16).collect::<String>());
    let place = Place { source: Arc::from(&*delivery.source), line: 0 };
    let setting = Setting::of_delivery(delivery);
    let shop = setting.shop_key(Some(&*shop_of(delivery)));
    let faults = vec![Refusal::new(FaultKind::Syntax, subject, reason).at(shop, place)];
    let mut decoded =
        delivered(Decoded { faults, ..Decoded::default() }, delivery, position, &setting);
    if let Some(letter) = &mut decoded.letter {
        letter.context.insert(LAID_ASIDE.into(), "not kept".into());
    }
    Some(decoded)
}
