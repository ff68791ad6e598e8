//! Downloads: files of a shop that lie outside of the keyed place while they are read in.
//!
//! Invariant: a request to forget removes those of its shop, finished or not; whoever reads them
//! begins again.

use std::io;
use std::path::PathBuf;
use std::sync::PoisonError;

use super::error::SubjectError;
use super::requests::{Deed, Request};
use super::{Subjects, keys};

/// A folder of downloads.
pub(super) struct Download {
    workspace: Box<str>,
    shop: Box<str>,
    folder: PathBuf,
}

impl Subjects {
    /// Notes where files of a workspace's shop may lie.
    pub fn downloads_of(&self, (workspace, shop): (&str, &str), folder: PathBuf) {
        let download = Download { workspace: workspace.into(), shop: shop.into(), folder };
        self.downloads.lock().unwrap_or_else(PoisonError::into_inner).push(download);
    }

    /// Removes the files of the shop that a request is about; of all shops if it names none.
    pub(super) fn forget_downloads(&self, request: &Request) -> Result<(), SubjectError> {
        if request.deed == Deed::Tell {
            return Ok(());
        }
        let downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = downloads.iter().filter(|download| {
            download.workspace == request.workspace
                && (download.shop == request.shop || request.shop.is_empty())
        });
        for Download { folder, .. } in theirs {
            match keys::empty(folder, |_| true) {
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                other => other.map_err(SubjectError::of(folder, "emptying"))?,
            }
        }
        Ok(())
    }
}
