//! The keys of a state: one that hides ids, and one that signs receipts.
//!
//! Invariant: keys are random, never leave the folder they were made in, and only its owner reads
//! them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::error::SubjectError;
use super::table::Kind;

/// How long the key that hides ids is.
const HIDING_BYTES: usize = 32;
/// The longest file of a key.
const KEY_BYTES_MAX: u64 = 4_096;

/// The keys of a state.
pub struct Keys {
    hiding: hmac::Key,
    signing: Ed25519KeyPair,
}

/// A shop, as ids of its people are hidden.
pub struct Scope {
    context: hmac::Context,
    /// The shop itself, hidden.
    pub id: u128,
}

/// Somebody, as the vault looks for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sought {
    /// The id of the person, hidden.
    pub name: u128,
    /// The shop, hidden.
    pub scope: u128,
}

impl Keys {
    /// The keys in a folder, made now if they are not there.
    ///
    /// # Errors
    /// When they cannot be read or made.
    pub fn open(folder: &Path) -> Result<Self, SubjectError> {
        let random = SystemRandom::new();
        let hiding = kept(&folder.join("hiding.key"), || {
            let mut key = vec![0; HIDING_BYTES];
            ring::rand::SecureRandom::fill(&random, &mut key).map_err(|_| SubjectError::Random)?;
            Ok(key)
        })?;
        let path = folder.join("signing.key");
        let signing = kept(&path, || {
            let key = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| SubjectError::Random)?;
            Ok(key.as_ref().to_vec())
        })?;
        let damaged = |_| SubjectError::Damaged { path: path.clone(), at: 0 };
        let signing = Ed25519KeyPair::from_pkcs8(&signing).map_err(damaged)?;
        Ok(Self { hiding: hmac::Key::new(hmac::HMAC_SHA256, &hiding), signing })
    }

    /// The people of a shop; of a workspace as a whole where the shop's name is empty.
    #[must_use]
    pub fn scope(&self, workspace: &str, shop: &str) -> Scope {
        let mut context = hmac::Context::with_key(&self.hiding);
        for name in [workspace, shop] {
            context.update(&(name.len() as u64).to_be_bytes());
            context.update(name.as_bytes());
        }
        Scope { id: short(context.clone()), context }
    }

    /// A signature of a text.
    #[must_use]
    pub fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.signing.sign(text).as_ref().to_vec()
    }

    /// What checks the signatures.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        self.signing.public_key().as_ref()
    }
}

impl Scope {
    /// Somebody by their id.
    #[must_use]
    pub fn person(&self, kind: Kind, id: &str) -> Sought {
        Sought { name: self.hidden(kind as u8, id), scope: self.id }
    }

    /// The mark of somebody who was forgotten, which no link can be told from.
    #[must_use]
    pub fn forgotten(&self, kind: Kind, id: &str) -> u128 {
        self.hidden(kind as u8 | 0x80, id)
    }

    fn hidden(&self, mark: u8, id: &str) -> u128 {
        let mut context = self.context.clone();
        context.update(&[mark]);
        context.update(id.as_bytes());
        short(context)
    }
}

fn short(context: hmac::Context) -> u128 {
    let tag = context.sign();
    let half = tag.as_ref().first_chunk().copied();
    u128::from_be_bytes(half.unwrap_or_default())
}

/// The bytes of a file, which is made if it is not there.
fn kept(
    path: &Path,
    make: impl Fn() -> Result<Vec<u8>, SubjectError>,
) -> Result<Vec<u8>, SubjectError> {
    match fs::metadata(path) {
        Ok(found) if found.len() == 0 || found.len() > KEY_BYTES_MAX => {
            Err(SubjectError::Damaged { path: path.into(), at: 0 })
        }
        Ok(_) => fs::read(path).map_err(SubjectError::of(path, "reading")),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            let key = make()?;
            write_whole(path, &key).map_err(SubjectError::of(path, "writing"))?;
            Ok(key)
        }
        Err(cause) => Err(SubjectError::of(path, "reading")(cause)),
    }
}

/// What a file that is not whole yet is called at its end.
pub(super) const PART: &str = "part";

/// Writes a file that only its owner reads, whole or not at all; durable when this returns. Two
/// may write one file at once: each has a name of its own for what is not whole yet.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let fresh = path.with_extension(format!("{}-{number}.{PART}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let whole = options.open(&fresh).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    });
    if let Err(cause) = whole {
        // What cannot be removed now is swept at the next start.
        let _ = fs::remove_file(&fresh);
        return Err(cause);
    }
    settle(path)
}

/// Removes a file; durable when this returns, and no failure if it was not there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => settle(path),
    }
}

/// Removes what a crash left of files that were not whole yet.
pub(super) fn sweep(folder: &Path) -> Result<(), SubjectError> {
    let part = |path: &Path| path.extension().is_some_and(|extension| extension == PART);
    empty(folder, part).map_err(SubjectError::of(folder, "sweeping"))
}

/// Removes some files of a folder; durable when this returns.
pub(super) fn empty(folder: &Path, gone: impl Fn(&Path) -> bool) -> io::Result<()> {
    let mut removed = false;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if gone(&path) && entry.file_type()?.is_file() {
            fs::remove_file(&path)?;
            removed = true;
        }
    }
    if removed { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Makes what happened to a file's name durable.
pub(super) fn settle(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Makes a folder that only its owner enters.
pub(super) fn folder(path: &Path) -> Result<(), SubjectError> {
    let made = fs::create_dir_all(path).map_err(SubjectError::of(path, "making"));
    #[cfg(unix)]
    {
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        made?;
        fs::set_permissions(path, closed).map_err(SubjectError::of(path, "closing"))
    }
    #[cfg(not(unix))]
    made
}
