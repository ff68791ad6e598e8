//! Bodies that are no JSON, and so cannot be minimised: laid aside, one file each.
//!
//! ```text
//! door ─▶ raw/NAME, fsync ─▶ journal: a delivery with the name and no body ─▶ letter with the name
//! ```
//!
//! Invariant: the bytes are in no other file, so that removing one forgets them. A letter whose
//! file is gone or damaged has no bytes, and stops nobody.

use std::path::PathBuf;
use std::{fs, io};

use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::key::content_hash;
use ionflux_schemas::letter::{Letter, holds};

use super::error::SubjectError;
use super::requests::{Deed, Request, names, ours};
use super::{RAW, Subjects, keys, shop_of};

/// How many bodies may lie aside; what is beyond is refused until some are read again.
const RAW_MAX: usize = 10_000;
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

impl Subjects {
    /// Lays a body aside; durable when this returns.
    ///
    /// # Errors
    /// When there are too many, or the disk refuses.
    pub fn lay_aside(&self, raw: &Raw) -> Result<(), SubjectError> {
        if names(&self.folder.join("raw"))?.len() >= RAW_MAX {
            return Err(SubjectError::Full);
        }
        let unwritable = |_| SubjectError::Request("whose body it is");
        let mut bytes = serde_json::to_vec(&raw.whose).map_err(unwritable)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&raw.bytes);
        let path = self.part("raw", &raw.name);
        // The same body twice, maybe at once: the name says what is in the file.
        let there = fs::metadata(&path).is_ok_and(|found| found.len() == bytes.len() as u64);
        let laid = if there { keys::settle(&path) } else { keys::write_whole(&path, &bytes) };
        laid.map_err(SubjectError::of(&path, "writing"))
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
        let Some(path) = self.raw_path(name) else { return Ok(()) };
        keys::remove(&path).map_err(SubjectError::of(&path, "removing"))
    }

    /// Removes the bodies that a request is about; gives how many.
    pub(super) fn erase(&self, request: &Request) -> Result<u64, SubjectError> {
        if request.deed == Deed::Tell {
            return Ok(0);
        }
        let mut erased = 0;
        for name in names(&self.folder.join("raw"))? {
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
