//! Bodies that are no JSON, and so cannot be minimised: laid aside, one file each.
//!
//! ```text
//! door ─▶ raw/NAME, fsync ─▶ journal: a delivery with the name and no body ─▶ letter with the name
//! ```
//!
//! Invariant: the bytes are in no other file, so that removing one forgets them. A letter whose
//! file is gone has no bytes and says so.

use std::path::PathBuf;

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
        let of = content_hash(format!("{whose:?}").as_bytes());
        let name = format!("{:032x}", content_hash(&bytes) ^ of);
        Self { name, whose, bytes }
    }
}

/// Whose a body is, a workspace and a shop, and its bytes.
type LaidAside = ([Box<str>; 2], Box<[u8]>);

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
        keys::write_whole(&path, &bytes).map_err(SubjectError::of(&path, "writing"))
    }

    /// Whose a body is, and its bytes; nothing where it is forgotten.
    fn laid_aside(&self, name: &str) -> Result<Option<LaidAside>, SubjectError> {
        let Some(path) = self.raw_path(name) else { return Ok(None) };
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(SubjectError::of(&path, "reading")(cause)),
        };
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let whose = serde_json::from_slice(&bytes[..end]);
        let whose = whose.map_err(|_| SubjectError::Damaged { path, at: 0 })?;
        Ok(Some((whose, bytes[(end + 1).min(bytes.len())..].into())))
    }

    /// A delivery as its reader needs it, with its bytes if they are there, and their name.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn restore(&self, delivery: &mut Delivery) -> Result<Option<Box<str>>, SubjectError> {
        let Some(name) = delivery.headers.remove(RAW) else { return Ok(None) };
        if let Some((_, bytes)) = self.laid_aside(&name)? {
            delivery.body = bytes;
        }
        Ok(Some(name))
    }

    /// A letter with its bytes, if they are there; whether they lay aside.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn restore_letter(&self, letter: &mut Letter) -> Result<bool, SubjectError> {
        let Some(name) = letter.context.get(LAID_ASIDE) else { return Ok(false) };
        if let Some((_, bytes)) = self.laid_aside(name)? {
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
            let Some(([workspace, shop], bytes)) = self.laid_aside(&name)? else { continue };
            let theirs = workspace == request.workspace
                && (shop == request.shop || shop.is_empty() || request.shop.is_empty());
            let all = request.deed == Deed::ForgetShop && shop == request.shop;
            if theirs && (all || request.sought_words().any(|word| holds(&bytes, word))) {
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
